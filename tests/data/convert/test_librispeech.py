"""LibriSpeech from a server on this machine: fetched, unpacked, converted, and each mistake on the way."""

import errno
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from functools import partial

import numpy as np
import pytest
import soundfile
from faulty_server import serving

from helpers import PROJECT, InputError, describe_value
from helpers.data import corpora
from helpers.data.convert import conversion, librispeech
from helpers.data.convert.download import Remote
from helpers.data.convert.librispeech import HOME, REMOTES, librispeech_folder, unpack
from helpers.data.convert.sampling import ConversionSettings
from helpers.files import atomic_folder, is_made

REAL = conversion.convert
NAMES = [remote.name for remote in REMOTES]
SPEAKERS = {"dev-clean": (84, 174, 251), "test-clean": (61, 121, 260)}  # women have even numbers


def pack(members):
    """A tar.gz of `(name, content)`; a content that is a string is where a symbolic link leads."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
                tar.addfile(member)
            else:
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def recording(rng, seconds=2):
    file = io.BytesIO()
    wave = np.convolve(rng.normal(0, 0.1, seconds * 16000), np.ones(8) / 8, "same")
    soundfile.write(file, wave, 16000, format="FLAC")
    return file.getvalue()


def members(part):
    """Three speakers, two chapters of two recordings each, and what else there is in LibriSpeech."""
    rng = np.random.default_rng(SPEAKERS[part][0])
    rows = [f"{n} | {'FM'[n % 2]} | {name} | 8.00 | A B" for name in SPEAKERS for n in SPEAKERS[name]]
    table = ";ID |SEX| SUBSET |MINUTES| NAME\n" + "\n".join(rows) + "\n"
    found = [("LibriSpeech/SPEAKERS.TXT", table.encode()), ("LibriSpeech/books/notes.md", b"not needed")]
    for speaker in SPEAKERS[part]:
        for chapter in (7, 8):
            stem = f"LibriSpeech/{part}/{speaker}/{chapter}/{speaker}-{chapter}"
            words = "".join(f"{speaker}-{chapter}-{i:04d} A WORD\n" for i in range(2))
            found.append((f"{stem}.trans.txt", words.encode()))
            found += [(f"{stem}-{i:04d}.flac", recording(rng)) for i in range(2)]
    return found


FILES = {f"{part}.tar.gz": pack(members(part)) for part in SPEAKERS}
SMALL = [Remote(name, len(FILES[name]), hashlib.sha256(FILES[name]).hexdigest()) for name in NAMES]


@pytest.fixture
def server():
    with serving(dict(FILES)) as server:
        yield server


def converted(folder, out, name):
    """In place of the conversion, which takes longer: says which recordings there are."""
    with atomic_folder(out, 1) as new:
        for file in ("trs.pkl", "tes.pkl"):
            (new / file).write_text("\n".join(sorted(path.name for path in folder.rglob("*.flac"))))
        sizes = {path.name: path.stat().st_size for path in new.iterdir()}
        (new / "corpus.json").write_text(
            json.dumps({"name": name, "version": conversion.VERSION, "bytes": sizes})
        )


@pytest.fixture
def make(tmp_path, server, monkeypatch):
    """Makes the corpus of the server's archives."""
    monkeypatch.setattr(conversion, "convert", converted)

    def make(remotes=SMALL, mirror=server.address):
        return librispeech_folder(tmp_path / "out", tmp_path / "archives", mirror, remotes)

    return make


def refusal(action, *arguments):
    with pytest.raises(InputError) as refused:
        action(*arguments)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def left(tmp_path):
    return {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.name != ".lock"}


def test_two_archives_become_the_course_format(tmp_path, make, monkeypatch):
    few = ConversionSettings(train_speakers=4, test_speakers=2, utterances=2)  # neither part has four
    monkeypatch.setattr(conversion, "convert", partial(REAL, settings=few, workers=1))
    train, test = corpora.load_course(make(), 2)
    assert train.waveforms.shape == (8, 16_180)
    assert test.waveforms.shape == (4, 22_631)
    numbers = {str(number) for part in SPEAKERS.values() for number in part}
    assert set(train.table["speaker"]) | set(test.table["speaker"]) == numbers
    assert set(train.table["speaker"]).isdisjoint(test.table["speaker"])
    assert set(train.table["gender"]) == {"female", "male"}
    assert train.name == test.name == "LibriSpeech (dev-clean and test-clean)"
    told = conversion.summary(tmp_path / "out")
    assert "trs: 8 utterances of 4 speakers (2 female, 2 male)" in told
    assert is_made(tmp_path / "out", {"name": librispeech.NAME, "version": conversion.VERSION})


