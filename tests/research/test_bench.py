"""A bench: what is measured, its tables, what is measured again, and what happens when a process fails."""

import inspect
import json
import os
import pickle
import signal
import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from samples import voices
from test_training import SEVERAL

from helpers import PROJECT, InputError, bootstrap, features, metrics, pairs, training
from helpers.batches import TrainingConfig
from helpers.ensemble import members
from helpers.files import file_digest
from helpers.research import baselines, bench

TRAINING, TEST = voices(8, 6, 2560), voices(4, 7, 3072, seed=1)


# ---- tables


def run(system, seed, **changes):
    made = {
        "system": system,
        "seed": seed,
        "accuracy": 0.9,
        "eer": 0.1,
        "eer_enrol5": 0.05,
        "train_seconds": 10.0,
        "peak_mb": 1234.4,
        "parameters": 91_906,
    }
    return made | changes


PUBLISHED = [
    run("published_recipe", 0, accuracy=0.7, eer=0.3, train_seconds=200.0),
    run("published_recipe", 1, accuracy=0.6, eer=0.4, train_seconds=100.0),
]
del PUBLISHED[1]["eer_enrol5"]  # speakers of five utterances
OURS = [
    run("siamese_gru", 0, final_seconds=4.0),
    run("siamese_gru", 1, accuracy=0.8, train_seconds=20.0, final_seconds=7.0),
]
GROWN = [
    {"utterances": 5000, "seconds": 10.0, "peak_mb": 801.0},
    {"utterances": 500, "seconds": 1.0, "peak_mb": 800.0},
]
CONDITIONS = {
    "corpus": {"name": "chords", "files": {}},
    "machine": {"cpus": 2, "processor": "x86_64", "device": "CPU", "backend": "tensorflow"},
}


def test_ratios_are_taken_seed_by_seed():
    found = bench.ratios(OURS + PUBLISHED[::-1] + [run("siamese_gru", 2), run("mfcc_lda", 0)], "siamese_gru")
    assert found[0] == pytest.approx([10 / 200, 4 / 200, 0.1 / 0.3, 0.1 / 0.3])
    assert found[1] == pytest.approx([20 / 100, 7 / 100, 0.2 / 0.4, 0.1 / 0.4])
    assert len(found) == 2


def test_a_ratio_that_does_not_exist_is_none():
    perfect = run("published_recipe", 0, accuracy=1.0, eer=0.0)
    assert bench.ratios([OURS[0], perfect], "siamese_gru") == [[1.0, 0.4, None, None]]
    assert bench.ratios([OURS[0], perfect], "ensemble") == []
    assert bench.ratios(OURS, "siamese_gru") == []


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([0.5, 0.7], "0.60 s (0.50 to 0.70)"),
        ([0.5], "0.50 s"),
        ([0.501, 0.502], "0.50 s"),
        ([None, 0.5, 0.7], "0.60 s (0.50 to 0.70), 2 of 3"),
        ([None, 0.5], "0.50 s, 1 of 2"),
        ([None, None], "-"),
        ([], "-"),
    ],
)
def test_spread(values, text):
    assert bench.format_spread(values, ".2f", " s") == text


def test_systems_table():
    assert bench.systems_table(OURS + PUBLISHED) == (
        "| system | accuracy | EER | EER, 5 enrolled | training | without held-out folds "
        "| peak memory | parameters |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- |\n"
        "| Siamese GRU | 85.0 % (80.0 to 90.0) | 10.0 % | 5.0 % | 15.0 s (10.0 to 20.0) | 5.5 s (4.0 to 7.0) "
        "| 1,234 MB | 91,906 |\n"
        "| published recipe | 65.0 % (60.0 to 70.0) | 35.0 % (30.0 to 40.0) | 5.0 %, 1 of 2 "
        "| 150.0 s (100.0 to 200.0) | - | 1,234 MB | 91,906 |"
    )


