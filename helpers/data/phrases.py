"""Spoken words and phrases: the embedded corpus's speakers say first names, or one phrase repeatedly.

`python -m helpers.data.phrases` makes both folders, data/words and data/phrase.
"""

import json
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.io import wavfile

from helpers import PROJECT, SAMPLE_RATE, InputError, writable_folder
from helpers.command_line import new_parser, run_program
from helpers.data import synthesis
from helpers.files import atomic_folder, digest, is_made

VERSION = 2  # raise it with any change of the sound: earlier recordings are made anew
MARGIN = SAMPLE_RATE // 20  # kept before and after what is said
NAMES = """anna boris clara david emma felix greta hugo irene jonas
    karla louis maria nora oscar paula robert sara thomas viola"""
# Folder: what each speaker says, and how often.
TEXTS = {"words": (NAMES.split(), 1), "phrase": (["my voice opens the door"], 10)}


def make_phrases(folder, texts, takes, train_speakers=50, test_speakers=20, more=0):
    """Make a folder of recordings with its utterances.csv, whole or not at all; the same bytes on every run.

    Parameters
    ----------
    folder : path
        New, or an earlier one of the same kind, which is replaced.
    texts : sequence of str
        Each is said by every speaker, `takes` times.
    takes : int
    train_speakers, test_speakers : int
        They are the speakers of `synthesis.make_corpus`.
    more : int
        Further training speakers; the others stay the same, to the byte.

    Raises
    ------
    InputError
        When the folder holds something else, or cannot be written, and for less than 0 more speakers.
    """
    if more < 0:
        raise InputError(f"{more} more speakers of a phrase", expected="0 or more")
    folder, rows = Path(folder), []
    with atomic_folder(folder, 60 + more // 2) as new:
        if folder.exists() and any(folder.iterdir()) and not (folder / "phrases.json").exists():
            raise InputError("is not empty", file=folder, expected="a new or empty folder for the recordings")
        count = train_speakers + test_speakers + more
        for index, voice in enumerate(synthesis.draw_voices(count, synthesis.SEED)):
            rng = np.random.default_rng([synthesis.SEED, 3, index])
            (new / voice.speaker).mkdir(parents=True)
            for text, take in product(texts, range(takes)):
                speech, _ = synthesis.say(voice, text, rng)
                loud = np.flatnonzero(np.abs(speech) > 0.02 * np.abs(speech).max())
                speech = np.pad(speech, MARGIN)[loud[0] : loud[-1] + 2 * MARGIN]
                row, _, _ = synthesis.record(speech, len(speech), rng)
                path = f"{voice.speaker}/{text.replace(' ', '_')}_{take}.wav"
                wavfile.write(new / path, SAMPLE_RATE, np.round(32767 * row).astype(np.int16))
                part = "test" if train_speakers <= index < train_speakers + test_speakers else "train"
                rows.append((path, voice.speaker, voice.gender, part, text, take))
        columns = ["path", "speaker", "gender", "part", "word", "take"]
        pd.DataFrame(rows, columns=columns).to_csv(new / "utterances.csv", index=False)
        (new / "phrases.json").write_text(json.dumps(_describe(new)))


def _describe(folder):
    """What phrases.json says of the files that are there."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix in (".wav", ".csv"))
    named = (path.relative_to(folder).as_posix().encode() + path.read_bytes() for path in paths)
    return {"version": VERSION, "files": digest(named)}


def embedded_phrases(kind, more=0):
    """Folder of the project's own spoken words, made when they are missing, damaged or of another version.

    Parameters
    ----------
    kind : {"words", "phrase"}
        Twenty names said once by each of the 50 + 20 speakers, or one phrase said ten times.
    more : int
        As for `make_phrases`; such a folder stands beside the other, `phrase_150_more` for one.

    Returns
    -------
    Path
        With utterances.csv: path, speaker, gender, part (train or test), word (or phrase), take.

    Raises
    ------
    InputError
        As `make_phrases`.
    """
    folder = PROJECT / "data" / (f"{kind}_{more}_more" if more else kind)
    if not is_made(folder, _describe(folder), about="phrases.json"):
        folder = writable_folder(folder)
        if not is_made(folder, _describe(folder), about="phrases.json"):
            make_phrases(folder, *TEXTS[kind], more=more)
    return folder


def _make(_options):
    print(f"{synthesis.NAME} is in", *map(embedded_phrases, TEXTS))


def main(arguments=None):
    """The command line; returns the exit status."""
    return run_program(_make, new_parser("data.phrases", __doc__).parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
