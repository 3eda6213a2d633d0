"""Shared code of the Siamese Voices notebooks; README.md beside this file is its map."""

import os
from contextlib import contextmanager
from pathlib import Path

# TensorFlow writes native log lines into notebooks, and oneDNN reorders sums from run to run: both are
# settled here, because they count only before Keras loads its backend.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

PROJECT = Path(__file__).resolve().parents[1]
SAMPLE_RATE = 16_000
SHORTEST = 1024  # samples: one STFT window


class InputError(ValueError):
    """Bad input, told in one line: the file, what was found in it, and what is expected."""


def first_line(kind, text):
    """An error on one line: its kind, and the first line of what it says, if it says anything."""
    return f"{kind}: {str(text).strip()}".splitlines()[0].rstrip(": ")


@contextmanager
def naming(path, expected):
    """Put the file's name before what was found in it, and what is expected after."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{shown(Path(path).name or path)} {error}; expected {expected}") from None


def shown(text):
    """Foreign text as a short single line that cannot steer a terminal."""
    text = str(text)
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[:100])
    return line + "…" * (len(text) > 100)