def test_the_corpus_is_made_once(tmp_path, server, make, capsys):
    assert make() == tmp_path / "out"
    told = capsys.readouterr().out
    assert told.index("CC BY 4.0") < told.index("Panayotov") < told.index("dev-clean.tar.gz,")
    files = {"out/trs.pkl", "out/tes.pkl", "out/corpus.json"}
    assert left(tmp_path) == {"archives", *(f"archives/{name}" for name in NAMES), "out", *files}
    assert len((tmp_path / "out" / "trs.pkl").read_text().split()) == 24
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    server.files.clear()
    assert make() == tmp_path / "out"
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert capsys.readouterr().out == ""
    assert [path for path, _ in server.seen] == [f"/12/{name}" for name in NAMES]


def test_what_is_not_whole_or_of_another_version_is_made_anew(tmp_path, server, make, monkeypatch):
    make()
    good = (tmp_path / "out" / "tes.pkl").read_bytes()
    (tmp_path / "out" / "tes.pkl").write_bytes(good[:-1])
    make()
    assert (tmp_path / "out" / "tes.pkl").read_bytes() == good
    (tmp_path / "out" / "tes.pkl").unlink()
    make()
    assert (tmp_path / "out" / "tes.pkl").read_bytes() == good
    monkeypatch.setattr(conversion, "VERSION", "new")
    assert not is_made(tmp_path / "out", {"version": "new"})
    make()
    assert is_made(tmp_path / "out", {"name": librispeech.NAME, "version": conversion.VERSION})
    assert len(server.seen) == 2  # the archives have stayed


@pytest.mark.parametrize("content", ["", "[]", '{"name": "other", "version": 1, "bytes": {}}'])
def test_a_folder_of_something_else_is_not_replaced(tmp_path, server, make, content):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "corpus.json").write_text(content)
    (tmp_path / "out" / "trs.pkl").write_text("mine")
    out = describe_value(tmp_path / "out")
    told = f"{out} holds something else; expected a new or empty folder for LibriSpeech"
    assert refusal(make) == told
    assert server.seen == []
    assert (tmp_path / "out" / "trs.pkl").read_text() == "mine"


def test_archives_that_are_there_are_used(tmp_path, server, make):
    (tmp_path / "archives").mkdir()
    for name, content in FILES.items():
        (tmp_path / "archives" / name).write_bytes(content)
    assert make().is_dir()
    assert server.seen == []


def test_only_recordings_and_their_tables_are_unpacked(tmp_path):
    (tmp_path / "dev-clean.tar.gz").write_bytes(FILES["dev-clean.tar.gz"])
    unpack(tmp_path / "dev-clean.tar.gz", tmp_path / "new")
    found = {path.relative_to(tmp_path / "new").as_posix(): path for path in (tmp_path / "new").rglob("*.*")}
    kept = [each for each in members("dev-clean") if each[0].endswith((".flac", "SPEAKERS.TXT"))]
    expected = {re.sub("LibriSpeech/(dev-clean/)?", "", name): content for name, content in kept}
    assert {name: path.read_bytes() for name, path in found.items()} == expected
    assert {path.stat().st_mtime for path in found.values()} == {0}  # as in the archive
    assert len(expected) == 1 + 12


@pytest.mark.parametrize("name", ["../outside.flac", "/tmp/outside.flac", "LibriSpeech/../../outside.flac"])
def test_an_archive_that_leads_outside(tmp_path, server, make, name):
    server.files["dev-clean.tar.gz"] = pack([(name, b"bad"), *members("dev-clean")])
    remotes = [Remote(n, len(c), hashlib.sha256(c).hexdigest()) for n, c in server.files.items()]
    assert refusal(make, remotes) == (
        f"dev-clean.tar.gz has a path that leads outside ({name}); expected a whole archive of LibriSpeech; "
        "remove it and run it again"
    )
    assert left(tmp_path) == {"archives", *(f"archives/{name}" for name in NAMES)}
    assert not (tmp_path.parent / "outside.flac").exists()


