"""What larger corpora cost: the measurement itself, on a corpus that is small."""

import sys

import pytest

from helpers import InputError, convert, training
from helpers.data import synthesis
from helpers.research import bench_growth
from helpers.research.bench_growth import main, measure_command


@pytest.mark.slow
def test_memory_and_time_are_those_of_the_command_and_its_workers():
    worker = "import time; held = bytearray(150 << 20); time.sleep(1)"
    begin = f"subprocess.run([sys.executable, '-c', {worker!r}])"
    found = measure_command(
        [sys.executable, "-c", f"import subprocess, sys; held = bytearray(60 << 20); {begin}"]
    )
    assert 60 < found["parent"] < 110
    assert 150 < found["worker"] < 200
    busy = "import time\nwhile time.process_time() < 1: pass"
    found = measure_command([sys.executable, "-c", busy])
    assert 1 <= found["seconds"] < 2
    assert found["worker"] == 0


def test_mapped_files_are_not_memory(tmp_path):
    path = tmp_path / "large"
    path.write_bytes(bytes(200 << 20))
    read = f"held = numpy.memmap({str(path)!r}, mode='r'); held.sum(); time.sleep(1)"
    assert measure_command([sys.executable, "-c", f"import numpy, time; {read}"])["parent"] < 100


def test_a_command_that_fails_is_reported():
    with pytest.raises(InputError, match=r"^ValueError: no$"):
        measure_command([sys.executable, "-c", "raise ValueError('no')"])
    with pytest.raises(InputError, match=r"^ended with status 3$"):
        measure_command([sys.executable, "-c", "raise SystemExit(3)"])


def invent_few(folder, utterances):
    for number, voice in enumerate(
        synthesis.draw_voices(utterances // bench_growth.EACH + bench_growth.TEST, seed=0)
    ):
        bench_growth.synthesise_speaker(folder, number, voice)


@pytest.mark.slow
def test_command_line(tmp_path, capsys, monkeypatch):
    assert main(["--out", str(tmp_path), "--sizes", "499"]) == 1
    assert capsys.readouterr().err == "499 utterances; expected 500 or more\n"
    learnt = []

    def here(command):
        module, arguments = command[2], command[3:]
        assert (bench_growth.main if module == "helpers.research.bench_growth" else convert.main)(
            arguments
        ) == 0
        return {"seconds": 1.0, "parent": 2.0, "worker": 3.0}

    monkeypatch.setattr(bench_growth, "EACH", 4)
    monkeypatch.setattr(bench_growth, "synthesise_corpus", invent_few)
    monkeypatch.setattr(bench_growth, "measure_command", here)
    monkeypatch.setattr(training, "train", lambda *arguments: learnt.append(arguments))
    assert main(["--out", str(tmp_path), "--sizes", "40", "--epochs", "3"]) == 0
    head, _, row = (tmp_path / "growth.md").read_text().strip().splitlines()
    assert head.count("|") == row.count("|") == 8
    assert row.startswith("| 40 | ")
    ((corpus, _, config),) = learnt
    assert (corpus.waveforms.shape, len(set(corpus.speakers)), config.epochs) == ((40, 16180), 10, 3)
    assert main(["--learn", str(tmp_path / "none")]) == 1
    assert "trs.pkl" in capsys.readouterr().err
