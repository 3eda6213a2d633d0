"""Train the model for recordings of people that comes with the course.

`python -m helpers.research.people` takes a corpus of people in any layout of `layouts.LAYOUTS`; ours was
speechocean762. Some speakers are put aside. The others, and the course's synthesised ones beside them, teach
the course's network with stretches of 2.5 s: in every batch most of them through other microphones, noises
and narrower bands, and a copy of each in a room of its own. The threshold is that of the people, each scored
by an encoder that has never heard them. OUT then has corpus (what was converted) and people.keras;
`helpers.research.robustness` measures its errors.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from helpers import SAMPLE_RATE, batches, calibration, models, training
from helpers.command_line import new_parser, run_program
from helpers.data import corpora, synthesis
from helpers.data.convert import conversion, sampling
from helpers.features import Spectrogram
from helpers.research import training_hooks
from helpers.verifier import Verifier, save_system

SECONDS = 2.5
# Three of five encoders and shorter crops take half the time.
CONFIG = batches.TrainingConfig(encoders=3, crop=0.5)
ELSEWHERE = {"equalise": {}, "noise": {}, "band_limit": {}}


def lengthen(corpus, samples):
    """A corpus of longer utterances: each with the next ones of its speaker, cut to `samples`."""
    count = -(-samples // corpus.waveforms.shape[1])
    order = np.argsort(corpus.speakers, kind="stable")
    own = [order[corpus.speakers[order] == name] for name in np.unique(corpus.speakers)]
    rows = np.concatenate([np.stack([np.roll(mine, -k) for k in range(count)], axis=1) for mine in own])
    longer = corpus.waveforms[rows].reshape(len(rows), -1)[:, :samples]
    return corpus._replace(waveforms=longer, speakers=corpus.speakers[rows[:, 0]], path=None)


def concatenate(people, voices):
    """People and synthesised voices as one corpus; their speakers get numbers of their own."""
    waveforms = np.concatenate([people.waveforms, voices.waveforms])
    speakers = np.concatenate([people.speakers, people.speakers.max() + 1 + voices.speakers])
    return corpora.Corpus(f"{people.name} and synthesised speech", waveforms, speakers, None)


def train_on_people(people, voices, config, checkpoint_file=None, show_progress=False):
    """Train on corpora of people and of synthesised voices, all of one length: a `verifier.Verifier`.

    The people's scores alone are made log likelihood ratios: two people and a synthesised voice against a
    real one are not equally hard to tell apart.

    `config`, `checkpoint_file` and `show_progress` are those of `training.train`.
    """
    corpus = concatenate(people, voices)
    augment, copies = training_hooks.augmenter(ELSEWHERE), training_hooks.training_copies(rooms=1)
    hooks = training.TrainingHooks(augment=augment, copies=copies)
    verifier, _ = training.train(corpus, Spectrogram(), config, checkpoint_file, show_progress, hooks=hooks)
    fold = batches.assign_folds(corpus.speakers, config.folds, config.seed)
    fold[len(people.speakers) :] = -1  # in no fold
    apart = [fold == number for number in range(config.encoders)]
    embeddings = verifier.embed(corpus.waveforms)
    scores, labels, *_ = training.held_out_scores(verifier.plda, embeddings, apart, corpus.speakers)
    scale = models.ScaledCosine(*calibration.calibrate(scores, labels), name="calibration")
    return Verifier(verifier.encoder, verifier.plda, scale, verifier.spectrogram, 0.0, verifier.facts)


def train_and_save(options):
    """Convert a corpus of people, train on it, and save the model."""
    samples, out = round(SECONDS * SAMPLE_RATE), Path(options.out)
    lengths, tested = {"train_samples": samples, "test_samples": samples}, options.test_speakers
    settings = sampling.ConversionSettings(test_speakers=tested, everything=True, **lengths)
    config = replace(CONFIG, seed=options.seed, epochs=options.epochs)
    people = corpora.load_course(conversion.convert(options.data, out / "corpus", settings))[0]
    voices = lengthen(corpora.load_course(synthesis.embedded_corpus())[0], samples)
    progress = out / "people.progress.npz"
    verifier = train_on_people(people, voices, config, progress, show_progress=sys.stderr.isatty())
    save_system(verifier, out / "people.keras")
    facts = verifier.facts
    print(f"{out / 'people.keras'}: {facts['speakers_train']} speakers of {facts['corpus']}")


def main(arguments=None):
    """The command line; returns the exit status."""
    parser = new_parser("research.people", __doc__)
    parser.add_argument("--data", required=True, help="folder of a corpus of people in a known layout")
    parser.add_argument("--out", required=True, metavar="OUT", help="folder of people.keras")
    parser.add_argument("--test-speakers", type=int, default=40, help="put aside (default: 40)")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    return run_program(train_and_save, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
