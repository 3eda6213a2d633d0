"""Ten times as many utterances: what their conversion, and learning from them, cost in time and memory.

`python -m helpers.research.bench_growth --out OUT` invents corpora of 1,000 and 10,000 utterances, has
`helpers.convert` make arrays and features of each, trains the course's network on these for an epoch, each in
a process of its own, and writes OUT/growth.md. Time is the processors'. Memory is what a process holds of its
own; pages of mapped files, which the system takes back when it needs them, are not in it.
"""

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import soundfile

from helpers import SAMPLE_RATE, InputError
from helpers.data import corpora, synthesis
from helpers.files import atomic_write
from helpers.research import bench

EACH = 50  # utterances of a speaker
TEST = 2  # test speakers, too few to weigh anything
EVERY = 0.05  # seconds from one look at the memory to the next


def synthesise_speaker(task):
    """Write the sentences of one invented speaker in LibriSpeech's layout; `task`: folder, number, voice."""
    folder, number, voice = task
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
    tasks = [(str(folder), number, voice) for number, voice in enumerate(voices)]
    with multiprocessing.get_context("spawn").Pool() as pool:
        for _ in pool.imap_unordered(synthesise_speaker, tasks):
            pass


def measure_command(command):
    """Run a command: `seconds` of the processors, and the most MB of its `parent` process and any `worker`.

    Raises
    ------
    InputError
        With its last line, when it fails.
    """
    started, most = sum(os.times()[2:4]), {"parent": 0.0, "worker": 0.0}
    with tempfile.TemporaryFile() as said:
        running = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=said)
        while running.poll() is None:
            update_peak(running, most)
            time.sleep(EVERY)
        if running.returncode:
            said.seek(0)
            lines = said.read().decode(errors="replace").split("\n")
            raise InputError([line for line in lines if line.strip()][-1] if any(lines) else "it failed")
    return {"seconds": sum(os.times()[2:4]) - started} | most  # of children that have ended, and theirs


def update_peak(process, most):
    """Raise the highest memory of a process, and of those that it has started, to what it is now."""
    try:
        for kind, each in [("parent", process), *(("worker", child) for child in process.children(True))]:
            held = each.memory_info()
            most[kind] = max(most[kind], (held.rss - held.shared) / 1e6)
    except psutil.NoSuchProcess:
        pass  # it has just ended


def measure(utterances, epochs=1):
    """Synthesise a corpus, convert it, learn from it: `measure_command` of both, and the MB on the disk."""
    with tempfile.TemporaryDirectory() as scratch:
        corpus, out = Path(scratch, "corpus"), Path(scratch, "out")
        synthesise_corpus(corpus, utterances)
        given = sum(path.stat().st_size for path in corpus.rglob("*.flac")) / 1e6
        options = ["--all", "--npy", "--features", "--test-speakers", str(TEST)]
        convert = measure_command(
            [sys.executable, "-m", "helpers.convert", str(corpus), "--out", str(out), *options]
        )
        made = sum(path.stat().st_size for path in out.iterdir()) / 1e6
        learn = measure_command(
            [
                sys.executable,
                "-m",
                "helpers.research.bench_growth",
                "--learn",
                str(out),
                "--epochs",
                str(epochs),
            ]
        )
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
    return bench.markdown_table(rows)


def train_once(folder, epochs):
    """Train the course's network on a converted corpus."""
    from helpers import batches, features, training

    corpus = corpora.load_utterances(corpora.course_file(folder, "trs"))
    training.train(corpus, features.Spectrogram(), batches.TrainingConfig(epochs=epochs))


def main(arguments=None):
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m helpers.research.bench_growth", description=__doc__.split("\n")[0]
    )
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--out", help="folder of growth.md")
    task.add_argument("--learn", metavar="DIR", help="only train, on a converted corpus")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000], help="utterances")
    parser.add_argument("--epochs", type=int, default=1)
    options = parser.parse_args(arguments)
    try:
        if options.learn:
            train_once(options.learn, options.epochs)
            return 0
        if min(options.sizes) < 10 * EACH:
            raise InputError(f"{min(options.sizes)} utterances; expected {10 * EACH} or more")
        found = []
        for size in options.sizes:
            found.append(measure(size, options.epochs))
            print(growth_table(found), flush=True)
        with atomic_write(Path(options.out, "growth.md")) as temporary:
            temporary.write_text(growth_table(found) + "\n")
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
