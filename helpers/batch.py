"""Run the notebooks in order, without a person: ``python -m helpers.batch --data DIR --out DIR``.

Executed copies go to ``OUT/NN_slug.ipynb`` and ``OUT/html``, with ``OUT/index.html`` to open. A notebook is
executed aside and its copy takes its place when it has succeeded. ``OUT/batch.json`` holds a fingerprint of
everything that each result depends on, so that a rerun does only what is missing or out of date.

Exit status: 0 when every notebook ran, 1 when one failed, 2 when nothing could be run, 130 after Ctrl-C.
"""

import argparse
import fcntl
import hashlib
import json
import os
import re
import shutil
import sys
import time
from pathlib import Path

import nbformat

from helpers import PROJECT, InputError, first_line, replacing
from helpers.notebook import assigned_names, execute, output_folder
from helpers.report import results_table, write_index

OWN = ("data", "out")  # parameters that have options of their own


class Chapter:
    """One notebook: its number, its words for the index, and its parameters.

    Raises
    ------
    InputError
        If the file is no notebook, or no cell of it is tagged ``parameters``.
    """

    def __init__(self, path):
        self.path, self.number = path, path.name[:2]
        try:
            cells = nbformat.read(path, as_version=4).cells
        except (ValueError, AttributeError, nbformat.ValidationError) as error:
            raise InputError(
                f"{path.name}: no valid notebook ({first_line(type(error).__name__, error)})"
            ) from None
        tagged = [cell.source for cell in cells if "parameters" in cell.metadata.get("tags", [])]
        if len(tagged) != 1:
            raise InputError(f"{path.name}: {len(tagged)} cells are tagged 'parameters'; expected one")
        self.parameters = assigned_names(tagged[0])
        self.source = [[cell.cell_type, cell.source, cell.metadata.get("tags", [])] for cell in cells]
        heading, _, text = cells[0].source.strip().partition("\n")
        self.opening = cells[0].source
        self.title = re.sub(r"^#*\s*(\d\d)?\W*", "", heading) or path.stem
        paragraph = re.sub("[*_`]", "", " ".join(text.strip().split("\n\n")[0].split()))
        self.sentence = re.split(r"(?<=[.!?])\s", paragraph)[0]


def value(text):
    """A value given on the command line as papermill's own command reads it: True, None, 3, 0.1 or text."""
    if text in ("True", "False", "None"):
        return {"True": True, "False": False, "None": None}[text]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def digest(content):
    return hashlib.sha256(content if isinstance(content, bytes) else json.dumps(content).encode()).hexdigest()


def listing(path):
    """Size and time of a file, or of each file in a folder and below it; {} when there is none."""
    paths = [Path(path)] if Path(path).is_file() else sorted(Path(path).rglob("*"))
    stats = {str(each): each.stat() for each in paths if each.is_file()}
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}


def contents(data):
    """Digests of what every notebook may read: the utterances, the helpers, the models, the lock.

    Subfolders of the project's data folder, and of one with the course's files, do not count, as they hold
    what the helpers make, unless there is a table of recordings; recordings are known by size and time.

    Parameters
    ----------
    data : str
        The folder, or the table of recordings, given as ``--data``; empty for the project's default.

    Returns
    -------
    dict of str to str
    """
    folder = Path(data or os.environ.get("SIAMESE_VOICES_DATA") or PROJECT / "data")
    table = folder.is_file()  # the recordings that it names lie below its folder
    folder = folder.parent if table else folder
    mapped = {name: stat for path in folder.glob("*.npy") for name, stat in listing(path).items()}
    files = [path for path in folder.glob("*") if path.suffix in (".pkl", ".csv", ".json")]
    files += [
        *PROJECT.glob("helpers/*.py"),
        *PROJECT.glob("notebooks/models/*"),
        PROJECT / "requirements.txt",
    ]
    found = {str(path): digest(path.read_bytes()) for path in files if path.is_file()}
    corpus = (
        table
        or (folder / "utterances.csv").exists()
        or not (folder == PROJECT / "data" or any(folder.glob("trs.*")))
    )
    return (
        ({"recordings": digest(listing(folder))} if corpus else mapped)
        | found
        | {"backend": os.environ.get("KERAS_BACKEND", ""), "python": str(sys.version_info[:2])}
    )


