"""Shared code of the Siamese Voices notebooks: one file per stage of the pipeline."""

import os
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

# TensorFlow writes native log lines into notebooks, and oneDNN reorders sums from run to run: both are
# settled here, because they count only before Keras loads its backend.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

PROJECT = Path(__file__).resolve().parents[1]


class InputError(ValueError):
    """Bad input, told in one line: the file, what was found in it, and what is expected."""


def first_line(kind, text):
    """An error on one line: its kind, and the first line of what it says, if it says anything."""
    return f"{kind}: {str(text).strip()}".splitlines()[0].rstrip(": ")


@contextmanager
def replacing(path):
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
def replacing_folder(folder, megabytes):
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
