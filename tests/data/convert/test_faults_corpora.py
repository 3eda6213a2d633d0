"""Corpora as people have them: each kind of fault that real ones brought to light, with its right value."""

import json
import os
import shutil
import subprocess
import sys
import unicodedata
from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy.io import wavfile
from trees import SMALL, convert_small, write_voices, tone, write

from helpers import PROJECT, InputError
from helpers.convert import main
from helpers.data import course
from helpers.data.convert import conversion
from helpers.data.convert.layouts import list_corpus
from helpers.data.convert.listing import drop_copies
from helpers.data.convert.sampling import ConversionSettings
from helpers.data.corpora import load_course

LATIN = os.fsdecode(b"caf\xe9")


def tree(folder, paths):
    """Recordings of the same size, each with a content of its own."""
    for number, path in enumerate(paths):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(number).integers(-3000, 3000, 5000, np.int16)
        wavfile.write(folder / path, 16000, noise)  # whatever its ending says
    return folder


def listed(folder, *more):
    """Speaker by path, and the reason by path of what is left out, copies included."""
    found = drop_copies(list_corpus(folder, *more))
    return dict(found.table[["path", "speaker"]].to_numpy()), dict(found.left_out.to_numpy())


def refusal(work, *arguments):
    with pytest.raises(InputError) as refused:
        work(*arguments)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.fixture(scope="module")
def voices(tmp_path_factory):
    """Six speakers of four recordings each."""
    return write_voices(tmp_path_factory.mktemp("corpora") / "voices")


# ---- names that are not UTF-8 ------------------------------------------------------------------------------


@pytest.fixture
def latin(tmp_path):
    try:
        (tmp_path / LATIN).mkdir()
    except OSError:
        pytest.skip("this disk has no such names")
    return tmp_path / LATIN


@pytest.mark.parametrize(
    ("path", "shown", "speaker"),
    [
        (f"anna/{LATIN}.wav", r"anna/caf\xe9.wav", "anna"),
        (f"{LATIN}/one.wav", r"caf\xe9/one.wav", r"caf\xe9"),
        (f"train/{LATIN}/one.wav", r"train/caf\xe9/one.wav", r"caf\xe9"),
    ],
    ids=["a file", "a speaker's folder", "a folder below a part"],
)
def test_names_that_are_not_utf8_are_read(latin, path, shown, speaker):
    folder = tree(latin.parent / "corpus", [path, "ben/one.wav", "ben/two.mid"])
    found = list_corpus(folder)
    assert dict(found.table[["path", "speaker"]].to_numpy())[shown] == speaker
    assert os.path.samefile(found.place(shown), folder / path)


