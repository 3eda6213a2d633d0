"""Recordings decoded: any file of speech as float32 at 16,000 Hz in mono, and the excerpt that is used."""

import io
from contextlib import nullcontext
from pathlib import Path

import librosa
import numpy as np
import soundfile

from helpers import SAMPLE_RATE, SHORTEST, InputError, first_line

try:
    import av
except ImportError:  # it has no wheels for every machine; what libsndfile reads is decoded without it
    av = None

EXPECTED = f"a recording of speech, {SHORTEST} samples or more at {SAMPLE_RATE:,} Hz"
SUFFIXES = {".m4a", ".mp4", ".aac", ".webm", ".wav", ".flac", ".ogg", ".opus", ".mp3", ".sph", ".raw"}
SUFFIXES |= {".aiff", ".au"}
UNKNOWN, UNIMPLEMENTED = 1, 18  # libsndfile's errors for another container, and for SPHERE with shorten in it

QUIET = 30  # dB below the loudest frame: what is quieter is no voice
FRAME, HOP = 1024, 256  # samples of a frame whose level is measured, and from frame to frame
VOICED = 0.6  # share of an excerpt that has to be voice


def decode(path, seconds=None, name=""):
    """A recording as one channel at 16,000 Hz.

    libsndfile reads WAV, FLAC, Ogg, MP3 and SPHERE, which TIMIT's files are that end in .WAV; PyAV, where it
    is installed, reads M4A, AAC, WebM and SPHERE compressed with shorten. A file ending in ``.raw`` has no
    header: it is taken for 16-bit samples at 16,000 Hz, in whichever byte order is the smoother.

    Parameters
    ----------
    path : path or open binary file
    seconds : float, optional
        No more than this is decoded, from the beginning.
    name : str, optional
        What an error calls the recording; by default its file name.

    Returns
    -------
    float32 array (samples,)
        The mean of the channels, resampled by librosa (soxr). Peaks of compressed recordings can exceed 1.

    Raises
    ------
    InputError
        When the file is missing, damaged, of no known format, or needs a decoder that is not installed.
    """
    path = path if hasattr(path, "read") else Path(path)
    name = name or path.name
    if isinstance(path, Path) and not path.is_file():
        raise InputError("is missing", file=name, expected=EXPECTED)
    try:
        if isinstance(path, Path) and path.suffix.lower() == ".raw":
            return _headerless(path, seconds)
        waveform, rate = _with_libsndfile(path, seconds)
        if rate != SAMPLE_RATE:
            waveform = librosa.resample(waveform, orig_sr=rate, target_sr=SAMPLE_RATE)
        return np.ascontiguousarray(waveform, dtype=np.float32)
    except Exception as error:  # decoders raise anything
        kind = "" if isinstance(error, InputError) else type(error).__name__
        reason = (first_line(kind, error) if kind else str(error))[:100]
        raise InputError(f"cannot be decoded ({reason})", file=name, expected=EXPECTED) from error


def _with_libsndfile(path, seconds):
    try:
        with soundfile.SoundFile(path) as file:
            frames = -1 if seconds is None else int(seconds * file.samplerate)
            return file.read(frames, dtype="float32", always_2d=True).mean(axis=1), file.samplerate
    except soundfile.LibsndfileError as error:
        container = _container(path) if error.code in (UNKNOWN, UNIMPLEMENTED) else None
        if container is None:
            raise
        if av is None:
            kind = "SPHERE compressed with shorten" if error.code == UNIMPLEMENTED else "M4A, AAC or WebM"
            raise InputError(f"{kind} needs PyAV: pip install av") from error
    return _with_libav(path, container, seconds)


