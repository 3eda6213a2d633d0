"""The embedded corpus: synthesised speech in the course's format, the same bytes on every run.

Espeak-ng speaks, NumPy does the rest. A *speaker* (voice variant, accent, pitch, range, rate, vocal-tract
length) is drawn once and varies a little between utterances. All that belongs to a *recording* (room,
microphone, noise, level) is drawn for each utterance, so that no channel gives the speaker away. Figures on
this corpus compare systems with one another and say nothing about real people.

`python -m helpers.data.synthesis [FOLDER]` makes it.
"""

import json
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import librosa
import numpy as np
import pandas as pd

from helpers import PROJECT, SAMPLE_RATE, InputError, writable_folder
from helpers.command_line import new_parser, run_program
from helpers.data import espeak
from helpers.data.corpora import SAMPLES
from helpers.files import atomic_folder, file_digest, is_made

VERSION = 6  # raise it with any change of the sound: corpora of other versions are made anew
NAME = "synthesised speech (espeak-ng)"
SEED = 2024
FILES = ("trs.pkl", "trs.csv", "tes.pkl", "tes.csv")

# How far apart speakers are: the limits of uniform draws.
PITCH = {"female": (-5, 1), "male": (-3, 3)}  # semitones from the variant's own; some female ones are high
RANGE = (30, 90)  # espeak-ng's scale, 50 is the variant's own
RATE = (145, 205)  # words per minute
TRACT = (0.93, 1.09)  # vocal-tract length, 1 is the variant's own

# How much one speaker varies between utterances: standard deviations.
PITCH_WITHIN = 0.8  # semitones
RANGE_WITHIN, RATE_WITHIN, TRACT_WITHIN = 0.2, 0.06, 0.01  # of the natural logarithm

# How much recordings differ: the limits of uniform draws, the standard deviations of the microphone's.
DECAY = (0.15, 0.45)  # seconds in which the room falls silent by 60 dB
DIRECT = (6, 18)  # dB of the voice over its reverberation
TILT, RIPPLE = 1.0, 2.0  # dB per octave, dB
SNR = (15, 35)  # dB
NOISE_SLOPE = -3.0  # dB per octave
LEVEL = (-30, -18)  # dB re full scale, root mean square

# A small grammar of plain English, of which a sentence fills one pattern with words; and espeak-ng's variants
# that sound like a person and have no echo, which would be a room that a speaker owns.
SPEECH = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
PATTERNS, WORDS, VARIANTS, ACCENTS = (SPEECH[key] for key in ("patterns", "words", "variants", "accents"))


class Voice(NamedTuple):
    """A speaker; `variant` and `accent` are espeak-ng's names, the units stand with the limits above.

    `gender` is the list that the variant stands in: of themselves, the female ones speak at 165 Hz or more,
    the male ones at 135 Hz or less.
    """

    speaker: str
    gender: str
    variant: str
    accent: str
    pitch: float
    range: float
    rate: float
    tract: float


