"""`make bench`: ours, the published recipe and the floor on one machine: accuracy over time, and memory.

`python -m helpers.research.bench --data DIR --out OUT` has `bench_worker` train each system with each seed,
in a process of its own, and writes OUT/bench.json, bench.md (tables) and bench.png (accuracy over time).
A result in bench.json is not measured again unless corpus, machine or the code that ran have changed.
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from helpers import PROJECT, InputError
from helpers.data import corpora, course
from helpers.files import atomic_write
from helpers.plots.style import BLUE, GREEN, ORANGE
from helpers.research import bench_worker

NAMES = {
    "siamese_gru": "Siamese GRU",
    "published_recipe": "published recipe",
    "mfcc_lda": "MFCCs and LDA, no network",
}
LEVELS = (0.70, 0.75, 0.80, 0.85, 0.90, 0.95)
SIZES = (500, 5_000, 50_000)
CHILD = [sys.executable, "-m", "helpers.research.bench_worker"]

# ---- figures and tables


def time_to(curve, level):
    """Seconds of the first point `[seconds, accuracy]` of a curve at or above an accuracy; None if never."""
    return next((seconds for seconds, accuracy in curve if accuracy >= level), None)


def ratios(runs, ours="siamese_gru", theirs="published_recipe"):
    """How ours compares with theirs, seed by seed.

    Parameters
    ----------
    runs : list of dict
        As in bench.json.
    ours, theirs : str

    Returns
    -------
    dict of lists
        A ratio, ours over theirs, for each seed that both have: of the errors (1 - accuracy), of the EERs, of
        the training times, and of the time in which ours reaches the best accuracy on their curve to all of
        their training time. None where ours never does, or for a division by 0.
    """
    of = {(run["system"], run["seed"]): run for run in runs}
    found = {"errors": [], "eer": [], "seconds": [], "overtaking": []}
    for seed in sorted({seed for _, seed in of}):
        if (ours, seed) in of and (theirs, seed) in of:
            mine, other = of[ours, seed], of[theirs, seed]
            best = max(accuracy for _, accuracy in other["curve"])
            parts = {
                "errors": (1 - mine["accuracy"], 1 - other["accuracy"]),
                "eer": (mine["eer"], other["eer"]),
                "seconds": (mine["seconds"], other["seconds"]),
                "overtaking": (time_to(mine["curve"], best), other["seconds"]),
            }
            for name, (one, two) in parts.items():
                found[name].append(None if one is None or not two else one / two)
    return found


def format_spread(values, form, unit="", scale=1):
    """Mean of some values and, where they differ, lowest and highest: `1.5 s (1.0 to 2.0)`. None is none."""
    known = [scale * value for value in values if value is not None]
    if not known:
        return "-"
    low, high = format(min(known), form), format(max(known), form)
    text = format(float(np.mean(known)), form) + unit + (f" ({low} to {high})" if low != high else "")
    return text if len(known) == len(values) else f"{text}, {len(known)} of {len(values)}"


def markdown_table(rows):
    """A table in Markdown of rows of text, the first its head."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])


def systems_table(runs):
    """A row for each system: accuracy, errors, time, time to each accuracy, memory, size."""
    head = ["system", "accuracy", "EER", "EER, 5 enrolled", "training", *(f"to {x:.0%}" for x in LEVELS)]
    rows = [[*head, "peak memory", "parameters"]]
    for system, name in NAMES.items():
        if mine := [run for run in runs if run["system"] == system]:
            of = {key: [run[key] for run in mine] for key in mine[0]}
            rates = [format_spread(of[key], ".1f", " %", 100) for key in ("accuracy", "eer", "eer_enrol5")]
            times = [of["seconds"], *([time_to(curve, level) for curve in of["curve"]] for level in LEVELS)]
            size = [format_spread(of["peak_mb"], ",.0f", " MB"), format_spread(of["parameters"], ",.0f")]
            rows.append([name, *rates, *(format_spread(values, ".1f", " s") for values in times), *size])
    return markdown_table(rows)


