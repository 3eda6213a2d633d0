"""Audio files opened in one place, by one rule: libsndfile first, and PyAV for what it cannot open."""

import re
from contextlib import suppress

import numpy as np
import soundfile

from helpers import InputError

try:
    import av
except ImportError:  # it has no wheels for every machine; what libsndfile reads is decoded without it
    av = None

FORMATS = "WAV, AIFF, CAF, FLAC, Ogg, MP3, M4A, AAC, WebM, WMA, AMR or SPHERE"
RATES = (4_000, 384_000)  # Hz
MOST_SAMPLES = 50_000_000  # of all channels together: 200 MB while it is decoded
BLOCK = 2**20  # samples of all channels together that are read at a time
UNKNOWN = 1  # libsndfile's error for another container
ENDLESS = 2**62  # frames: libsndfile's number for FLAC that says no length is larger

# What libav calls containers, by their first bytes. It is never left to find out by itself: among the formats
# that it knows are play lists, which have it open other files and addresses.
CONTAINER = re.compile(
    rb"(?P<mov>.{4}(?:ftyp|moov|mdat|wide|free|skip|pnot))|(?P<matroska>\x1aE\xdf\xa3)|(?P<nistsphere>NIST_1A)"
    rb"|(?P<aac>\xff[\xf0\xf1\xf8\xf9])|(?P<mp3>ID3|\xff[\xe2\xe3\xf2-\xf7\xfa-\xfd])|(?P<flac>fLaC)"
    rb"|(?P<asf>0&\xb2u\x8ef\xcf\x11)|(?P<amr>\#!AMR)|(?P<caf>caff)|(?P<ogg>OggS)|(?P<wav>RIFF.{4}WAVE)"
    rb"|(?P<aiff>FORM.{4}AIF[FC])",
    re.DOTALL,
)
# A recorder that was cut off leaves a length of 0 before its samples, not before another chunk or the end.
CUT_OFF = re.compile(rb"RIFF.{4}WAVE.{,60000}?data\0{4}(?!\w{3}[\w ]).", re.DOTALL)


class _Handle:
    """An open file for libsndfile, which seeks before its beginning in damaged ones: it stays where it is."""

    def __init__(self, file):
        self._file, self.read, self.readinto, self.tell = file, file.read, file.readinto, file.tell

    def seek(self, offset, whence=0):
        with suppress(OSError, ValueError):
            self._file.seek(offset, whence)


class _Forward(soundfile.SoundFile):
    """A file read from beginning to end: FLAC of unknown length and GSM 6.10 cannot be sought in."""

    def seekable(self):
        return False


def read_channels(file, seconds=None, longest=None):
    """The samples of an audio file, float32 (frames, channels), and its rate in Hz.

    Parameters
    ----------
    file : open binary file
        Never a path: libsndfile and libav make something of names, and look for files beside it.
    seconds, longest : float, optional
        As for `audio.decode`; for `longest`, files that would take more than `MOST_SAMPLES` are refused too.

    Raises
    ------
    InputError
        For a file that is too long, without sound or without a decoder; and a decoder's own errors.
    """
    refused = None
    file.seek(0)
    try:
        sound = _Forward(_Handle(file))
    except soundfile.LibsndfileError as error:
        refused = error  # outlives this clause
    else:
        with sound:
            rate, known = sound.samplerate, sound.frames < ENDLESS
            _check_header(rate, sound.channels, sound.frames if known else None, longest)
            channels = _read(sound, sound.frames if seconds is None else int(seconds * rate))
    file.seek(0)
    head = file.read(2**16)
    if not refused and (len(channels) or not CUT_OFF.match(head)):
        return channels, rate
    container = CONTAINER.match(head)
    if container and not av:
        raise InputError("it needs PyAV: pip install av") from refused
    try:
        if container:
            return _with_libav(file, container.lastgroup, seconds, longest)
    except av.FFmpegError:
        if refused is None or refused.code == UNKNOWN:
            raise
    raise refused


def _check_header(rate, channels, claimed, longest, certain=True):
    """InputError when a file would take minutes or gigabytes to decode: a few bytes can hold hours.

    `claimed` is its frames, None where it does not say, and `certain` whether no more than that can come.
    """
    if longest is None:
        return
    low, high = RATES
    if not low <= rate <= high:
        raise InputError(f"has {rate:,} samples a second", expected=f"{low:,} to {high:,}")
    frames = claimed if certain and claimed is not None else (longest + 1) * rate
    if (claimed or 0) > longest * rate or frames * channels > MOST_SAMPLES:
        length = "of unknown length" if claimed is None else f"{claimed / rate:.0f} s long"
        found = f"is {length}, in {channels} channel{'s' * (channels > 1)}"
        raise InputError(found, expected=f"{longest:.0f} s at most, in one or two")


def _read(sound, most):
    """No more than `most` frames of a `_Forward`, whatever length it claims: (frames, channels)."""
    parts, left, block = [], min(most, sound.frames), max(1, BLOCK // sound.channels)
    while left:
        asked = min(block, left)
        parts.append(sound.read(asked, dtype="float32", always_2d=True))
        left = left - asked if len(parts[-1]) == asked else 0
    return np.concatenate(parts) if parts else np.zeros((0, sound.channels), np.float32)


def _with_libav(file, kind, seconds, longest):
    parts, length = [], 0
    file.seek(0)
    with av.open(file, format=kind, metadata_errors="ignore") as container:
        if not container.streams.audio:
            raise InputError("no sound in it")
        stream = container.streams.audio[0]
        if stream.codec_context is None:
            raise InputError("no decoder knows its coding")
        frames = (container.duration or 0) * stream.rate // av.time_base or None
        _check_header(stream.rate, stream.channels, frames, longest, certain=False)
        packed = av.AudioResampler(format="flt")  # PyAV reads no more than 8 planes without harm
        for frame in container.decode(stream):
            for part in packed.resample(frame):
                parts.append(part.to_ndarray().reshape(part.samples, -1))
                length += len(parts[-1])
            if seconds is not None and length >= seconds * stream.rate:
                break
    if not length:
        raise InputError("no sound in it")
    most = None if seconds is None else int(seconds * stream.rate)
    return np.concatenate(parts)[:most], stream.rate
