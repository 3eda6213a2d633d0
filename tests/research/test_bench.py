"""The tables of a bench, what is measured again, and what happens when a measurement fails."""

import json
import pickle
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest

from helpers import PROJECT, InputError
from helpers.files import file_digest
from helpers.research import bench

pytestmark = pytest.mark.slow  # processes of their own

CURVE = [[2.0, 0.6], [4.0, 0.81], [6.0, 0.79], [10.0, 0.9]]


def run(system, seed, **changes):
    made = {
        "system": system,
        "seed": seed,
        "accuracy": 0.9,
        "eer": 0.1,
        "eer_enrol5": 0.05,
        "seconds": 10.0,
        "curve": CURVE,
        "peak_mb": 1234.4,
        "parameters": 91_906,
    }
    return made | changes


PUBLISHED = [
    run("published_recipe", 0, accuracy=0.7, eer=0.3, seconds=200.0, curve=[[50.0, 0.79], [200.0, 0.6]]),
    run("published_recipe", 1, accuracy=0.6, eer=0.4, seconds=100.0, curve=[[100.0, 0.6]], eer_enrol5=None),
]
OURS = [run("siamese_gru", 0), run("siamese_gru", 1, accuracy=0.8, seconds=20.0, curve=[[20.0, 0.8]])]
RESULTS = {
    "corpus": {"name": "chords", "files": {}},
    "machine": {"cpus": 2, "processor": "x86_64", "device": "CPU", "backend": "tensorflow"},
    "runs": OURS + PUBLISHED,
    "growth": [
        {"utterances": 5000, "seconds": 10.0, "peak_mb": 801.0},
        {"utterances": 500, "seconds": 1.0, "peak_mb": 800.0},
    ],
    "failed": ["mfcc_lda, seed 0: no luck"],
}


# ---- figures and tables


@pytest.mark.parametrize(
    ("level", "seconds"),
    [(0.5, 2.0), (0.7, 4.0), (0.8, 4.0), (0.81, 4.0), (0.85, 10.0), (0.9, 10.0), (0.91, None)],
)
def test_time_to_an_accuracy_is_the_first_time(level, seconds):
    assert bench.time_to(CURVE, level) == seconds


def test_ratios_are_taken_seed_by_seed():
    found = bench.ratios(OURS[::-1] + PUBLISHED + [run("siamese_gru", 2), run("mfcc_lda", 0)])
    assert found["errors"] == pytest.approx([0.1 / 0.3, 0.2 / 0.4])
    assert found["eer"] == pytest.approx([0.1 / 0.3, 0.1 / 0.4])
    assert found["seconds"] == pytest.approx([10 / 200, 20 / 100])
    assert found["overtaking"] == pytest.approx(
        [4 / 200, 20 / 100]
    )  # against 0.79, their best, not their last


def test_a_ratio_that_does_not_exist_is_none():
    perfect = run("published_recipe", 0, accuracy=1.0, eer=0.0, curve=[[10.0, 1.0]])
    found = bench.ratios([OURS[0], perfect])
    assert found == {"errors": [None], "eer": [None], "seconds": [1.0], "overtaking": [None]}
    assert bench.ratios([]) == {"errors": [], "eer": [], "seconds": [], "overtaking": []}


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
    assert bench.systems_table(RESULTS["runs"]) == (
        "| system | accuracy | EER | EER, 5 enrolled | training "
        "| to 70% | to 75% | to 80% | to 85% | to 90% | to 95% | peak memory | parameters |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
        "| Siamese GRU | 85.0 % (80.0 to 90.0) | 10.0 % | 5.0 % | 15.0 s (10.0 to 20.0) "
        "| 12.0 s (4.0 to 20.0) | 12.0 s (4.0 to 20.0) | 12.0 s (4.0 to 20.0) "
        "| 10.0 s, 1 of 2 | 10.0 s, 1 of 2 | - | 1,234 MB | 91,906 |\n"
        "| published recipe | 65.0 % (60.0 to 70.0) | 35.0 % (30.0 to 40.0) | 5.0 %, 1 of 2 "
        "| 150.0 s (100.0 to 200.0) | 50.0 s, 1 of 2 | 50.0 s, 1 of 2 | - | - | - | - | 1,234 MB | 91,906 |"
    )


