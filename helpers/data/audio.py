"""Recordings decoded: any file of speech as float32 at 16,000 Hz in mono, and the excerpt that is used."""

import io
import os
from contextlib import nullcontext
from pathlib import Path

import librosa
import numpy as np
import soundfile

from helpers import SAMPLE_RATE, SHORTEST, InputError, describe_value, first_line
from helpers.data.decoding import FORMATS, read_channels

EXPECTED = f"a recording of speech, {SHORTEST} samples or more at {SAMPLE_RATE:,} Hz"
SUFFIXES = """.wav .rf64 .w64 .aif .aiff .aifc .au .snd .caf .voc .sph .raw .flac .ogg .oga .opus .spx .mp3
    .mp2 .wma .amr .awb .aac .m4a .bwf .wave .nist .adts .mp1 .mpga .m4r .m4b .mp4 .mov .3gp .3g2
    .webm .mka .mkv""".split()  # noqa: SIM905
CANCELLED = 0.2  # power of the channels' mean, over its power if the channels had nothing in common
OFFSET = 0.001  # mean of a row: what is beyond is taken out of a course pickle, and refused in an .npy file

QUIET = 30  # dB below the loudest frame: what is quieter is no voice
FRAME, HOP = 1024, 256  # samples of a frame whose level is measured, and from frame to frame
VOICED = 0.6  # share of an excerpt that has to be voice


def decode(path, seconds=None, name="", longest=None):
    """A recording as one channel at 16,000 Hz, without its DC offset.

    libsndfile reads WAV, AIFF, CAF, FLAC, Ogg, MP3 and SPHERE, which TIMIT's files are that end in .WAV;
    PyAV, where it is installed, reads M4A, AAC, WebM, WMA, AMR, SPHERE compressed with shorten, and what
    libsndfile cannot of the others. A file ending in ``.raw`` has no header: it is taken for 16-bit samples
    at 16,000 Hz, in whichever byte order is the smoother.

    Parameters
    ----------
    path : path or open binary file
    seconds : float, optional
        No more than this is decoded, from the beginning.
    name : str, optional
        What an error calls the recording; by default its file name.
    longest : float, optional
        Seconds; a recording that is longer by its header is not decoded at all.

    Returns
    -------
    float32 array (samples,)
        The mean of the channels, or the loudest of them where the mean has next to no power because they are
        of opposite phase; less its own mean; resampled by librosa (soxr). Peaks can exceed 1.

    Raises
    ------
    InputError
        When the file is missing, damaged, too long, of no known format, or needs a decoder that is not
        installed.
    """
    opened = hasattr(path, "read")
    path = path if opened else Path(path)
    name = describe_value(str(name or path.name)[-100:])
    if not opened and not os.path.isfile(path):
        raise InputError("is missing", file=name, expected=EXPECTED)
    try:
        with nullcontext(path) if opened else path.open("rb") as file:
            if not opened and path.suffix.lower() == ".raw":
                waveform, rate = _headerless(file.read(), seconds), SAMPLE_RATE
            else:
                channels, rate = read_channels(file, seconds, longest)
                waveform = _one_channel(channels)
        if len(waveform):
            waveform = waveform - waveform.mean(dtype=np.float64).astype(np.float32)
        if rate != SAMPLE_RATE:
            waveform = librosa.resample(waveform, orig_sr=rate, target_sr=SAMPLE_RATE)
        return np.ascontiguousarray(waveform, dtype=np.float32)
    except Exception as error:  # decoders raise anything
        if isinstance(error, InputError) and error.expected:
            raise InputError(error.found, file=name, expected=error.expected) from None
        said = getattr(error, "error_string", None) or getattr(error, "strerror", None) or error
        reason = str(error) if isinstance(error, InputError) else first_line(type(error).__name__, said)
        expected = f"{EXPECTED}, as {FORMATS}"
        raise InputError(f"cannot be decoded ({reason[:100]})", file=name, expected=expected) from error


def _one_channel(channels):
    """The mean (frames,) of channels (frames, channels), or the loudest of them where they cancel."""
    mixed, count = channels.mean(axis=1), channels.shape[1]
    if count > 1 and len(channels):
        power = channels.var(axis=0, dtype=np.float64)
        if count * mixed.var(dtype=np.float64) < CANCELLED * power.mean():
            return channels[:, power.argmax()]
    return mixed


