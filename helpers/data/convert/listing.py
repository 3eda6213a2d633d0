"""The files of a corpus: found below its folder or in its tables, each recording once."""

import codecs
import hashlib
import os
import posixpath
import re
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from helpers import InputError, describe_value
from helpers.data.audio import SUFFIXES, decode
from helpers.data.tables import find_file, read_table

PATHS, SPEAKERS = ("path", "file", "filename"), ("speaker", "speaker_id", "client_id", "label")
# Endings of other recordings and films: such files are named, not read.
OTHERS = re.compile(
    r"\.(aax|ac3|ape|asf|avi|dff|ds2|dsf|dss|dts|dvf|eac3|flv|g722|g729|gsm|m2ts|m4v|midi?|mpc|mpe?g|mts|ogv|pcm"
    r"|qcp|ra|rm|shn|tta|vox|wmv|wv|wv1|wv2)"
)
UNREAD = "is no format that is read"
PARTS = ("train", "dev", "test")  # of Common Voice
SAMPLE = 4096  # bytes from the middle of files of equal size that are compared first


class Walk(NamedTuple):
    """What lies below a folder: recordings with size and time, by path; files about speakers; folders of
    Common Voice; paths of what cannot be used, and why; and how the disk writes paths that are not UTF-8."""

    files: dict
    about: list
    voices: list
    failed: list
    names: dict


def walk(folder, about):
    """Find everything below a folder, but for names with a dot first: the system's, as macOS's ``._`` files.

    Parameters
    ----------
    folder : Path
    about : re.Pattern
        Names of files about speakers, which may also lie beside the folder.

    Returns
    -------
    Walk
    """
    found, seen, starts = Walk({}, [], [], [], {}), set(), [str(folder)]

    def leave_out(path, reason):
        found.failed.append((escaped(Path(path).relative_to(folder).as_posix()), reason))

    def note(error):
        leave_out(error.filename, f"cannot be read ({error.strerror})")

    for start in starts:
        if os.path.realpath(start) in seen:
            leave_out(start, "a link to a folder that is listed by its own name")
        for place, folders, names in os.walk(start, onerror=note):
            if (real := os.path.realpath(place)) in seen:
                folders.clear()
                continue
            seen.add(real)
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            # Links are followed when all that is no link has been seen.
            starts += filter(os.path.islink, (os.path.join(place, name) for name in folders))
            if "clips" in folders and any(name.endswith(".tsv") for name in names):
                found.voices.append(Path(place))
            within = Path(place).relative_to(folder)
            for name in names:
                ending = os.path.splitext(name)[1].lower()
                if ending in SUFFIXES and not name.startswith("."):
                    path = (within / name).as_posix()
                    shown = path if path.isascii() else escaped(path)
                    if shown != path:
                        found.names[shown] = path
                    found.files[shown] = state(os.path.join(place, name))
                elif OTHERS.fullmatch(ending) and not name.startswith("."):
                    leave_out(os.path.join(place, name), f"{ending} {UNREAD}")
                elif about.fullmatch(name):
                    found.about.append(Path(place, name))
    beside = [path for path in folder.resolve().parent.glob("*") if about.fullmatch(path.name)]
    return found._replace(files=dict(sorted(found.files.items())), about=sorted(found.about) + beside)