def test_ratios_table():
    head = (
        "| over the published recipe | training | without held-out folds | 1 - accuracy | EER |\n"
        "| --- | --- | --- | --- | --- |"
    )
    ours = (
        "\n| Siamese GRU | 0.125 (0.050 to 0.200) | 0.045 (0.020 to 0.070) | 0.417 (0.333 to 0.500) "
        "| 0.292 (0.250 to 0.333) |"
    )
    several = [run("ensemble", 1, accuracy=1.0, train_seconds=50.0, final_seconds=10.0)]
    assert bench.ratios_table(PUBLISHED) == head
    assert bench.ratios_table(OURS + PUBLISHED) == head + ours
    assert bench.ratios_table(several + OURS + PUBLISHED) == (
        head + ours + "\n| ensemble | 0.500 | 0.100 | 0.000 | 0.250 |"
    )


def test_report_says_where_and_what():
    text = bench.report(OURS + GROWN + PUBLISHED, CONDITIONS, ["system mfcc_lda, seed 0: no luck"])
    assert "Corpus: chords. Machine: cpus 2, processor x86_64, device CPU, backend tensorflow." in text
    assert "seeds 0, 1." in text
    assert bench.systems_table(OURS + PUBLISHED) in text
    assert bench.ratios_table(OURS + PUBLISHED) in text
    assert text.endswith("Not measured: system mfcc_lda, seed 0: no luck\n")
    growth = text[text.index("| utterances embedded") :].splitlines()[2:4]
    assert growth == ["| 500 | 2.00 ms | 800 MB |", "| 5,000 | 2.00 ms | 801 MB |"]
    assert "utterances embedded" not in bench.report(OURS, CONDITIONS, [])


# ---- what is measured


@pytest.fixture
def hours(monkeypatch):
    """A clock in place of the computer's: a list of one number, to be moved by hand."""
    hours = [100.0]
    monkeypatch.setattr(bench.time, "perf_counter", lambda: hours[0])
    return hours


class Knower:
    """A verifier that knows the test speakers by heart, and takes its time to say so."""

    threshold = 0.7

    def __init__(self, hours):
        self.hours, self.facts = hours, {"final_seconds": 9.0, "parameters": 12, "train_seconds": 25.0}

    def embed(self, waveforms):
        assert waveforms is TEST.waveforms
        self.hours[0] += 100
        return np.eye(10)[TEST.speakers]

    scores = staticmethod(metrics.cosine_scores)

    def enrolled_scores(self, embeddings, trials):
        return -metrics.enrolled_scores(embeddings, trials)  # the wrong way round, to be recognised


def test_the_training_is_timed_and_nothing_else(monkeypatch, hours, tmp_path):
    """Loading comes before the clock, the test after it; the threshold is the one that training has fixed."""
    given = []

    def load(folder):
        hours[0] += 10_000
        return TRAINING, TEST

    def train(*arguments):
        given.extend(arguments)
        hours[0] += 30
        return Knower(hours), None

    monkeypatch.setattr(bench.corpora, "load_course", load)
    monkeypatch.setattr(training, "train", train)
    row = bench.run_verifier("anywhere", tmp_path, 7, hooks="hooks", held_out_folds=2)
    assert given == [TRAINING, features.Spectrogram(), TrainingConfig(seed=7, held_out_folds=2), "hooks"]
    figures = ("train_seconds", "final_seconds", "parameters", "accuracy", "eer", "eer_enrol5", "threshold")
    assert [row[name] for name in figures] == [30, 9, 12, 1, 0, 1, 0.7]


def test_the_systems_are_those_of_the_notebooks_and_the_baselines(monkeypatch):
    given = []

    def program(name):
        return lambda folder, out, seed, **more: (
            given.append((name, folder, os.listdir(out), seed, more)) or {}
        )

    monkeypatch.setattr(bench, "run_verifier", program("ours"))
    for name in baselines.SYSTEMS:
        monkeypatch.setitem(baselines.SYSTEMS, name, program(name))
    for system in bench.SYSTEMS:
        assert bench.measure({"system": system, "seed": 7}, "there")["peak_mb"] > 1
    whole = tuple(members.MEMBERS.values()), tuple(members.STATISTICS.values())
    hooks = training.TrainingHooks(*whole, plda=True)
    assert given == [
        ("ours", "there", [], 7, {}),
        ("ours", "there", [], 7, {"hooks": hooks, "held_out_folds": 2}),
        ("published_recipe", "there", [], 7, {}),
        ("mfcc_lda", "there", [], 7, {}),
    ]


