"""Training time, memory and errors of four systems on one machine, each tested once, when it is trained.

`python -m helpers.research.bench --data DIR --out OUT` trains each system with each seed in a process of its
own, and writes OUT/bench.json and OUT/bench.md (tables). What is in bench.json is not measured again unless
corpus, machine or the code that it depends on, this file included, have changed.

The clock runs from waveforms to a system with its threshold: features, augmentation and compilation are in
it, imports and the test are not. Memory is the highest of the process, the test included, and the libraries,
which are the same for all; a GPU's own is not counted.
"""

import json
import os
import platform
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib import import_module, metadata
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import psutil

from helpers import PROJECT, InputError, first_line
from helpers.batch.report import markdown_table
from helpers.command_line import new_parser, run_program
from helpers.data import corpora, course
from helpers.files import atomic_write, file_digest, import_closure

SYSTEMS = {
    "siamese_gru": "Siamese GRU",
    "ensemble": "ensemble",
    "published_recipe": "published recipe",
    "mfcc_lda": "MFCCs and LDA, no network",
}
SIZES = (500, 5_000, 50_000)
CHUNK = 500  # utterances embedded at a time
MODEL = PROJECT / "notebooks" / "models" / "siamese_gru.keras"  # that embeds them


# ---- what is measured, in a process of its own, which alone imports Keras


def run_verifier(folder, out, seed=0, hooks=None, **settings):
    """Train and test the system of notebook 04, or with other `hooks` of `training.train`, as `baselines` do.

    `settings` are those of its config. The row has `final_seconds` too, those of the encoders that are kept
    and their PLDA alone: the trainings before have given weights and threshold.
    """
    from helpers import batches, features, training
    from helpers.calibration import Calibration
    from helpers.evaluation.results import record_scores

    train, test = corpora.load_course(folder)
    start = time.perf_counter()
    config = batches.TrainingConfig(seed=seed, **settings)
    verifier, _ = training.train(train, features.Spectrogram(), config, hooks)
    facts = {"train_seconds": time.perf_counter() - start}
    facts |= {name: verifier.facts[name] for name in ("final_seconds", "parameters")}
    embeddings = verifier.embed(test.waveforms)
    scores, fixed = verifier.scores(embeddings), (verifier.threshold, Calibration(1, 0))
    enrolled = partial(verifier.enrolled_scores, embeddings)
    return record_scores(out, "verifier", scores, *fixed, test, facts, enrolled)


def embed_many(size, verifier, clips):
    """Embed many utterances chunk by chunk, and keep nothing but the embeddings.

    They are some clips over and over, shifted, at another level and in other noise each time: new utterances
    for memory and time, not new speakers. Making them and compiling, on a chunk thrown away, is not timed.
    """
    rng, embeddings, seconds = np.random.default_rng(0), [], 0.0
    verifier.embed(clips[np.arange(CHUNK) % len(clips)])
    for start in range(0, size, CHUNK):
        chunk = clips[np.arange(start, min(start + CHUNK, size)) % len(clips)]
        chunk = np.roll(chunk, rng.integers(chunk.shape[1]), axis=1) * rng.uniform(0.3, 1, (len(chunk), 1))
        chunk = (chunk + rng.normal(0, 1e-3, chunk.shape)).astype(np.float32)
        begun = time.perf_counter()
        embeddings.append(verifier.embed(chunk))
        seconds += time.perf_counter() - begun
    return {"utterances": sum(map(len, embeddings)), "seconds": seconds}


def peak_memory():
    """Highest memory of this process so far, in MB; on macOS, where psutil has no peak, that of now."""
    try:
        return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024 / 1e6
    except (OSError, LookupError):
        memory = psutil.Process().memory_info()
        return getattr(memory, "peak_wset", memory.rss) / 1e6


def measure(task, folder):
    """What a task finds on a course folder, a dict: a `system` with a `seed`, or a number of `utterances`."""
    from helpers.ensemble.members import MEMBERS, STATISTICS
    from helpers.research import baselines
    from helpers.training import TrainingHooks
    from helpers.verifier import load_verifier

    if "utterances" in task:
        clips = corpora.load_course(folder)[0].waveforms
        row = embed_many(task["utterances"], load_verifier(MODEL), clips)
    else:
        hooks = TrainingHooks(tuple(MEMBERS.values()), tuple(STATISTICS.values()), plda=True)
        ensemble = partial(run_verifier, hooks=hooks, held_out_folds=2)  # as in notebook 06
        programs = baselines.SYSTEMS | {"siamese_gru": run_verifier, "ensemble": ensemble}
        with tempfile.TemporaryDirectory() as out:
            row = programs[task["system"]](folder, out, task["seed"])
    return row | {"peak_mb": peak_memory()}