def escaped(path):
    r"""A path as text that can be written and printed: bytes that are no UTF-8 as ``\xe9``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def state(path):
    """Size and time of a file, -1 and 0 of one that is not there."""
    try:
        about = os.stat(path)
    except (OSError, ValueError):
        return (-1, 0)
    return (about.st_size, about.st_mtime_ns)


def common_voice_tables(folder):
    """The tables of a language of Common Voice that say who speaks: what was validated, else its parts."""
    tables = [folder / "validated.tsv"]
    if not tables[0].is_file():
        tables = [folder / f"{part}.tsv" for part in PARTS]
    if not any(path.is_file() for path in tables):
        tables = sorted(folder.glob("*.tsv"))
    found = []
    for path in filter(Path.is_file, tables):
        with path.open("rb") as file:
            names = set(file.readline().removeprefix(codecs.BOM_UTF8).split())
            if {b"client_id", b"path"} <= names and file.readline():  # small languages have empty ones
                found.append(path)
    return found


def read_listed(tables, base):
    """The rows of tables with a recording each, paths relative to `base`; size and time of each file by path.

    Raises
    ------
    InputError
        As `read_table`; when a table has no rows, or lacks a path or a speaker.
    """
    parts, files = [], {}
    expected = "a table with the columns path and speaker, a row per recording"
    for csv in tables:
        table, named = read_table(csv, expected), {}
        for column, names in (("path", PATHS), ("speaker", SPEAKERS)):
            known = [name for name in names if name in table]
            if not known or (table[known[0]] == "").any() or table.empty:
                found = "has no rows" if known and table.empty else f"has no or not every {column}"
                raise InputError(found, file=describe_value(csv.name), expected=expected)
            named[known[0]] = column
        if len(tables) > 1 and csv.stem in PARTS:
            table["part"] = csv.stem
        table, paths = table.rename(columns=named), []
        within = escaped(csv.parent.relative_to(base).as_posix())
        for path in table["path"]:
            whole = posixpath.normpath(posixpath.join(within, path))
            if (about := state(os.path.join(base, whole)))[0] < 0:
                whole = posixpath.normpath(posixpath.join(within, find_file(csv.parent, path)))
                about = state(os.path.join(base, whole))
            files[whole] = about
            paths.append(whole)
        parts.append(table.assign(path=paths, recording=paths))
    return pd.concat(parts, ignore_index=True).fillna(""), files


def drop_copies(listing):
    """Leave out recordings that have the content of another: one is used, or none where speakers differ.

    Only files of equal size are opened, and of these only such are read whole as agree in their middle.
    Damaged files may be alike. The rows of the `layouts.Listing` keep their numbers.
    """
    files = pd.concat([listing.table.assign(of=listing.table.index), listing.seconds])
    sizes = files["path"].map(lambda path: listing.files[path][0])
    twice = files[(sizes > 0) & sizes.duplicated(keep=False)]
    for whole in (False, True):
        twice = twice.assign(content=[_content(listing.place(path), whole) for path in twice["path"]])
        twice = twice[twice["content"].ne("") & twice["content"].duplicated(keep=False)]
    dropped = {}
    for _, same in twice.groupby("content", sort=False):
        first, another = same.iloc[0], same["speaker"].nunique() > 1
        if not _is_decoded(listing.place(first["path"])):
            continue
        for number, path, speaker in zip(same["of"], same["path"], same["speaker"], strict=True):
            if another:
                other = same["path"][same["speaker"] != speaker].iloc[0]
                dropped[number] = (path, f"the same content under another speaker: {other}")
            elif number != first["of"]:
                dropped.setdefault(number, (path, f"the same content as {first['path']}"))
    gone = files[files["of"].isin(dropped)]
    pairs = [(path, dropped[of]) for path, of in zip(gone["path"], gone["of"], strict=True)]
    rows = [(path, why if path == of else f"another file of {of}: {why}") for path, (of, why) in pairs]
    left_out = pd.concat([listing.left_out, pd.DataFrame(rows, columns=["path", "reason"])])
    table, seconds = (each[~each.index.isin(gone.index)] for each in (listing.table, listing.seconds))
    return listing._replace(table=table, seconds=seconds, left_out=left_out)


def _is_decoded(path):
    with suppress(InputError):
        return len(decode(path, 1)) > 0
    return False


def _content(path, whole):
    """A digest of a file, or of its size and middle; "" when it cannot be read: its decoding says why."""
    try:
        with open(path, "rb") as file:
            if whole:
                return hashlib.file_digest(file, "sha256").hexdigest()
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - SAMPLE) // 2)
            return f"{size} {hashlib.sha256(file.read(SAMPLE)).hexdigest()}"
    except OSError:
        return ""