def draw_voices(count, seed):
    """Draw `count` voices, female and male in turn; a variant returns only when its list is used up."""
    voices = []
    for index in range(count):
        gender = ("female", "male")[index % 2]
        variants = VARIANTS[gender]
        lap, place = divmod(index // 2, len(variants))
        order = np.random.default_rng([seed, 0, index % 2, lap]).permutation(len(variants))
        rng = np.random.default_rng([seed, 1, index])
        voices.append(
            Voice(
                speaker=f"S{index + 1:02d}",
                gender=gender,
                variant=variants[order[place]],
                accent=ACCENTS[rng.integers(len(ACCENTS))],
                pitch=round(rng.uniform(*PITCH[gender]), 2),
                range=round(rng.uniform(*RANGE), 1),
                rate=round(rng.uniform(*RATE), 1),
                tract=round(rng.uniform(*TRACT), 3),
            )
        )
    return voices


def sentence(rng):
    """One sentence of the grammar, without punctuation, so that it is said in one breath."""
    said = []
    for part in PATTERNS[rng.integers(len(PATTERNS))].split():
        choices = WORDS.get(part, [part])
        said.append(choices[rng.integers(len(choices))])
    return " ".join(said)


def say(voice, text, rng):
    """A text said by a voice, a little differently each time.

    Returns the speech, float array (samples,) at 16,000 Hz, and where each word begins: its first character
    in `text`, and its sample.
    """
    tract = voice.tract * np.exp(rng.normal(0, TRACT_WITHIN))
    octaves = (voice.pitch + rng.normal(0, PITCH_WITHIN)) / 12
    # A longer tract is the wave played slower; pitch and rate are raised beforehand to make up for it.
    pitch = np.clip(50 + 50 * (octaves + np.log2(tract)), 0, 99)
    pitch_range = np.clip(voice.range * np.exp(rng.normal(0, RANGE_WITHIN)), 0, 99)
    rate = voice.rate * np.exp(rng.normal(0, RATE_WITHIN)) * tract
    # In a thread of its own: Ctrl-C is raised out here, where the library's callback cannot swallow it.
    with ThreadPoolExecutor(1) as thread:
        said = thread.submit(espeak.speak, text, voice.variant, voice.accent, pitch, pitch_range, rate)
        wave, onsets = said.result()
    speech = librosa.resample(wave, orig_sr=espeak.RATE / tract, target_sr=SAMPLE_RATE)
    return speech, [(at, int(seconds * tract * SAMPLE_RATE)) for at, seconds in onsets]


def utter(voice, samples, rng, heard):
    """A new sentence, said a little differently each time, from one of its first words on.

    Returns the speech at 16,000 Hz: the utterance, and before it up to 0.4 s of the sentence for a room to
    reverberate; and the words heard in the utterance, the last of which may be cut. They differ from all in
    the set `heard`, and are added to it.
    """
    while True:
        text = sentence(rng)
        speech, onsets = say(voice, text, rng)
        loud = np.flatnonzero(np.abs(speech) > 0.02 * np.abs(speech).max())
        begins = [(at, max(begin, loud[0])) for at, begin in onsets]
        possible = [begin for begin in begins if begin[1] + samples <= loud[-1]][:5]
        if not possible:
            continue  # the sentence is too short
        at, start = possible[rng.integers(len(possible))]
        end = start + samples
        later = [at for at, begin in begins if begin > end - 0.05 * SAMPLE_RATE]
        words = text[at : later[0] if later else None].strip()
        if words not in heard:
            heard.add(words)
            return speech[max(0, start - int(0.4 * SAMPLE_RATE)) : end], words


def response(rng, size, tilt, ripple, slope=0):
    """A smooth random frequency response: amplitudes of `size` // 2 + 1 bins.

    `tilt` (dB per octave, around `slope`) and `ripple` (dB) are standard deviations.
    """
    octaves = np.log2(np.maximum(np.linspace(0, SAMPLE_RATE / 2, size // 2 + 1), 50) / 1000)
    nodes = np.linspace(octaves[0], octaves[-1], 10)
    decibels = rng.normal(slope, tilt) * octaves
    decibels += np.interp(octaves, nodes, rng.normal(0, ripple, len(nodes)))
    return 10 ** (decibels / 20)


def rms(wave):
    """Root mean square, summed by NumPy itself: a BLAS may sum in another order with other threads."""
    return np.sqrt(np.mean(np.square(wave)))


def record(speech, samples, rng):
    """Give the last `samples` of speech at 16,000 Hz a room, a microphone, noise and a level of their own.

    Returns the float32 row, peak at most 0.95, in steps of 16 bits as recordings are; and its signal-to-noise
    ratio and level in dB.
    """
    seconds = np.arange(int(0.4 * SAMPLE_RATE)) / SAMPLE_RATE
    room = rng.standard_normal(len(seconds)) * 10 ** (-3 * seconds / rng.uniform(*DECAY))
    room[: SAMPLE_RATE // 500] = 0  # reflections come 2 ms after the voice and later
    room *= 10 ** (-rng.uniform(*DIRECT) / 20) / np.sqrt(np.sum(room**2))
    room[0] = 1

    size = 1 << (len(speech) + len(room)).bit_length()
    spectrum = np.fft.rfft(speech, size) * np.fft.rfft(room, size) * response(rng, size, TILT, RIPPLE)
    lowest = rng.uniform(50, 120) / SAMPLE_RATE  # that the microphone hears, in cycles per sample
    spectrum[: int(lowest * size)] = 0
    row = np.fft.irfft(spectrum, size)[len(speech) - samples : len(speech)]

    size = 1 << samples.bit_length()
    noise = np.fft.rfft(rng.standard_normal(size)) * response(rng, size, 2, 3, NOISE_SLOPE)
    noise[: int(lowest * size)] = 0
    noise = np.fft.irfft(noise, size)[:samples]
    snr = rng.uniform(*SNR)
    row = row / rms(row) + noise / rms(noise) * 10 ** (-snr / 20)

    row *= min(10 ** (rng.uniform(*LEVEL) / 20) / rms(row), 0.95 / np.abs(row).max())
    level = 20 * np.log10(rms(row))
    return (np.round(row * 32768) / 32768).astype(np.float32), round(snr, 1), round(level, 1)


def draw_corpus(train_speakers, test_speakers, utterances, seed):
    """Both files' waveforms and tables, under "trs" and "tes"; parameters as for `make_corpus`."""
    parts, heard = {"trs": ([], []), "tes": ([], [])}, set()
    for index, voice in enumerate(draw_voices(train_speakers + test_speakers, seed)):
        stem = "trs" if index < train_speakers else "tes"
        rng = np.random.default_rng([seed, 2, index])
        for _ in range(utterances):
            speech, words = utter(voice, SAMPLES[stem], rng, heard)
            row, snr, level = record(speech, SAMPLES[stem], rng)
            first = {"speaker": voice.speaker, "gender": voice.gender, "words": words}
            parts[stem][0].append(row)
            parts[stem][1].append(first | voice._asdict() | {"snr": snr, "level": level})
    return {stem: (np.stack(rows), pd.DataFrame(table)) for stem, (rows, table) in parts.items()}


def make_corpus(folder, train_speakers=50, test_speakers=20, utterances=10, seed=SEED):
    """Make a corpus in the course's format, whole or not at all; the same bytes on every run.

    Parameters
    ----------
    folder : path
        New, empty, or an earlier synthesised corpus, which is replaced.
    train_speakers, test_speakers : int
        No speaker is in both files.
    utterances : int
        Per speaker.
    seed : int

    Raises
    ------
    InputError
        When the folder holds something else, or cannot be written.
    """
    folder = Path(folder)
    with atomic_folder(folder, 50) as new:
        found = {path.name for path in folder.iterdir()} if folder.exists() else set()
        if found and not {"corpus.json"} <= found <= {"corpus.json", *FILES}:
            expected = "a new or empty folder for the corpus"
            raise InputError(f"holds {min(found)}", file=folder, expected=expected)
        for stem, (waveforms, table) in draw_corpus(train_speakers, test_speakers, utterances, seed).items():
            (new / f"{stem}.pkl").write_bytes(pickle.dumps(waveforms, protocol=4))
            (new / f"{stem}.csv").write_bytes(table.to_csv(index=False, lineterminator="\n").encode())
        (new / "corpus.json").write_bytes((json.dumps(_describe(new), indent=2) + "\n").encode())


def _describe(folder):
    """What corpus.json says of the files that are there."""
    sums = {name: file_digest(folder / name) for name in FILES if (folder / name).is_file()}
    return {"name": NAME, "synthesised": True, "version": VERSION, "files": sums}


def embedded_corpus():
    """Folder of the project's own corpus, made when it is missing, damaged or of another version.

    Returns
    -------
    Path

    Raises
    ------
    InputError
        As `make_corpus`.
    """
    folder = PROJECT / "data" / "synthesised"
    if not is_made(folder, _describe(folder)):
        folder = writable_folder(folder)
        if not is_made(folder, _describe(folder)):
            make_corpus(folder)
    return folder


def main(arguments=None):
    """The command line; returns the exit status."""
    parser = new_parser("data.synthesis", __doc__)
    parser.add_argument("folders", nargs="*", metavar="FOLDER", help="default: the project's own")
    return run_program(_make, parser.parse_args(arguments))


def _make(options):
    for folder in options.folders:
        make_corpus(folder)
    print(f"{NAME} is in {' '.join(options.folders) or embedded_corpus()}")


if __name__ == "__main__":
    sys.exit(main())