def _headerless(content, seconds):
    """16-bit samples in the byte order in which they go up and down less.

    AN4's description says little-endian of files that are big-endian. Read the wrong way, the noisy low byte
    weighs 256 times as much as the voice: the sum of the steps from sample to sample shows which it is.
    """
    if len(content) % 2:
        raise InputError("an odd number of bytes in a file of 16-bit samples")
    content = content[: None if seconds is None else 2 * int(seconds * SAMPLE_RATE)]
    orders = [np.frombuffer(content, kind).astype(np.float32) for kind in ("<i2", ">i2")]
    return min(orders, key=lambda samples: np.abs(np.diff(samples)).sum(dtype=float)) / 32768


def excerpt(waveform, samples):
    """The stretch of a recording that is used.

    Voice activity is what lies less than 30 dB below the loudest frame (`librosa.effects.split`), the
    recording's mean taken out. What comes before and after it does not count. Where the voice is longer than
    the excerpt, the excerpt is the stretch with the most voice in it, the first of equals; where it is
    shorter, it stands in the middle of the excerpt, with the recording's own silence around it, and zeros
    follow where the recording ends. A mean beyond half of `OFFSET` is taken out of what is used, and a peak
    above 1 is brought down to 1.

    Parameters
    ----------
    waveform : float array (length,)
    samples : int

    Returns
    -------
    row : float32 array (samples,)
    start : int
        The sample of the recording that it begins with.

    Raises
    ------
    InputError
        When less than 60 % of it would be voice.
    """
    level = waveform - np.mean(waveform)
    voiced = librosa.effects.split(level, top_db=QUIET, frame_length=FRAME, hop_length=HOP)
    active = np.zeros(len(waveform) + 1)
    for begin, end in voiced:
        active[begin + 1 : end + 1] = 1
    voiced_before = np.cumsum(active)
    begin, end = (int(voiced[0, 0]), int(voiced[-1, 1])) if len(voiced) else (0, 0)
    if end - begin > samples:
        starts = np.append(np.arange(begin, end - samples, HOP), end - samples)
        start = int(starts[np.argmax(voiced_before[starts + samples] - voiced_before[starts])])
    else:
        start = max(0, min(begin - (samples - end + begin) // 2, len(waveform) - samples))
    voice = voiced_before[min(start + samples, len(waveform))] - voiced_before[start]
    if voice < VOICED * samples:
        needed = f"{VOICED * samples / SAMPLE_RATE:.2f} s or more"
        raise InputError(f"too short: {voice / SAMPLE_RATE:.2f} s of voice", expected=needed)
    row = np.zeros(samples, dtype=np.float32)
    piece = waveform[start : start + samples]
    mean = np.mean(piece)
    piece = piece - mean if abs(mean) > OFFSET / 2 else piece
    row[: len(piece)] = piece / max(1.0, float(np.abs(piece).max()))
    return row, start


def load_recording(source, name="", longest=None):
    """A recording fit for use, as `audio.decode` reads it, float32 (samples,) at 16,000 Hz, mono.

    Parameters
    ----------
    source : path or open binary file
        ``~`` in a path stands for the home folder.
    name : str, optional
        What an error calls it; by default its file name.
    longest : float, optional
        Seconds, as for `audio.decode`. Of a recording whose header is silent or wrong about its length, a
        second more than this is decoded.

    Raises
    ------
    InputError
        As `audio.decode`, and when it is shorter than one STFT window, silent or not finite.
    """
    if not hasattr(source, "read"):
        source = Path(os.path.expanduser(source))
    name = describe_value(str(name or source.name)[-100:])
    waveform = decode(source, longest and longest + 1, name, longest)
    if len(waveform) < SHORTEST or not np.isfinite(waveform).all() or np.ptp(waveform) < 2e-4:
        found = f"{len(waveform)} samples" if len(waveform) < SHORTEST else "silence or values not finite"
        raise InputError(f"holds {found}", file=name, expected=EXPECTED)
    return waveform


def list_recordings(folder):
    """Paths of the recordings in a folder, by their endings, sorted; hidden and other files are passed over.

    Raises
    ------
    InputError
        When there is no such folder, or no recording in it.
    """
    folder = Path(os.path.expanduser(folder))
    if not folder.is_dir():
        raise InputError("is not a folder", file=folder, expected="one with recordings of one person")
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    found = [path for path in files if path.suffix.lower() in SUFFIXES]
    if not found:
        others = f"has no recording among its {len(files)} files" if files else "is empty"
        raise InputError(others, file=folder, expected=f"recordings of one person, as {FORMATS}")
    return found


def flac_bytes(waveform):
    """A waveform (samples,) at 16,000 Hz as the bytes of a FLAC file, which every browser plays."""
    file = io.BytesIO()
    soundfile.write(file, waveform, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return file.getvalue()