def ratios_table(runs):
    """Ours over the published recipe, as `ratios` has it."""
    words = {
        "errors": "errors (1 - accuracy)",
        "eer": "EER",
        "seconds": "training time",
        "overtaking": "time until ours is as accurate as the recipe ever gets, over its whole training",
    }
    found = {words[name]: format_spread(values, ".3f") for name, values in ratios(runs).items()}
    return markdown_table([("Siamese GRU over published recipe", "ratio"), *found.items()])


def growth_table(growth):
    """A row for each number of utterances embedded."""
    rows = [("utterances embedded", "each", "peak memory")]
    for record in sorted(growth, key=lambda record: record["utterances"]):
        each = f"{1000 * record['seconds'] / record['utterances']:.2f} ms"
        rows.append((f"{record['utterances']:,}", each, f"{record['peak_mb']:,.0f} MB"))
    return markdown_table(rows)


def report(results):
    """bench.md of what is in bench.json."""
    runs = results["runs"]
    facts = ", ".join(f"{name} {value}" for name, value in results["machine"].items())
    seeds = ", ".join(str(seed) for seed in sorted({run["seed"] for run in runs}))
    parts = [
        "# Three systems side by side",
        f"Corpus: {results['corpus']['name']}. Machine: {facts}.",
        f"Mean, lowest and highest of seeds {seeds}. Balanced accuracy and EER are over all test trials, the "
        "threshold is from training speakers (published recipe: 0.5). "
        'Training is timed from waveforms to a system with its threshold; "to 80%" is the time until the '
        "test trials are decided so well for the first time. Memory is the whole process's.",
        systems_table(runs),
        ratios_table(runs),
    ]
    if results["growth"]:
        said = "Varied copies of synthesised utterances, in chunks; the scores of all pairs are not computed."
        parts += [said, growth_table(results["growth"])]
    parts += [f"Not measured: {line}" for line in results["failed"]]
    return "\n\n".join(parts) + "\n"


def draw(runs):
    """Accuracy over seconds of training on a logarithmic axis, a line a run, its seed at its end."""
    figure, axis = plt.subplots(figsize=(9, 4))
    colours = dict(zip(NAMES, (BLUE, ORANGE, GREEN), strict=True))
    for system, name in NAMES.items():
        for run in (run for run in runs if run["system"] == system):
            seconds, accuracy = np.transpose(run["curve"])
            end = {"color": colours[system], "fontsize": 8}
            style = {"color": colours[system], "markersize": 2, "linewidth": 0.8, "label": name}
            axis.plot(seconds, 100 * accuracy, "o-", **style)
            axis.annotate(f" {run['seed']}", (seconds[-1], 100 * accuracy[-1]), **end)
            name = None  # once in the legend
    axis.set(xscale="log", xlabel="seconds of training", ylabel="balanced accuracy on the test trials (%)")
    axis.set_title("a line for each seed", loc="left")
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


# ---- processes, and what was measured before


