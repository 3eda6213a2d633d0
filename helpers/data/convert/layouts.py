"""Corpora in their own layouts: which recordings belong to which speaker, and which files are the same."""

import os
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from helpers import InputError, describe_value
from helpers.data.convert.listing import UNREAD, Walk, common_voice_tables, escaped, read_listed, walk
from helpers.data.tables import read_table, read_text
from helpers.files import digest


class Layout(NamedTuple):
    """How a corpus is laid out.

    `pattern` finds, from the end of a recording's path, its speaker and recording, perhaps its session,
    microphone and part; `genders` names the file with the speakers' genders; `shared` matches the
    recordings in which everybody says the same.
    """

    name: str
    example: str
    pattern: str = ""
    genders: str = ""
    shared: str = ""


# Names of folders that are no speakers: a corpus's parts, and what it keeps its recordings in.
PART = "(?:train|training|val|valid|validation|dev|development|test|testing|eval|evaluation)"
ABOVE = "(?:wavs?|flac|mp3|data|audio|clips)"
# The first that fits at least half of the recordings is taken; a table has to lie in the folder itself.
LAYOUTS = (
    Layout("table", "utterances.csv with the columns path and speaker"),
    Layout("common-voice", "validated.tsv beside clips/common_voice_de_17.mp3"),
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
        "libritts",
        "train-clean-100/84/121123/84_121123_000007_000001.wav",
        r"(?:(?P<part>(?:dev|test|train)-[^/]+)/)?(?P<speaker>\d+)/(?P<session>\d+)/"
        r"(?P=speaker)_(?P=session)_(?P<recording>\d+_\d+)\.\w+",
        r"speakers\.(?:tsv|txt)",
    ),
    Layout(
        "aishell",
        "wav/train/S0002/BAC009S0002W0122.wav",
        r"(?:(?P<part>train|dev|test)/)?(?P<speaker>S\d{4})/BAC009(?P=speaker)W(?P<recording>\d{4})\.\w+",
        r"speaker\.info",
    ),
    Layout(
        "cn-celeb",
        "data/id00010/singing-01-002.flac",
        r"data/(?P<speaker>id\d{5})/(?P<session>[a-z_]+-\d+)-(?P<recording>\d+)\.\w+",
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
        "anna/one.wav or train/anna/one.wav, a folder per speaker",
        rf"(?:{ABOVE}/)*(?:(?P<part>{PART})/(?:{ABOVE}/)*)?(?!(?:{PART}|{ABOVE})/)"
        r"(?P<speaker>[^/_][^/]*)/(?:(?P<session>.+)/)?(?P<recording>[^/]+)\.\w+",
    ),
)
BY_NAME = {layout.name: layout for layout in LAYOUTS}
TABLES = ("table", "common-voice")
COLUMNS = ["path", "speaker", "session", "gender", "part", "shared"]
GENDERS = dict.fromkeys(("f", "female", "woman", "female_feminine"), "female")
GENDERS |= dict.fromkeys(("m", "male", "man", "male_masculine"), "male")
PUBLISHED = {"1": "train", "2": "validation", "3": "test"}  # VoxCeleb's identification split
ABOUT = re.compile(r"(?i)speaker(?:-info\.txt|\.info|s\.(?:txt|csv|tsv))|vox[12]_meta\.csv|iden_split\.txt")


class Listing(NamedTuple):
    """A corpus as it was found.

    `folder` is what the paths are relative to; `table` has a row per recording with the columns `path`,
    `speaker`, `session`, `gender` (female, male or empty), `part` (the corpus's own) and `shared` (whether
    everybody says it), and more where the corpus has more; `seconds`, numbered on, has the other files of
    these recordings, for those that turn out to be of no use: `of` is the recording's row. `left_out`
    (columns `path` and `reason`) has the files that are not used; `digest` changes with any file. `files`
    are sizes and times by path, and `names` the paths that are written in another way than on the disk.
    """

    name: str
    layout: str
    folder: Path
    table: pd.DataFrame
    seconds: pd.DataFrame
    left_out: pd.DataFrame
    digest: str
    files: dict
    names: dict

    def place(self, path):
        """Where a file lies."""
        return self.folder / self.names.get(path, path)


