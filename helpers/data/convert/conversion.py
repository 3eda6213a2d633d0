"""A corpus in the layout it comes in, to the course's format or to any number of speakers.

``python -m helpers.convert FOLDER --out DIR`` draws speakers, women and men as evenly as can be, no speaker
in both files, and recordings from as many sessions as there are. Each is decoded, brought to 16,000 Hz and to
one channel, and cut by voice activity (`audio.decode` and `audio.excerpt` state the rules). A recording
that is of no use is replaced by another of its speaker; a speaker with too few by another. DIR then has

- ``trs.pkl`` and ``tes.pkl``, or, beyond 1 GB or with ``--npy``, ``trs.npy`` and ``tes.npy``, which are
  mapped and not loaded; with ``--features`` also ``trs.features.npy``, ``tes.features.npy``, those of the
  copies at other speeds that a training learns from, and their settings;
- ``trs.csv`` and ``tes.csv``, a row an utterance: its speaker, gender, path, and first second that is used;
- ``left_out.csv``: every other recording of the corpus, and why it is not used;
- ``corpus.json``: the corpus's name, how it was converted, checksums.

A corpus larger than memory is no matter. After Ctrl-C or a kill the same command goes on where it was; when
nothing has changed it does nothing; with other settings, or another corpus, it begins anew. DIR is replaced
only by a whole result.
"""

import json
import os
import pickle
import shutil
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np

from helpers import SAMPLE_RATE, InputError, describe_value
from helpers.data.convert.layouts import list_corpus
from helpers.data.convert.listing import drop_copies, escaped
from helpers.data.convert.sampling import ConversionSettings, CorpusConversion
from helpers.data.convert.workers import Journal, worker_pool
from helpers.data.stored_features import features_name
from helpers.data.tables import read_table
from helpers.features import Spectrogram
from helpers.files import atomic_folder, digest, file_digest, hold_folder, is_made

VERSION = 3  # raise it with any change of what is written: earlier conversions are made anew
LARGEST_PICKLE = 2**30  # bytes


def convert(folder, out, settings=None, layout="", name="", workers=0):
    """Convert a corpus; see the top of this file.

    Parameters
    ----------
    folder : path
        As for `layouts.list_corpus`.
    out : path
        New, empty, or an earlier conversion.
    settings : sampling.ConversionSettings, optional
    layout : str, optional
        As for `layouts.list_corpus`.
    name : str, optional
        What results are labelled with; by default the corpus's folder.
    workers : int
        Processes; 0: as many as there are processors.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    InputError
        When the corpus cannot be listed or has too few speakers with enough usable recordings, `out` holds
        something else or cannot be written, or another conversion is writing it.
    """
    settings, out = settings or ConversionSettings(), Path(os.path.expanduser(out)).resolve()
    listing = list_corpus(folder, layout, settings.microphone)
    facts = {"name": name or listing.name, "synthesised": False, "layout": listing.layout}
    facts |= {"settings": asdict(settings), "version": VERSION}
    facts["conversion"] = digest([json.dumps([facts, listing.digest]).encode()])[:16]
    same, expected = {"conversion": facts["conversion"]}, "a new or empty folder, or an earlier conversion"
    if is_made(out, same, lambda said: {"conversion", "bytes"} <= said.keys(), expected):
        return out
    work = out.with_name(f".{out.name}.part")
    busy = f"{describe_value(work)} is being written by another conversion; expected one at a time"
    try:
        with hold_folder(work, busy):
            if is_made(out, same):  # meanwhile, by another
                return out
            journal = Journal(work / "journal.jsonl", facts["conversion"])
            if not journal.done:  # the arrays of another run only take space
                for path in work.glob("*.npy"):
                    path.unlink()
            with worker_pool(workers or _processors()) as pool:
                drawn = CorpusConversion(drop_copies(listing), settings, work, journal, pool)
                numbers = {"tes": drawn.part("tes"), "trs": drawn.part("trs")}
            names = _write(work, drawn.files, settings, numbers, drawn.left_out(numbers), facts)
            with atomic_folder(out, sum((work / each).stat().st_size for each in names) >> 20) as new:
                for each in names:
                    (work / each).rename(new / each)
            for path in work.iterdir():
                if path.name != ".lock":
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
        with suppress(OSError):  # of an open lock: another conversion has begun
            (work / ".lock").unlink(missing_ok=True)
            work.rmdir()
    except OSError as error:
        found = f"could not be written ({error.strerror or error})"
        expected = "a writable folder with space left; what was converted is kept"
        raise InputError(found, file=describe_value(out), expected=expected) from error
    return out


def _write(work, files, settings, numbers, left_out, facts):
    """Everything beside the arrays, in the work folder; returns the names of the files of the result."""
    names = ["left_out.csv"]
    left_out.to_csv(work / "left_out.csv", index=False)
    for part, pairs in numbers.items():
        seconds = [round(start / SAMPLE_RATE, 3) for _, start in pairs]
        rows = files.loc[[number for number, _ in pairs]].assign(second=seconds)
        rows.drop(columns="of").to_csv(work / f"{part}.csv", index=False)
        array, name = work / f"{part}.npy", f"{part}.npy"
        if array.stat().st_size <= LARGEST_PICKLE and not settings.npy:
            name = f"{part}.pkl"
            with open(work / name, "wb") as file:
                pickle.dump(np.load(array), file, protocol=4)
        names += [name, f"{part}.csv"]
        names += [features_name(part, speed) for speed in settings.speeds(part)]
    if settings.features:
        (work / "features.json").write_text(json.dumps(Spectrogram().to_dict()))
        names.append("features.json")
    facts = facts | {
        "files": {name: file_digest(work / name) for name in names},
        "bytes": {name: (work / name).stat().st_size for name in names},
    }
    (work / "corpus.json").write_text(json.dumps(facts, indent=2) + "\n")
    return [*names, "corpus.json"]


def _processors():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def summary(out):
    """A line on each part of a conversion, and one on what was left out."""
    facts, lines = json.loads((Path(out) / "corpus.json").read_text()), []
    for part in ("trs", "tes"):
        table = read_table(Path(out) / f"{part}.csv", "a table of a conversion")
        genders = table.drop_duplicates("speaker")["gender"].value_counts()
        known = ", ".join(f"{count} {gender or 'of unknown gender'}" for gender, count in genders.items())
        names = table["speaker"].drop_duplicates()
        some = describe_value(", ".join(names[:3])) + ", …" * (len(names) > 3)
        lines.append(f"{part}: {len(table)} utterances of {len(names)} speakers ({known}): {some}")
    left_out = read_table(Path(out) / "left_out.csv", "a table of a conversion")
    lines.append(f"left out: {len(left_out)} recordings, each with its reason in left_out.csv")
    return "\n".join([f"{facts['name']} ({facts['layout']}) is in {escaped(out)}", *lines])