@pytest.mark.slow
def test_a_corpus_and_a_folder_that_are_not_utf8(voices, latin):
    shutil.copytree(voices, latin, dirs_exist_ok=True)
    os.rename(latin / "s1", latin / LATIN)
    os.rename(latin / "s2" / "r1.wav", latin / "s2" / f"{LATIN}.wav")
    out = latin.parent / f"out {LATIN}"
    command = [sys.executable, "-m", "helpers.convert", latin, "--out", out, *SMALL, "--all", "--npy"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(r"caf\xe9 (folders) is in ")
    train, test = (pd.read_csv(out / f"{name}.csv") for name in ("trs", "tes"))
    assert r"caf\xe9" in {*train["speaker"], *test["speaker"]}
    assert r"s2/caf\xe9.wav" in {*train["path"], *test["path"]}
    assert json.loads((out / "corpus.json").read_text())["name"] == r"caf\xe9"
    bad = subprocess.run([*command[:3], latin / LATIN, *command[4:]], cwd=PROJECT, capture_output=True)
    assert (bad.returncode, bad.stderr.count(b"\n")) == (1, 1)


# ---- every file is used or named ---------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".aif", ".CAF", ".oga", ".w64", ".mka", ".mov", ".3gp", ".wma"])
def test_other_endings_are_recordings(tmp_path, ending):
    speakers, _ = listed(tree(tmp_path, [f"anna/one{ending}", "ben/one.wav"]))
    assert speakers[f"anna/one{ending}"] == "anna"


@pytest.mark.parametrize("ending", [".mid", ".AVI", ".ra", ".dss", ".shn", ".ape", ".wv", ".wv1", ".wmv"])
def test_what_is_not_read_is_named(tmp_path, ending):
    paths = ["anna/one.wav", f"anna/two{ending}", f"top{ending}"]
    _, reasons = listed(tree(tmp_path / "some", paths))
    said = f"{ending.lower()} is no format that is read"
    assert reasons == {paths[1]: said, paths[2]: said}
    message = refusal(list_corpus, tree(tmp_path / "none", paths[1:]))
    said = f"none in a layout that is known, and 2 in formats that are not read ({ending.lower()}); expected"
    assert f"holds 0 recordings, {said}" in message


def test_what_a_table_does_not_list_is_named(tmp_path):
    tree(tmp_path, ["a.wav", "b.wav", "below/c.flac", "d.mid", "._a.wav"])
    (tmp_path / "utterances.csv").write_text("path,speaker\na.wav,anna\n")
    assert listed(tmp_path) == (
        {"a.wav": "anna"},
        {
            "b.wav": "not in utterances.csv",
            "below/c.flac": "not in utterances.csv",
            "d.mid": ".mid is no format that is read",
        },
    )


@pytest.mark.parametrize("size", [0, 500], ids=["empty", "damaged"])
def test_a_recordings_second_file_is_tried(tmp_path, size):
    """TIMIT with its SPHERE files and others beside them, as most people have it."""
    folder = tmp_path / "timit"
    for s in range(4):
        for r, name in enumerate(("SA1", "SI7", "SX9")):
            path = folder / f"{'TRAIN' if s < 2 else 'TEST'}/DR1/{'FM'[s % 2]}CJF{s}/{name}.WAV"
            wave = write(path.with_suffix(".WAV.wav"), tone(3 * s + r))
            path.write_bytes(b"NIST_1A\n"[:size].ljust(size)) if s < 3 else shutil.copy(wave, path)
    train, test, left_out = convert_small(folder, tmp_path / "out", "--all", "--test-speakers", "2")
    assert len(train) + len(test) == 12
    paths = pd.concat([train, test])["path"]
    assert paths.str.endswith(".wav").sum() == 9
    assert list(train) == ["path", "speaker", "session", "gender", "part", "shared", "dialect", "second"]
    assert sorted([*paths, *left_out["path"]]) == sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*.*")
    )
    for path, reason in left_out[["path", "reason"]].to_numpy():
        if path.endswith(".wav"):
            assert reason == f"another file of the recording {path.removesuffix('.wav')}"
        else:
            assert reason.startswith(f"{path} cannot be decoded (")


# ---- one recording, once -----------------------------------------------------------------------------------


def copied(folder, one, other):
    (folder / other).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(folder / one, folder / other)


def linked(folder, one, other):
    (folder / other).parent.mkdir(parents=True, exist_ok=True)
    (folder / other).symlink_to(folder / one)


def hard_linked(folder, one, other):
    (folder / other).parent.mkdir(parents=True, exist_ok=True)
    os.link(folder / one, folder / other)


@pytest.mark.parametrize("again", [copied, linked, hard_linked])
@pytest.mark.parametrize("other", ["anna/z.wav", "anna/another day/a.wav"], ids=["a name", "a folder"])
def test_a_recording_counts_once(tmp_path, again, other):
    tree(tmp_path, ["anna/a.wav", "anna/b.wav", "ben/a.wav"])
    again(tmp_path, "anna/b.wav", other)
    speakers, reasons = listed(tmp_path)
    one, copy = sorted(["anna/b.wav", other])
    assert set(speakers) == {"anna/a.wav", one, "ben/a.wav"}
    assert reasons == {copy: f"the same content as {one}"}


@pytest.mark.parametrize("again", [copied, linked, hard_linked])
def test_a_recording_of_two_speakers_is_of_none(tmp_path, again):
    tree(tmp_path, ["anna/a.wav", "anna/b.wav", "ben/a.wav"])
    again(tmp_path, "anna/b.wav", "anna/c.wav")
    again(tmp_path, "anna/b.wav", "ben/b.wav")
    speakers, reasons = listed(tmp_path)
    assert set(speakers) == {"anna/a.wav", "ben/a.wav"}
    assert reasons == {
        "anna/b.wav": "the same content under another speaker: ben/b.wav",
        "anna/c.wav": "the same content under another speaker: ben/b.wav",
        "ben/b.wav": "the same content under another speaker: anna/b.wav",
    }


def test_a_linked_folder_is_listed_once(tmp_path):
    tree(tmp_path, ["ben/a.wav", "ben/b.wav", "carl/a.wav"])
    (tmp_path / "anna").symlink_to(tmp_path / "ben", target_is_directory=True)
    speakers, reasons = listed(tmp_path)
    assert set(speakers.values()) == {"ben", "carl"}
    assert reasons == {"anna": "a link to a folder that is listed by its own name"}


