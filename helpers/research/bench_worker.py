"""One measurement of `bench`, in a process of its own: a system trained and tested, or many embedded.

The clock runs from waveforms to a system with its threshold: features, augmentation and compilation are in
it, imports and tests are not. Memory is the highest of the process, libraries and tests included; a GPU's own
is not counted.

Accuracy on the way is the balanced one on all test trials, at the threshold that training has come to: 0.5
for the published recipe; for ours, where the scores of training speakers put it, each scored by an encoder
that never heard them. Nothing is chosen by these tests.
"""

import json
import os
import platform
import sys
import time
from functools import partial
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil

from helpers import PROJECT, metrics, pairs
from helpers.command_line import new_parser, run_program
from helpers.data import corpora, synthesis
from helpers.files import atomic_write, file_digest

CHUNK = 500  # utterances embedded at a time
STEP = 1.05  # a test waits until training has gone on for 5 % longer: the resolution of the curve


class Tested(NamedTuple):
    """Scores (n, n) of utterances, a threshold, and how to score `pairs.Enrolments`; by default the mean."""

    scores: np.ndarray
    threshold: float
    enrolled: Any = None


class Trained(NamedTuple):
    """A system: `test` (waveforms) gives a `Tested`; how many numbers it learnt; what can be saved of it."""

    test: Any
    parameters: int
    verifier: Any = None


# ---- the systems: (corpus, seed, tick) to Trained; tick(test) is called whenever there is something to test


def train_siamese_gru(corpus, seed, tick, **settings):
    """The course's system; `settings` are those of its `batches.TrainingConfig`."""
    import keras

    from helpers import batches, calibration, features, models, plda, training

    spectrogram, speakers, joint_models = features.Spectrogram(), corpus.speakers, []

    def after_epoch(history, folds):
        """Test the encoders as they are now, at a threshold from speakers whom they never heard."""

        def test(waveforms):
            if not joint_models:  # one of its own, so that the clock pays for each graph that training needs
                joint = models.concatenate_encoders([fold.encoder for fold in folds])
                joint_models.append(keras.Model(joint.inputs, joint.outputs))
            embed = partial(models.embed_spectrograms, joint_models[0])
            known, embeddings = (embed(spectrogram(each)) for each in (corpus.waveforms, waveforms))
            apart = [fold.held_out for fold in folds]
            fitted = plda.PLDA(len(folds), known.shape[1] // len(folds)).fit(known, speakers, apart)
            scores, labels, *_ = training.held_out_scores(fitted, known, apart, speakers)
            return Tested(calibration.calibrate(scores, labels).llr(fitted.scores(embeddings)), 0.0)

        tick(test)

    config = batches.TrainingConfig(seed=seed, **settings)
    verifier, _ = training.train(corpus, spectrogram, config, after_epoch=after_epoch)

    def test(waveforms):
        embeddings = verifier.embed(waveforms)
        enrolled = partial(verifier.enrolled_scores, embeddings)
        return Tested(verifier.scores(embeddings), verifier.threshold, enrolled)

    return Trained(test, verifier.facts["parameters"], verifier)


def train_published_recipe(corpus, seed, tick, **settings):
    """The recipe of `systems.published_recipe`; `settings` are those of its `train`."""
    import keras
    from scipy.special import expit

    from helpers.systems import published_recipe

    def test(model, waveforms):
        return Tested(expit(published_recipe.logit_matrix(model, waveforms)), published_recipe.THRESHOLD)

    ticker = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: tick(partial(test, ticker.model)))
    model, _ = published_recipe.train(corpus, seed, callbacks=[ticker], **settings)
    return Trained(partial(test, model), model.count_params())


def train_mfcc_lda(corpus, seed, tick):
    """The baseline of `systems.mfcc_lda`, which is there all at once."""
    from helpers.systems import mfcc_lda

    fitted = mfcc_lda.MfccLda().fit(corpus, seed)

    def test(waveforms):
        embeddings = fitted.embed(waveforms)
        enrolled = partial(metrics.enrolled_scores, embeddings)
        return Tested(metrics.cosine_scores(embeddings), fitted.threshold, enrolled)

    return Trained(test, fitted.parameters)


# Each with what it imports, before the clock runs.
SYSTEMS = {
    "siamese_gru": (train_siamese_gru, "helpers.training"),
    "published_recipe": (train_published_recipe, "helpers.systems.published_recipe"),
    "mfcc_lda": (train_mfcc_lda, "helpers.systems.mfcc_lda"),
}


class Clock:
    """Seconds of training, and the curve of `[seconds, accuracy]`; it stands still during tests."""

    def __init__(self, corpus):
        self.corpus, self.curve, self.started, self.stopped = corpus, [], time.perf_counter(), 0.0

    def seconds(self):
        """Seconds since the start, tests left out."""
        return time.perf_counter() - self.started - self.stopped

    def tick(self, test):
        """Test a system, when the last test is long enough ago: a point of the curve."""
        begun, seconds = time.perf_counter(), self.seconds()
        if not self.curve or seconds >= STEP * self.curve[-1][0]:
            tested = test(self.corpus.waveforms)
            self.curve.append([seconds, test_results(tested, self.corpus.speakers)["accuracy"]])
        self.stopped += time.perf_counter() - begun