def list_corpus(folder, layout="", microphone="mic1"):
    """List the recordings of a corpus in one of the known layouts, without opening any.

    Parameters
    ----------
    folder : path
        The corpus's folder, or a table (CSV or TSV) with a row per recording; ``~`` is the home folder.
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
    folder = Path(os.path.expanduser(folder))
    expected = "; ".join(f"{each.name} ({each.example})" for each in LAYOUTS)
    if layout not in ("", *BY_NAME):
        raise InputError(f"there is no layout {describe_value(layout)}", expected=expected)
    if not (folder.is_dir() or (folder.is_file() and layout in ("", "table"))):
        found = "is not a folder" if folder.is_file() else "does not exist"
        raise InputError(found, file=describe_value(folder), expected=expected)
    base, kind, tables = folder.parent, "table", [folder]
    walked = Walk({}, [path for path in (base / "speakers.csv",) if path.is_file()], [], [], {})
    if folder.is_dir():
        base, walked = folder, walk(folder, ABOUT)
        tables = [path for path in (folder / "utterances.csv",) if path.is_file() and layout in ("", "table")]
        if not tables and layout in ("", "common-voice"):
            kind = "common-voice"
            tables = [csv for each in walked.voices for csv in common_voice_tables(each)]
    name = escaped((folder if folder.is_dir() else folder.with_suffix("")).resolve().name)
    failed, files = walked.failed, walked.files
    if tables:
        found, (listed, files) = BY_NAME[kind], read_listed(tables, base)
        said = ", ".join(dict.fromkeys(escaped(csv.name) for csv in tables))
        failed += [(path, f"not in {said}") for path in walked.files.keys() - files.keys()]
    else:
        found = BY_NAME[layout] if layout else _recognise(name, list(files))
        listed = _matched(found, name, list(files), failed) if found and found.pattern else ()
        if not len(listed):
            raise InputError(_held(files, failed, layout), file=describe_value(folder), expected=expected)
    listed = _about_speakers(listed, found, walked.about)
    listed, seconds = _one_of_each(listed, found, microphone, failed)
    others = [name for name in listed if name not in (*COLUMNS, "recording", "of") and listed[name].any()]
    listed, seconds = listed[COLUMNS + others], seconds[[*COLUMNS, *others, "of"]]
    left_out = pd.DataFrame(sorted(failed), columns=["path", "reason"], dtype=str)
    states = [f"{path} {state}\n".encode() for path, state in [*files.items(), *sorted(failed)]]
    rows = pd.util.hash_pandas_object(listed, index=False).to_numpy()
    digested = digest([*states, rows.tobytes()])[:16]
    return Listing(name, found.name, base, listed, seconds, left_out, digested, files, walked.names)


def _held(files, failed, layout):
    """What a folder holds in which no recording is found."""
    wanted = f"in the layout {layout}" if layout else "in a layout that is known"
    held = f"holds {len(files)} recordings, none {wanted}"
    endings = [why.partition(" ")[0] for _, why in failed if why.endswith(UNREAD)]
    if endings:
        held += f", and {len(endings)} in formats that are not read ({', '.join(sorted(set(endings)))})"
    above = {path.partition("/")[0] for path in files if re.match(f"({PART}|{ABOVE})/", path, re.I)}
    if above and layout in ("", "folders"):
        held += f"; not taken for speakers: {', '.join(sorted(above))}"
    return held


def _searched(layout, paths):
    """The layout's pattern, for a path that begins with the name of the corpus's folder."""
    if layout.name != "folders":
        return re.compile(rf"(?:^|/){layout.pattern}$", re.IGNORECASE)
    tops = {path.partition("/")[0].lower() for path in paths if not path.startswith("_")}
    above = {top for top in tops if re.fullmatch(rf"{ABOVE}|{PART}(?:[-_ ].*)?", top)}
    if above <= {"val", "dev"} and 2 * len(above) <= len(tops):  # which are names of people too
        return re.compile("^[^/]*/(?P<speaker>" + layout.pattern.partition("(?P<speaker>")[2] + "$", re.I)
    # Beside another part, names such as train-b are parts too; alone they may be speakers.
    part = re.compile(rf"(?:{ABOVE}/)*({PART})(?:[-_ ][^/]*)?/", re.IGNORECASE)
    found = map(part.match, {path.rpartition("/")[0] for path in paths})
    several = len({each[1].lower() for each in found if each}) > 1
    pattern = layout.pattern.replace(PART, f"{PART}(?:[-_ ][^/]*)?") if several else layout.pattern
    return re.compile(f"^[^/]*/{pattern}$", re.IGNORECASE)


def _recognise(name, paths):
    some = paths[:: len(paths) // 500 + 1]
    for layout in LAYOUTS:
        if layout.pattern and some:
            pattern = _searched(layout, paths)
            fitting = sum(bool(pattern.search(f"{name}/{path}")) for path in some)
            if 2 * fitting >= len(some):
                return layout
    return None


def _matched(layout, name, paths, failed):
    """What the layout's pattern finds in paths, a row each; paths that it does not fit go to `failed`."""
    pattern, paths = _searched(layout, paths), pd.Series(paths, dtype=str)
    found = (f"{name}/" + paths).str.extract(pattern).assign(path=paths)
    fits = found["speaker"].notna()
    for path in paths[~fits]:
        hidden = layout.name == "folders" and re.search("(?:^|/)_[^/]*/", path)
        reason = "in a folder with an underscore first, which is no speaker"
        failed.append((path, reason if hidden else f"not in the layout {layout.name}, {layout.example}"))
    return found[fits].fillna("")