def test_equal_sizes_equal_middles_and_equal_damage_are_no_copies(tmp_path):
    tree(tmp_path, ["anna/a.wav", "ben/b.wav"])
    one, other = ((tmp_path / name).read_bytes() for name in ("anna/a.wav", "ben/b.wav"))
    (tmp_path / "ben/b.wav").write_bytes(one[:-2] + other[-2:])
    for number, content in enumerate((b"", b"nothing")):
        for speaker in ("anna", "ben"):
            (tmp_path / speaker / f"{number}.wav").write_bytes(content)
    speakers, reasons = listed(tmp_path)
    assert (len(speakers), reasons) == (6, {})


@pytest.mark.parametrize("again", ["./a.wav", "x/../a.wav", ".//a.wav", "a.wav", " a.wav "])
@pytest.mark.parametrize("speaker", ["anna", "ben"])
def test_a_table_lists_a_recording_once(tmp_path, again, speaker):
    tree(tmp_path, ["a.wav", "b.wav"])
    (tmp_path / "utterances.csv").write_text(f"path,speaker\na.wav,anna\nb.wav,ben\n{again},{speaker}\n")
    speakers, reasons = listed(tmp_path)
    if speaker == "anna":
        assert (set(speakers), reasons) == ({"a.wav", "b.wav"}, {"a.wav": "listed more than once"})
    else:
        assert set(speakers) == {"b.wav"}
        assert reasons == {"a.wav": "the same content under another speaker: a.wav"}


@pytest.mark.slow
def test_no_recording_is_in_both_files_or_twice_in_one(tmp_path, voices):
    folder = shutil.copytree(voices, tmp_path / "copies")
    for s in range(6):
        copied(folder, f"s{s}/r0.wav", f"s{s}/again.wav")
    copied(folder, "s0/r1.wav", "s1/r7.wav")
    convert_small(folder, tmp_path / "out", "--all")
    rows = [row.tobytes()[:8000] for each in load_course(tmp_path / "out") for row in each.waveforms]
    assert len(rows) == len(set(rows)) == 23


# ---- labels ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", ["sp1 ", " sp1", "sp1\t", '"sp1 "'])
def test_labels_are_stripped(tmp_path, label):
    tree(tmp_path, ["a.wav", "b.wav"])
    (tmp_path / "utterances.csv").write_text(f"path,speaker\na.wav,sp1\nb.wav,{label}\n")
    assert set(listed(tmp_path)[0].values()) == {"sp1"}


def test_folders_are_speakers_by_stripped_and_composed_names(tmp_path):
    tree(tmp_path, ["sp1/a.wav", "sp1 /b.wav", unicodedata.normalize("NFD", "é/a.wav")])
    (tmp_path / "speakers.csv").write_text("speaker,gender\nsp1 ,F\né,m\n", encoding="utf-8")
    table = list_corpus(tmp_path).table
    assert dict(table[["speaker", "gender"]].to_numpy()) == {"sp1": "female", "é": "male"}


@pytest.mark.parametrize("label", ["NA", "nan", "null", "None", "007", "1e5"])
def test_labels_are_text(tmp_path, label):
    tree(tmp_path, ["a.wav", "b.wav"])
    (tmp_path / "utterances.csv").write_text(f"path,speaker\na.wav,{label}\nb.wav,7\n")
    (tmp_path / "speakers.csv").write_text(f"speaker,gender\n{label},f\n")
    table = list_corpus(tmp_path).table
    assert table["speaker"].tolist() == [label, "7"]
    assert table["gender"].tolist() == ["female", ""]


# ---- Common Voice ------------------------------------------------------------------------------------------


def common_voice(folder, tables):
    """A language of Common Voice: clips, and tables that list some of them by speaker."""
    tree(folder, [f"clips/cv_{number}.mp3" for number in range(8)])
    for name, numbers in tables.items():
        rows = [
            f'c{n // 2}\tcv_{n}.mp3\t"Say {n}\t{("female_feminine", "male", "male_masculine", "")[n // 2]}'
            for n in numbers
        ]
        (folder / name).write_text("\n".join(["client_id\tpath\tsentence\tgender", *rows, ""]))
    return folder