@pytest.mark.slow
def test_a_verifier_is_tested_as_it_was_trained(monkeypatch, tmp_path):
    made, train = [], training.train

    def watched(*given):
        made.append(train(*given))
        return made[0]

    monkeypatch.setattr(bench.corpora, "load_course", lambda _: (TRAINING, TEST))
    monkeypatch.setattr(training, "train", watched)
    row = bench.run_verifier("anywhere", tmp_path, 3, SEVERAL, epochs=1, folds=2, batch_speakers=4)
    ((verifier, _),) = made
    embeddings, trials = verifier.embed(TEST.waveforms), pairs.enrolments(TEST.speakers, 5)
    enrolled = verifier.enrolled_scores(embeddings, trials)
    whole = bootstrap.evaluate(verifier.scores(embeddings), TEST.speakers, verifier.threshold, draws=2)
    assert [row[name] for name in ("accuracy", "eer")] == [whole[name] for name in ("accuracy", "eer")]
    assert row["eer_enrol5"] == metrics.equal_error(enrolled, trials.label)[0]
    assert (row["threshold"], row["parameters"]) == (verifier.threshold, verifier.facts["parameters"])
    assert 0 < row["final_seconds"] < row["train_seconds"]


def test_utterances_are_those_of_the_corpus_and_the_model_is_the_course_s(monkeypatch):
    monkeypatch.setattr(bench.corpora, "load_course", lambda folder: (TRAINING, TEST))
    monkeypatch.setattr("helpers.verifier.load_verifier", lambda path: ("loaded", path))
    monkeypatch.setattr(bench, "embed_many", lambda *given: {"given": given})
    found = bench.measure({"utterances": 9}, "there")
    assert found["peak_mb"] > 1
    size, verifier, clips = found["given"]
    assert (size, verifier) == (9, ("loaded", bench.MODEL))
    assert clips is TRAINING.waveforms
    assert bench.MODEL.is_file()


class Listener:
    """A verifier that takes down what it is given, and takes its time."""

    def __init__(self, hours):
        self.hours, self.chunks = hours, []

    def embed(self, waveforms):
        self.chunks.append(waveforms)
        self.hours[0] += 1
        return np.ones((len(waveforms), 3))


