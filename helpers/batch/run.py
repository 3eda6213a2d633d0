"""Run the notebooks in order, without a person: ``python -m helpers.batch --data DIR --out DIR``.

Executed copies go to ``OUT/NN_slug.ipynb`` and ``OUT/html``, with ``OUT/index.html`` to open. A notebook is
executed aside and its copy takes its place when it has succeeded. ``OUT/batch.json`` holds a fingerprint of
everything that each result depends on, so that a rerun does only what is missing or out of date.

Exit status: 0 when every notebook ran, 1 when one failed, 2 when nothing could be run, 130 after Ctrl-C.
"""

import json
import os
import re
import shutil
import sys
import time
from functools import cache, partial
from pathlib import Path

import nbformat

from helpers import PROJECT, InputError, first_line, writable_folder
from helpers.batch.chapters import Chapter, given_parameters, notebooks, select
from helpers.batch.execute import execute
from helpers.batch.report import results_table, write_index
from helpers.command_line import new_parser, run_program
from helpers.files import atomic_write, file_digest, fingerprint, hold_folder, import_closure
from helpers.notebook import output_folder


def file_stats(path):
    """Size and time of a file, or of each file in a folder and below it; {} when there is none."""
    path = Path(os.path.expanduser(path))
    paths = [path] if path.is_file() else sorted(path.rglob("*"))
    stats = {str(each): each.stat() for each in paths if each.is_file()}
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}


def contents(data, source):
    """Digests of what a notebook may read: utterances, helpers it imports, models, results, scores, the lock.

    Subfolders of the project's data folder, and of one with the course's files, do not count, as they hold
    what the helpers make, unless there is a table of recordings; recordings are known by size and time.

    Parameters
    ----------
    data : str
        The folder, or the table of recordings, given as ``--data``; empty for the project's default.
    source : str

    Returns
    -------
    dict
        Digests, or sizes and times, by path.
    """
    folder = Path(data or os.environ.get("SIAMESE_VOICES_DATA") or PROJECT / "data")
    table = folder.is_file()  # the recordings that it names lie below its folder
    folder = folder.parent if table else folder
    made = folder == PROJECT / "data" or any(folder.glob("trs.*"))
    is_corpus = table or (folder / "utterances.csv").exists() or not made
    found = {"backend": os.environ.get("KERAS_BACKEND", ""), "python": str(sys.version_info[:2])}
    for path in [folder] if is_corpus else sorted(folder.glob("*.npy")):
        found |= file_stats(path)
    read = [path for path in sorted(folder.glob("*")) if path.suffix in (".pkl", ".csv", ".json")]
    read += [*sorted(import_closure(source)), *sorted(PROJECT.glob("notebooks/[mrs]*/*"))]
    read.append(PROJECT / "requirements.txt")
    return found | {str(path): known_digest(path, path.stat().st_mtime_ns) for path in read if path.is_file()}


@cache
def known_digest(path, changed):
    """`files.file_digest`, once while its time stays: each notebook asks, and a pickle may have 4 GB."""
    return file_digest(path)


class State:
    """``OUT/batch.json``: what has been executed, from what, and what it made."""

    def __init__(self, out):
        self.path = out / "batch.json"
        try:
            self.done = json.loads(self.path.read_text())
        except (OSError, ValueError):
            self.done = {}

    def fingerprint(self, chapter, parameters, files):
        """Everything that a notebook's result depends on; the notebooks before it hand files on to it."""
        parameters = {name: value for name, value in sorted(parameters.items()) if name != "out"}
        values = [value for name, value in parameters.items() if name != "data"]
        named = [file_stats(value) for value in values if value and isinstance(value, str)]
        earlier = sorted((n, entry["fingerprint"]) for n, entry in self.done.items() if n < chapter.number)
        return fingerprint(chapter.source, parameters, files, named, earlier)

    def record(self, number, entry=None):
        """Write down a result; without one, forget it: a run that has started may replace its files."""
        self.done.pop(number, None)
        if entry:
            self.done[number] = entry
        with atomic_write(self.path) as part:
            part.write_text(json.dumps(self.done, indent=1, sort_keys=True))


