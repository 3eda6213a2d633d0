"""Files and folders written whole or not at all, held for one process, and known by their content."""

import fcntl
import hashlib
import os
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from helpers import InputError


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
        raise InputError(
            f"{path.name} could not be saved ({error.strerror or error}); expected a writable folder with "
            "space left; what was there before is unchanged"
        ) from error
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
            if folder.exists():
                folder.rename(Path(scratch, "old"))
            new.rename(folder)
    except OSError as error:
        raise InputError(
            f"{folder} could not be written ({error.strerror or error}); expected a writable folder with "
            f"{megabytes} MB of space left"
        ) from error


ROWS = 4096  # of an array that are read at a time


def fingerprint(*parts):
    """A short hash of arrays and settings, the same for the same content."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"{part.shape} {part.dtype}".encode())
            for start in range(0, len(part), ROWS):  # it may be mapped
                digest.update(part[start : start + ROWS].tobytes())
        else:
            digest.update(repr(part).encode())
    return digest.hexdigest()[:16]


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


@contextmanager
def hold_folder(folder, refusal):
    """Hold a folder for this process while the block runs; it is made when it is missing.

    The lock is a file ``.lock`` in the folder; the system lets it go when the process ends, however it ends.

    Raises
    ------
    InputError
        `refusal`, when another process holds the folder; and when it cannot be written, naming it.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock", timeout=0)
        lock.acquire()
    except Timeout:
        raise InputError(refusal) from None
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror or error}; a folder to write to is expected") from None
    with lock:
        yield
