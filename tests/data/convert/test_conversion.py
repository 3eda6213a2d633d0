"""Corpora converted: from every layout to the course's files, with every recording accounted for."""

import contextlib
import io
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from trees import SMALL, convert_small, write_voices, PATHS, tone, write, write_corpus

from helpers import PROJECT, InputError
from helpers.batch import run as batch_run
from helpers.convert import main
from helpers.data import audio, course
from helpers.data.convert import conversion, workers
from helpers.data.convert.layouts import list_corpus
from helpers.data.convert.sampling import ConversionSettings
from helpers.data.corpora import load_course, load_utterances
from helpers.data.stored_features import load_features
from helpers.features import Spectrogram
from helpers.files import hold_folder


@pytest.fixture(scope="module")
def voices(tmp_path_factory):
    """A folder for each of six speakers, four recordings in each; three women first."""
    folder = write_voices(tmp_path_factory.mktemp("corpora") / "voices")
    lines = [f"s{s},{'fm'[s // 3]}" for s in range(6)]
    (folder / "speakers.csv").write_text("\n".join(["speaker,gender", *lines]))
    return folder


def contents(out):
    return {path.name: path.read_bytes() for path in out.iterdir()}


@pytest.mark.parametrize("layout", PATHS)
def test_every_layout_becomes_the_course_format(tmp_path, capsys, layout):
    folder, out = write_corpus(tmp_path / "corpus", layout), tmp_path / "out"
    train, test, left_out = convert_small(folder, out)
    said = capsys.readouterr().out
    assert f"corpus ({layout}) is in {out}" in said
    assert "trs: 4 utterances of 2 speakers" in said
    for found, table, samples in zip(load_course(out), (train, test), (16180, 22631), strict=True):
        assert found.name == "corpus"
        assert found.waveforms.shape == (4, samples)
        assert found.waveforms.dtype == np.float32
        assert found.speakers.tolist() == [0, 0, 1, 1]
        assert 0.3 < np.abs(found.waveforms).max() < 0.7
        genders = ["", ""] if layout == "cn-celeb" else ["female", "male"]
        assert sorted(table.drop_duplicates("speaker")["gender"]) == genders
    assert set(train["speaker"]).isdisjoint(test["speaker"])
    if layout in ("timit", "an4"):
        assert set(test["part"]) == {"test"}
        assert set(train["part"]) == {"train"}
    if layout in ("timit", "vctk-0.92"):  # what everybody says is taken last
        assert left_out["path"].str.contains("SA1|_02[34]_mic1").all()
    everything = list_corpus(folder).table["path"]
    assert sorted([*train["path"], *test["path"], *left_out["path"]]) == sorted(everything)
    assert (left_out["reason"] == "not needed: 2 others of its speaker are used").all()
    assert {"corpus.json", "trs.pkl", "tes.pkl", "trs.csv", "tes.csv", "left_out.csv"} == set(contents(out))


def test_what_is_of_no_use_is_replaced_and_named(tmp_path, voices):
    folder = tmp_path / "worse"
    for path in voices.glob("*/*.wav"):
        write(folder / path.relative_to(voices), tone(200 + len(list(folder.rglob("*.wav")))))
    (folder / "s0" / "r0.wav").write_bytes(b"RIFF")
    write(folder / "s0" / "r1.wav", 0 * tone())
    write(folder / "s1" / "r0.wav", tone(seconds=0.5))
    write(folder / "s1" / "r1.wav", np.sign(tone(seconds=2, silence=0)))
    write(folder / "s2" / "r0.wav", np.full(500, 0.5))
    for r in (0, 1, 2):
        (folder / "s3" / f"r{r}.wav").write_bytes(b"")
    for r in (1, 2, 3):
        (folder / "s4" / f"r{r}.wav").unlink()
    train, test, left_out = convert_small(folder, tmp_path / "out", "--all")
    assert [len(each.waveforms) for each in load_course(tmp_path / "out")] == [len(train), len(test)]
    reasons = dict(left_out[["path", "reason"]].to_numpy())
    for path, said in {
        "s0/r0.wav": "s0/r0.wav cannot be decoded (",
        "s0/r1.wav": "silent",
        "s1/r0.wav": "too short: 0.5",
        "s1/r1.wav": "clipped throughout",
        "s2/r0.wav": "too short: 500 samples",
        "s3/r0.wav": "s3/r0.wav cannot be decoded (",
        "s3/r3.wav": "its speaker has 1 usable recordings; expected 2",
        "s4/r0.wav": "its speaker has 1 recordings; expected 2",
    }.items():
        assert reasons.pop(path).startswith(said), path
    assert set(reasons) == {"s3/r1.wav", "s3/r2.wav"}
    assert set(train["speaker"]) | set(test["speaker"]) == {"s0", "s1", "s2", "s5"}
    message = refusal(folder, tmp_path / "more", "--train-speakers", "3")
    assert message.startswith(
        "worse has 6 speakers, 4 of them with 2 usable recordings or more, most often unus"
    )
    assert not (tmp_path / "more").exists()


