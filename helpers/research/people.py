"""Train the model for recordings of people that comes with the course.

`python -m helpers.research.people` takes a corpus of people in any layout of `layouts.LAYOUTS`; ours was
speechocean762. Some speakers are put aside. Three of the
course's networks are trained on the others and on the course's synthesised speakers, with stretches of 2.5 s:
in every batch most of them through other microphones, noises and narrower bands, and a copy of each in a
room of its own. The threshold comes from people who were held out. OUT then has corpus (what was converted)
and people.keras;
`helpers.research.robustness` measures its errors.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from helpers import SAMPLE_RATE, batches, training
from helpers.command_line import new_parser, run_program
from helpers.data import corpora, synthesis
from helpers.data.convert import conversion, sampling
from helpers.features import Spectrogram
from helpers.models import gru_encoder
from helpers.research import training_hooks
from helpers.verifier import save_system

SECONDS = 2.5
ENCODERS = 3
CONFIG = batches.TrainingConfig(crop=0.5)  # shorter crops take less time
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


def train_on_people(people, voices, config, **options):
    """Train on corpora of people and of synthesised voices, all of one length: a `verifier.Verifier`.

    The calibration is fitted to the people's scores alone, because two people, and a person and a synthesised
    voice, are not equally hard to distinguish.

    `config` and `options` are those of `training.train`.
    """
    corpus = concatenate(people, voices)
    augment, copies = training_hooks.augmenter(ELSEWHERE), training_hooks.training_copies(rooms=1)
    encoders = (gru_encoder,) * ENCODERS
    hooks = training.TrainingHooks(encoders, plda=True, augment=augment, copies=copies)
    judged = np.arange(len(corpus.speakers)) < len(people.speakers)
    return training.train(corpus, Spectrogram(), config, hooks, judged, **options)[0]


def train_and_save(options):
    """Convert a corpus of people, train on it, and save the model."""
    samples, out = round(SECONDS * SAMPLE_RATE), Path(options.out)
    lengths, tested = {"train_samples": samples, "test_samples": samples}, options.test_speakers
    settings = sampling.ConversionSettings(test_speakers=tested, everything=True, **lengths)
    config = replace(CONFIG, seed=options.seed, epochs=options.epochs)
    people = corpora.load_course(conversion.convert(options.data, out / "corpus", settings))[0]
    voices = lengthen(corpora.load_course(synthesis.embedded_corpus())[0], samples)
    options = {"checkpoint_file": out / "people.progress", "show_progress": sys.stderr.isatty()}
    verifier = train_on_people(people, voices, config, **options)
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
