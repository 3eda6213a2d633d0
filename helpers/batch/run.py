"""Run the notebooks in order, without a person: ``python -m helpers.batch --data DIR --out DIR``.

Executed copies go to ``OUT/NN_slug.ipynb`` and ``OUT/html``, with ``OUT/index.html`` to open. A notebook is
executed aside and its copy takes its place when it has succeeded. ``OUT/batch.json`` holds a fingerprint of
everything that each result depends on, so that a rerun does only what is missing or out of date.

Exit status: 0 when every notebook ran, 1 when one failed, 2 when nothing could be run, 130 after Ctrl-C.
"""

import ast
import hashlib
import json
import os
import re
import shutil
import sys
import time
from pathlib import Path

import nbformat

from helpers import PROJECT, InputError, first_line
from helpers.batch.chapters import Chapter, notebooks
from helpers.batch.execute import execute
from helpers.batch.report import write_index
from helpers.files import atomic_write


def digest(content):
    return hashlib.sha256(content if isinstance(content, bytes) else json.dumps(content).encode()).hexdigest()


def listing(path):
    """Size and time of a file, or of each file in a folder and below it; {} when there is none."""
    paths = [Path(path)] if Path(path).is_file() else sorted(Path(path).rglob("*"))
    stats = {str(each): each.stat() for each in paths if each.is_file()}
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}


def import_closure(source):
    """The files of `helpers` that Python source imports, directly or through each other, and their assets.

    Parameters
    ----------
    source : str

    Returns
    -------
    set of Path
    """
    found, waiting = set(), [source]
    while waiting:
        names = set()
        for node in ast.walk(ast.parse(waiting.pop())):
            if isinstance(node, ast.Import):
                names |= {each.name for each in node.names}
            elif isinstance(node, ast.ImportFrom):
                names |= {node.module, *(f"{node.module}.{each.name}" for each in node.names)}
        parts = [name.split(".") for name in names if name and name.split(".")[0] == "helpers"]
        places = {PROJECT.joinpath(*each[:end]) for each in parts for end in range(1, len(each) + 1)}
        files = {path.with_suffix(".py") for path in places} | {path / "__init__.py" for path in places}
        new = {path for path in files - found if path.is_file()}
        waiting += [path.read_text(encoding="utf-8") for path in new]
        found |= new
    rooms = {path.parent for path in found} - {PROJECT / "helpers"}
    return found | {each for room in rooms for each in room.iterdir() if each.suffix in (".js", ".css")}


def contents(data, source):
    """Digests of what a notebook may read: the utterances, the helpers it imports, the models, the lock.

    Subfolders of the project's data folder, and of one with the course's files, do not count, as they hold
    what the helpers make, unless there is a table of recordings; recordings are known by size and time.

    Parameters
    ----------
    data : str
        The folder, or the table of recordings, given as ``--data``; empty for the project's default.
    source : str
        The notebook's code.

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
        *sorted(import_closure(source)),
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
        with atomic_write(self.path) as part:
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
            fingerprint = state.fingerprint(chapter, parameters[number], contents(data, chapter.code))
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
        write_index(out, index_rows(chapters, state, states, data))


def index_rows(chapters, state, states, data):
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
            files = contents(data, chapter.code)
            current = entry["fingerprint"] == state.fingerprint(chapter, entry["parameters"], files)
            status = "from an earlier run" + ("" if current else ", out of date")
        rows.append(
            (path.stem, f"{number} {chapter.title}", chapter.sentence, entry and entry["seconds"], status)
        )
    return rows
