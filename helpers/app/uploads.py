"""A clip from a visitor: its size, header and sound are checked before it is used."""

import io
from typing import NamedTuple

import numpy as np

from helpers import InputError, quality
from helpers.data.audio import load_recording
from helpers.data.decoding import FORMATS

LARGEST, MOST = 20 * 2**20, 12  # bytes of a file, and files of one person
EXPECTED = f"a recording of speech as {FORMATS}"


class Clip(NamedTuple):
    """A clip fit to be judged: `waveform` is float32 (samples,) at 16,000 Hz, the rest as `quality` says."""

    name: str
    waveform: np.ndarray
    quality: quality.Quality
    remarks: list


def plain_name(name):
    """The last part of a file's path, of printable characters only, its middle left out where it is long.

    It is still plain text, and has to be escaped before it is shown on a page.
    """
    last = str(name).replace("\\", "/").rstrip("/").rpartition("/")[2]
    shown = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in last) or "a clip"
    return shown if len(shown) <= 40 else f"{shown[:19]}…{shown[-20:]}"


def read_clip(name, content, calls=False):
    """A `Clip` from a file's bytes, which stay in memory: nothing is written anywhere.

    Parameters
    ----------
    name : str
        What the file is called; only shown, never opened.
    content : bytes
    calls : bool
        Whether clips from a telephone are taken, as for `quality.check_fit`.

    Raises
    ------
    InputError
        When the file is empty, larger than `LARGEST`, not fit for use or longer than `quality.LONGEST` as
        `audio.load_recording` finds, or unfit as `quality.check_fit` does.
    """
    name = plain_name(name)
    check_size(name, len(content))
    waveform = load_recording(io.BytesIO(content), name, quality.LONGEST)
    found = quality.measure_quality(waveform)
    quality.check_fit(found, name, calls)
    return Clip(name, waveform, found, quality.remarks(found))


def check_size(name, size):
    """InputError when a file of `size` bytes is empty or too large."""
    if not size:
        raise InputError("is empty", file=plain_name(name), expected=EXPECTED)
    if size > LARGEST:
        found, most = (f"{each / 2**20:.0f} MB" for each in (size, LARGEST))
        raise InputError(f"has {found}", file=plain_name(name), expected=f"{most} at most")