def test_results(tested, speakers):
    """Balanced accuracy, EER, and EER with 5 utterances enrolled: None where a speaker has fewer than 6."""
    trials, five = pairs.all_trials(speakers), None
    scores = tested.scores[trials.left, trials.right]
    accuracy = metrics.balanced_accuracy(scores, trials.label, tested.threshold)
    if np.unique(speakers, return_counts=True)[1].min() > 5:
        against = pairs.enrolments(speakers, 5)
        if tested.enrolled:
            means = tested.enrolled(against)
        else:
            means = tested.scores[against.enrolled, against.test[:, None]].mean(axis=1)
        five = metrics.equal_error(means, against.label)[0]
    return {"accuracy": accuracy, "eer": metrics.equal_error(scores, trials.label)[0], "eer_enrol5": five}


def peak_memory():
    """Highest memory of this process so far, in MB; on macOS, where psutil has no peak, that of now."""
    try:
        return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024 / 1e6
    except (OSError, LookupError):
        memory = psutil.Process().memory_info()
        return getattr(memory, "peak_wset", memory.rss) / 1e6


def loaded_code():
    """The helpers that this process has loaded, by their paths below `helpers`, with their hashes."""
    files = {Path(getattr(module, "__file__", None) or "") for module in list(sys.modules.values())}
    package = PROJECT / "helpers"
    mine = sorted(file for file in files if package in file.parents)
    return {file.relative_to(package).as_posix(): file_digest(file) for file in mine}


def device_name():
    """The accelerator that Keras' backend sees, by name; else "CPU"."""
    import keras

    backend = import_module(keras.backend.backend())
    if backend.__name__ == "torch":
        return backend.cuda.get_device_name() if backend.cuda.is_available() else "CPU"
    if backend.__name__ == "jax":
        return "CPU" if (first := backend.devices()[0]).platform == "cpu" else first.device_kind
    found = backend.config.list_physical_devices("GPU")
    return backend.config.experimental.get_device_details(found[0])["device_name"] if found else "CPU"


def machine_facts():
    """What figures depend on beside the code: processor, device, versions; nothing that names the host."""
    import keras

    backend = keras.backend.backend()
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    facts = {"cpus": cpus, "processor": platform.machine(), "system": platform.system()}
    facts |= {"device": device_name(), "backend": backend, "python": platform.python_version()}
    return facts | {name: metadata.version(name) for name in ("keras", backend, "numpy")}


def measure(system, seed, folder):
    """Train and test a system once."""
    function, module = SYSTEMS[system]
    training, test = corpora.load_course(folder)
    import_module(module)
    ran, clock = loaded_code(), Clock(test)
    trained = function(training, seed, clock.tick)
    seconds = clock.seconds()
    results = test_results(trained.test(test.waveforms), test.speakers)
    clock.curve.append([seconds, results["accuracy"]])
    results |= {"system": system, "seed": seed, "seconds": seconds, "curve": clock.curve, "code": ran}
    return results | {"peak_mb": peak_memory(), "parameters": trained.parameters}


def embed_many(size, verifier, clips):
    """Embed many utterances chunk by chunk, and keep nothing but the embeddings.

    They are some clips over and over, shifted, at another level and in other noise each time: new utterances
    for memory and time, not new speakers. Making them, and compiling (on a chunk that is thrown away), is not
    timed.
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
    return {"utterances": sum(map(len, embeddings)), "seconds": seconds, "peak_mb": peak_memory()}


def answer_task(task, folder):
    """The answer to a task: a run of a `system` with a `seed`; a `save`d model of ours, trained for an epoch;
    a `size` of growth, with that `model` and the `loaded_code` that made it; else the machine.
    """
    if "system" in task:
        return measure(task["system"], task["seed"], folder)

    from helpers import verifier  # not above: it is no code of the systems that do without

    if "save" in task:
        trained = train_siamese_gru(corpora.load_course(folder)[0], 0, lambda test: None, epochs=1)
        verifier.save_system(trained.verifier, task["save"])
        return {"code": loaded_code()}
    if "size" in task:
        clips = corpora.load_course(synthesis.embedded_corpus())[0].waveforms
        grown = embed_many(task["size"], verifier.load_verifier(task["model"]), clips)
        return grown | {"code": task["code"] | loaded_code()}
    return machine_facts()


def main(arguments=None):
    """What `helpers.research.bench` calls: writes the answer to a task as JSON; returns the exit status."""
    parser = new_parser("research.bench_worker", __doc__)
    parser.add_argument("--data", required=True, help="folder with trs.pkl and tes.pkl")
    parser.add_argument("--out", required=True, help="JSON file to write")
    parser.add_argument("--task", required=True, type=json.loads, help="JSON object, as for `answer_task`")

    def work(options):
        answer = json.dumps(answer_task(options.task, options.data), allow_nan=False)
        with atomic_write(options.out) as temporary:
            temporary.write_text(answer)

    return run_program(work, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
