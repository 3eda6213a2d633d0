"""Corpora in their own layouts: which recordings belong to which speaker, and which files are the same."""

import os
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from helpers import InputError, describe_value, first_line
from helpers.data.audio import SUFFIXES
from helpers.files import digest


class Layout(NamedTuple):
    """How a corpus is laid out.

    `pattern` finds, from the end of a recording's path, its speaker and recording, perhaps its session,
    microphone and part; `genders` names the file that tells the speakers' genders; `shared` matches the
    recordings in which everybody says the same.
    """

    name: str
    example: str
    pattern: str = ""
    genders: str = ""
    shared: str = ""


# The first that fits at least half of the recordings is taken; a table has to lie in the folder itself.
LAYOUTS = (
    Layout("table", "utterances.csv with the columns path and speaker"),
    Layout(
        "vctk-0.92",
        "wav48_silence_trimmed/p225/p225_001_mic1.flac",
        r"(?P<speaker>[ps]\d+)/(?P=speaker)_(?P<recording>\d+)_(?P<microphone>mic\d)\.\w+",
        "speaker-info.txt",
        r"0([01]\d|2[0-4])",  # the elicitation paragraph and the rainbow passage
    ),
    Layout(
        "vctk-0.80",
        "wav48/p225/p225_001.wav",
        r"(?P<speaker>[ps]\d+)/(?P=speaker)_(?P<recording>\d+)\.\w+",
        "speaker-info.txt",
        r"0([01]\d|2[0-4])",
    ),
    Layout(
        "voxceleb",
        "wav/id10001/1zcIwhmdeo4/00001.wav",
        r"(?:(?P<part>dev|test)/)?(?:(?:wav|aac)/)?(?P<speaker>id\d{5})/(?P<session>[^/]+)/(?P<recording>\d{5})\.\w+",
        r"vox[12]_meta.csv",
    ),
    Layout(
        "librispeech",
        "dev-clean/84/121123/84-121123-0000.flac",
        r"(?:(?P<part>(?:dev|test|train)-[^/]+)/)?(?P<speaker>\d+)/(?P<session>\d+)/"
        r"(?P=speaker)-(?P=session)-(?P<recording>\d+)\.\w+",
        "speakers.txt",
    ),
    Layout(
        "timit",
        "TRAIN/DR1/FCJF0/SA1.WAV",
        r"(?P<part>train|test)/(?P<dialect>dr\d)/(?P<speaker>[fm][a-z]{2,3}\d)/(?P<recording>s[aix]\d+)\.wav(?:\.\w+)?",
        shared=r"sa\d",
    ),
    Layout(
        "an4",
        "wav/an4_clstk/fash/an251-fash-b.raw",
        r"an4(?P<part>test)?_clstk/(?P<speaker>[fm][a-z]+)/(?P<recording>[^/]+)-(?P=speaker)-b\.\w+",
    ),
    Layout(
        "folders",
        "anna/one.wav, a folder per speaker",
        r"(?P<speaker>[^/]+)/(?:(?P<session>.+)/)?(?P<recording>[^/]+)\.\w+",
    ),
)
BY_NAME = {layout.name: layout for layout in LAYOUTS}
COLUMNS = ["path", "speaker", "session", "gender", "part", "shared"]
GENDERS = dict.fromkeys(("f", "female", "woman"), "female") | dict.fromkeys(("m", "male", "man"), "male")
PATHS, SPEAKERS = ("path", "file", "filename"), ("speaker", "label", "speaker_id", "client_id")
PUBLISHED = {"1": "train", "2": "validation", "3": "test"}  # VoxCeleb's identification split
ABOUT = re.compile(r"speaker-info\.txt|vox[12]_meta\.csv|speakers\.txt|speakers\.csv|iden_split\.txt", re.I)


class Listing(NamedTuple):
    """A corpus as it was found.

    `folder` is what the paths are relative to; `table` has a row per recording with the columns `path`,
    `speaker`, `session`, `gender` (female, male or empty), `part` (the corpus's own) and `shared` (whether
    everybody says it), and more where the corpus tells more; `left_out` (columns `path` and `reason`) has the
    files that are not used; `digest` changes with any file.
    """

    name: str
    layout: str
    folder: Path
    table: pd.DataFrame
    left_out: pd.DataFrame
    digest: str