def test_ratios_table():
    assert bench.ratios_table(RESULTS["runs"]) == (
        "| Siamese GRU over published recipe | ratio |\n"
        "| --- | --- |\n"
        "| errors (1 - accuracy) | 0.417 (0.333 to 0.500) |\n"
        "| EER | 0.292 (0.250 to 0.333) |\n"
        "| training time | 0.125 (0.050 to 0.200) |\n"
        "| time until ours is as accurate as the recipe ever gets, over its whole training "
        "| 0.110 (0.020 to 0.200) |"
    )


def test_report_says_where_and_what():
    text = bench.report(RESULTS)
    assert "Corpus: chords. Machine: cpus 2, processor x86_64, device CPU, backend tensorflow." in text
    assert "seeds 0, 1." in text
    assert bench.systems_table(RESULTS["runs"]) in text
    assert bench.ratios_table(RESULTS["runs"]) in text
    assert text.endswith("Not measured: mfcc_lda, seed 0: no luck\n")
    growth = text[text.index("| utterances embedded") :].splitlines()[2:4]
    assert growth == ["| 500 | 2.00 ms | 800 MB |", "| 5,000 | 2.00 ms | 801 MB |"]
    assert "utterances embedded" not in bench.report(RESULTS | {"growth": []})


def test_picture_has_a_line_for_each_run_and_a_name_for_each_system():
    figure = bench.draw(RESULTS["runs"] + [run("mfcc_lda", 0, curve=[[3.0, 0.88]])])
    (axis,) = figure.axes
    assert axis.get_xscale() == "log"
    assert "seconds" in axis.get_xlabel()
    assert "accuracy" in axis.get_ylabel()
    assert axis.lines[0].get_xdata().tolist() == [2.0, 4.0, 6.0, 10.0]
    assert axis.lines[0].get_ydata().tolist() == pytest.approx([60.0, 81.0, 79.0, 90.0])
    assert len(axis.lines) == 5
    colours = [line.get_color() for line in axis.lines]
    assert colours[0] == colours[1] != colours[2] == colours[3] != colours[4]
    assert [text.get_text().strip() for text in axis.texts] == ["0", "1", "0", "1", "0"]
    names = [text.get_text() for text in axis.get_legend().get_texts()]
    assert names == ["Siamese GRU", "published recipe", "MFCCs and LDA, no network"]
    plt.close(figure)


# ---- processes


@pytest.mark.parametrize(
    ("script", "line"),
    [
        ("import sys; sys.exit('trs.pkl is odd')", "trs.pkl is odd"),
        ("print('hello'); raise ValueError('no luck')", "ValueError: no luck"),
        ("import os; os.kill(os.getpid(), 9)", "ended by SIGKILL"),
        ("import sys; sys.exit(3)", "ended with status 3"),
        ("pass", "ended with status 0"),
        (
            "import sys; open(sys.argv[sys.argv.index('--out') + 1], 'w').write('{}'); 1 / 0",
            "ZeroDivisionError: division by zero",
        ),
    ],
)
def test_a_child_that_fails_is_one_line(monkeypatch, tmp_path, script, line):
    monkeypatch.setattr(bench, "CHILD", [sys.executable, "-c", script])
    with pytest.raises(InputError) as caught:
        bench.run_worker({"machine": True}, tmp_path)
    assert str(caught.value) == line


def test_a_real_child_measures(folder):
    """The floor, which needs no Keras, in a process of its own, whose memory is not this one's."""
    found = bench.run_worker({"system": "mfcc_lda", "seed": 1}, folder)
    assert (found["system"], found["seed"], found["parameters"]) == ("mfcc_lda", 1, 80 * 5)
    assert found["curve"] == [[found["seconds"], found["accuracy"]]]
    assert 50 < found["peak_mb"] < 2000
    assert {"research/bench_worker.py", "systems/mfcc_lda.py", "metrics.py"} <= set(found["code"])
    assert not {"research/bench.py", "systems/published_recipe.py", "training.py"} & set(found["code"])


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