def run_worker(task, folder):
    """The answer of a fresh process to a task of `bench_worker`; InputError, one line, when it fails."""
    with tempfile.TemporaryDirectory() as scratch:
        answer = Path(scratch, "answer.json")
        command = [*CHILD, "--data", str(folder), "--out", str(answer), "--task", json.dumps(task)]
        done = subprocess.run(command, cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if done.returncode < 0:
            raise InputError(f"ended by {signal.Signals(-done.returncode).name}")
        if done.returncode or not answer.exists():
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise InputError(said[-1].strip() if said else f"ended with status {done.returncode}")
        return json.loads(answer.read_text())


def earlier_results(path, corpus, here, fresh=False):
    """What an earlier bench.json holds of this corpus, this machine and the code as it stands: runs, growth.

    And third, so that no hour of measuring is lost, the records that are not, or with `fresh` all of them.

    Raises
    ------
    InputError
        When the file is something else.
    """

    def fits(record):
        files = {PROJECT / "helpers" / name: known for name, known in record["code"].items()}
        same = all(file.is_file() and bench_worker.digest(file) == known for file, known in files.items())
        return same and not fresh and (record["corpus"], record["machine"]) == (corpus, here)

    try:
        found = json.loads(path.read_text()) if path.exists() else {"runs": [], "growth": []}
        runs, growth = ([record for record in found[kind] if fits(record)] for kind in ("runs", "growth"))
        outdated = [record for kind in ("runs", "growth") for record in found[kind] if not fits(record)]
        return runs, growth, [*found.get("outdated", []), *outdated]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(f"{path.name} is no earlier result ({error}); move it away") from error


def bench(folder, out, repeats=3, growing=False, fresh=False):
    """Measure what is missing, and write bench.json after each process, bench.md and bench.png at the end.

    Parameters
    ----------
    folder, out : path
        Of the course's two files, and of the results.
    repeats : int
        Seeds 0 to `repeats` - 1.
    growing : bool
        Whether to embed many utterances too.
    fresh : bool
        Whether to measure again what has been measured.

    Returns
    -------
    dict
        As in bench.json: `corpus`, `machine`, `runs`, `growth`; in `failed` a line for each failure; and in
        `outdated` earlier records of other code, another corpus or machine, which are not reported.

    Raises
    ------
    InputError
        When the corpus or an earlier bench.json cannot be read, or the results cannot be written.
    """
    if repeats < 1:
        raise InputError(f"{repeats} repetitions; expected at least 1")
    folder, out = Path(folder).resolve(), Path(out)
    test = corpora.load_course(folder)[1]
    files = [file for name in ("trs", "tes") for file in sorted(folder.glob(f"{name}.*"))]
    corpus = {"name": test.name, "files": {file.name: bench_worker.digest(file) for file in files}}
    del test
    here = run_worker({"machine": True}, folder)
    runs, growth, outdated = earlier_results(out / "bench.json", corpus, here, fresh)
    results = {"corpus": corpus, "machine": here, "runs": runs, "growth": growth, "failed": []}
    results["outdated"] = outdated

    def save():
        with atomic_write(out / "bench.json") as temporary:
            temporary.write_text(json.dumps(results, indent=1, allow_nan=False) + "\n")

    def attempt(kind, name, task):
        try:
            record = run_worker(task, folder) | {"corpus": corpus, "machine": here}
        except InputError as error:
            return fail(f"{name}: {error}")
        results[kind].append(record)
        print(f"{name}: {record['seconds']:.1f} s", flush=True)
        save()

    def fail(line):
        results["failed"].append(line)
        print(line, file=sys.stderr, flush=True)
        save()

    save()
    done = {(run["system"], run["seed"]) for run in runs} | {record["utterances"] for record in growth}
    for seed in range(repeats):
        for system in NAMES:
            if (system, seed) not in done:
                attempt("runs", f"{system}, seed {seed}", {"system": system, "seed": seed})
    if sizes := [size for size in SIZES if growing and size not in done]:
        with tempfile.TemporaryDirectory() as scratch:
            model = str(Path(scratch, "model.keras"))
            try:
                task = {"model": model} | run_worker({"save": model}, folder)
            except InputError as error:
                fail(f"a model to embed with: {error}")
            else:
                for size in sizes:
                    attempt("growth", f"{size:,} utterances", task | {"size": size})
    with atomic_write(out / "bench.md") as temporary:
        temporary.write_text(report(results), encoding="utf-8")
    with atomic_write(out / "bench.png") as temporary:
        figure = draw(results["runs"])
        figure.savefig(temporary, dpi=120)
        plt.close(figure)
    return results


def main(arguments=None):
    """The command line; returns the exit status: 1 when something failed."""
    parser = argparse.ArgumentParser(
        prog="python -m helpers.research.bench", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--data", default="", help="folder with trs.pkl and tes.pkl (default: the course's)")
    parser.add_argument("--out", required=True, help="folder of bench.json, bench.md and bench.png")
    parser.add_argument("--repeats", type=int, default=3, help="seeds 0, 1, ... of each system (default: 3)")
    parser.add_argument("--growth", action="store_true", help="embed up to 50,000 utterances too")
    parser.add_argument("--fresh", action="store_true", help="measure again what is in bench.json")
    options = parser.parse_args(arguments)
    try:
        folder = course.course_folder(options.data)
        results = bench(folder, options.out, options.repeats, options.growth, options.fresh)
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    print(report(results), end="")
    return 1 if results["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