def refusal(folder, out, *more):
    with contextlib.redirect_stderr(io.StringIO()) as said:
        assert main([str(folder), "--out", str(out), *SMALL, *more]) == 1
    assert said.getvalue().count("\n") == 1
    return said.getvalue()


def test_another_seed_draws_others(tmp_path, voices):
    first, again, other = (
        convert_small(voices, tmp_path / name, "--seed", name[0]) for name in ("1a", "1b", "2a")
    )
    assert all(one.equals(two) for one, two in zip(first, again, strict=True))
    assert not first[0].equals(other[0])


def test_a_finished_conversion_is_left_alone(tmp_path, voices, monkeypatch, capsys):
    out = tmp_path / "out"
    convert_small(voices, out)
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    with monkeypatch.context() as patch:
        patch.setattr(workers, "decode", None)
        convert_small(voices, out)
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before
    (out / "tes.csv").unlink()
    convert_small(voices, out)  # what is not whole is made anew
    assert set(before) == set(out.iterdir())
    changed = shutil.copytree(voices, tmp_path / "voices")
    write(changed / "s0" / "r4.wav", tone(24))
    assert sum(map(len, convert_small(changed, out))) == 25  # and what another corpus of that name gave, too
    convert_small(voices, out, "--seconds", "1.2", "1.3")
    assert load_course(out)[0].waveforms.shape == (4, 19200)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").touch()
    assert "mine holds something else; expected a new or empty folder" in refusal(voices, mine)
    assert "train_samples is 800; expected 1024" in refusal(voices, out, "--seconds", "0.05", "2")
    assert os.listdir(mine) == ["notes.txt"]
    assert not list(tmp_path.glob(".*"))


# ---- interrupted -------------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from helpers import convert
from helpers.data.convert import workers
decode, calls = workers.decode, []
def dying(*arguments):
    calls.append(1)
    if len(calls) == 8:
        os.kill(os.getpid(), signal.SIGKILL)
    return decode(*arguments)
