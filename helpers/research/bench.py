"""Training time, accuracy over time and memory of three systems on one machine.

`python -m helpers.research.bench --data DIR --out OUT` has `bench_worker` train each system with each seed,
in a process of its own, and writes OUT/bench.json, bench.md (tables) and bench.png (accuracy over time).
A result in bench.json is not measured again unless corpus, machine or the code that ran have changed.
"""

import json
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import psutil

from helpers import PROJECT, InputError
from helpers.batch.report import markdown_table
from helpers.command_line import new_parser, run_program
from helpers.data import corpora, course
from helpers.files import atomic_write, file_digest
from helpers.plots.style import BLUE, GREEN, ORANGE, place_legend

NAMES = {
    "siamese_gru": "Siamese GRU",
    "published_recipe": "published recipe",
    "mfcc_lda": "MFCCs and LDA, no network",
}
LEVELS = (0.70, 0.75, 0.80, 0.85, 0.90, 0.95)
SIZES = (500, 5_000, 50_000)
CHILD = [sys.executable, "-m", "helpers.research.bench_worker"]
EVERY = 0.05  # seconds from one look at a process to the next


def time_to(curve, level):
    """Seconds of the first point `[seconds, accuracy]` of a curve at or above an accuracy; None if never."""
    return next((seconds for seconds, accuracy in curve if accuracy >= level), None)


def ratios(runs):
    """How the Siamese GRU compares with the published recipe, seed by seed.

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
        ours, theirs = of.get(("siamese_gru", seed)), of.get(("published_recipe", seed))
        if ours and theirs:
            overtaken = time_to(ours["curve"], max(accuracy for _, accuracy in theirs["curve"]))
            mine = (1 - ours["accuracy"], ours["eer"], ours["seconds"], overtaken)
            other = (1 - theirs["accuracy"], theirs["eer"], theirs["seconds"], theirs["seconds"])
            for ratio, one, two in zip(found.values(), mine, other, strict=True):
                ratio.append(None if one is None or not two else one / two)
    return found


def format_spread(values, form, unit="", scale=1):
    """Mean of some values and, where they differ, lowest and highest: `1.5 s (1.0 to 2.0)`. None is none."""
    known = [scale * value for value in values if value is not None]
    if not known:
        return "-"
    low, high = format(min(known), form), format(max(known), form)
    text = format(float(np.mean(known)), form) + unit + (f" ({low} to {high})" if low != high else "")
    return text if len(known) == len(values) else f"{text}, {len(known)} of {len(values)}"


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
    words = ("errors (1 - accuracy)", "EER", "training time")
    words += ("time until ours is as accurate as the recipe ever gets, over its whole training",)
    spreads = [format_spread(values, ".3f") for values in ratios(runs).values()]
    head = ("Siamese GRU over published recipe", "ratio")
    return markdown_table([head, *zip(words, spreads, strict=True)])


def report(results):
    """bench.md of what is in bench.json."""
    runs = results["runs"]
    facts = ", ".join(f"{name} {value}" for name, value in results["machine"].items())
    seeds = ", ".join(map(str, sorted({run["seed"] for run in runs})))
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
        rows = [("utterances embedded", "each", "peak memory")]
        for record in sorted(results["growth"], key=lambda record: record["utterances"]):
            each = f"{1000 * record['seconds'] / record['utterances']:.2f} ms"
            rows.append((f"{record['utterances']:,}", each, f"{record['peak_mb']:,.0f} MB"))
        parts += [said, markdown_table(rows)]
    parts += [f"Not measured: {line}" for line in results["failed"]]
    return "\n\n".join(parts) + "\n"


def draw(runs):
    """Accuracy over seconds of training on a logarithmic axis, a line a run, its seed at its end."""
    figure, axis = plt.subplots(figsize=(9, 4))
    for (system, name), colour in zip(NAMES.items(), (BLUE, ORANGE, GREEN), strict=True):
        for run in (run for run in runs if run["system"] == system):
            seconds, accuracy = np.transpose(run["curve"])
            axis.plot(seconds, 100 * accuracy, "o-", color=colour, markersize=2, linewidth=0.8, label=name)
            axis.annotate(f" {run['seed']}", (seconds[-1], 100 * accuracy[-1]), color=colour, fontsize=8)
            name = None  # once in the legend
    axis.set(xscale="log", xlabel="seconds of training", ylabel="balanced accuracy on the test trials (%)")
    axis.set_title("a line for each seed", loc="left")
    place_legend(axis)
    return figure


def run_command(command, watch=lambda process: None):
    """Run a command in the project's folder without its output.

    Parameters
    ----------
    command : list of str
    watch : callable (psutil.Popen)
        Called again and again while it runs.

    Raises
    ------
    InputError
        When it fails: the last line on its stderr, or how it ended.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        process = psutil.Popen(command, cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=errors)
        try:
            while process.poll() is None:
                watch(process)
                time.sleep(EVERY)
        except BaseException:
            for each in [*process.children(recursive=True), process]:
                with suppress(psutil.NoSuchProcess):
                    each.kill()
            process.wait()
            raise
        errors.seek(0)
        lines = errors.read().strip().splitlines()
    if process.returncode < 0:
        raise InputError(f"ended by {signal.Signals(-process.returncode).name}")
    if process.returncode:
        raise InputError(lines[-1].strip() if lines else f"ended with status {process.returncode}")