def _container(path):
    """What libav calls the container of M4A, AAC, WebM or SPHERE, by its first bytes; None for all others.

    It is never left to find out by itself: among the formats that it knows are play lists, which have it
    open other files and addresses.
    """
    with path.open("rb") if isinstance(path, Path) else nullcontext(path) as file:
        file.seek(0)  # libsndfile has read in it
        head = file.read(12)
        file.seek(0)
    if head[4:8] == b"ftyp":
        return "mov"
    if head[:2] in (b"\xff\xf1", b"\xff\xf9"):
        return "aac"
    if head.startswith(b"\x1aE\xdf\xa3"):
        return "matroska"
    return "nistsphere" if head.startswith(b"NIST_1A") else None


def _with_libav(path, kind, seconds):
    parts, length = [], 0
    with av.open(path, format=kind, metadata_errors="ignore") as container:
        stream = container.streams.audio[0]
        rate = stream.rate
        planar = av.AudioResampler(format="fltp")
        for frame in container.decode(stream):
            for part in planar.resample(frame):
                parts.append(part.to_ndarray().mean(axis=0))
                length += len(parts[-1])
            if seconds is not None and length >= seconds * rate:
                break
    if not length:
        raise InputError("no sound in it")
    return np.concatenate(parts)[: None if seconds is None else int(seconds * rate)], rate


def _headerless(path, seconds):
    """16-bit samples in the byte order in which they go up and down less.

    AN4's description says little-endian of files that are big-endian. Read the wrong way, the noisy low byte
    weighs 256 times as much as the voice: the sum of the steps from sample to sample tells the two apart.
    """
    count = -1 if seconds is None else int(seconds * SAMPLE_RATE)
    if path.stat().st_size % 2:
        raise InputError("an odd number of bytes in a file of 16-bit samples")
    orders = [np.fromfile(path, kind, count).astype(np.float32) for kind in ("<i2", ">i2")]
    return min(orders, key=lambda samples: np.abs(np.diff(samples)).sum(dtype=float)) / 32768


def excerpt(waveform, samples):
    """The stretch of a recording that is used.

    Voice activity is what lies less than 30 dB below the loudest frame (`librosa.effects.split`). What comes
    before and after it does not count. Where the voice is longer than the excerpt, the excerpt is the stretch
    with the most voice in it, the first of equals; where it is shorter, it stands in the middle of the
    excerpt, with the recording's own silence around it, and zeros follow where the recording ends. A peak
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
    voiced = librosa.effects.split(waveform, top_db=QUIET, frame_length=FRAME, hop_length=HOP)
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
    row[: len(piece)] = piece / max(1.0, float(np.abs(piece).max()))
    return row, start


def load_recording(source, name="", seconds=None):
    """A recording fit for use, as `audio.decode` reads it, float32 (samples,) at 16,000 Hz, mono.

    Parameters
    ----------
    source : path or open binary file
        ``~`` in a path stands for the home folder.
    name : str, optional
        What an error calls it; by default its file name.
    seconds : float, optional
        No more than this is decoded.

    Raises
    ------
    InputError
        As `audio.decode`, and when it is shorter than one STFT window, silent or not finite.
    """
    if not hasattr(source, "read"):
        source = Path(source).expanduser()
        name = name or source.name
    waveform = decode(source, seconds, name)
    if len(waveform) < SHORTEST or not np.isfinite(waveform).all() or np.ptp(waveform) < 2e-4:
        found = f"{len(waveform)} samples" if len(waveform) < SHORTEST else "silence or values not finite"
        raise InputError(f"holds {found}", file=name, expected=EXPECTED)
    return waveform


def list_recordings(folder):
    """Paths of the files in a folder, sorted, hidden ones left out.

    Raises
    ------
    InputError
        When there is no such folder, or nothing in it.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise InputError("is no folder", file=folder, expected="one with recordings of one person")
    found = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    if not found:
        raise InputError("is empty", file=folder, expected="recordings of one person")
    return found


def flac_bytes(waveform):
    """A waveform (samples,) at 16,000 Hz as the bytes of a FLAC file, which every browser plays."""
    file = io.BytesIO()
    soundfile.write(file, waveform, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return file.getvalue()