workers.decode = dying
convert.main(sys.argv[1:])
"""


def counted(monkeypatch, stop=0):
    """Count what is decoded, and press Ctrl-C at the recording of this number."""
    calls, decode = [], audio.decode

    def counting(path, *more):
        calls.append(path)
        if len(calls) == stop:
            raise KeyboardInterrupt
        return decode(path, *more)

    monkeypatch.setattr(workers, "decode", counting)
    return calls


@pytest.mark.slow
def test_a_killed_conversion_goes_on(tmp_path, voices, monkeypatch):
    arguments = ["--features", "--npy"]
    convert_small(voices, tmp_path / "whole", *arguments)
    out = tmp_path / "out"
    command = [sys.executable, "-c", KILLED, str(voices), "--out", str(out), *SMALL, *arguments]
    killed = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not out.exists()
    part = tmp_path / ".out.part"
    with (part / "trs.npy").open("ab") as file:  # as a kill in the middle of a write leaves it
        file.write(b"half a row")
    with (part / "journal.jsonl").open("a") as file:
        file.write('["trs", "s')
    with monkeypatch.context() as patch:
        calls = counted(patch)
        convert_small(voices, out, *arguments)
        assert len(calls) == 2  # three speakers of four were done
    assert contents(out) == contents(tmp_path / "whole")
    assert not part.exists()


def test_ctrl_c_leaves_a_line_and_what_was_done(tmp_path, voices, monkeypatch, capsys):
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        counted(patch, stop=7)
        assert main([str(voices), "--out", str(out), *SMALL]) == 130
    assert capsys.readouterr().err == "convert: interrupted; the same command goes on from here\n"
    assert not out.exists()
    with monkeypatch.context() as patch:
        calls = counted(patch)
        convert_small(voices, out, "--seed", "3")  # other settings begin anew
        assert len(calls) == 8
    convert_small(voices, tmp_path / "whole", "--seed", "3")
    assert contents(out) == contents(tmp_path / "whole")


def test_one_conversion_at_a_time_and_full_disks(tmp_path, voices, monkeypatch):
    with hold_folder(tmp_path / ".out.part", "held"):
        assert "is being written by another conversion" in refusal(voices, tmp_path / "out")
    monkeypatch.setattr(workers.GrowingArray, "append", lambda *_: os.write(-1, b""))
    assert "could not be written (Bad file descriptor); expected a writable" in refusal(
        voices, tmp_path / "out"
    )


@pytest.mark.slow
def test_processes_side_by_side_write_the_same(tmp_path, voices):
    convert_small(voices, tmp_path / "one", "--all", "--features")
    convert_small(voices, tmp_path / "two", "--all", "--features", "--workers", "2")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def with_workers_killed(tmp_path):
    task = workers.Task("s", [], 2, 2000, (), str(tmp_path / "spool"))
    with workers.worker_pool(2) as run:
        for child in multiprocessing.active_children():
            child.kill()
        return list(run([task] * 3))


def test_a_worker_that_dies_is_reported(tmp_path):
    with pytest.raises(InputError, match="a worker process was ended from outside"):
        with_workers_killed(tmp_path)


# ---- larger than memory ------------------------------------------------------------------------------------


def test_arrays_are_mapped(tmp_path, voices):
    convert_small(voices, tmp_path / "pickles")
    convert_small(voices, tmp_path / "arrays", "--npy", "--features")
    spectrogram = Spectrogram()
    for ours, theirs in zip(load_course(tmp_path / "arrays"), load_course(tmp_path / "pickles"), strict=True):
        assert isinstance(ours.waveforms, np.memmap)
        assert not ours.waveforms.flags.writeable
        assert (ours.name, ours.speakers.tolist()) == (theirs.name, theirs.speakers.tolist())
        np.testing.assert_array_equal(ours.waveforms, theirs.waveforms)
        stored = load_features(ours, spectrogram)
        assert isinstance(stored.base, np.memmap)
        np.testing.assert_allclose(stored, spectrogram(ours.waveforms), atol=1e-5)
    assert load_features(load_course(tmp_path / "arrays")[0], Spectrogram(hop_length=256)) is None
    assert load_features(load_course(tmp_path / "pickles")[0], spectrogram) is None


def test_damaged_arrays_are_refused(tmp_path):
    rows = np.random.default_rng(0).uniform(-0.5, 0.5, (2500, 1100)).astype(np.float32)
    rows -= rows.mean(axis=1, keepdims=True)
    path = tmp_path / "trs.npy"
    np.save(path, rows)
    assert len(load_utterances(path, 10).waveforms) == 2500
    whole = path.read_bytes()
    nan, loud, silent = rows.copy(), rows.copy(), rows.copy()
    nan[2400, 3], loud[7, 0], silent[[1023, 1024]] = np.nan, 1.5, 0
    for content, said in (
        (whole[:-1], "cannot be read"),
        (b"", "cannot be read"),
        (b"PK\3\4", "cannot be read"),
        (nan, r"1 of 2500 rows not finite \(NaN or infinite\): 2400 \(counted"),
        (loud, "1 of 2500 rows beyond 1: 7"),
        (silent, r"2 of 2500 rows silent .*: 1023, 1024 \(counted"),
        (rows.astype(float), "holds an array of float64"),
        (rows[:, :500], "rows of 500 samples"),
        (rows[0], "holds an array of float32 and shape"),
        (np.array([{}] * 4, dtype=object), "cannot be read"),
    ):
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            np.save(path, content, allow_pickle=True)
        with pytest.raises(InputError, match=rf"^trs\.npy .*{said}.*; expected a 2-D array of float32"):
            load_utterances(path, 10)


# ---- the notebooks' parameter ------------------------------------------------------------------------------


def test_the_data_of_a_notebook_may_be_a_corpus(tmp_path, voices, monkeypatch):
    monkeypatch.setattr(course, "PROJECT", tmp_path)
    monkeypatch.setattr(conversion, "ConversionSettings", partial(ConversionSettings, 2, 2, 2))
    monkeypatch.setattr(conversion, "_processors", lambda: 1)
    folder = course.course_folder(voices)
    assert folder.parent == tmp_path / "data" / "converted"
    assert folder.name.startswith("voices-")
    assert [len(each.waveforms) for each in load_course(folder)] == [4, 4]
    monkeypatch.setattr(workers, "decode", None)
    assert course.course_folder(str(voices)) == folder
    monkeypatch.setenv("SIAMESE_VOICES_DATA", str(voices))
    assert course.course_folder() == folder
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        InputError, match=r"empty has no trs\.pkl and no tes\.pkl, and as a corpus .* holds 0 rec"
    ):
        course.course_folder(tmp_path / "empty")


def test_the_data_of_a_notebook_may_be_a_table(tmp_path, voices, monkeypatch):
    monkeypatch.setattr(course, "PROJECT", tmp_path)
    monkeypatch.setattr(conversion, "ConversionSettings", partial(ConversionSettings, 2, 2, 2))
    monkeypatch.setattr(conversion, "_processors", lambda: 1)
    shutil.copytree(voices, tmp_path / "voices")
    paths = sorted(path.relative_to(tmp_path) for path in (tmp_path / "voices").rglob("*.wav"))
    mine = [f"{path},{path.parts[1]}" for path in paths if path.parts[1] != "s0"]
    table = tmp_path / "some.csv"
    table.write_text("\n".join(["file,speaker_id", *mine]))
    folder = course.course_folder(str(table))
    assert folder.name.startswith("some-")
    assert "s0" not in set().union(*(each.table["speaker"] for each in load_course(folder)))
    before = batch_run.contents(str(table), "")
    write(tmp_path / "voices" / "s2" / "r1.wav", tone(99))
    assert batch_run.contents(str(table), "") != before
    after = batch_run.contents(str(table), "")
    table.write_text("\n".join(["file,speaker_id", *mine[:-1]]))
    assert batch_run.contents(str(table), "") != after


def test_a_batch_run_knows_every_recording(tmp_path, voices):
    copy = tmp_path / "voices"
    shutil.copytree(voices, copy)
    before = batch_run.contents(str(copy), "")
    assert before == batch_run.contents(str(copy), "")
    write(copy / "s2" / "r1.wav", tone(99))
    assert batch_run.contents(str(copy), "") != before
    convert_small(voices, copy / "made", "--npy")
    course = batch_run.contents(str(copy / "made"), "")
    (copy / "made" / "below").mkdir()
    (copy / "made" / "below" / "one.wav").touch()  # beside the course's own files it does not count
    assert batch_run.contents(str(copy / "made"), "") == course
    os.utime(copy / "made" / "tes.npy", (1, 1))
    assert batch_run.contents(str(copy / "made"), "") != course


def test_real_speech(real_speech, tmp_path):
    train, test, left_out = convert_small(real_speech / "speechocean762", tmp_path / "out")
    facts = json.loads((tmp_path / "out" / "corpus.json").read_text())
    assert (facts["name"], facts["layout"]) == ("speechocean762", "table")
    assert [each.waveforms.shape for each in load_course(tmp_path / "out")] == [(4, 16180), (4, 22631)]
    assert sorted(train.drop_duplicates("speaker")["gender"]) == ["female", "male"]
    assert len(train) + len(test) + len(left_out) == 1500