def run_one(chapter, parameters, out):
    """Execute one notebook; its copy and its page take their places in `out` when it has succeeded.

    Raises
    ------
    RuntimeError
        Naming the notebook, the cell and its error; the partial copy is then in ``OUT/failed``.
    """
    from nbconvert import HTMLExporter

    copy, failed = out / chapter.path.name, out / "failed" / chapter.path.name
    part = out / ".running" / chapter.path.name
    part.parent.mkdir(exist_ok=True)
    try:
        execute(chapter.path, part, parameters)
        page = HTMLExporter().from_filename(str(part))[0]
        page = re.sub(r'href="(\d\d_\w+)\.ipynb', r'href="\1.html', page)
        with atomic_write(out / "html" / f"{chapter.path.stem}.html") as temporary:
            temporary.write_text(page, encoding="utf-8")
        os.replace(part, copy)
        failed.unlink(missing_ok=True)
    except Exception as error:
        cell = "before its first cell"
        if part.exists():
            failed.parent.mkdir(exist_ok=True)
            os.replace(part, failed)
            cells = [cell for cell in nbformat.read(failed, as_version=4).cells if cell.cell_type == "code"]
            cell = f"In [{sum(cell.metadata.papermill.status != 'pending' for cell in cells)}]"
        kind, text = getattr(error, "ename", type(error).__name__), getattr(error, "evalue", error)
        raise RuntimeError(f"{chapter.path.name}, {cell}: {first_line(kind, text)}") from error
    finally:
        shutil.rmtree(part.parent, ignore_errors=True)


def run(chapters, parameters, data, out):
    """Run what is missing or out of date, in order, and print the results; stops at a notebook that fails.

    Raises
    ------
    RuntimeError
        As for `run_one`.
    """
    state, states = State(out), {}
    try:
        for chapter in chapters:
            number = chapter.number
            print(f"{number} {chapter.title} ... ", end="", flush=True)
            wanted = state.fingerprint(chapter, parameters[number], contents(data, chapter.code))
            kept = state.done.get(number, {})
            made = kept.get("made", [])
            if kept.get("fingerprint") == wanted and all((out / name).exists() for name in made):
                states[number] = "kept from before"
                print(states[number])
                continue
            state.record(number)
            states[number], start, before = "failed", time.monotonic(), file_stats(out)
            try:
                run_one(chapter, parameters[number], out)
            except BaseException as error:
                print("failed" if isinstance(error, Exception) else "interrupted", flush=True)
                raise
            seconds = time.monotonic() - start
            made = [name for name, stats in file_stats(out).items() if before.get(name) != stats]
            entry = {"fingerprint": wanted, "parameters": parameters[number], "seconds": round(seconds, 1)}
            state.record(number, entry | {"made": sorted(str(Path(name).relative_to(out)) for name in made)})
            states[number] = "done"
            print(f"{seconds:.0f} s", flush=True)
    finally:
        write_index(out, index_rows(chapters, state, states, data))
    table = results_table(out / "metrics.json")
    print(f"\n{table}\n" if table else "")
    print(f"executed notebooks: {out}\nto read them: {out / 'index.html'}")


def index_rows(chapters, state, states, data):
    """What the index shows of the notebooks of this run and of earlier ones: see `report.write_index`."""
    known, rows = {chapter.number: chapter for chapter in chapters}, []
    for path in notebooks():
        number, entry = path.name[:2], state.done.get(path.name[:2])
        if number not in known and not entry:
            continue
        try:
            chapter = known.get(number) or Chapter(path)
        except InputError:  # of an earlier run, and since broken
            continue
        status = states.get(number, "not run")
        if entry and number not in states:
            files = contents(data, chapter.code)
            current = entry["fingerprint"] == state.fingerprint(chapter, entry["parameters"], files)
            status = "from an earlier run" + ("" if current else ", out of date")
        seconds = entry and entry["seconds"]
        rows.append((path.stem, f"{number} {chapter.title}", chapter.sentence, seconds, status))
    return rows


def run_batch(options):
    """Check the call, hold the output folder and run the notebooks; returns the exit status.

    Raises
    ------
    InputError
        When nothing can be run.
    """
    data = options.data and str(Path(os.path.expanduser(options.data)).resolve())
    if data and not Path(data).exists():
        expected = "trs.pkl and tes.pkl in it, or a corpus"
        raise InputError("does not exist", file=f"--data {options.data}", expected=expected)
    chapters = select(options.notebooks)
    out = output_folder(options.out or writable_folder(PROJECT / "results"))
    parameters = given_parameters(chapters, data, out, options.p)
    errors, interrupted = (RuntimeError, InputError, OSError), "interrupted; what was finished is kept"
    try:
        with hold_folder(out, f"--out {out}: another run is writing there; name another folder"):
            work = partial(run, chapters, parameters, data)
            return run_program(work, out, "batch: ", interrupted=interrupted, errors=errors)
    except OSError as error:  # of the folder: the run's own have been handled
        raise InputError(f"--out {out}: {error.strerror}; a folder to write to is expected") from None


def main(argv=None):
    """The command; returns its exit status."""
    parser = new_parser("batch", __doc__)
    help_data = "folder of trs.pkl and tes.pkl, or a corpus, or its table"
    parser.add_argument("--data", default="", metavar="DIR", help=help_data)
    parser.add_argument("--out", default="", metavar="DIR", help="default: results")
    parser.add_argument("--notebooks", default="", metavar="04,05", help="numbers; default: all")
    parser.add_argument(
        "-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), help="a notebook's parameter"
    )
    return run_program(run_batch, parser.parse_args(argv), "batch: ", failed=2)