def device_name(backend):
    """The accelerator that a backend of Keras sees, by name; else "CPU"."""
    framework = import_module(backend)
    if backend == "torch":
        return framework.cuda.get_device_name() if framework.cuda.is_available() else "CPU"
    if backend == "jax":
        return "CPU" if (first := framework.devices()[0]).platform == "cpu" else first.device_kind
    found = framework.config.list_physical_devices("GPU")
    return framework.config.experimental.get_device_details(found[0])["device_name"] if found else "CPU"


def machine_facts():
    """What figures depend on beside the code: processor, device, versions; nothing that names the host."""
    backend = os.environ["KERAS_BACKEND"]  # `helpers` has settled it
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    facts = {"cpus": cpus, "processor": platform.machine(), "system": platform.system()}
    facts |= {"device": device_name(backend), "backend": backend, "python": platform.python_version()}
    return facts | {name: metadata.version(name) for name in ("keras", backend, "numpy")}


# ---- tables

# What a run holds: its title, and how `format_spread` writes it.
COLUMNS = {
    "accuracy": ("accuracy", ".1f", " %", 100),
    "eer": ("EER", ".1f", " %", 100),
    "eer_enrol5": ("EER, 5 enrolled", ".1f", " %", 100),
    "train_seconds": ("training", ".1f", " s"),
    "final_seconds": ("without held-out folds", ".1f", " s"),
    "peak_mb": ("peak memory", ",.0f", " MB"),
    "parameters": ("parameters", ",.0f"),
}


def ratios(runs, system):
    """A system's figures over those of the published recipe, a row for each seed that both have.

    Four ratios each: of the training times, all in all and without held-out folds, of the errors
    (1 - accuracy), of the EERs; None for a division by 0.
    """

    def figures(run):
        seconds = run["train_seconds"]
        return seconds, run.get("final_seconds", seconds), 1 - run["accuracy"], run["eer"]

    recipe = {run["seed"]: figures(run) for run in runs if run["system"] == "published_recipe"}
    ours = {run["seed"]: figures(run) for run in runs if run["system"] == system}
    both = [zip(ours[seed], recipe[seed], strict=True) for seed in ours if seed in recipe]
    return [[one / two if two else None for one, two in each] for each in both]


def format_spread(values, form, unit="", scale=1):
    """Mean of some values and, where they differ, lowest and highest: `1.5 s (1.0 to 2.0)`. None is none."""
    known = [scale * value for value in values if value is not None]
    if not known:
        return "-"
    low, high = format(min(known), form), format(max(known), form)
    text = format(float(np.mean(known)), form) + unit + (f" ({low} to {high})" if low != high else "")
    return text if len(known) == len(values) else f"{text}, {len(known)} of {len(values)}"


def systems_table(runs):
    """A row for each system: accuracy, errors, time, memory, size."""
    rows = [["system", *(title for title, *_ in COLUMNS.values())]]
    for system, name in SYSTEMS.items():
        if mine := [run for run in runs if run["system"] == system]:
            found = (([run.get(key) for run in mine], *form) for key, (_, *form) in COLUMNS.items())
            rows.append([name, *(format_spread(*each) for each in found)])
    return markdown_table(rows)


def ratios_table(runs):
    """A row for each of our systems: its `ratios`."""
    rows = [("over the published recipe", "training", "without held-out folds", "1 - accuracy", "EER")]
    for system in ("siamese_gru", "ensemble"):
        if found := ratios(runs, system):
            cells = (format_spread(column, ".3f") for column in zip(*found, strict=True))
            rows.append((SYSTEMS[system], *cells))
    return markdown_table(rows)