def notebooks():
    return sorted((PROJECT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def select(wanted):
    """The notebooks that ``--notebooks`` names ("" for all), in order.

    Raises
    ------
    InputError
        If a number has no notebook, or a notebook cannot be run.
    """
    known = [path.name[:2] for path in notebooks()]
    numbers = [number.strip().zfill(2) for number in wanted.split(",")] if wanted else known
    missing = [number for number in numbers if number not in known]
    if missing:
        found = ", ".join(known) or "none"
        raise InputError(f"--notebooks {wanted}: no notebook {', '.join(missing)}; there are {found}")
    if not known:
        raise InputError(f"{PROJECT / 'notebooks'}: no notebooks there")
    return [Chapter(path) for path in notebooks() if path.name[:2] in numbers]


def given_parameters(chapters, data, out, pairs):
    """The parameters of each notebook: those of the call that it declares.

    Raises
    ------
    InputError
        If no notebook declares one of them.
    """
    known = dict.fromkeys(name for chapter in chapters for name in chapter.parameters if name not in OWN)
    for name, _ in pairs:
        if name in OWN:
            raise InputError(f"-p {name}: use --{name}")
        if name not in known:
            raise InputError(f"-p {name}: no such parameter; the notebooks have {', '.join(known) or 'none'}")
    values = {name: value(text) for name, text in pairs} | {"data": data, "out": str(out)}
    return {c.number: {n: v for n, v in values.items() if n in c.parameters} for c in chapters}


class State:
    """``OUT/batch.json``: what has been executed, from what, and what it made."""

    def __init__(self, out):
        self.out, self.path = out, out / "batch.json"
        try:
            self.done = json.loads(self.path.read_text())
        except (OSError, ValueError):
            self.done = {}

    def fingerprint(self, chapter, parameters, files):
        """Everything that a notebook's result depends on; the notebooks before it hand files on to it."""
        parameters = {name: value for name, value in parameters.items() if name != "out"}
        named = [
            each for name, each in parameters.items() if name != "data" and isinstance(each, str) and each
        ]
        files = files | {each: listing(each) for each in named}
        earlier = {n: entry["fingerprint"] for n, entry in self.done.items() if n < chapter.number}
        return digest([chapter.source, parameters, files, earlier])

    def holds(self, chapter, fingerprint):
        """Whether the result of this fingerprint is there, with every file that the notebook made."""
        entry = self.done.get(chapter.number, {})
        made = entry.get("made", {})
        return entry.get("fingerprint") == fingerprint and all((self.out / name).exists() for name in made)

    def record(self, number, entry=None):
        """Write down a result; without one, forget it: a run that has started may replace its files."""
        if entry:
            self.done[number] = entry
        elif self.done.pop(number, None) is None:
            return
        with replacing(self.path) as part:
            part.write_text(json.dumps(self.done, indent=1, sort_keys=True))


def snapshot(out):
    files = {str(path.relative_to(out)): path.stat() for path in out.rglob("*") if path.is_file()}
    return {name: (stat.st_mtime_ns, stat.st_size) for name, stat in files.items()}


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
        with replacing(out / "html" / f"{chapter.path.stem}.html") as temporary:
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
    """Run what is missing or out of date, in order; stops at the first notebook that fails.

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
            fingerprint = state.fingerprint(chapter, parameters[number], contents(data))
            if state.holds(chapter, fingerprint):
                states[number] = "kept from before"
                print(states[number])
                continue
            states[number], start, before = "failed", time.monotonic(), snapshot(out)
            state.record(number)
            try:
                run_one(chapter, parameters[number], out)
            except BaseException as error:
                print("failed" if isinstance(error, Exception) else "interrupted", flush=True)
                raise
            seconds = time.monotonic() - start
            made = sorted(name for name, stat in snapshot(out).items() if before.get(name) != stat)
            entry = {"fingerprint": fingerprint, "parameters": parameters[number], "made": made}
            state.record(number, entry | {"seconds": round(seconds, 1)})
            states[number] = "done"
            print(f"{seconds:.0f} s", flush=True)
    finally:
        write_index(out, index_rows(chapters, state, states, contents(data)))


def index_rows(chapters, state, states, files):
    """What the index shows of the notebooks of this run and of earlier ones: see `report.write_index`."""
    rows = []
    for path in notebooks():
        number = path.name[:2]
        chapter = next((chapter for chapter in chapters if chapter.number == number), None)
        entry = state.done.get(number)
        if chapter is None and entry is None:
            continue
        try:
            chapter = chapter or Chapter(path)
        except InputError:  # of an earlier run, and since broken
            continue
        status = states.get(number, "not run")
        if entry and number not in states:
            current = entry["fingerprint"] == state.fingerprint(chapter, entry["parameters"], files)
            status = "from an earlier run" + ("" if current else ", out of date")
        rows.append(
            (path.stem, f"{number} {chapter.title}", chapter.sentence, entry and entry["seconds"], status)
        )
    return rows


def locked(out):
    """Hold `out` for this run, until the process ends.

    Raises
    ------
    InputError
        If another run holds it, or nothing can be written there.
    """
    try:
        lock = open(out / ".lock", "a")  # noqa: SIM115 (open for as long as the process lives)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(f"--out {out}: another run is writing there; name another folder") from None
    except OSError as error:
        raise InputError(f"--out {out}: {error.strerror}; a folder to write to is expected") from None
    return lock


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