def run_worker(task, folder):
    """The answer of a fresh process to a task of `bench_worker`; InputError, one line, when it fails."""
    with tempfile.TemporaryDirectory() as scratch:
        answer = Path(scratch, "answer.json")
        run_command([*CHILD, "--data", str(folder), "--out", str(answer), "--task", json.dumps(task)])
        if not answer.exists():
            raise InputError("ended with status 0")
        return json.loads(answer.read_text())


def earlier_results(path, corpus, here, fresh):
    """What an earlier bench.json holds of this corpus, this machine and the code as it stands: runs, growth.

    And `outdated`, so that no hour of measuring is lost: records that are not, or with `fresh` all of them.

    Raises
    ------
    InputError
        When the file is something else.
    """

    def fits(record):
        files = {PROJECT / "helpers" / name: known for name, known in record["code"].items()}
        same = all(file.is_file() and file_digest(file) == known for file, known in files.items())
        return same and not fresh and (record["corpus"], record["machine"]) == (corpus, here)

    try:
        found = json.loads(path.read_text()) if path.exists() else {"runs": [], "growth": []}
        kept = {"runs": [], "growth": [], "outdated": found.get("outdated", [])}
        for kind in ("runs", "growth"):
            for record in found[kind]:
                kept[kind if fits(record) else "outdated"].append(record)
        return kept
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(f"{path.name} is no earlier result ({error}); move it away") from error


def bench(options):
    """Measure what is missing, and write bench.json after each process, bench.md and bench.png at the end.

    bench.json holds `corpus`, `machine`, `runs`, `growth`; in `failed` a line for each failure; and in
    `outdated` earlier records of other code, another corpus or machine, which are not reported. The exit
    status is returned: 1 when something failed.

    Raises
    ------
    InputError
        When the corpus or an earlier bench.json cannot be read, or the results cannot be written.
    """
    if options.repeats < 1:
        raise InputError(f"{options.repeats} repetitions", expected="at least 1")
    folder, out = course.course_folder(options.data).resolve(), Path(options.out)
    name = corpora.load_course(folder)[1].name
    files = [file for stem in ("trs", "tes") for file in sorted(folder.glob(f"{stem}.*"))]
    corpus = {"name": name, "files": {file.name: file_digest(file) for file in files}}
    here = run_worker({"machine": True}, folder)
    results = {"corpus": corpus, "machine": here, "failed": []}
    results |= earlier_results(out / "bench.json", corpus, here, options.fresh)

    def attempt(name, task, kind=None):
        """The worker's answer, kept when it is a record of a `kind`; None when it failed."""
        answer = None
        try:
            answer = run_worker(task, folder)
        except InputError as error:
            results["failed"].append(f"{name}: {error}")
            print(results["failed"][-1], file=sys.stderr, flush=True)
        if answer and kind:
            results[kind].append(answer | {"corpus": corpus, "machine": here})
            print(f"{name}: {answer['seconds']:.1f} s", flush=True)
        save()
        return answer

    def save():
        with atomic_write(out / "bench.json") as temporary:
            temporary.write_text(json.dumps(results, indent=1, allow_nan=False) + "\n")

    save()
    done = {(run["system"], run["seed"]) for run in results["runs"]}
    done |= {record["utterances"] for record in results["growth"]}
    for seed in range(options.repeats):
        for system in NAMES:
            if (system, seed) not in done:
                attempt(f"{system}, seed {seed}", {"system": system, "seed": seed}, "runs")
    if sizes := [size for size in SIZES if options.growth and size not in done]:
        with tempfile.TemporaryDirectory() as scratch:
            model = str(Path(scratch, "model.keras"))
            saved = attempt("a model to embed with", {"save": model})
            for size in sizes if saved else []:
                attempt(f"{size:,} utterances", {"model": model, "size": size} | saved, "growth")
    with atomic_write(out / "bench.md") as temporary:
        temporary.write_text(report(results), encoding="utf-8")
    with atomic_write(out / "bench.png") as temporary:
        figure = draw(results["runs"])
        figure.savefig(temporary, dpi=120)
        plt.close(figure)
    print(report(results), end="")
    return 1 if results["failed"] else 0


def main(arguments=None):
    """The command line; returns the exit status: 1 when something failed."""
    parser = new_parser("research.bench", __doc__)
    parser.add_argument("--data", default="", help="folder with trs.pkl and tes.pkl (default: the course's)")
    parser.add_argument("--out", required=True, help="folder of bench.json, bench.md and bench.png")
    parser.add_argument("--repeats", type=int, default=3, help="seeds 0, 1, ... of each system (default: 3)")
    parser.add_argument("--growth", action="store_true", help="embed up to 50,000 utterances too")
    parser.add_argument("--fresh", action="store_true", help="measure again what is in bench.json")
    return run_program(bench, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