FAKE = """
import json, os, pathlib, sys
arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))
task, here = json.loads(arguments["--task"]), pathlib.Path(__file__).parent
with (here / "asked").open("a") as log:
    log.write(json.dumps(task) + chr(10))
answer = {"seconds": 2.0, "peak_mb": 100.0, "code": json.loads((here / "code").read_text())}
if "system" in task:
    if (here / "broken").exists() and task["system"] == "published_recipe" and task["seed"] == 1:
        print("warming up", file=sys.stderr)
        sys.exit("no luck")
    answer |= task | {"accuracy": 0.8, "eer": 0.2, "eer_enrol5": 0.1, "curve": [[2.0, 0.8]], "parameters": 7}
elif "save" in task:
    if (here / "broken").exists():
        sys.exit("no model")
    pathlib.Path(task["save"]).write_text("a model")
    answer = {"code": answer["code"]}
elif "size" in task:
    assert pathlib.Path(task["model"]).read_text() == "a model" and task["code"] == answer["code"]
    answer["utterances"] = task["size"]
else:
    answer = json.loads((here / "machine").read_text())
pathlib.Path(arguments["--out"]).write_text(json.dumps(answer))
"""


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """A folder with a child that makes its figures up and takes down what it was asked for."""
    here = tmp_path / "fake"
    here.mkdir()
    (here / "child.py").write_text(FAKE)
    (here / "code").write_text(json.dumps({"metrics.py": file_digest(PROJECT / "helpers" / "metrics.py")}))
    (here / "machine").write_text(json.dumps({"cpus": 2, "device": "CPU"}))
    monkeypatch.setattr(bench, "CHILD", [sys.executable, str(here / "child.py")])
    return here


def asked(fake):
    """What the child was asked for since the last time, without the machine."""
    tasks = [json.loads(line) for line in (fake / "asked").read_text().splitlines()]
    (fake / "asked").unlink()
    assert tasks.pop(0) == {"machine": True}
    return [(task.get("system"), task.get("seed"), task.get("size")) for task in tasks]


RUNS = [(system, seed, None) for seed in (0, 1) for system in bench.NAMES]
GROWTH = [(None, None, None), (None, None, 500), (None, None, 5_000), (None, None, 50_000)]


def command(folder, out, *more):
    return bench.main(["--data", str(folder), "--out", str(out), "--repeats", "2", *more])