@pytest.mark.parametrize(
    ("tables", "count", "parts", "unlisted"),
    [
        ({"validated.tsv": range(8), "train.tsv": range(2), "other.tsv": ()}, 8, {""}, ""),
        ({"validated.tsv": range(6), "invalidated.tsv": (6, 7)}, 6, {""}, "not in validated.tsv"),
        (
            {"train.tsv": range(4), "dev.tsv": (4, 5), "test.tsv": (6, 7)},
            8,
            {"train", "dev", "test"},
            "",
        ),
        ({"other.tsv": range(6), "times.tsv": ()}, 6, {""}, "not in other.tsv"),
    ],
    ids=["validated", "validated and invalidated", "parts", "another table"],
)
def test_common_voice_as_it_comes(tmp_path, tables, count, parts, unlisted):
    folder = common_voice(tmp_path / "cv" / "de", tables)
    (folder / "clip_durations.tsv").write_text("clip\tduration[ms]\ncv_1.mp3\t17\n")
    for place in (folder, folder.parent):
        found = list_corpus(place)
        assert (found.layout, len(found.table), set(found.table["part"])) == ("common-voice", count, parts)
        assert all(found.files[path][0] > 0 for path in found.table["path"])
        assert found.table["sentence"].str.startswith('"Say').all()
        genders = dict(found.table[["speaker", "gender"]].to_numpy())
        assert genders == dict(
            zip([f"c{i}" for i in range(count // 2)], ("female", "male", "male", ""), strict=False)
        )
        assert set(found.left_out["reason"]) == {unlisted} - {""}
        assert len(found.left_out) == 8 - count


def test_a_table_of_common_voice_by_name(tmp_path):
    folder = common_voice(tmp_path, {"mine.tsv": range(4)})
    assert len(listed(folder / "mine.tsv")[0]) == 4


@pytest.mark.parametrize(
    ("lies", "row"),
    [("a/b.wav", "a\\b.wav"), (unicodedata.normalize("NFD", "é.wav"), "é.wav"), ("clips/b.wav", "b.wav")],
    ids=["backslashes", "decomposed", "in clips"],
)
def test_a_tables_paths_are_found(tmp_path, lies, row):
    tree(tmp_path, [lies])
    (tmp_path / "utterances.csv").write_text(f"\ufeffpath,speaker\n{row},anna\n", encoding="utf-8")
    assert listed(tmp_path) == ({lies: "anna"}, {})


# ---- folders that are no speakers --------------------------------------------------------------------------

TREES = {
    "train, val, test": ("{part}/{s}/{r}.wav", ("train", "val", "test")),
    "valid and eval": ("{part}/{s}/{r}.wav", ("train", "valid", "eval")),
    "parts of several names": ("{part}/{s}/{r}.wav", ("dev", "eval", "train-b")),
    "parts in capitals": ("{part}/{s}/{r}.wav", ("TRAIN", "Validation", "TEST")),
    "parts in wav": ("wav/{part}/{s}/{r}.wav", ("train", "dev", "test")),
    "wav in parts": ("{part}/wav/{s}/{r}.wav", ("train", "dev", "test")),
    "wav": ("wav/{s}/{r}.wav", ("",)),
    "data": ("data/{s}/{r}.flac", ("",)),
    "audio, clips": ("audio/clips/{s}/{r}.mp3", ("",)),
    "sessions": ("{part}/{s}/monday/{r}.wav", ("train", "test")),
    "a name like a part's": ("{s}/{r}.wav", ("",)),
}


@pytest.mark.parametrize(("path", "parts"), TREES.values(), ids=TREES)
def test_parts_are_no_speakers(tmp_path, path, parts):
    names = ("dev-anna", "wave", "trains") if path == "{s}/{r}.wav" else ("anna", "ben", "cleo")
    rows = [(part, f"{s}{part}", r) for part in parts for s in names for r in range(2)]
    folder = tree(tmp_path / "corpus", [path.format(part=part, s=s, r=r) for part, s, r in rows])
    found = list_corpus(folder)
    assert found.layout == "folders"
    assert set(found.table["speaker"]) == {speaker for _, speaker, _ in rows}
    assert set(found.table["part"]) == {part.lower() for part in parts}
    assert (len(found.table), len(found.left_out)) == (len(rows), 0)


@pytest.mark.parametrize("names", [("Val", "Dev", "Anna", "Ben"), ("Val", "Anna", "Ben")])
@pytest.mark.parametrize("path", ["{s}/{r}.wav", "{s}/session{r}/0.wav"])
def test_people_may_be_called_as_parts_are(tmp_path, names, path):
    folder = tree(tmp_path / "corpus", [path.format(s=s, r=r) for s in names for r in range(2)])
    found = list_corpus(folder).table
    assert set(found["speaker"]) == set(names)
    assert found.groupby("speaker").size().tolist() == [2] * len(names)


@pytest.mark.parametrize(
    ("other", "recordings"),
    [("clips/anna/0.wav", 2), ("flac/anna/0.flac", 1), ("wav/anna /0.wav", 2), ("wav/anna/0.flac", 1)],
)
def test_files_of_one_ending_are_different_recordings(tmp_path, other, recordings):
    found = list_corpus(tree(tmp_path / "corpus", ["wav/anna/0.wav", other, "wav/ben/0.wav"]))
    assert (found.table["speaker"] == "anna").sum() == recordings
    assert len(found.seconds) == 2 - recordings


def test_a_table_may_have_other_columns(tmp_path):
    tree(tmp_path, ["a.wav", "b.wav"])
    (tmp_path / "utterances.csv").write_text("path,label,speaker_id,of\na.wav,yes,sp1,x\nb.wav,no,sp2,y\n")
    assert listed(tmp_path)[0] == {"a.wav": "sp1", "b.wav": "sp2"}


def test_a_speaker_in_two_parts_has_the_recordings_of_both(tmp_path):
    folder = tree(tmp_path, [f"{part}/anna/{r}.wav" for part in ("train", "val") for r in range(2)])
    found = list_corpus(folder)
    assert (len(found.table), len(found.seconds)) == (4, 0)


@pytest.mark.parametrize(
    ("layout", "path", "speaker", "part"),
    [
        ("libritts", "test-clean/84/121/84_121_000007_000001.wav", "84", "test-clean"),
        ("aishell", "wav/test/S0764/BAC009S0764W0121.wav", "S0764", "test"),
        ("aishell", "data_aishell/wav/S0002/BAC009S0002W0122.wav", "S0002", ""),
        ("cn-celeb", "CN-Celeb_flac/data/id00010/singing-01-002.flac", "id00010", ""),
        ("cn-celeb", "data/id00800/live_broadcast-02-001.flac", "id00800", "test"),
        ("cn-celeb", "data/id10003/tv-02-001.wav", "id10003", ""),
    ],
)
def test_published_trees(tmp_path, layout, path, speaker, part):
    found = list_corpus(tree(tmp_path, [path]))
    assert found.layout == layout
    assert found.table[["speaker", "part"]].to_numpy().tolist() == [[speaker, part]]


@pytest.mark.parametrize("part", ["test", "eval", "Testing"])
def test_speakers_of_a_test_part_never_train(tmp_path, voices, part):
    folder = tmp_path / "corpus"
    for s in range(6):
        shutil.copytree(voices / f"s{s}", folder / (part if s < 3 else "train") / f"s{s}")
    for seed in "012":
        train, test, _ = convert_small(folder, tmp_path / seed, "--seed", seed)
        assert set(train["speaker"]) <= {"s3", "s4", "s5"}
        assert set(test["speaker"]) <= {"s0", "s1", "s2"}


def test_folders_with_an_underscore_are_no_speakers(tmp_path):
    paths = ["yes/a.wav", "no/a.wav", "_background_noise_/pink.wav", "_old/anna/a.wav"]
    speakers, reasons = listed(tree(tmp_path, paths))
    assert set(speakers.values()) == {"yes", "no"}
    assert reasons == dict.fromkeys(paths[2:], "in a folder with an underscore first, which is no speaker")


def test_what_was_taken_for_a_speaker_is_said(tmp_path, voices, capsys):
    flat = tree(tmp_path / "flat", ["train/a.wav", "test/b.wav", "wav/c.wav"])
    said = refusal(list_corpus, flat)
    assert "none in a layout that is known; not taken for speakers: test, train, wav; expected" in said
    shutil.copytree(voices, tmp_path / "outer" / "german")
    assert main([str(tmp_path / "outer"), "--out", str(tmp_path / "out"), *SMALL]) == 1
    assert "outer has 1 speakers, 1 of them" in (line := capsys.readouterr().err)
    assert "; taken for speakers: german; expected 4 for both files" in line
    convert_small(voices, tmp_path / "out")
    assert "trs: 4 utterances of 2 speakers (2 of unknown gender): s" in capsys.readouterr().out


# ---- messages ----------------------------------------------------------------------------------------------


def test_most_often_unusable_does_not_count_names(tmp_path):
    for s in range(4):
        for r in range(3):
            path = tmp_path / "bad" / f"s{s}" / f"{r}.wav"
            write(path, 0 * tone()) if r == 0 else path.write_bytes(b"nothing %d" % (3 * s + r))
    said = refusal(
        conversion.convert, tmp_path / "bad", tmp_path / "out", ConversionSettings(2, 2, 2), "", "", 1
    )
    assert "most often unusable: cannot be decoded (" in said


def test_a_long_path_leaves_the_reason(tmp_path):
    folder = tmp_path / ("long" * 40) / ("path" * 40)
    for s in range(4):
        for r in range(3):
            write(folder / f"s{s}" / f"{r}.wav", tone(3 * s + r))
    (folder / "s0" / "0.wav").write_bytes(b"nothing")
    reasons = dict(convert_small(folder, tmp_path / "out", "--all")[2][["path", "reason"]].to_numpy())
    assert reasons["s0/0.wav"].startswith("s0/0.wav cannot be decoded (")
    assert "long" not in reasons["s0/0.wav"]
    assert len(reasons["s0/0.wav"]) < 150


BROKEN = {
    "an archive": ("corpus.tar.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\3garbage", "cannot be read (no text in UTF-8"),
    "a program": ("corpus", b"\x7fELF\2\1\1\0\xff\xfe", "cannot be read (no text in UTF-8"),
    "UTF-16": ("list.csv", "path,speaker\na.wav,b\n".encode("utf-16"), "cannot be read (no text in UTF-8"),
    "an open quote": ("list.csv", b'path,speaker\n"a.wav,b\nc.wav,d\n', "cannot be read (EOF inside string"),
    "a pickle": ("trs.pkl", b"\x80\x04\x95\0\0", "cannot be read (no text in UTF-8"),
}


@pytest.mark.parametrize(("name", "content", "said"), BROKEN.values(), ids=BROKEN)
def test_a_file_that_is_no_table_is_refused_in_one_line(tmp_path, capsys, name, content, said):
    (tmp_path / name).write_bytes(content)
    assert main([str(tmp_path / name), "--out", str(tmp_path / "out"), *SMALL]) == 1
    line = capsys.readouterr().err
    assert line.startswith(f"{name} {said}")
    assert line.endswith("; expected a table with the columns path and speaker, a row per recording\n")
    assert line.count("\n") == 1


@pytest.mark.parametrize("name", ["iden_split.txt", "speakers.csv"])
def test_lists_in_utf16_are_refused_by_name(tmp_path, name):
    paths = {"iden_split.txt": "id10001/abc/00001.wav", "speakers.csv": "anna/one.wav"}
    tree(tmp_path, [paths[name]])
    (tmp_path / name).write_bytes("speaker,gender\n1 x\n".encode("utf-16"))
    assert refusal(list_corpus, tmp_path).startswith(
        f"{name} cannot be read (no text in UTF-8: byte 0 is 0xff)"
    )


def test_genders_in_utf16_and_latin1_are_read(tmp_path):
    tree(tmp_path, ["wav48/p225/p225_001.wav"])
    for encoding in ("utf-16", "latin-1", "utf-8-sig"):
        (tmp_path / "speaker-info.txt").write_bytes("225  23  F    Málaga\n".encode(encoding))
        assert list_corpus(tmp_path).table["gender"].tolist() == ["female"]


# ---- ~ -----------------------------------------------------------------------------------------------------


def test_a_tilde_is_the_home_folder(tmp_path, voices, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    shutil.copytree(voices, tmp_path / "x" / "voices")
    assert main(["~/x/voices", "--out", "~/x/out", *SMALL]) == 0
    assert course.course_folder("~/x/out") == tmp_path / "x" / "out"
    monkeypatch.setattr(course, "PROJECT", tmp_path / "x")
    monkeypatch.setattr(conversion, "ConversionSettings", partial(ConversionSettings, 2, 2, 2))
    monkeypatch.setattr(conversion, "_processors", lambda: 1)
    assert course.course_folder("~/x/voices").name.startswith("voices-")
    lines = [f"voices/s{s}/r{r}.wav,s{s},anna" for s in range(4) for r in range(2)]
    (tmp_path / "x" / "utterances.csv").write_text("\n".join(["path,speaker,word", *lines]))
    assert len(course.load_speech("~/x", test_speakers=0)[0].labels) == 8
    assert [len(each.labels) for each in course.load_words("~/x", test_speakers=2)] == [4, 4]
    assert "~/none has no trs.pkl and no tes.pkl" in refusal(course.course_folder, "~/none")
