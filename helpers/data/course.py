"""What a notebook learns from: the course's two files, recordings of any length, spoken words."""

import os
from pathlib import Path

import numpy as np
import pandas as pd

from helpers import PROJECT, InputError, writable_folder
from helpers.batches import hold_out_speakers
from helpers.data import corpora, phrases
from helpers.data.audio import list_recordings, load_recording
from helpers.data.convert import conversion
from helpers.data.convert.listing import escaped
from helpers.data.corpora import SAMPLES, Recordings, load_recordings
from helpers.data.synthesis import embedded_corpus
from helpers.files import digest


def course_folder(data=""):
    """The folder whose `trs.pkl` and `tes.pkl` (or `trs.npy` and `tes.npy`) are used.

    Parameters
    ----------
    data : path, optional
        By default the folder that the environment variable SIAMESE_VOICES_DATA names; without it the
        project's `data` when both files are there, else the embedded corpus. A corpus in a layout of
        `layouts.LAYOUTS` is converted first, once, into ``data/converted/NAME-...``.

    Returns
    -------
    Path

    Raises
    ------
    InputError
        When one of the two files is missing, or both are and there is no corpus that can be converted.
    """
    named = data or os.environ.get("SIAMESE_VOICES_DATA", "")
    folder = Path(os.path.expanduser(named)) if named else PROJECT / "data"
    missing = [f"{stem}.pkl" for stem in SAMPLES if not corpora.course_file(folder, stem).is_file()]
    if not missing:
        return folder
    if not named and len(missing) == 2:
        return embedded_corpus()
    found = f"{escaped(named or 'data')} has no {' and no '.join(missing)}"
    if len(missing) == 1 or not folder.exists():
        raise InputError(found, expected="trs.pkl (training) and tes.pkl (test)")
    folder = folder.resolve()
    place = escaped(f"{folder.stem}-{digest([os.fsencode(folder)])[:8]}")
    try:
        own = PROJECT / "data" / "converted"
        return conversion.convert(folder, (own if (own / place).exists() else writable_folder(own)) / place)
    except InputError as error:
        raise InputError(f"{found}, and as a corpus {error}") from error


def load_speech(folder="", utterances_per_speaker=10, test_speakers=40, seed=0):
    """Training and test speakers of a course folder, or of a folder of recordings.

    Parameters
    ----------
    folder : path, optional
        With ``trs.pkl`` and ``tes.pkl``, or with ``utterances.csv``, whose speakers are divided at random. By
        default as `course.course_folder`.
    utterances_per_speaker : int
        As for `corpora.load_course`.
    test_speakers, seed : int
        How many of a folder of recordings are for the test, and which. 0: all of them train.

    Returns
    -------
    train, test : Recordings
        Labels are ints, numbered from 0 in each. The waveforms of a course folder are equally long.

    Raises
    ------
    InputError
        As `load_recordings` or `corpora.load_course`, and when too few speakers are left to train on.
    """
    if folder and Path(os.path.expanduser(folder), "utterances.csv").exists():
        found = load_recordings(os.path.expanduser(folder))
        apart = hold_out_speakers(found.labels, test_speakers, seed) if test_speakers else found.labels == ""
        return tuple(_numbered(found.select(mask)) for mask in (~apart, apart))
    course = corpora.load_course(course_folder(folder), utterances_per_speaker)
    return tuple(_numbered(Recordings(c.name, list(c.waveforms), c.speakers, c.table)) for c in course)


def _numbered(recordings):
    return recordings._replace(labels=np.unique(recordings.labels, return_inverse=True)[1])


