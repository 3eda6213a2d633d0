"""Training: folds that hold their speakers out, encoders side by side, and that a kill changes nothing."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from unittest import mock

import keras
import numpy as np
import pandas as pd
import pytest

from samples import Stopped, array

from helpers import InputError, bootstrap, checkpoint, files, models, training
from helpers.augmentation import at_speed, telephone_call
from helpers.batches import TrainingConfig, assign_folds
from helpers.calibration import calibrate, fuse
from helpers.data import corpora, stored_features
from helpers.data.corpora import Corpus
from helpers.features import Spectrogram
from helpers.losses import BalancedPairLoss
from helpers.metrics import equal_error
from helpers.models import AllPairs, ScaledCosine, layer_seed
from helpers.pairs import all_trials
from helpers.plda import PLDA
from helpers.training import TrainingHooks, draw_epoch, held_out_scores, prepare, rows_of, speed_copies, train
from helpers.verifier import FUSION_RIDGE, Verifier

pytestmark = pytest.mark.backend

FEATURES = Spectrogram(n_fft=256, hop_length=128, mel_bands=20)
QUICK = TrainingConfig(
    epochs=6, folds=2, batch_speakers=4, batch_utterances=3, learning_rate=3e-3, crop=0.9, speeds=(1.1,)
)


def tones(speakers=11, utterances=5, samples=2560, seed=0):
    """A corpus so easy that a few steps tell its speakers apart: each hums on a pitch of its own.

    Speakers are numbered with gaps, and their utterances are in no order.
    """
    rng = np.random.default_rng(seed)
    time = np.arange(samples) / 16_000
    numbers = rng.permutation(np.repeat(10 * np.arange(speakers) + 5, utterances))
    pitches = np.geomspace(250, 2500, speakers)[numbers // 10]
    waveforms = [
        sum(
            np.sin(2 * np.pi * (pitch * rng.uniform(0.99, 1.01) * k * time + rng.random())) / k
            for k in (1, 2, 3)
        )
        + 0.05 * rng.normal(size=samples)
        for pitch in pitches
    ]
    waveforms = (0.2 * np.array(waveforms)).astype(np.float32)
    return Corpus("tones", waveforms, numbers, pd.DataFrame({"speaker": numbers}))


def light(spectrograms, dropout=0.2):
    """An encoder without a recurrence, which compiles at once."""
    mean, variance = spectrograms.mean(axis=(0, 1)), spectrograms.var(axis=(0, 1))
    inputs = keras.Input((None, spectrograms.shape[-1]))
    x = keras.layers.Normalization(mean=mean, variance=variance, name="standardise")(inputs)
    x = keras.layers.Dropout(dropout, seed=layer_seed())(x)
    x = keras.layers.Dense(8, name="projection")(keras.layers.GlobalAveragePooling1D()(x))
    return keras.Model(inputs, keras.layers.UnitNormalization()(x))


def average(copies, labels):
    """A fitted encoder: the mean spectrum, less that of what it is fitted to, in eight directions."""
    mean = np.mean([utterance.mean(axis=0) for copy in copies for utterance in copy], axis=0)
    assert len(labels) == sum(map(len, copies))
    inputs = keras.Input((None, len(mean)))
    projection = keras.layers.Dense(8)
    x = projection(keras.layers.GlobalAveragePooling1D()(inputs))
    encoder = keras.Model(inputs, keras.layers.UnitNormalization()(x))
    kernel = np.random.default_rng(len(labels)).normal(size=(len(mean), 8))
    projection.set_weights([kernel, -mean @ kernel])
    return encoder


LIGHT = TrainingHooks(encoders=(light,))
SEVERAL = TrainingHooks(encoders=(light, light), fitted=(average,), plda=True)


def embed(model, spectrograms):
    return model.predict(spectrograms, batch_size=256, verbose=0)


def untrained(config=QUICK, number=0, hooks=LIGHT, learners=None, stream=None):
    """What is learnt from when a fold is held out, and which utterances are."""
    corpus = tones()
    speakers = np.unique(corpus.speakers, return_inverse=True)[1]
    copies, labels = speed_copies(corpus, speakers, FEATURES, config)
    learners = assign_folds(speakers, config.folds, config.seed) != number if learners is None else learners
    stream = number if stream is None else stream
    return prepare(copies, labels, learners, config, hooks, stream), ~learners


def losses_of(learning, spectrograms, speakers):
    """The loss of all pairs by each output of a training."""
    outputs = [embed(keras.Model(learning.inputs, each), spectrograms) for each in learning.outputs]
    return [float(BalancedPairLoss()(speakers, logits)) for logits in outputs]


# ---- folds -------------------------------------------------------------------------------------------------

TONES = tones()
SPECTROGRAMS = FEATURES(TONES.waveforms)
SPEAKERS = np.unique(TONES.speakers, return_inverse=True)[1]


@pytest.fixture(scope="module")
def folds():
    """11 speakers in two folds: one training has 5 of them, in 4 batches, and one has 6, in 5."""
    return untrained(number=0), untrained(number=1)


def test_held_out_speakers_and_their_copies_never_enter_a_batch(folds):
    for learning, held_out in folds:
        names, learnt, batches = SPEAKERS[~held_out], TONES.waveforms[~held_out], learning.batches
        assert not set(names) & set(SPEAKERS[held_out])
        count = len(names)
        assert len(batches.spectrograms) == len(batches.speakers) == 2 * count
        # Each label stands for one speaker at one speed: the spectrograms say so.
        for played, rows in ((learnt, slice(count)), (at_speed(learnt, 1.1), slice(count, None))):
            for ours, expected in zip(batches.spectrograms[rows], FEATURES(played), strict=True):
                np.testing.assert_array_equal(ours, expected)
            labels = batches.speakers[rows]
            np.testing.assert_array_equal(np.equal.outer(labels, labels), np.equal.outer(names, names))
        assert not set(batches.speakers[:count]) & set(batches.speakers[count:])
        assert set(batches.speakers) == set(range(2 * len(set(names))))  # a class for each, none to spare


def test_rows_are_those_of_the_learners_and_of_all_their_copies():
    labels = np.array([0, 1, 2, 0, 3, 4, 5, 3, 0, 1, 2, 0])  # four utterances, a faster copy, and a room
    np.testing.assert_array_equal(rows_of(np.array([True, False, False, True]), labels), [0, 3, 4, 7, 8, 11])
    np.testing.assert_array_equal(rows_of(np.array([False, True, True, False]), labels), [1, 2, 5, 6, 9, 10])


def test_an_encoder_may_learn_from_fewer_speakers():
    learning, _ = untrained(learners=np.isin(SPEAKERS, [2, 3, 5, 8]))
    count = len(learning.batches.spectrograms) // 2
    assert len(set(learning.batches.speakers)) == 8  # four, and their copies at another speed
    learnt = [
        np.flatnonzero((each == SPECTROGRAMS).all(axis=(1, 2)))[0]
        for each in learning.batches.spectrograms[:count]
    ]
    assert set(SPEAKERS[learnt]) == {2, 3, 5, 8}
    mean = learning.encoders[0].get_layer("standardise").mean
    np.testing.assert_allclose(array(mean).ravel(), SPECTROGRAMS[learnt].mean(axis=(0, 1)), atol=1e-4)


def test_batches_do_not_copy_spectrograms():
    copies, labels = speed_copies(TONES, SPEAKERS, FEATURES, QUICK)
    learning = prepare(copies, labels, SPEAKERS > 4, QUICK, LIGHT)
    assert {id(spectrogram.base) for spectrogram in learning.batches.spectrograms} == set(map(id, copies))


def test_bins_are_standardised_without_the_held_out_speakers(folds):
    for learning, held_out in folds:
        ours = array(learning.encoders[0].get_layer("standardise").mean).ravel()
        np.testing.assert_allclose(ours, SPECTROGRAMS[~held_out].mean(axis=(0, 1)), atol=1e-3)


def test_an_encoder_begins_like_itself_alone_and_unlike_the_others(folds):
    ((alone,), *_), _ = folds[0]
    ((other,), *_), _ = folds[1]
    ((first, second), *_), _ = untrained(hooks=SEVERAL)
    for ours, theirs in zip(first.weights, alone.weights, strict=True):
        np.testing.assert_array_equal(array(ours), array(theirs))
    seeds = [encoder.layers[2].seed for encoder in (first, second, alone, other)]
    assert seeds[0] == seeds[2]
    assert len(set(seeds)) == 3
    for one, two in ((first, second), (alone, other)):
        ours, theirs = (array(encoder.trainable_weights[0]) for encoder in (one, two))
        assert np.abs(ours - theirs).max() > 0.01
    paths = [weight.path for encoder in (first, second) for weight in encoder.weights]
    assert len(set(paths)) == len(paths)  # or PyTorch sums up the gradients of one of them for ever


def test_an_epoch_is_that_of_the_batches_for_every_output(folds):
    assert [learning.batches.steps for learning, _ in folds] == [4, 5]
    for learning, _ in folds:
        two = learning._replace(outputs=[*learning.outputs, None])
        for number in range(3):
            ((inputs, labels),) = draw_epoch(two, number)
            spectrograms, speakers = learning.batches.epoch(number)
            np.testing.assert_array_equal(inputs, spectrograms)
            assert len(labels) == 2
            for output in labels:
                np.testing.assert_array_equal(output, speakers)


@pytest.mark.parametrize("size", [1, 3, 4])
def test_an_epoch_in_parts_is_the_epoch(folds, size):
    for learning, _ in folds:
        ((inputs, labels),) = draw_epoch(learning, 1)
        parts = list(draw_epoch(learning, 1, batches=size))
        assert len(parts) == -(-learning.batches.steps // size)
        np.testing.assert_array_equal(np.concatenate([part[0] for part in parts]), inputs)
        np.testing.assert_array_equal(np.concatenate([part[1][0] for part in parts]), labels[0])


def test_augmentation_is_drawn_anew_for_each_epoch_and_training(folds):
    def add(spectrograms, rng):
        return spectrograms + rng.integers(1, 1_000_000)

    def added(learning, number):
        ((with_it, _),), ((without, _),) = draw_epoch(learning, number, add), draw_epoch(learning, number)
        return round(float((with_it - without).mean(dtype=float)))

    numbers = np.array([[added(learning, number) for learning, _ in folds] for number in range(3)])
    assert len(np.unique(numbers)) == 6
    assert added(untrained()[0], 1) == numbers[1, 0]
    other = untrained(replace(QUICK, seed=1))[0]
    assert added(other, 0) not in numbers


def alone(embeddings, speakers, held_out):
    """All scores by a PLDA fitted to the embeddings of one encoder that are not held out."""
    return PLDA(1, embeddings.shape[1]).fit(embeddings[~held_out], speakers[~held_out]).scores(embeddings)


def test_held_out_scores_are_of_all_trials_of_the_held_out_by_each_encoder(folds):
    held_out = folds[0][1]
    parts = [embed(learning.encoders[0], SPECTROGRAMS) for learning, _ in folds]
    embeddings = np.concatenate(parts, axis=1)
    plda = PLDA(2, 8).fit(embeddings[~held_out], SPEAKERS[~held_out])
    scores, whose = held_out_scores(plda, embeddings, held_out, SPEAKERS)
    trials = all_trials(SPEAKERS[held_out])
    assert scores.shape == (30 * 29 // 2, 2)
    np.testing.assert_array_equal(whose, SPEAKERS[held_out])
    for found, theirs in zip(scores.T, parts, strict=True):
        matrix = alone(theirs, SPEAKERS, held_out)[np.ix_(held_out, held_out)]
        np.testing.assert_allclose(found, matrix[trials.left, trials.right], rtol=1e-3, atol=1e-3)


# ---- training ----------------------------------------------------------------------------------------------


class Run:
    """A training with everything that can be seen of it."""

    def __init__(self, corpus, config, path=None, **settings):
        self.corpus, self.path, self.seen = corpus, path, []
        self.learnings, self.learners, self.scored = [], [], []
        with (
            mock.patch.object(training, "prepare", self.prepare),
            mock.patch.object(training, "held_out_scores", self.score),
        ):
            self.verifier, self.history = train(
                corpus, FEATURES, config, checkpoint_file=path, after_epoch=self.watch, **settings
            )
        self.facts = self.verifier.facts
        self.spectrograms = FEATURES(corpus.waveforms)
        self.speakers = np.unique(corpus.speakers, return_inverse=True)[1]

    def prepare(self, copies, labels, learners, *others):
        self.learners.append(learners)
        self.learnings.append(prepare(copies, labels, learners, *others))
        return self.learnings[-1]

    def score(self, *given):
        self.scored.append(held_out_scores(*given))
        return self.scored[-1]

    def watch(self, history, encoders):
        assert encoders is self.learnings[-1].encoders
        kept = self.path is not None and any(self.path.parent.glob(f"{self.path.name}*"))
        self.seen.append((len(self.learnings) - 1, len(history["loss"]), kept))
        self.last = {name: values[-1] for name, values in history.items()}

    def weights(self):
        encoders = [encoder for learning in self.learnings for encoder in learning.encoders]
        return [array(weight) for encoder in encoders for weight in encoder.weights]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """Six epochs of a GRU on six voices, and of one on eleven."""
    return Run(tones(), QUICK, tmp_path_factory.mktemp("run") / "progress")


SHORT = replace(QUICK, epochs=4)


@pytest.fixture(scope="module")
def several():
    """Two encoders and one that is fitted, with a PLDA each; both folds are held out in turn."""
    return Run(tones(), replace(SHORT, held_out_folds=2), hooks=SEVERAL)


@pytest.mark.slow
def test_an_easy_corpus_is_learnt(unbroken):
    losses = unbroken.history["loss"]
    assert len(losses) == len(unbroken.history["val_loss"]) == 6
    assert losses[-1] < 0.5 * np.log(2)
    # Held-out voices are ranked well; their loss is not asked for, as so few voices do not teach w and b.
    assert unbroken.facts["held_out_eer"] < 0.2


def test_facts_are_those_of_the_run(unbroken):
    verifier, facts = unbroken.verifier, unbroken.facts
    assert isinstance(verifier, Verifier)
    assert verifier.spectrogram == FEATURES
    assert (facts["corpus"], facts["backend"]) == ("tones", keras.backend.backend())
    assert facts["speakers_train"] == 11
    learnt = verifier.encoder.trainable_weights
    assert facts["parameters"] == sum(int(np.prod(weight.shape)) for weight in learnt) + 2
    assert 0 < facts["final_seconds"] < facts["train_seconds"]
    assert not verifier.trained_on_calls
    assert TrainingConfig(**facts["recipe"]) == QUICK


def test_what_is_fitted_counts_as_learnt(several):
    encoder = 20 * 8 + 8  # two that are trained, and the fitted one
    plda = 3 * (8 + 2 * 8 * 8)
    assert several.facts["parameters"] == 3 * encoder + plda + 3 + 1


def test_the_verifier_speaks_for_all_encoders(several):
    parts = [several.verifier.encoder.get_layer(f"encoder_{number}") for number in range(3)]
    assert parts[:2] == several.learnings[-1].encoders
    embeddings = [embed(part, several.spectrograms) for part in parts]
    cosines = [each @ each.T for each in embeddings]
    embeddings = several.verifier.embed(several.corpus.waveforms)
    np.testing.assert_allclose(embeddings @ embeddings.T, np.mean(cosines, axis=0), atol=1e-5)
    assert np.abs(cosines[0] - cosines[1]).max() > 0.1


def test_an_encoder_alone_is_the_verifier_s(unbroken):
    assert unbroken.verifier.encoder is unbroken.learnings[-1].encoders[0]


def test_folds_are_held_out_in_turn_and_at_last_nobody(unbroken, several):
    fold = assign_folds(SPEAKERS, 2, QUICK.seed)
    for run, folds in ((unbroken, 1), (several, 2)):
        assert len(run.learners) == folds + 1
        for number, learners in enumerate(run.learners[:-1]):
            np.testing.assert_array_equal(learners, fold != number)
        assert run.learners[-1].all()
        batches = run.learnings[-1].batches
        assert len(batches.names) == 2 * 11
        np.testing.assert_array_equal(batches.spectrograms[: len(SPEAKERS)], run.spectrograms)
        assert [epochs for number, epochs, _ in run.seen if number == folds] == list(
            range(1, run.facts["recipe"]["epochs"] + 1)
        )
        assert np.isnan(run.last["val_loss"])  # nobody is left to tell
        assert np.isfinite(run.last["loss"])
        assert np.isfinite(run.history["val_loss"]).all()
        mean = array(run.learnings[-1].encoders[0].get_layer("standardise").mean).ravel()
        np.testing.assert_allclose(mean, run.spectrograms.mean(axis=(0, 1)), atol=1e-3)


def test_a_fitted_encoder_and_the_plda_are_fitted_to_what_is_learnt_from(monkeypatch):
    fitted, dealt = [], []

    def fit(copies, labels):
        fitted.append((copies, labels))
        return average(copies, labels)

    def known(self, embeddings, speakers):
        dealt.append((np.asarray(embeddings), speakers))
        return self

    monkeypatch.setattr(PLDA, "fit", known)

    def some_copies(corpus, speakers, spectrogram, config):
        first = spectrogram(corpus.waveforms)
        return [first, first[7:] + 1], np.concatenate([speakers, speakers[7:] + 11])

    hooks = TrainingHooks((light,), (fit,), plda=True, copies=some_copies)
    run = Run(tones(), replace(QUICK, epochs=1), hooks=hooks)
    copies, labels = some_copies(tones(), SPEAKERS, FEATURES, QUICK)
    assert len(fitted) == len(dealt) == 2
    for learners, (parts, whose), (embeddings, names) in zip(run.learners, fitted, dealt, strict=True):
        for part, copy, learnt in zip(parts, copies, (learners, learners[7:]), strict=True):
            np.testing.assert_array_equal(np.stack(part), copy[learnt])
            assert len({id(spectrogram.base) for spectrogram in part}) == 1  # views
        np.testing.assert_array_equal(whose, labels[np.append(learners, learners[7:])])
        np.testing.assert_array_equal(names, SPEAKERS[learners])
        assert embeddings.shape == (learners.sum(), 2 * 8)
    np.testing.assert_allclose(dealt[-1][0], embed(run.verifier.encoder, copies[0]), atol=1e-6)


@pytest.mark.slow
def test_a_training_that_does_not_fit_into_memory_is_the_same(unbroken, monkeypatch):
    made = []
    monkeypatch.setattr(training, "BATCHES", 2)
    monkeypatch.setattr(stored_features, "IN_MEMORY", 0)
    monkeypatch.setattr(stored_features, "BATCH", 7)
    monkeypatch.setattr(models, "CHUNK", 13)
    monkeypatch.setattr(files, "ROWS", 5)
    disk = stored_features.tempfile.TemporaryFile
    monkeypatch.setattr(stored_features.tempfile, "TemporaryFile", lambda: made.append(1) or disk())
    again = Run(unbroken.corpus, QUICK)
    assert len(made) == 2  # the corpus, and its copy at another speed
    for ours, theirs in zip(again.weights(), unbroken.weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    for name, losses in unbroken.history.items():
        np.testing.assert_allclose(again.history[name], losses, rtol=1e-2 if name == "loss" else 1e-4)
    assert again.facts["held_out_eer"] == pytest.approx(unbroken.facts["held_out_eer"], abs=1e-3)


def test_of_many_held_out_speakers_some_are_compared(unbroken, monkeypatch):
    monkeypatch.setattr(training, "COMPARED", 12)
    embeddings, held_out = unbroken.verifier.embed(unbroken.corpus.waveforms), ~unbroken.learners[0]
    few, whose = held_out_scores(unbroken.verifier.plda, embeddings, held_out, SPEAKERS)
    compared = training.compared_utterances(held_out, SPEAKERS)
    monkeypatch.undo()
    assert not (compared & ~held_out).any()
    assert len(few) == 10 * 9 // 2  # two speakers with five utterances
    np.testing.assert_array_equal(whose, SPEAKERS[compared])
    assert len(set(whose)) == 2
    trials = all_trials(SPEAKERS[compared])
    scores = unbroken.verifier.plda.scores(embeddings[compared])[trials.left, trials.right]
    np.testing.assert_allclose(few[:, 0], scores, rtol=1e-6)


def held_out_trials(run):
    """Scores (trials, encoders) and labels of all trials within the folds that are held out, by hand."""
    parts = []
    for learners, learning in zip(run.learners[:-1], run.learnings, strict=False):
        rows, trials = np.flatnonzero(~learners), all_trials(run.speakers[~learners])
        embeddings = embed(learning.encoders[0], run.spectrograms[rows])
        parts.append(((embeddings @ embeddings.T)[trials.left, trials.right] - 1, trials.label))
    return map(np.concatenate, zip(*parts, strict=True))


def test_a_single_encoder_is_scored_by_its_cosine(unbroken):
    scores, labels = held_out_trials(unbroken)
    ((found, whose),) = unbroken.scored
    np.testing.assert_allclose(found[:, 0], scores, atol=1e-5)
    np.testing.assert_array_equal(all_trials(whose).label, labels)
    embeddings = unbroken.verifier.embed(unbroken.corpus.waveforms)
    slope, offset = calibrate(found[:, 0], labels)
    expected = slope * (embeddings @ embeddings.T - 1) + offset
    np.testing.assert_allclose(unbroken.verifier.scores(embeddings), expected, rtol=1e-2, atol=1e-2)


def test_weights_scale_and_threshold_come_from_held_out_scores(unbroken, several):
    for run in (unbroken, several):
        scores = np.concatenate([scores for scores, _ in run.scored])
        labels = np.concatenate([all_trials(whose).label for _, whose in run.scored])
        weights, offset = fuse(scores, labels, **({} if run is unbroken else {"ridge": FUSION_RIDGE}))
        np.testing.assert_allclose(run.facts["weights"], weights, rtol=1e-6)
        together = scores @ weights + offset
        error, threshold = equal_error(together, labels)
        assert run.facts["held_out_eer"] == pytest.approx(error, abs=1e-9)
        assert run.verifier.threshold == pytest.approx(threshold)
        kept = [np.concatenate(part) for part in zip(*run.facts["held_out"], strict=True)]
        np.testing.assert_allclose(kept[0], together, atol=0.006)
        np.testing.assert_array_equal(kept[1], np.concatenate([whose for _, whose in run.scored]))
    assert len(labels) == 30 * 29 // 2 + 25 * 24 // 2
    embeddings = several.verifier.embed(several.corpus.waveforms)
    own = [PLDA(1, 8).fit(part, SPEAKERS).scores(part) for part in np.split(embeddings, 3, axis=1)]
    ratios = np.tensordot(weights, own, 1) + offset
    np.testing.assert_allclose(several.verifier.scores(embeddings), ratios, rtol=1e-2, atol=2e-2)
    assert several.verifier.plda.encoders == 3


def test_validation_is_the_mean_over_outputs_of_the_loss_of_all_held_out_pairs(several):
    held_out = ~several.learners[0]
    losses = losses_of(several.learnings[0], several.spectrograms[held_out], several.speakers[held_out])
    assert several.history["val_loss"][-1] == pytest.approx(np.mean(losses), rel=1e-4)
    assert losses[0] != pytest.approx(losses[1], rel=0.01)


def test_progress_is_kept_while_it_runs_and_removed_at_the_end(unbroken):
    assert unbroken.seen == [(number, epoch, True) for number in range(2) for epoch in range(1, 7)]
    assert list(unbroken.path.parent.iterdir()) == []


def test_an_encoder_learns_what_it_would_learn_alone(several):
    """It sees the same batches with the other beside it or not."""
    run = Run(tones(), replace(SHORT, held_out_folds=2), hooks=LIGHT)
    for beside, one in zip(several.learnings, run.learnings, strict=True):
        for ours, theirs in zip(beside.encoders[0].weights, one.encoders[0].weights, strict=True):
            np.testing.assert_allclose(array(ours), array(theirs), atol=1e-5)


@pytest.mark.slow
def test_fifty_one_speakers_in_five_folds():
    config = replace(QUICK, epochs=1, folds=5, held_out_folds=5, batch_speakers=25)
    run = Run(tones(51, 4), config, hooks=LIGHT)
    held_out = [~learners for learners in run.learners[:-1]]
    assert sorted(np.sum(held_out, axis=1)) == [40, 40, 40, 40, 44]
    np.testing.assert_array_equal(np.sum(held_out, axis=0), 1)
    assert [len(scores) for scores, _ in run.scored] == [n.sum() * (n.sum() - 1) // 2 for n in held_out]
    (loss,) = losses_of(run.learnings[0], run.spectrograms[held_out[0]], run.speakers[held_out[0]])
    assert run.history["val_loss"][-1] == pytest.approx(loss, rel=1e-4)
    assert run.verifier.embed(run.corpus.waveforms).shape == (204, 8)
    assert run.facts["speakers_train"] == 51


def test_who_is_not_judged_is_always_learnt_from():
    corpus = tones()
    judged = corpus.speakers < 70  # 7 of 11 speakers
    run = Run(corpus, replace(QUICK, epochs=1, held_out_folds=2), hooks=LIGHT, judged=judged)
    fold = assign_folds(SPEAKERS[judged], 2, QUICK.seed)
    for number, learners in enumerate(run.learners[:-1]):
        assert learners[~judged].all()
        np.testing.assert_array_equal(learners[judged], fold != number)
    assert run.learners[-1].all()
    sizes = [np.count_nonzero(fold == number) for number in range(2)]
    assert [len(scores) for scores, _ in run.scored] == [size * (size - 1) // 2 for size in sizes]
    assert not np.isin(run.scored[0][1], SPEAKERS[~judged]).any()
    with pytest.raises(InputError, match="3 speakers in 2 folds"):
        train(corpus, FEATURES, QUICK, LIGHT, corpus.speakers < 30)


@pytest.mark.parametrize(
    ("corpus", "change", "message"),
    [
        (tones(3), {}, "3 speakers in 2 folds"),
        (tones(), {"folds": 6}, "11 speakers in 6 folds"),
        (tones(), {"batch_speakers": 11}, "at most 10 speakers with 5 each"),
        (tones(), {"batch_utterances": 6}, "at most 10 speakers with 5 each"),
        (tones(samples=200), {}, "200 samples are shorter"),
    ],
)
def test_a_corpus_too_small_for_the_config_is_refused(corpus, change, message):
    with pytest.raises(InputError, match=message) as refusal:
        train(corpus, FEATURES, replace(QUICK, **change))
    assert "\n" not in str(refusal.value)


def test_an_option_that_does_not_exist_is_refused():
    with pytest.raises(TypeError, match="checkpoint"):
        train(tones(), FEATURES, QUICK, checkpoint="file")


# ---- other hooks -------------------------------------------------------------------------------------------


def two_objectives(embeddings, config, speakers):
    """All pairs, and which of the speakers: two outputs of different shapes."""
    classes = keras.layers.Dense(speakers)(embeddings)
    cost = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return [ScaledCosine()(AllPairs()(embeddings)), classes], [BalancedPairLoss(), cost]


def loud_copies(corpus, speakers, spectrogram, config):
    """Each utterance once more, by the same speaker, with more of everything."""
    spectrograms = spectrogram(corpus.waveforms)
    return [spectrograms, spectrograms + 3], np.concatenate([speakers, speakers])


def flatten(spectrograms, rng):
    """All that can be told apart, taken away."""
    return np.ones_like(spectrograms)


@pytest.mark.slow
def test_two_objectives_teach_one_encoder():
    """Also where a batch has more utterances than there are classes."""
    run = Run(tones(10), replace(QUICK, epochs=1), hooks=TrainingHooks((light,), objective=two_objectives))
    for learning in run.learnings[:1]:
        classes = learning.batches.speakers.max() + 1
        assert learning.outputs[1].shape[-1] == classes < learning.batches.size
    held_out, first = ~run.learners[0], run.learnings[0]
    labels = run.speakers[held_out]
    pairs = embed(keras.Model(first.inputs, first.outputs[0]), run.spectrograms[held_out])
    logits = embed(keras.Model(first.inputs, first.outputs[1]), run.spectrograms[held_out])
    chances = array(keras.ops.softmax(logits))[np.arange(len(labels)), labels]
    expected = (float(BalancedPairLoss()(labels, pairs)) - np.mean(np.log(chances))) / 2
    assert run.history["val_loss"][-1] == pytest.approx(expected, rel=1e-4)
    weights = run.learnings[-1].encoders[0].trainable_weights
    assert run.facts["parameters"] == sum(int(np.prod(weight.shape)) for weight in weights) + 2


def test_copies_and_augmentation_are_those_of_the_hooks():
    """Where nothing is left to tell apart, every cosine is 1: w + b = 5 logits for all pairs."""
    config = replace(QUICK, epochs=1, learning_rate=0.0)
    hooks = TrainingHooks((lambda spectrograms: light(spectrograms, 0),), copies=loud_copies, augment=flatten)
    run = Run(tones(), config, hooks=hooks)
    same, different = np.log1p(np.exp([-5, 5]))
    assert run.history["loss"][0] == pytest.approx((same + different) / 2, rel=1e-4)
    assert run.history["val_loss"][0] < run.history["loss"][0] - 0.1  # what is held out stays as it was
    learnt, batches = run.spectrograms[run.learners[0]], run.learnings[0].batches
    np.testing.assert_array_equal(batches.spectrograms, np.concatenate([learnt, learnt + 3]))
    np.testing.assert_array_equal(*np.split(batches.speakers, 2))
    assert len(batches.names) == 5


# ---- killed and resumed ------------------------------------------------------------------------------------


def train_and_be_killed(path, after):
    """Dies without warning in the middle of writing an epoch down."""
    savez, saved = np.savez, []

    def die(file, **arrays):
        saved.append(savez(file, **arrays))
        if len(saved) == int(after):
            os.kill(os.getpid(), signal.SIGKILL)

    np.savez = die
    train(tones(), FEATURES, QUICK, checkpoint_file=path)


def assert_same(run, expected):
    for ours, theirs in zip(run.weights(), expected.weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for name in ("threshold", "facts"):
        ours, theirs = (getattr(each.verifier, name) for each in (run, expected))
        if name == "facts":
            ours, theirs = ours["weights"], theirs["weights"]
        assert ours == pytest.approx(theirs, abs=1e-6)
    for name, losses in expected.history.items():  # sums that may be rounded otherwise in another process
        np.testing.assert_allclose(run.history[name], losses, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("after", [4, 9])
def test_a_killed_run_goes_on_as_if_nothing_had_been(tmp_path, unbroken, after):
    """In the first training, and in the last."""
    path = tmp_path / "progress"
    code = "import sys, test_training; test_training.train_and_be_killed(*sys.argv[1:])"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    died = subprocess.run(
        [sys.executable, "-c", code, str(path), str(after)], env=environment, capture_output=True, text=True
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    run = Run(tones(), QUICK, path)
    assert run.seen == unbroken.seen[after - 1 :]  # the record of the last was cut short
    assert_same(run, unbroken)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def light_run():
    return Run(tones(), SHORT, hooks=LIGHT)


@pytest.mark.slow
def test_a_model_knows_that_it_learnt_from_calls(light_run):
    corpus = tones()
    calls = corpus._replace(waveforms=np.stack([telephone_call(each, None) for each in corpus.waveforms]))
    assert Run(calls, SHORT, hooks=LIGHT).verifier.trained_on_calls
    assert not light_run.verifier.trained_on_calls


@pytest.mark.slow
@pytest.mark.parametrize("after", [2, 4, 6, 8])
def test_an_interrupted_run_goes_on_in_the_same_process(tmp_path, light_run, after):
    """Also when all that was left to do is to remove the files."""
    path, calls = tmp_path / "progress", []

    def interrupt(history, encoders):
        calls.append(1)
        if len(calls) == after:
            raise KeyboardInterrupt

    options = {"hooks": LIGHT, "checkpoint_file": path}
    with pytest.raises(KeyboardInterrupt):
        train(tones(), FEATURES, SHORT, after_epoch=interrupt, **options)
    seen = []
    verifier, history = train(tones(), FEATURES, SHORT, after_epoch=lambda *_: seen.append(1), **options)
    assert len(seen) == 8 - after
    assert history == light_run.history
    for ours, theirs in zip(verifier.encoder.weights, light_run.verifier.encoder.weights, strict=True):
        np.testing.assert_array_equal(array(ours), array(theirs))
    assert verifier.facts["weights"] == pytest.approx(light_run.facts["weights"])
    assert list(tmp_path.iterdir()) == []


def test_other_settings_and_hooks_are_other_runs(monkeypatch):
    """The fingerprint is of what is done, not of the names that Keras and Python give things."""

    def stop(model, path, run, *_):
        raise Stopped(run)

    monkeypatch.setattr(checkpoint, "Checkpoint", stop)

    def run_of(corpus=None, spectrogram=FEATURES, change=None, judged=None, **hooks):
        hooks = TrainingHooks(**{"encoders": (light,)} | hooks)
        with pytest.raises(Stopped) as stopped:
            train(corpus or tones(), spectrogram, replace(QUICK, **change or {}), hooks, judged)
        return stopped.value.args[0]

    plain = run_of()
    assert plain == run_of()
    assert plain == run_of(augment=lambda spectrograms, rng: spectrograms)  # which changes nothing
    faint = tones()
    faint.waveforms[7, 11] += 1e-3
    runs = [plain, run_of(faint), run_of(spectrogram=replace(FEATURES, floor=1e-4))]
    runs += [
        run_of(change=change) for change in ({"seed": 1}, {"held_out_folds": 2}, {"learning_rate": 1e-3})
    ]
    runs += [
        run_of(encoders=(lambda spectrograms: light(spectrograms, 0.3),)),
        run_of(encoders=(light, light)),
    ]
    runs += [run_of(objective=two_objectives), run_of(judged=SPEAKERS < 7)]
    runs += [run_of(copies=loud_copies), run_of(augment=flatten)]
    assert len(set(runs)) == len(runs)


# ---- on real speech ----------------------------------------------------------------------------------------


def test_real_speech_keeps_its_numbers(real_speech):
    known, unknown = corpora.load_course(real_speech / "course-format")
    verifier, _ = train(known, Spectrogram(), TrainingConfig())
    scores = verifier.scores(verifier.embed(unknown.waveforms))
    row = bootstrap.evaluate(scores, unknown.speakers, verifier.threshold, draws=10)
    assert row["trials"] == 19_900
    assert row["accuracy"] > 0.90
    assert row["eer"] < 0.10
