"""Run the notebooks in order, without a person: ``python -m helpers.batch --data DIR --out DIR``."""

import argparse
import sys
from pathlib import Path

from helpers import PROJECT, InputError
from helpers.batch.chapters import given_parameters, select
from helpers.batch.report import results_table
from helpers.batch.run import run
from helpers.files import locked
from helpers.notebook import output_folder


def main(argv=None):
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m helpers.batch", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", default="", metavar="DIR", help="folder of trs.pkl and tes.pkl, or a corpus, or its table"
    )
    parser.add_argument("--out", default=PROJECT / "results", metavar="DIR", help="default: results")
    parser.add_argument("--notebooks", default="", metavar="04,05", help="numbers; default: all")
    parser.add_argument(
        "-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), help="a notebook's parameter"
    )
    options = parser.parse_args(argv)
    try:
        data = options.data and str(Path(options.data).expanduser().resolve())
        if data and not Path(data).exists():
            raise InputError(
                f"--data {options.data} does not exist; expected trs.pkl and tes.pkl in it, or a corpus"
            )
        chapters = select(options.notebooks)
        out = output_folder(options.out)
        parameters = given_parameters(chapters, data, out, options.p)
        lock = locked(out)
    except InputError as error:
        print(f"batch: {error}", file=sys.stderr)
        return 2
    with lock:
        try:
            run(chapters, parameters, data, out)
        except (RuntimeError, InputError, OSError) as error:
            print(f"batch: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("batch: interrupted; what was finished is kept", file=sys.stderr)
            return 130
    table = results_table(out / "metrics.json")
    print(f"\n{table}\n" if table else "")
    print(f"executed notebooks: {out}\nto read them: {out / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
