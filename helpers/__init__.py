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
    """Bad input, described in one line: the file, what was found in it, and what is expected.

    Parameters
    ----------
    found : str
        What is wrong.
    file : str, optional
        What it is wrong with; comes first in the line.
    expected : str, optional
        What was expected; comes last.
    """

    def __init__(self, found, *, file="", expected=""):
        super().__init__(found)
        self.found, self.file, self.expected = str(found), str(file), expected

    def __str__(self):
        said = f"{self.file} {self.found}" if self.file else self.found
        return f"{said}; expected {self.expected}" if self.expected else said


def first_line(kind, text):
    """An error on one line: its kind, and the first line of what it says, if it says anything."""
    return f"{kind}: {str(text).strip()}".splitlines()[0].rstrip(": ")


@contextmanager
def error_context(path, expected):
    """Add to an InputError the file that it is about, and what is expected of it."""
    try:
        yield
    except InputError as error:
        name = describe_value(Path(path).name or path)
        raise InputError(str(error), file=name, expected=expected) from None


def describe_value(text):
    """Foreign text as a short single line that cannot steer a terminal."""
    text = str(text)
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[:100])
    return line + "…" * (len(text) > 100)
