"""Files and folders written whole or not at all, held for one process, and known by their content."""

import ast
import hashlib
import json
import os
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from helpers import PROJECT, InputError, describe_value

ASSETS = (".js", ".css", ".html", ".json")  # that a module of the same room reads
ROWS = 4096  # of an array that are read at a time


@contextmanager
def atomic_write(path):
    """Write a file whole or not at all.

    Yields a temporary path in the same folder with the same ending; when the block succeeds it takes the
    place of `path`, when it fails it is removed and what stood at `path` stays.

    Raises
    ------
    InputError
        When the disk is full or the folder cannot be written, naming `path`.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        found = f"could not be saved ({error.strerror or error})"
        expected = "a writable folder with space left; what was there before is unchanged"
        raise InputError(found, file=path.name, expected=expected) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


@contextmanager
def atomic_folder(folder, megabytes):
    """Make a folder whole or not at all; what stands at `folder` is checked by the block, and then replaced.

    Yields an empty folder beside it, which takes its place when the block succeeds and is removed when it
    fails; what stood at `folder` then stays.

    Raises
    ------
    InputError
        When the disk is full or the folder cannot be written, naming `folder`.
    """
    folder = Path(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
            new = Path(scratch, "new")
            new.mkdir()
            yield new
            old = folder.rename(Path(scratch, "old")) if folder.exists() else None
            try:
                new.rename(folder)
            except OSError:
                if old:
                    old.rename(folder)
                raise
    except OSError as error:
        found = f"could not be written ({error.strerror or error})"
        expected = f"a writable folder with {megabytes} MB of space left"
        raise InputError(found, file=folder, expected=expected) from error


def fingerprint(*parts):
    """A short hash of arrays and settings, the same for the same content."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            total.update(f"{part.shape} {part.dtype}".encode())
            for start in range(0, len(part), ROWS):  # it may be mapped
                total.update(part[start : start + ROWS].tobytes())
        else:
            total.update(repr(part).encode())
    return total.hexdigest()[:16]


def digest(pieces):
    """The SHA-256, in hex, of bytes that come in pieces."""
    total = hashlib.sha256()
    for piece in pieces:
        total.update(piece)
    return total.hexdigest()


def file_digest(path):
    """The SHA-256, in hex, of a file, which may be larger than memory."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_made(folder, facts, ours=None, expected="", about="corpus.json"):
    """Whether a folder holds what was made with these facts, whole.

    Parameters
    ----------
    folder : path
    facts : dict
        What its description has to say.
    ours : callable (dict) -> bool, optional
        Whether a description, {} where there is none, is of what the caller makes and may replace.
    expected : str
        Of a folder that is not, for the error.
    about : str
        The JSON file that describes the folder; what it says of sizes, under ``bytes``, has to be true.

    Raises
    ------
    InputError
        When `ours` is given and the folder holds something else.
    """
    folder = Path(folder)
    try:
        said = dict(json.loads((folder / about).read_text(encoding="utf-8")))
        sizes = dict(said.get("bytes", {}))
    except (OSError, ValueError, TypeError):
        said = sizes = {}
    is_new = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    if ours and not is_new and not ours(said):
        raise InputError("holds something else", file=describe_value(folder), expected=expected)
    there = {name: (folder / name).stat().st_size for name in sizes if (folder / name).is_file()}
    return facts.items() <= said.items() and there == sizes


@contextmanager
def hold_folder(folder, refusal):
    """Hold a folder for this process while the block runs; it is made when it is missing.

    The lock is a file ``.lock`` in the folder; the system releases it when the process ends, however it ends.

    Raises
    ------
    InputError
        `refusal`, when another process holds the folder.
    OSError
        When the folder cannot be made or written.
    """
    path = Path(folder, ".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()  # where that fails, filelock would say that another process holds it
    try:
        with FileLock(path, timeout=0):
            yield
    except Timeout:
        raise InputError(refusal) from None


def imported_files(source):
    """Paths of the `helpers` files that source imports by name, with those of the packages around them."""
    names, tree = set(), None
    with suppress(SyntaxError):  # which is reported where the source is run
        tree = ast.parse(source)
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.Import):
            names |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{each.name}" for each in node.names)}
    parts = [name.split(".") for name in names if name.split(".")[0] == "helpers"]
    places = {PROJECT.joinpath(*each[:end]) for each in parts for end in range(1, len(each) + 1)}
    files = {path.with_suffix(".py") for path in places} | {path / "__init__.py" for path in places}
    return {path for path in files if path.is_file()}


def import_closure(source):
    """Paths of the `helpers` files that source imports, directly or through each other, and their assets."""
    found, waiting = set(), [source]
    while waiting:
        new = imported_files(waiting.pop()) - found
        waiting += [path.read_text(encoding="utf-8") for path in new]
        found |= new
    rooms = {path.parent for path in found} - {PROJECT / "helpers"}
    return found | {each for room in rooms for each in room.iterdir() if each.suffix in ASSETS}