def load_words(folder="", test_speakers=20, seed=0):
    """Spoken words to learn from and to be tested with.

    Parameters
    ----------
    folder : path, optional
        With ``utterances.csv`` (path, word, speaker); its speakers are divided at random where there is no
        column ``part`` that says train or test. Or with two flat folders, ``train`` and ``test`` or
        ``train_wav`` and ``test_wav``, of recordings named by a word and a number: ``clara_07.wav``,
        ``clara7.wav``, ``7-clara.wav``. By default the names that the embedded corpus's speakers say.
    test_speakers, seed : int
        How many of the speakers are for the test where nothing divides them, and which.

    Returns
    -------
    train, test : Recordings
        Labels are words, in lower case. The tables have a column `speaker`, unless the recordings come from
        two flat folders in which most numbers belong to one word alone: then nothing says who spoke.

    Raises
    ------
    InputError
        As `load_recordings`; for a file name without a word and one number; for a flat folder with one word
        or one speaker; and where nothing is there.
    """
    folder = Path(os.path.expanduser(folder or phrases.embedded_phrases("words")))
    if not (folder / "utterances.csv").exists():
        return _load_flat_words(folder)
    found = load_recordings(folder, "word")
    found = found._replace(labels=np.array([word.lower() for word in found.labels]))
    if "part" in found.table:
        apart = (found.table["part"] == "test").to_numpy()
    elif "speaker" in found.table:
        apart = hold_out_speakers(found.table["speaker"].to_numpy(dtype=str), test_speakers, seed)
    else:
        raise InputError("has no column speaker", file="utterances.csv", expected="path, word and speaker")
    return found.select(~apart), found.select(apart)


def _load_flat_words(folder):
    """The two parts of spoken words in flat folders, as `load_words` gives them."""
    pairs = [[folder / f"{part}{ending}" for part in ("train", "test")] for ending in ("", "_wav")]
    pair = next((pair for pair in pairs if all(part.is_dir() for part in pair)), None)
    if pair is None:
        expected = "utterances.csv, or two folders, train and test or train_wav and test_wav"
        raise InputError("has no spoken words", file=folder.name, expected=expected)
    tables = [_words_and_numbers(part) for part in pair]
    table = pd.concat(tables, keys=[part.name for part in pair], names=["part", None]).reset_index("part")
    words_of_number = table.groupby(["part", "number"])["word"].transform("nunique")
    if (words_of_number > 1).mean() > 0.5:  # one number, several words: the number of a speaker
        table["speaker"] = table["number"]
    parts = []
    for part in pair:
        mine = table[table["part"] == part.name].drop(columns=["part", "number"]).reset_index(drop=True)
        for kind in mine.columns.drop("path"):
            if mine[kind].nunique() < 2:
                raise InputError(f"has recordings of one {kind}", file=part.name, expected="two or more")
        waveforms = [load_recording(part / name, name) for name in mine["path"]]
        parts.append(Recordings(folder.name, waveforms, mine["word"].to_numpy(), mine))
    names = [
        f"{part.name}/{name}" for part, each in zip(pair, parts, strict=True) for name in each.table["path"]
    ]
    corpora.refuse_copies(names, parts[0].waveforms + parts[1].waveforms, folder.name, "each recording once")
    return tuple(parts)


def _words_and_numbers(folder):
    """A table of the recordings of a flat folder: `path`, `word` in lower case, and `number`."""
    table = pd.DataFrame({"path": [path.name for path in list_recordings(folder)]})
    stems = table["path"].str.replace(r"\.\w+$", "", regex=True)
    form = r"^(?:\d+[\W_]*)?([^\W\d_](?:\D*[^\W\d_])?)(?:[\W_]*\d+)?[\W_]*$"
    table["word"] = stems.str.extract(form, expand=False).str.lower()
    numbers = stems.str.findall(r"\d+")
    bad = table["word"].isna() | (numbers.str.len() != 1)
    if bad.any():
        name = f"{table['path'][bad].iloc[0]} of {folder.name}"
        expected = "recordings named by a word and one number, such as clara_07.wav or 7-clara.wav"
        raise InputError("has no word and one number in its name", file=name, expected=expected)
    return table.assign(number=[str(int(number)) for (number,) in numbers])  # 07 is 7