def list_corpus(folder, layout="", microphone="mic1"):
    """List the recordings of a corpus in one of the known layouts, without opening any.

    Parameters
    ----------
    folder : path
        The corpus's folder, or a table (CSV or TSV) with a row per recording.
    layout : str, optional
        A name of `LAYOUTS`; recognised by default.
    microphone : str
        Of a recording made with several microphones, as those of VCTK 0.92, the file of this one is used: two
        files of one recording never count as two recordings.

    Returns
    -------
    Listing

    Raises
    ------
    InputError
        When nothing is there, the layout is not known, or its table or microphone is missing.
    """
    folder = Path(folder)
    expected = "; ".join(f"{each.name} ({each.example})" for each in LAYOUTS)
    if layout not in ("", *BY_NAME):
        raise InputError(f"there is no layout {describe_value(layout)}", expected=expected)
    csv = folder / "utterances.csv" if folder.is_dir() else folder
    if csv.is_file() and layout in ("", "table"):
        found, base, failed = BY_NAME["table"], csv.parent, []
        listed = _read_table(csv)
        files = {path: _state(base / path) for path in listed["path"]}
        about = [path for path in (base / "speakers.csv",) if path.is_file()]
    else:
        if not folder.is_dir():
            raise InputError("does not exist", file=describe_value(folder), expected=expected)
        base, (files, about, failed) = folder, _walk(folder)
        name = folder.resolve().name
        found = BY_NAME[layout] if layout else _recognise(name, list(files))
        listed = _matched(found, name, list(files), failed) if found and found.pattern else ()
        if not len(listed):
            wanted = f"in the layout {layout}" if layout else "in a layout that is known"
            held = f"holds {len(files)} recordings, none {wanted}"
            raise InputError(held, file=describe_value(folder), expected=expected)
    listed = _about_speakers(listed, found, about)
    listed = _one_of_each(listed, found, microphone, failed)
    others = [name for name in listed if name not in (*COLUMNS, "recording") and listed[name].any()]
    listed = listed[COLUMNS + others].reset_index(drop=True)
    name = (folder if folder.is_dir() else folder.with_suffix("")).resolve().name
    left_out = pd.DataFrame(failed, columns=["path", "reason"])
    states = [f"{path} {state}\n".encode() for path, state in files.items()]
    rows = pd.util.hash_pandas_object(listed, index=False).to_numpy()
    return Listing(name, found.name, base, listed, left_out, digest([*states, rows.tobytes()])[:16])


def _walk(folder):
    """Recordings below a folder with size and time, by path; files about speakers; what could not be read."""
    files, about, failed, seen = {}, [], [], set()

    def note(error):
        path = Path(error.filename).relative_to(folder).as_posix()
        failed.append((path, f"cannot be read ({error.strerror})"))

    for place, folders, names in os.walk(folder, onerror=note, followlinks=True):
        if (real := os.path.realpath(place)) in seen:  # a link back into the tree
            folders.clear()
            continue
        seen.add(real)
        # Names with a dot are of the system's, as macOS's ._ files are.
        folders[:] = sorted((name for name in folders if not name.startswith(".")), reverse=True)
        within = Path(place).relative_to(folder)
        for name in names:
            if os.path.splitext(name)[1].lower() in SUFFIXES and not name.startswith("."):
                files[(within / name).as_posix()] = _state(os.path.join(place, name))
            elif ABOUT.fullmatch(name):
                about.append(Path(place, name))
    beside = [path for path in folder.resolve().parent.glob("*") if ABOUT.fullmatch(path.name)]
    return dict(sorted(files.items())), sorted(about) + beside, failed


def _state(path):
    try:
        state = os.stat(path)
    except OSError:
        return (-1, 0)
    return (state.st_size, state.st_mtime_ns)


def _searched(layout):
    """The layout's pattern, for a path that begins with the name of the corpus's folder."""
    anchor = "^[^/]*/" if layout.name == "folders" else "(?:^|/)"
    return re.compile(anchor + layout.pattern + "$", re.IGNORECASE)


