"""One measurement: the clock, the curve, the figures, the memory, and what each system does with ticks."""

from functools import partial
import json
import subprocess
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from samples import voices

from helpers import PROJECT, InputError, batches, bootstrap, metrics, pairs, training
from helpers.features import Spectrogram
from helpers.files import file_digest
from helpers.research import bench, bench_worker
from helpers.systems import mfcc_lda, published_recipe

SMALL = {"epochs": 2, "folds": 2, "encoders": 1, "batch_speakers": 4}
TRAINING, TEST = voices(8, 6, 2560), voices(4, 7, 3072, seed=1)


# ---- the clock and the curve


@pytest.fixture
def hours(monkeypatch):
    """A clock in place of the computer's: a list of one number, to be moved by hand."""
    hours = [100.0]
    monkeypatch.setattr(bench_worker.time, "perf_counter", lambda: hours[0])
    return hours


def identities(speakers, right=True):
    """A system that knows who speaks, or has it the wrong way round."""
    same = speakers[:, None] == speakers
    return bench_worker.Tested((same if right else ~same).astype(float), 0.5)


def test_the_clock_stands_still_during_tests(hours):
    clock = bench_worker.Clock(TEST)

    def test(waveforms):
        assert waveforms is TEST.waveforms
        hours[0] += 1000
        return identities(TEST.speakers)

    hours[0] += 3
    clock.tick(test)
    hours[0] += 4
    assert clock.seconds() == 7
    clock.tick(test)
    hours[0] += 5
    assert clock.seconds() == 12
    assert clock.curve == [[3, 1.0], [7, 1.0]]


def test_a_tick_soon_after_the_last_is_passed_over(hours):
    clock, tests = bench_worker.Clock(TEST), []
    for _ in range(70):
        hours[0] += 1
        clock.tick(lambda waveforms: tests.append(hours[0]) or identities(TEST.speakers))
    seconds = [point[0] for point in clock.curve]
    assert len(tests) == len(seconds)
    assert seconds[:20] == list(range(1, 21))  # each is more than 5 % later
    later = np.array(seconds[20:])
    assert (later[1:] >= 1.05 * later[:-1]).all()
    assert (later[1:] < 1.05 * later[:-1] + 1).all()


def test_the_curve_is_the_balanced_accuracy_at_the_threshold(hours):
    clock = bench_worker.Clock(TEST)
    for tested in (
        identities(TEST.speakers),
        identities(TEST.speakers, right=False),
        identities(TEST.speakers)._replace(threshold=2.0),
    ):
        hours[0] += 10
        clock.tick(lambda waveforms, tested=tested: tested)
    assert [point[1] for point in clock.curve] == [1.0, 0.0, 0.5]


# ---- figures


def test_figures_are_those_of_metrics():
    rng = np.random.default_rng(0)
    spread = np.repeat([0.2, 1, 1.5, 3], 7)[:, None]  # so that a mean of scores is not the score of a mean
    embeddings = rng.normal(size=(28, 8)) * spread + np.repeat(rng.normal(size=(4, 8)), 7, axis=0)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    scores = metrics.cosine_scores(embeddings)
    found = bench_worker.test_results(
        bench_worker.Tested(scores, 0.3, partial(metrics.enrolled_scores, embeddings)), TEST.speakers
    )
    whole = bootstrap.evaluate(scores, TEST.speakers, 0.3, draws=2)
    assert (found["accuracy"], found["eer"]) == (whole["accuracy"], whole["eer"])
    trials = pairs.enrolments(TEST.speakers, 5)
    five = metrics.equal_error(metrics.enrolled_scores(embeddings, trials), trials.label)[0]
    assert found["eer_enrol5"] == five


