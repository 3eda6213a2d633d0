"""Time and memory of conversion and training as a corpus grows.

`python -m helpers.research.bench_growth --out OUT` invents corpora of 1,000 and 10,000 utterances, has
`helpers.convert` make arrays and features of each, trains the course's network on these for an epoch, each in
a process of its own, and writes OUT/growth.md. Time is the processors', 0 on Windows, which does not tell it.
Memory is what a process holds of its own; pages of mapped files, which the system takes back when it needs
them, are not in it.
"""

import multiprocessing
import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import soundfile

from helpers import SAMPLE_RATE, InputError
from helpers.batch.report import markdown_table
from helpers.command_line import new_parser, run_program
from helpers.data import corpora, synthesis
from helpers.files import atomic_write
from helpers.research.bench import run_command

EACH = 50  # utterances of a speaker
TEST = 2  # test speakers, too few to weigh anything


def synthesise_speaker(folder, number, voice):
    """Write the sentences of one invented speaker in LibriSpeech's layout."""
    rng = np.random.default_rng([1, number])
    place = Path(folder, "train-clean", str(number), "1")
    place.mkdir(parents=True)
    for k in range(EACH):
        speech, _ = synthesis.say(voice, synthesis.sentence(rng), rng)
        noisy = 0.5 * speech / np.abs(speech).max() + 1e-3 * rng.standard_normal(len(speech))
        soundfile.write(place / f"{number}-1-{k:04d}.flac", noisy, SAMPLE_RATE)


def synthesise_corpus(folder, utterances):
    """Write a corpus of so many utterances to learn from, and those of the test speakers."""
    voices = synthesis.draw_voices(utterances // EACH + TEST, seed=0)
    with multiprocessing.get_context("spawn").Pool() as pool:
        pool.starmap(synthesise_speaker, [(folder, *each) for each in enumerate(voices)])


def measure_command(command):
    """As `bench.run_command`: `seconds` of the processors, the most MB of the `parent` and any `worker`."""
    started, most = sum(os.times()[2:4]), {"parent": 0.0, "worker": 0.0}  # of children that have ended

    def watch(process):
        with suppress(psutil.NoSuchProcess):  # it has just ended
            for kind, each in [("parent", process), *(("worker", child) for child in process.children(True))]:
                held = each.memory_info()
                most[kind] = max(most[kind], (held.rss - getattr(held, "shared", 0)) / 1e6)  # Linux tells it

    run_command(command, watch)
    return {"seconds": sum(os.times()[2:4]) - started} | most


def measure(utterances, epochs):
    """Synthesise a corpus, convert it, learn from it: `measure_command` of both, and the MB on the disk."""
    with tempfile.TemporaryDirectory() as scratch:
        corpus, out, python = Path(scratch, "corpus"), Path(scratch, "out"), [sys.executable, "-m"]
        synthesise_corpus(corpus, utterances)
        given = sum(path.stat().st_size for path in corpus.rglob("*.flac")) / 1e6
        options = ["--out", str(out), "--all", "--npy", "--features", "--test-speakers", str(TEST)]
        convert = measure_command([*python, "helpers.convert", str(corpus), *options])
        made = sum(path.stat().st_size for path in out.iterdir()) / 1e6
        options = ["--learn", str(out), "--epochs", str(epochs)]
        learn = measure_command([*python, "helpers.research.bench_growth", *options])
        rows = len(np.load(out / "trs.npy", mmap_mode="r"))
    return {"utterances": rows, "given": given, "made": made, "convert": convert, "learn": learn}


def growth_table(found):
    """What `measure` found, a row each."""
    rows = [("utterances", "recordings", "arrays", "conversion", "parent, worker", "training", "memory")]
    for each in found:
        convert, learn = each["convert"], each["learn"]
        sizes = [f"{each['utterances']:,}", f"{each['given']:,.0f} MB", f"{each['made']:,.0f} MB"]
        memory = f"{convert['parent']:,.0f} MB, {convert['worker']:,.0f} MB"
        times = [f"{part['seconds']:,.0f} s" for part in (convert, learn)]
        rows.append((*sizes, times[0], memory, times[1], f"{learn['parent']:,.0f} MB"))
    return markdown_table(rows)


def run(options):
    """Measure each size and write growth.md; or only train the course's network on a converted corpus."""
    if options.learn:
        from helpers import batches, features, training

        corpus = corpora.load_utterances(corpora.course_file(options.learn, "trs"))
        training.train(corpus, features.Spectrogram(), batches.TrainingConfig(epochs=options.epochs))
        return
    if min(options.sizes) < 10 * EACH:
        raise InputError(f"{min(options.sizes)} utterances", expected=f"{10 * EACH} or more")
    found = []
    for size in options.sizes:
        found.append(measure(size, options.epochs))
        print(growth_table(found), flush=True)
    with atomic_write(Path(options.out, "growth.md")) as temporary:
        temporary.write_text(growth_table(found) + "\n")


def main(arguments=None):
    """The command line; returns the exit status."""
    parser = new_parser("research.bench_growth", __doc__)
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--out", help="folder of growth.md")
    task.add_argument("--learn", metavar="DIR", help="only train, on a converted corpus")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000], help="utterances")
    parser.add_argument("--epochs", type=int, default=1)
    return run_program(run, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