def test_a_link_in_an_archive_is_not_followed(tmp_path):
    (tmp_path / "away").mkdir()
    name = "LibriSpeech/dev-clean/84/7/84-7-0000.flac"
    links = [
        ("LibriSpeech/dev-clean", str(tmp_path / "away")),
        ("LibriSpeech/dev-clean/1/1/1-1-0.flac", "/etc/passwd"),
    ]
    (tmp_path / "some.tar.gz").write_bytes(pack([*links, (name, b"recording")]))
    unpack(tmp_path / "some.tar.gz", tmp_path / "new")
    assert list((tmp_path / "away").iterdir()) == []
    assert [path for path in (tmp_path / "new").rglob("*") if path.is_symlink()] == []
    assert (tmp_path / "new" / "84/7/84-7-0000.flac").read_bytes() == b"recording"


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda packed: packed[: len(packed) // 2], "EOFError: Compressed file ended"),
        (lambda packed: packed[:5000] + bytes(20_000) + packed[25_000:], "rror"),
        (lambda packed: b"<html>no archive</html>", "BadGzipFile: Not a gzipped file"),
        (lambda packed: packed[:-8] + bytes(8), "BadGzipFile: CRC check failed"),
    ],
)
def test_a_damaged_archive(tmp_path, server, make, damage, told):
    server.files["test-clean.tar.gz"] = damage(FILES["test-clean.tar.gz"])
    remotes = [Remote(n, len(c), hashlib.sha256(c).hexdigest()) for n, c in server.files.items()]
    message = refusal(make, remotes)
    assert message.startswith("test-clean.tar.gz is damaged (")
    assert told in message
    assert message.endswith("); expected a whole archive of LibriSpeech; remove it and run it again")
    assert left(tmp_path) == {"archives", *(f"archives/{name}" for name in NAMES)}


def test_an_archive_without_recordings(tmp_path):
    (tmp_path / "some.tar.gz").write_bytes(pack([("LibriSpeech/SPEAKERS.TXT", b"")]))
    told = (
        "some.tar.gz has no recordings; expected a whole archive of LibriSpeech; remove it and run it again"
    )
    assert refusal(unpack, tmp_path / "some.tar.gz", tmp_path / "new") == told


def test_too_little_space(tmp_path, server, make, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1_000_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    (tmp_path / "archives" / "unfinished").mkdir(parents=True)
    with open(tmp_path / "archives" / "unfinished" / "dev-clean.tar.gz.part", "wb") as file:
        file.truncate(37_926_286)
    assert refusal(make, REMOTES) == (
        f"{tmp_path}/archives has 1,000 MB of space left; expected 1,460 MB: 647 to download and 813 to "
        "unpack and convert; make room, or name another folder with --archives"
    )
    assert server.seen == []
    assert left(tmp_path) == {"archives", "archives/unfinished", "archives/unfinished/dev-clean.tar.gz.part"}


def test_the_disk_fills_up_while_unpacking(tmp_path, make, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "copyfileobj", full)
    told = refusal(make)
    assert told.startswith(
        f"dev-clean.tar.gz could not be unpacked to {tmp_path}/archives/unfinished/LibriSpeech (No space"
    )
    assert told.endswith("MB of space left; the archive is kept")
    assert left(tmp_path) == {"archives", *(f"archives/{name}" for name in NAMES)}


def test_what_a_killed_run_unpacked_is_removed(tmp_path, make):
    (tmp_path / "archives" / "unfinished" / "LibriSpeech" / "9").mkdir(parents=True)
    (tmp_path / "archives" / "unfinished" / "tmpabcd").write_bytes(b"")
    make()
    assert not (tmp_path / "archives" / "unfinished").exists()


def test_a_mirror_without_its_scheme(tmp_path, make):
    told = refusal(make, SMALL, "www.openslr.org/resources/12")
    assert told == f"www.openslr.org/resources/12 is not the address of a mirror; expected one such as {HOME}"
    assert left(tmp_path) == set()


def test_a_mirror_without_its_slash(make, server):
    assert make(SMALL, server.address.rstrip("/")).is_dir()


@pytest.mark.slow
def test_the_command_ends_in_one_line(tmp_path, server):
    command = [
        sys.executable,
        "-m",
        "helpers.data.convert.librispeech",
        "--out",
        tmp_path / "out",
        "--archives",
        tmp_path / "a",
    ]
    done = subprocess.run(
        [*command, "--mirror", server.address], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == (
        f"librispeech: {server.address}dev-clean.tar.gz is another file: its SHA-256 is not 76f87d090650…; "
        "nothing was kept; expected the address of LibriSpeech or of a mirror\n"
    )
    assert "CC BY 4.0" in done.stdout
    assert left(tmp_path) == {"a"}


def test_the_command_after_ctrl_c(monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(librispeech, "librispeech_folder", interrupted)
    assert librispeech.main([]) == 130
    assert capsys.readouterr().err == "librispeech: interrupted; what has arrived is kept\n"