def test_a_system_without_embeddings_enrols_by_the_mean_of_its_scores():
    """As the published recipe's own row has it; scores are not symmetric, and the left one is enrolled."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(28, 28)) + (TEST.speakers[:, None] == TEST.speakers)
    trials = pairs.enrolments(TEST.speakers, 5)
    means = [scores[list(some), one].mean() for some, one in zip(trials.enrolled, trials.test, strict=True)]
    found = bench_worker.test_results(bench_worker.Tested(scores, 0.5), TEST.speakers)["eer_enrol5"]
    assert found == pytest.approx(metrics.equal_error(means, trials.label)[0])


def test_speakers_with_five_utterances_have_none_left_to_enrol():
    speakers = np.repeat([3, 8], 5)
    assert bench_worker.test_results(identities(speakers), speakers) == {
        "accuracy": 1.0,
        "eer": 0.0,
        "eer_enrol5": None,
    }


# ---- memory, code, machine


@pytest.mark.slow
def test_peak_memory_is_the_process_s_own():
    """A process that a larger one starts has its own peak, and keeps it when the memory is free again."""
    held = np.ones(60_000_000)  # 480 MB
    script = "; ".join(
        [
            "import numpy as np",
            "from helpers.research.bench_worker import peak_memory as peak",
            "before = peak()",
            "np.ones(25_000_000)",
            "print(before, peak())",
        ]
    )
    printed = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    before, after = map(float, printed.split())
    assert bench_worker.peak_memory() > held.nbytes / 1e6
    assert before < 400
    assert 150 < after - before < 250


@pytest.mark.parametrize(
    ("memory", "megabytes"),
    [(SimpleNamespace(rss=3e6), 3), (SimpleNamespace(rss=3e6, peak_wset=5e6), 5)],
    ids=["macOS", "Windows"],
)
def test_peak_memory_where_there_is_no_proc(monkeypatch, tmp_path, memory, megabytes):
    monkeypatch.setattr(bench_worker, "Path", lambda path: tmp_path / "none")
    process = SimpleNamespace(memory_info=lambda: memory)
    monkeypatch.setattr(bench_worker.psutil, "Process", lambda: process)
    assert bench_worker.peak_memory() == megabytes


def test_code_is_what_was_loaded():
    found = bench_worker.loaded_code()
    assert {"research/bench_worker.py", "metrics.py", "__init__.py"} <= set(found)
    assert all((PROJECT / "helpers" / name).is_file() for name in found)
    assert found["research/bench_worker.py"] == file_digest(bench_worker.__file__)
    assert len(set(found.values())) == len(found)
    script = "from helpers.research import bench_worker; print(*bench_worker.loaded_code())"
    bare = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert not {
        "systems/mfcc_lda.py",
        "training.py",
        "systems/published_recipe.py",
        "research/bench.py",
    } & set(bare.split())


@pytest.mark.backend
def test_the_machine_is_described_without_its_name():
    found = bench_worker.machine_facts()
    assert found["backend"] == keras.backend.backend()
    assert found["keras"] == keras.__version__
    assert found[found["backend"]].count(".") >= 1
    assert found["cpus"] >= 1
    assert isinstance(found["device"], str)
    assert bench_worker.platform.node() not in json.dumps(found).replace(found["processor"], "")


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
    monkeypatch.setattr(keras.backend, "backend", lambda: name)
    fake = SimpleNamespace(__name__=name, **framework)
    monkeypatch.setattr(bench_worker, "import_module", {name: fake}.__getitem__)
    assert bench_worker.device_name() == expected


# ---- the systems


def test_every_system_of_the_tables_can_be_measured():
    assert set(bench_worker.SYSTEMS) == set(bench.NAMES)


@pytest.mark.slow
def test_ours_is_the_training_that_nobody_watches():
    """Ticks come after each epoch, with a threshold from the training speakers; they change nothing."""
    seen = []

    def tick(test):
        seen.append(test(TEST.waveforms))

    show_progress = bench_worker.train_siamese_gru(TRAINING, 3, tick, **SMALL)
    assert len(seen) == SMALL["epochs"]
    assert all(np.allclose(tested.scores, tested.scores.T, atol=1e-4) for tested in seen)
    assert np.abs(seen[0].scores - seen[1].scores).max() > 1e-3
    last = show_progress.test(TEST.waveforms)
    assert np.allclose(seen[-1].scores, last.scores, rtol=1e-2, atol=1e-2)
    assert seen[-1].threshold == last.threshold == show_progress.verifier.threshold
    assert show_progress.parameters == show_progress.verifier.facts["parameters"]

    alone, _ = training.train(TRAINING, Spectrogram(), batches.TrainingConfig(seed=3, **SMALL))
    for one, other in zip(
        alone.encoder.get_weights(), show_progress.verifier.encoder.get_weights(), strict=True
    ):
        assert np.allclose(one, other, atol=1e-5)


@pytest.mark.slow
def test_the_published_recipe_is_tested_after_each_epoch(monkeypatch):
    corpus, seen, given, train = voices(4, 5, 2048), [], [], published_recipe.train
    monkeypatch.setattr(
        published_recipe, "train", lambda *args, **more: given.append(args) or train(*args, **more)
    )
    trained = bench_worker.train_published_recipe(
        corpus, 1, lambda test: seen.append(test(TEST.waveforms)), epochs=2
    )
    assert len(seen) == 2
    assert all(tested.threshold == published_recipe.THRESHOLD and tested.enrolled is None for tested in seen)
    assert np.abs(seen[0].scores - seen[1].scores).max() > 1e-6
    assert np.allclose(trained.test(TEST.waveforms).scores, seen[1].scores, atol=1e-6)
    assert trained.parameters == 493_826
    assert given == [(corpus, 1)]


def test_the_floor_is_the_floor():
    trained = bench_worker.train_mfcc_lda(TRAINING, 2, None)
    alone = mfcc_lda.MfccLda().fit(TRAINING, 2)
    tested = trained.test(TEST.waveforms)
    voices, trials = alone.embed(TEST.waveforms), pairs.enrolments(TEST.speakers, 5)
    assert np.allclose(tested.scores, metrics.cosine_scores(voices))
    assert np.allclose(tested.enrolled(trials), metrics.enrolled_scores(voices, trials))
    assert (tested.threshold, trained.parameters) == (alone.threshold, alone.parameters)


def test_a_measurement_times_the_training_and_nothing_else(monkeypatch, hours):
    """Loading and importing come before the clock, the last test after it; the end is on the curve."""

    def later(seconds, value):
        hours[0] += seconds
        return value

    def system(corpus, seed, tick):
        assert (corpus is TRAINING, seed) == (True, 7)
        hours[0] += 10
        tick(lambda waveforms: later(100, identities(TEST.speakers, right=False)))
        hours[0] += 20
        return bench_worker.Trained(lambda waveforms: later(1000, identities(TEST.speakers)), 12)

    monkeypatch.setattr(bench_worker.corpora, "load_course", lambda _: later(10_000, (TRAINING, TEST)))
    monkeypatch.setattr(bench_worker, "import_module", lambda name: later(100_000, name))
    monkeypatch.setitem(bench_worker.SYSTEMS, "made_up", (system, "somewhere"))
    found = bench_worker.measure("made_up", 7, "anywhere")
    assert found.pop("peak_mb") > 1
    assert found.pop("code")["research/bench_worker.py"] == file_digest(bench_worker.__file__)
    assert found == {
        "system": "made_up",
        "seed": 7,
        "accuracy": 1.0,
        "eer": 0.0,
        "eer_enrol5": 0.0,
        "seconds": 30,
        "curve": [[10, 0.0], [30, 1.0]],
        "parameters": 12,
    }


# ---- growth, and the tasks


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
    found = bench_worker.embed_many(size, listener, clips)
    first, *chunks = listener.chunks
    assert len(first) == bench_worker.CHUNK == 500
    assert [len(chunk) for chunk in chunks] == [500] * (size // 500) + [size % 500] * (size % 500 > 0)
    assert (found["utterances"], found["seconds"]) == (size, len(chunks))
    assert found["peak_mb"] > 1
    for chunk in chunks:
        assert chunk.dtype == np.float32
        assert np.abs(chunk).max() <= 1
    rows = np.concatenate(chunks)
    assert len(np.unique(rows, axis=0)) == size
    heard = [np.corrcoef(np.abs(np.fft.rfft([rows[i], clips[i % 20]])))[0, 1] for i in range(97, size, 97)]
    assert min(heard) > 0.9  # shifted and in noise, but the clip it is made of
    assert np.allclose(rows[::20].std(axis=1), 1e-3, rtol=0.1)  # the noise, heard in silence


def test_a_saved_model_grows_and_remembers_its_code(monkeypatch, tmp_path):
    made = []

    def ours(corpus, seed, tick, **settings):
        made.append((corpus, seed, settings))
        return bench_worker.Trained(None, 1, "a verifier")

    monkeypatch.setattr(bench_worker, "train_siamese_gru", ours)
    monkeypatch.setattr(bench_worker.corpora, "load_course", lambda folder: (TRAINING, folder))
    monkeypatch.setattr(bench_worker.synthesis, "embedded_corpus", lambda: "embedded")
    monkeypatch.setattr("helpers.verifier.save_system", lambda verifier, path: made.append((verifier, path)))
    monkeypatch.setattr("helpers.verifier.load_verifier", lambda path: ("loaded", path))
    monkeypatch.setattr(bench_worker, "embed_many", lambda *given: {"given": given})
    answer = bench_worker.answer_task({"save": "there"}, "anywhere")
    assert made == [(TRAINING, 0, {"epochs": 1}), ("a verifier", "there")]
    assert answer["code"]["training.py"] == file_digest(training.__file__)
    grown = bench_worker.answer_task(
        {"size": 9, "model": "there", "code": {"somewhere.py": "12"}}, "anywhere"
    )
    size, verifier, clips = grown["given"]
    assert (size, verifier) == (9, ("loaded", "there"))
    assert clips is TRAINING.waveforms
    assert grown["code"] == {"somewhere.py": "12"} | bench_worker.loaded_code()


def test_main_writes_the_answer_or_one_line(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(bench_worker, "answer_task", lambda task, data: {"task": task, "data": data})
    arguments = ["--data", "here", "--out", str(tmp_path / "answer.json"), "--task", '{"seed": 1}']
    assert bench_worker.main(arguments) == 0
    assert json.loads((tmp_path / "answer.json").read_text()) == {"task": {"seed": 1}, "data": "here"}

    def refuse(task, data):
        raise InputError("no good")

    monkeypatch.setattr(bench_worker, "answer_task", refuse)
    assert bench_worker.main(arguments) == 1
    assert capsys.readouterr().err == "no good\n"