def _about_speakers(listed, layout, about):
    """Genders, parts and sessions in one form, with what the corpus's own lists say of speakers and files."""
    listed = listed.assign(**{name: "" for name in ("session", "gender", "part") if name not in listed})
    listed["part"], known = listed["part"].str.lower(), {}
    listed["speaker"] = listed["speaker"].str.strip().str.normalize("NFC")  # macOS writes ü as two letters
    for path in about:
        if re.fullmatch(layout.genders, path.name, re.I):
            known |= _speaker_lines(path)
        if layout.name in ("table", "common-voice", "folders") and path.name == "speakers.csv":
            listed = _joined(listed, path)
        if layout.name == "voxceleb" and path.name.lower() == "iden_split.txt":
            lines = [line.split() for line in read_text(path, "lines of 1, 2 or 3 and a path").splitlines()]
            parts = {recording_key(line[1]): PUBLISHED.get(line[0], "") for line in lines if len(line) == 2}
            listed["identification"] = [parts.get(recording_key(name), "") for name in listed["path"]]
    if layout.name in ("timit", "an4"):
        listed["gender"] = listed["speaker"].str[0]
    if layout.name == "an4":
        listed["part"] = listed["part"].replace("", "train")
    if layout.name == "cn-celeb":  # the evaluation's speakers
        listed["part"] = np.where(listed["speaker"].between("id00800", "id00999"), "test", "")
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
    known, content = {}, path.read_bytes()
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    for line in content.decode(encoding, "replace").splitlines():
        fields = re.split(r"[\s,|]+", line.strip().lower())
        gender = next((field for field in fields[1:] if field in ("f", "m")), "")
        part = next((field for field in fields[1:] if field in ("dev", "test")), "")
        if gender:
            for letter in ("", "p", "s"):  # VCTK 0.80 leaves the p out, AISHELL the S
                known[f"{letter}{fields[0]}"] = (gender, part)
    return known


def _joined(listed, path):
    """The columns of speakers.csv that the corpus's own table lacks."""
    expected = "a table with the column speaker, a row per speaker, and perhaps gender"
    speakers = read_table(path, expected)
    if "speaker" not in speakers:
        raise InputError("cannot be read (it has no column speaker)", file=path.name, expected=expected)
    speakers = speakers.set_index("speaker")
    speakers = speakers[~speakers.index.duplicated()]
    new = {name for name in speakers if name not in listed or not listed[name].any()}
    return listed.assign(**{name: listed["speaker"].map(speakers[name]).fillna("") for name in sorted(new)})


def recording_key(path):
    """A recording of VoxCeleb, whatever folder it lies in and whatever it is encoded as: id/video/number."""
    return "/".join(str(path).replace("\\", "/").rsplit(".", 1)[0].split("/")[-3:])


def _one_of_each(listed, layout, microphone, failed):
    """A file of each recording, and its second files, numbered on; those not to be used go to `failed`."""
    if "(?P<microphone>" in layout.pattern:
        others = listed["microphone"].str.lower() != microphone.lower()
        if others.all():
            there = ", ".join(sorted(set(listed["microphone"])))
            found = f"there is no recording by microphone {describe_value(microphone)}"
            raise InputError(found, expected=f"one of {there}")
        reasons = "recorded by " + listed["microphone"][others] + f", where {microphone} is used"
        failed += zip(listed["path"][others], reasons, strict=True)
        listed = listed[~others]
    key = [listed[name] for name in ("speaker", "recording", "session")[: 2 if layout.name in TABLES else 3]]
    if layout.name == "folders":  # its parts may number recordings alike, and so may its wav and clips
        key += [listed["part"], listed["path"].str.rpartition(".")[2].str.lower()]
        key[-1] = listed.groupby(key).cumcount()
    numbers = listed.groupby(key, sort=False).ngroup()
    again = numbers.duplicated()
    seconds = listed.assign(of=numbers)[again]
    listed = listed[~again].reset_index(drop=True)
    if layout.name in TABLES:  # a file that is listed twice has no second
        failed += [(path, "listed more than once") for path in seconds["path"]]
        seconds = seconds[:0]
    return listed, seconds.set_index(pd.RangeIndex(len(listed), len(listed) + len(seconds)))