@pytest.mark.parametrize("size", [500, 1200])
def test_utterances_are_embedded_chunk_by_chunk(hours, size):
    listener = Listener(hours)
    clips = TRAINING.waveforms[:20].copy()
    clips[0] = 0
    found = bench.embed_many(size, listener, clips)
    first, *chunks = listener.chunks
    assert len(first) == bench.CHUNK == 500
    assert [len(chunk) for chunk in chunks] == [500] * (size // 500) + [size % 500] * (size % 500 > 0)
    assert found == {"utterances": size, "seconds": len(chunks)}
    for chunk in chunks:
        assert chunk.dtype == np.float32
        assert np.abs(chunk).max() <= 1
    rows = np.concatenate(chunks)
    assert len(np.unique(rows, axis=0)) == size
    heard = [np.corrcoef(np.abs(np.fft.rfft([rows[i], clips[i % 20]])))[0, 1] for i in range(97, size, 97)]
    assert min(heard) > 0.9  # shifted and in noise, but the clip it is made of
    assert np.allclose(rows[::20].std(axis=1), 1e-3, rtol=0.1)  # the noise, heard in silence


# ---- memory, code, machine


@pytest.mark.slow
def test_peak_memory_is_the_process_s_own():
    """A process that a larger one starts has its own peak, and keeps it when the memory is free again."""
    held = np.ones(60_000_000)  # 480 MB
    script = "\n".join(
        [
            "import psutil",
            "import numpy as np",
            "from pathlib import Path",
            inspect.getsource(bench.peak_memory),
            "before = peak_memory()",
            "np.ones(25_000_000)",
            "print(before, peak_memory())",
        ]
    )
    printed = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    before, after = map(float, printed.split())
    assert bench.peak_memory() > held.nbytes / 1e6
    assert before < 400
    assert 150 < after - before < 250


@pytest.mark.parametrize(
    ("memory", "megabytes"),
    [(SimpleNamespace(rss=3e6), 3), (SimpleNamespace(rss=3e6, peak_wset=5e6), 5)],
    ids=["macOS", "Windows"],
)
def test_peak_memory_where_there_is_no_proc(monkeypatch, tmp_path, memory, megabytes):
    monkeypatch.setattr(bench, "Path", lambda path: tmp_path / "none")
    process = SimpleNamespace(memory_info=lambda: memory)
    monkeypatch.setattr(bench.psutil, "Process", lambda: process)
    assert bench.peak_memory() == megabytes


def test_code_is_what_a_measurement_depends_on():
    found = bench.code_of({"system": "mfcc_lda", "seed": 0})
    common = {
        "helpers/__init__.py",
        "helpers/metrics.py",
        "helpers/data/corpora.py",
        "helpers/research/bench.py",
    }
    assert common | {"helpers/systems/mfcc_lda.py", "helpers/research/baselines.py"} <= set(found)
    assert found["helpers/metrics.py"] == file_digest(metrics.__file__)
    learnt = ("helpers/training.py", "helpers/ensemble/members.py", "helpers/features.py")
    recipe = "helpers/systems/published_recipe.py"
    assert not {recipe, "helpers/training.py", "helpers/data/course.py"} & set(found)
    assert {*common, recipe} <= set(bench.code_of({"system": "published_recipe", "seed": 0}))
    for system in ("siamese_gru", "ensemble"):
        assert {*common, *learnt} <= set(bench.code_of({"system": system, "seed": 0}))
    grown = bench.code_of({"utterances": 500})
    assert {*common, *learnt, "notebooks/models/siamese_gru.keras"} <= set(grown)


@pytest.mark.backend
def test_the_machine_is_described_without_its_name():
    found = bench.machine_facts()
    assert found["backend"] == keras.backend.backend()
    assert found["keras"] == keras.__version__
    assert found[found["backend"]].count(".") >= 1
    assert found["cpus"] >= 1
    assert isinstance(found["device"], str)
    assert bench.platform.node() not in json.dumps(found).replace(found["processor"], "")


@pytest.mark.parametrize(
    ("name", "framework", "expected"),
    [
        ("torch", {"cuda": SimpleNamespace(is_available=lambda: False)}, "CPU"),
        ("torch", {"cuda": SimpleNamespace(is_available=lambda: True, get_device_name=lambda: "H1")}, "H1"),
        ("jax", {"devices": lambda: [SimpleNamespace(platform="cpu", device_kind="cpu")]}, "CPU"),
        ("jax", {"devices": lambda: [SimpleNamespace(platform="gpu", device_kind="H2")]}, "H2"),
        ("tensorflow", [], "CPU"),
        ("tensorflow", ["first", "second"], "H3 first"),
    ],
)
def test_the_device_is_the_backend_s(monkeypatch, name, framework, expected):
    if isinstance(framework, list):
        details = SimpleNamespace(get_device_details=lambda found: {"device_name": f"H3 {found}"})
        listed = {"GPU": framework}.__getitem__
        framework = {"config": SimpleNamespace(list_physical_devices=listed, experimental=details)}
    monkeypatch.setattr(bench, "import_module", {name: SimpleNamespace(**framework)}.__getitem__)
    assert bench.device_name(name) == expected


# ---- processes


@pytest.mark.slow
def test_each_function_has_a_process_of_its_own():
    assert len({os.getpid(), bench.run_apart(os.getpid), bench.run_apart(os.getpid)}) == 3
    with pytest.raises(FileNotFoundError, match="nowhere"):
        bench.run_apart(os.listdir, "/nowhere")
    with pytest.raises(BrokenProcessPool):
        bench.run_apart(signal.raise_signal, signal.SIGTERM)


@pytest.mark.slow
def test_a_real_process_measures(folder):
    """The floor, which takes seconds, from waveforms to figures."""
    found = bench.run_apart(bench.measure, {"system": "mfcc_lda", "seed": 1}, folder)
    assert (found["seed"], found["parameters"]) == (1, 80 * 5)
    assert 0 <= found["eer_enrol5"] <= 1
    assert 50 < found["peak_mb"] < 2000


def test_an_error_comes_out_of_a_process_as_it_was():
    error = InputError("is missing", file="trs.pkl", expected="two files")
    assert str(pickle.loads(pickle.dumps(error))) == "trs.pkl is missing; expected two files"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two files with noise in a few colours."""
    folder, rng = tmp_path_factory.mktemp("corpus"), np.random.default_rng(0)
    for name, speakers in (("trs", 4), ("tes", 3)):
        rows = []
        for _ in range(speakers):
            gain = np.exp(np.interp(np.arange(1025), np.linspace(0, 1024, 8), rng.normal(0, 1, 8)))
            rows += [np.fft.irfft(gain * np.fft.rfft(rng.normal(0, 0.1, 2048))) for _ in range(10)]
        with (folder / f"{name}.pkl").open("wb") as file:
            pickle.dump(np.clip(rows, -1, 1).astype(np.float32), file)
    return folder


class Fake:
    """Processes that make their figures up and take down what they were asked for."""

    def __init__(self):
        self.tasks, self.broken = [], {}
        self.machine, self.code = {"cpus": 2, "device": "CPU"}, {"metrics.py": "1"}

    def run_apart(self, function, *arguments):
        if function is bench.machine_facts:
            return dict(self.machine)
        assert function is bench.measure
        task, _ = arguments
        self.tasks.append(task)
        if error := self.broken.get(task.get("utterances", (task.get("system"), task.get("seed")))):
            raise error
        if "utterances" in task:
            return {"utterances": task["utterances"], "seconds": 2.0, "peak_mb": 100.0}
        return run(task["system"], task["seed"]) | {"corpus": "chords"}

    def asked(self):
        """What was asked for since the last time."""
        tasks, self.tasks = self.tasks, []
        return tasks


@pytest.fixture
def fake(monkeypatch):
    fake = Fake()
    monkeypatch.setattr(bench, "run_apart", fake.run_apart)
    monkeypatch.setattr(bench, "code_of", lambda task: {task.get("system", "growth"): "1"} | fake.code)
    return fake


RUNS = [{"system": system, "seed": seed} for seed in (0, 1) for system in bench.SYSTEMS]
GROWTH = [{"utterances": size} for size in (500, 5_000, 50_000)]


def command(folder, out, *more):
    return bench.main(["--data", str(folder), "--out", str(out), "--repeats", "2", *more])


def records(out):
    return json.loads((out / "bench.json").read_text())


def test_from_the_command_line_to_the_tables(fake, folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert command(folder, out, "--growth") == 0
    assert fake.asked() == RUNS + GROWTH
    found = records(out)
    for record, task in zip(found, RUNS + GROWTH, strict=True):
        assert task.items() <= record.items()
        assert record["machine"] == {"cpus": 2, "device": "CPU"}
        assert record["code"] == {task.get("system", "growth"): "1", "metrics.py": "1"}
        files = {name: file_digest(folder / name) for name in ("trs.pkl", "tes.pkl")}
        assert record["corpus"]["files"] == files
    said, text = capsys.readouterr().out, (out / "bench.md").read_text()
    assert text == bench.report(found, {name: found[0][name] for name in ("corpus", "machine")}, [])
    assert "system siamese_gru, seed 0: measured\n" in said
    assert text in said
    written = (out / "bench.json").read_text() + text
    assert not [path for path in (tmp_path, folder, PROJECT) if str(path) in written]


def test_what_is_there_is_not_measured_again(fake, folder, tmp_path):
    assert command(folder, tmp_path) == 0
    assert fake.asked() == RUNS
    assert command(folder, tmp_path, "--growth") == 0
    assert fake.asked() == GROWTH
    assert command(folder, tmp_path, "--growth") == 0
    assert fake.asked() == []
    assert command(folder, tmp_path, "--repeats", "3") == 0
    assert fake.asked() == [{"system": system, "seed": 2} for system in bench.SYSTEMS]
    assert len(records(tmp_path)) == 12 + len(GROWTH)


@pytest.mark.parametrize("change", ["code", "one code", "machine", "corpus"])
def test_what_has_changed_is_measured_again(fake, folder, tmp_path, change):
    """What was measured before stays in the file, and is out of the tables."""
    assert command(folder, tmp_path) == 0
    before = records(tmp_path)
    if change == "code":
        fake.code["metrics.py"] = "another"
    elif change == "one code":
        before[2]["code"]["metrics.py"] = "another"
        (tmp_path / "bench.json").write_text(json.dumps(before))
    elif change == "machine":
        fake.machine["device"] = "a GPU"
    else:
        rows = pickle.loads((folder / "tes.pkl").read_bytes())
        other = tmp_path / "other"
        other.mkdir()
        (other / "tes.pkl").write_bytes(pickle.dumps(rows[::-1]))
        (other / "trs.pkl").write_bytes((folder / "trs.pkl").read_bytes())
        folder = other
    fake.asked()
    assert command(folder, tmp_path) == 0
    again = RUNS[2:3] if change == "one code" else RUNS
    assert fake.asked() == again
    found = records(tmp_path)
    assert found[:8] == before
    assert [each["system"] for each in found[8:]] == [task["system"] for task in again]
    assert ("a GPU" in (tmp_path / "bench.md").read_text()) == (change == "machine")
    assert " of " not in (tmp_path / "bench.md").read_text().split("| system |")[1]  # two runs a system


def test_a_failure_is_reported_and_the_rest_is_kept(fake, folder, tmp_path, capsys):
    fake.broken = {("published_recipe", 1): ValueError("no luck\n  at all"), 5_000: BrokenProcessPool("gone")}
    assert command(folder, tmp_path, "--growth") == 1
    assert fake.asked() == RUNS + GROWTH
    lines = [
        "system published_recipe, seed 1: ValueError: no luck",
        "utterances 5000: BrokenProcessPool: gone",
    ]
    assert capsys.readouterr().err.splitlines() == lines
    assert len(records(tmp_path)) == 9
    assert all(f"Not measured: {line}\n" in (tmp_path / "bench.md").read_text() for line in lines)
    fake.broken = {}
    assert command(folder, tmp_path, "--growth") == 0
    assert fake.asked() == [{"system": "published_recipe", "seed": 1}, {"utterances": 5_000}]
    assert "Not measured" not in (tmp_path / "bench.md").read_text()


def test_a_bench_that_is_interrupted_keeps_what_it_has(fake, folder, tmp_path):
    fake.broken = {("published_recipe", 0): KeyboardInterrupt()}
    assert command(folder, tmp_path) == 130
    fake.asked()
    fake.broken = {}
    assert command(folder, tmp_path) == 0
    assert fake.asked() == RUNS[2:]


@pytest.mark.parametrize("text", ["no JSON", "3", "[3]", '{"runs": 3}', '["text"]'])
def test_a_file_that_is_no_result_is_left_alone(fake, folder, tmp_path, capsys, text):
    (tmp_path / "bench.json").write_text(text)
    assert command(folder, tmp_path) == 1
    error = capsys.readouterr().err
    assert error.startswith("bench.json is not an earlier result (")
    assert error.count("\n") == 1
    assert (tmp_path / "bench.json").read_text() == text
    assert fake.asked() == []


@pytest.mark.parametrize(
    ("more", "line"), [(["--repeats", "0"], "0 repetitions"), (["--data", "/no"], "trs.pkl")]
)
def test_bad_input_is_one_line(fake, folder, tmp_path, capsys, more, line):
    assert command(folder, tmp_path / "out", *more) == 1
    error = capsys.readouterr().err
    assert line in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