def _recognise(name, paths):
    some = paths[:: len(paths) // 500 + 1]
    for layout in LAYOUTS:
        if layout.pattern and some:
            fitting = sum(bool(_searched(layout).search(f"{name}/{path}")) for path in some)
            if 2 * fitting >= len(some):
                return layout
    return None


def _matched(layout, name, paths, failed):
    """What the layout's pattern finds in paths, a row each; paths that it does not fit go to `failed`."""
    paths = pd.Series(paths, dtype=str)
    found = (f"{name}/" + paths).str.extract(_searched(layout)).assign(path=paths)
    fits = found["speaker"].notna()
    reason = f"not in the layout {layout.name}, {layout.example}"
    failed += [(path, reason) for path in paths[~fits]]
    return found[fits].fillna("")


def _read_table(csv):
    expected = "a table with the columns path and speaker, a row per recording"
    try:
        table = pd.read_csv(csv, sep="\t" if csv.suffix == ".tsv" else ",", dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0][:98]
        raise InputError(f"cannot be read ({reason})", file=csv.name, expected=expected) from error
    named = {}
    for column, names in (("path", PATHS), ("speaker", SPEAKERS)):
        known = [name for name in names if name in table]
        if not known or (table[known[0]] == "").any() or table.empty:
            found = "has no rows" if known and table.empty else f"has no or not every {column}"
            raise InputError(found, file=csv.name, expected=expected)
        named[known[0]] = column
    return table.rename(columns=named).assign(recording=lambda table: table["path"])


def _about_speakers(listed, layout, about):
    """Genders, parts and sessions in one form, with what the corpus's own lists say of speakers and files."""
    listed = listed.assign(**{name: "" for name in ("session", "gender", "part") if name not in listed})
    listed["part"] = listed["part"].str.lower()
    known = {}
    for path in about:
        if re.fullmatch(layout.genders, path.name, re.I):
            known |= _speaker_lines(path)
        if layout.name in ("table", "folders") and path.name == "speakers.csv":
            listed = _joined(listed, path)
        if layout.name == "voxceleb" and path.name.lower() == "iden_split.txt":
            lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
            parts = {recording_key(line[1]): PUBLISHED.get(line[0], "") for line in lines if len(line) == 2}
            listed["identification"] = [parts.get(recording_key(name), "") for name in listed["path"]]
    if layout.name in ("timit", "an4"):
        listed["gender"] = listed["speaker"].str[0]
    if layout.name == "an4":
        listed["part"] = listed["part"].replace("", "train")
    if layout.name == "timit":
        listed["speaker"] = listed["speaker"].str.upper()
    if known:
        speakers = listed["speaker"].str.lower()
        listed["gender"] = [known.get(name, ("", ""))[0] for name in speakers]
        parts = [known.get(name, ("", ""))[1] for name in speakers]
        listed["part"] = np.where(listed["part"] == "", parts, listed["part"])
    listed["gender"] = [GENDERS.get(each.strip().lower(), "") for each in listed["gender"]]
    shared = re.compile(layout.shared or "$^", re.IGNORECASE)
    return listed.assign(shared=[bool(shared.fullmatch(each)) for each in listed["recording"]])


def _speaker_lines(path):
    """Gender and part by speaker, of a list with a line a speaker: the name first, F or M in a field."""
    known = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        fields = re.split(r"[\s,|]+", line.strip().lower())
        gender = next((field for field in fields[1:] if field in ("f", "m")), "")
        part = next((field for field in fields[1:] if field in ("dev", "test")), "")
        if gender:
            known[fields[0]] = known[f"p{fields[0]}"] = (gender, part)  # VCTK 0.80 leaves the p out
    return known


def _joined(listed, path):
    """The columns of speakers.csv that the corpus's own table lacks."""
    try:
        speakers = pd.read_csv(path, dtype=str, keep_default_na=False).set_index("speaker")
    except (OSError, ValueError, KeyError) as error:
        reason = first_line(type(error).__name__, error)[:100]
        expected = "a table with the column speaker, a row per speaker, and perhaps gender"
        raise InputError(f"cannot be read ({reason})", file=path.name, expected=expected) from error
    speakers = speakers[~speakers.index.duplicated()]
    new = {name for name in speakers if name not in listed or not listed[name].any()}
    return listed.assign(**{name: listed["speaker"].map(speakers[name]).fillna("") for name in sorted(new)})


def recording_key(path):
    """A recording of VoxCeleb, whatever folder it lies in and whatever it is encoded as: id/video/number."""
    return "/".join(str(path).rsplit(".", 1)[0].split("/")[-3:])


def _one_of_each(listed, layout, microphone, failed):
    """One file of each recording; the others go to `failed`."""
    if "microphone" in listed:
        others = listed["microphone"].str.lower() != microphone.lower()
        if others.all():
            there = ", ".join(sorted(set(listed["microphone"])))
            found = f"there is no recording by microphone {describe_value(microphone)}"
            raise InputError(found, expected=f"one of {there}")
        reasons = "recorded by " + listed["microphone"][others] + f", where {microphone} is used"
        failed += zip(listed["path"][others], reasons, strict=True)
        listed = listed[~others]
    key = ["recording"] if layout.name == "table" else ["speaker", "session", "recording"]
    again = listed.duplicated(key)
    failed += [(path, "another file of a recording that is used") for path in listed["path"][again]]
    return listed[~again]