def test_from_the_command_line_to_the_tables(fake, folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert command(folder, out, "--growth") == 0
    assert asked(fake) == RUNS + GROWTH
    results = json.loads((out / "bench.json").read_text())
    assert [(each["system"], each["seed"], None) for each in results["runs"]] == RUNS
    assert [each["utterances"] for each in results["growth"]] == [500, 5_000, 50_000]
    assert results["failed"] == []
    assert results["machine"] == {"cpus": 2, "device": "CPU"}
    assert set(results["corpus"]["files"]) == {"trs.pkl", "tes.pkl"}
    assert (out / "bench.md").read_text() == bench.report(results)
    assert (out / "bench.png").read_bytes().startswith(b"\x89PNG")
    said = capsys.readouterr().out
    assert "siamese_gru, seed 0: 2.0 s\n" in said
    assert bench.report(results) in said
    written = (out / "bench.json").read_text() + bench.report(results)
    assert not [path for path in (tmp_path, folder, PROJECT) if str(path) in written]


def test_what_is_there_is_not_measured_again(fake, folder, tmp_path):
    assert command(folder, tmp_path) == 0
    assert asked(fake) == RUNS
    assert command(folder, tmp_path, "--growth") == 0
    assert asked(fake) == GROWTH
    assert command(folder, tmp_path, "--growth") == 0
    assert asked(fake) == []
    assert command(folder, tmp_path, "--repeats", "3") == 0
    assert asked(fake) == [(system, 2, None) for system in bench.NAMES]
    assert command(folder, tmp_path, "--fresh") == 0
    assert asked(fake) == RUNS
    kept = json.loads((tmp_path / "bench.json").read_text())
    assert (len(kept["runs"]), len(kept["outdated"])) == (6, 9 + len(GROWTH) - 1)


@pytest.mark.parametrize("change", ["code", "machine", "corpus"])
def test_what_has_changed_is_measured_again(fake, folder, tmp_path, change):
    assert command(folder, tmp_path) == 0
    if change == "code":  # of one record
        results = json.loads((tmp_path / "bench.json").read_text())
        results["runs"][2]["code"]["metrics.py"] = "another"
        (tmp_path / "bench.json").write_text(json.dumps(results))
    elif change == "machine":
        (fake / "machine").write_text(json.dumps({"cpus": 2, "device": "a GPU"}))
    else:
        rows = pickle.loads((folder / "tes.pkl").read_bytes())
        other = tmp_path / "other"
        other.mkdir()
        (other / "tes.pkl").write_bytes(pickle.dumps(rows[::-1]))
        (other / "trs.pkl").write_bytes((folder / "trs.pkl").read_bytes())
        folder = other
    asked(fake)
    assert command(folder, tmp_path) == 0
    assert asked(fake) == (RUNS[2:3] if change == "code" else RUNS)
    kept = json.loads((tmp_path / "bench.json").read_text())
    assert (len(kept["runs"]), len(kept["outdated"])) == (6, 1 if change == "code" else 6)


def test_a_failure_is_reported_and_the_rest_is_kept(fake, folder, tmp_path, capsys):
    (fake / "broken").touch()
    assert command(folder, tmp_path, "--growth") == 1
    assert asked(fake) == RUNS + GROWTH[:1]
    lines = ["published_recipe, seed 1: no luck", "a model to embed with: no model"]
    assert capsys.readouterr().err.splitlines() == lines
    results = json.loads((tmp_path / "bench.json").read_text())
    assert len(results["runs"]) == 5
    assert results["failed"] == lines
    assert all(f"Not measured: {line}\n" in (tmp_path / "bench.md").read_text() for line in lines)
    (fake / "broken").unlink()
    assert command(folder, tmp_path, "--growth") == 0
    assert asked(fake) == [("published_recipe", 1, None), *GROWTH]
    assert json.loads((tmp_path / "bench.json").read_text())["failed"] == []


def test_a_bench_that_is_interrupted_keeps_what_it_has(fake, folder, tmp_path, monkeypatch):
    child, calls = bench.run_worker, []

    def interrupted(task, data):
        calls.append(task)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return child(task, data)

    monkeypatch.setattr(bench, "run_worker", interrupted)
    assert command(folder, tmp_path) == 130
    asked(fake)
    assert command(folder, tmp_path) == 0
    assert asked(fake) == RUNS[2:]


@pytest.mark.parametrize("text", ["no JSON", "[]", '{"runs": 3}', '{"runs": [{}], "growth": []}'])
def test_a_file_that_is_no_result_is_left_alone(fake, folder, tmp_path, capsys, text):
    (tmp_path / "bench.json").write_text(text)
    assert command(folder, tmp_path) == 1
    error = capsys.readouterr().err
    assert error.startswith("bench.json is no earlier result (")
    assert error.count("\n") == 1
    assert (tmp_path / "bench.json").read_text() == text


@pytest.mark.parametrize(
    ("more", "line"), [(["--repeats", "0"], "0 repetitions"), (["--data", "/no"], "trs.pkl")]
)
def test_bad_input_is_one_line(folder, tmp_path, capsys, more, line):
    assert command(folder, tmp_path / "out", *more) == 1
    error = capsys.readouterr().err
    assert line in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