def report(records, conditions, failed):
    """bench.md: the tables of records of a corpus and machine, and a line for each failure."""
    runs = [record for record in records if "system" in record]
    facts = ", ".join(f"{name} {value}" for name, value in conditions["machine"].items())
    seeds = ", ".join(map(str, sorted({run["seed"] for run in runs})))
    parts = [
        "# Four systems side by side",
        f"Corpus: {conditions['corpus']['name']}. Machine: {facts}.",
        f"Mean, lowest and highest of seeds {seeds}. Balanced accuracy and EER are over all test trials, the "
        "threshold is from training speakers (published recipe: 0.5). Training is timed from waveforms to a "
        "system with its threshold; without the held-out folds, which give threshold and weights, it is the "
        "time of the encoders that are kept and their PLDA. Memory is the whole process's.",
        systems_table(runs),
        ratios_table(runs),
    ]
    rows = [("utterances embedded", "each", "peak memory")]
    grown = [record for record in records if "utterances" in record]
    for record in sorted(grown, key=lambda record: record["utterances"]):
        each = f"{1000 * record['seconds'] / record['utterances']:.2f} ms"
        rows.append((f"{record['utterances']:,}", each, f"{record['peak_mb']:,.0f} MB"))
    if grown:
        said = "Varied copies of training utterances, in chunks; the scores of all pairs are not computed."
        parts += [said, markdown_table(rows)]
    parts += [f"Not measured: {line}" for line in failed]
    return "\n\n".join(parts) + "\n"


# ---- the bench


def run_apart(function, *arguments):
    """What a function gives in a fresh process; its exception, or BrokenProcessPool where it was killed."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def code_of(task):
    """Hashes of the files that a task's figures depend on, by their paths below the project."""
    system = task.get("system")
    module = f"systems.{system}" if system in ("published_recipe", "mfcc_lda") else "training"
    files = import_closure(f"import helpers.{module}, helpers.evaluation.results, helpers.data.corpora")
    files |= {Path(__file__), Path(__file__).with_name("baselines.py")}
    files |= {MODEL} if "utterances" in task else set()
    return {file.relative_to(PROJECT).as_posix(): file_digest(file) for file in sorted(files)}


def bench(options):
    """Measure what is missing, and write bench.json after each process, bench.md of what was asked for.

    bench.json holds a record of each measurement, with its corpus, machine and code; those of another corpus,
    machine or code stay there, but are not reported. The exit status is returned: 1 when something failed.

    Raises
    ------
    InputError
        When the corpus or an earlier bench.json cannot be read, or the results cannot be written.
    """
    if options.repeats < 1:
        raise InputError(f"{options.repeats} repetitions", expected="at least 1")
    folder, path = course.course_folder(options.data).resolve(), Path(options.out, "bench.json")
    files = {file.name: file_digest(file) for file in sorted(folder.glob("t[re]s.*"))}
    corpus = {"name": corpora.load_course(folder)[1].name, "files": files}
    try:
        records = [dict(record) for record in json.loads(path.read_text())] if path.exists() else []
    except (ValueError, TypeError) as error:
        raise InputError(f"{path.name} is not an earlier result ({error}); move it away") from error
    conditions = {"corpus": corpus, "machine": run_apart(machine_facts)}
    tasks = [{"system": system, "seed": seed} for seed in range(options.repeats) for system in SYSTEMS]
    tasks += [{"utterances": size} for size in SIZES if options.growth]
    reported, failed = [], []
    for task in tasks:
        about = task | conditions | {"code": code_of(task)}
        known = [record for record in records if about.items() <= record.items()]
        if not known:
            name = ", ".join(f"{key} {value}" for key, value in task.items())
            try:
                known = [run_apart(measure, task, folder) | about]
                print(f"{name}: measured", flush=True)
            except Exception as error:  # whatever it is, the next one may do
                failed.append(f"{name}: {first_line(type(error).__name__, error)}")
                print(failed[-1], file=sys.stderr, flush=True)
            records += known
            with atomic_write(path) as temporary:
                temporary.write_text(json.dumps(records, indent=1, allow_nan=False) + "\n")
        reported += known
    text = report(reported, conditions, failed)
    with atomic_write(path.with_suffix(".md")) as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(text, end="")
    return 1 if failed else 0


def main(arguments=None):
    """The command line; returns the exit status: 1 when something failed."""
    parser = new_parser("research.bench", __doc__)
    parser.add_argument("--data", default="", help="folder with trs.pkl and tes.pkl (default: the course's)")
    parser.add_argument("--out", required=True, help="folder of bench.json and bench.md")
    parser.add_argument("--repeats", type=int, default=3, help="seeds 0, 1, ... of each system (default: 3)")
    parser.add_argument("--growth", action="store_true", help="embed up to 50,000 utterances too")
    return run_program(bench, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
