"""Training: folds that hold their speakers out, encoders side by side, and that a kill changes nothing."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from samples import Stopped, array

from helpers import InputError, bootstrap, checkpoint, files, models, training
from helpers.augmentation import at_speed, telephone_call
from helpers.batches import TrainingConfig, assign_folds
from helpers.calibration import calibrate
from helpers.data import corpora, stored_features
from helpers.data.corpora import Corpus
from helpers.features import Spectrogram
from helpers.losses import BalancedPairLoss
from helpers.metrics import equal_error
from helpers.models import AllPairs, ScaledCosine, layer_seed
from helpers.pairs import all_trials
from helpers.plda import PLDA
from helpers.training import TrainingHooks, draw_epoch, held_out_scores, prepare_folds, train
from helpers.verifier import Verifier

pytestmark = pytest.mark.backend

FEATURES = Spectrogram(n_fft=256, hop_length=128, mel_bands=20)
QUICK = TrainingConfig(
    epochs=6, folds=2, encoders=2, batch_speakers=4, batch_utterances=3, learning_rate=3e-3,
    crop=0.9, speeds=(1.1,),
)  # fmt: skip


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


LIGHT = TrainingHooks(encoder=light)


def embed(model, spectrograms):
    return model.predict(spectrograms, batch_size=256, verbose=0)


def untrained(config=QUICK):
    """The folds of a training with a light encoder, its spectrograms and speakers numbered from 0."""
    corpus = tones()
    keras.utils.set_random_seed(config.seed)
    speakers = np.unique(corpus.speakers, return_inverse=True)[1]
    folds = prepare_folds(corpus, speakers, FEATURES, config, LIGHT)
    return folds, FEATURES(corpus.waveforms), speakers


def losses_of_folds(folds, spectrograms, speakers):
    """The loss of all held-out pairs of each fold, one after the other."""
    losses = []
    for fold in folds:
        logits = embed(keras.Model(fold.inputs, fold.outputs[0]), spectrograms[fold.held_out])
        losses.append(float(BalancedPairLoss()(speakers[fold.held_out], logits)))
    return losses


# ---- folds -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folds():
    """11 speakers in two folds: one learns from 5 of them, in 4 batches, and one from 6, in 5."""
    return untrained()


def test_every_speaker_is_held_out_once(folds):
    folds, _, speakers = folds
    fold = assign_folds(speakers, 2, QUICK.seed)
    for number, each in enumerate(folds):
        np.testing.assert_array_equal(each.held_out, fold == number)
    assert [len(set(speakers[each.held_out])) for each in folds] == [6, 5]
    assert len(untrained(replace(QUICK, encoders=1))[0]) == 1


def test_held_out_speakers_and_their_copies_never_enter_a_batch(folds):
    corpus, (folds, _, speakers) = tones(), folds
    for fold in folds:
        names, learnt, batches = speakers[~fold.held_out], corpus.waveforms[~fold.held_out], fold.batches
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


def test_an_encoder_may_learn_from_fewer_speakers(folds):
    _, spectrograms, speakers = folds
    some = untrained(replace(QUICK, max_speakers=4))[0]
    for few, full in zip(some, folds[0], strict=True):
        count = len(few.batches.spectrograms) // 2
        assert len(set(few.batches.speakers)) == 8  # four, and their copies at another speed
        np.testing.assert_array_equal(few.held_out, full.held_out)
        learnt = [
            np.flatnonzero((spectrograms == each).all(axis=(1, 2)))[0]
            for each in few.batches.spectrograms[:count]
        ]
        assert len(set(speakers[learnt])) == 4
        assert not few.held_out[learnt].any()
        mean = few.encoder.get_layer("standardise").mean
        np.testing.assert_allclose(array(mean).ravel(), spectrograms[learnt].mean(axis=(0, 1)), atol=1e-4)


def test_folds_share_their_spectrograms(folds):
    folds, spectrograms, _ = folds
    kept = {id(spectrogram) for fold in folds for spectrogram in fold.batches.spectrograms}
    assert len(kept) == 2 * len(spectrograms)


def test_bins_are_standardised_without_the_held_out_speakers(folds):
    folds, spectrograms, _ = folds
    for fold in folds:
        ours = array(fold.encoder.get_layer("standardise").mean).ravel()
        np.testing.assert_allclose(ours, spectrograms[~fold.held_out].mean(axis=(0, 1)), atol=1e-3)


def test_an_encoder_begins_like_itself_alone_and_unlike_the_others(folds):
    (first, second), *_ = folds
    ((alone,), *_) = untrained(replace(QUICK, encoders=1))
    for ours, theirs in zip(first.encoder.weights, alone.encoder.weights, strict=True):
        np.testing.assert_array_equal(array(ours), array(theirs))
    seeds = [fold.encoder.layers[2].seed for fold in (first, second, alone)]
    assert seeds[0] == seeds[2] != seeds[1]
    ours, theirs = (array(fold.encoder.trainable_weights[0]) for fold in (first, second))
    assert np.abs(ours - theirs).max() > 0.01
    paths = [weight.path for fold in (first, second) for weight in fold.encoder.weights]
    assert len(set(paths)) == len(paths)  # or PyTorch sums up the gradients of one of them for ever


def test_an_epoch_has_as_many_batches_for_each_fold_as_the_smallest(folds):
    folds, *_ = folds
    assert [fold.batches.steps for fold in folds] == [4, 5]
    two = [fold._replace(outputs=[*fold.outputs, None]) for fold in folds]
    for number in range(3):
        ((inputs, labels),) = draw_epoch(two, number)
        assert [len(each) for each in inputs] == [4 * 12] * 2
        assert inputs[0].shape == inputs[1].shape
        for fold, ours, theirs in zip(two, inputs, (labels[:2], labels[2:]), strict=True):
            spectrograms, speakers = fold.batches.epoch(number)
            np.testing.assert_array_equal(ours, spectrograms[:48])
            for output in theirs:  # both outputs of a fold are taught with its own speakers
                np.testing.assert_array_equal(output, speakers[:48])
        assert (labels[0] != labels[2]).any()


@pytest.mark.parametrize("size", [1, 3, 4])
def test_an_epoch_in_parts_is_the_epoch(folds, size):
    for mine in (folds[0], folds[0][::-1]):  # the fold with fewer batches first, and last
        ((inputs, labels),) = draw_epoch(mine, 1)
        parts = list(draw_epoch(mine, 1, batches=size))
        assert len(parts) == -(-4 // size)
        for number in range(2):
            ours = [np.concatenate([part[kind][number] for part in parts]) for kind in (0, 1)]
            np.testing.assert_array_equal(ours[0], inputs[number])
            np.testing.assert_array_equal(ours[1], labels[number])


def test_augmentation_is_drawn_anew_for_each_epoch_and_fold(folds):
    folds, *_ = folds

    def add(spectrograms, rng):
        return spectrograms + rng.integers(1, 1_000_000)

    def added(folds, number):
        (with_it,), (without,) = draw_epoch(folds, number, add), draw_epoch(folds, number)
        pairs = zip(with_it[0], without[0], strict=True)
        return [round(float((ours - plain).mean(dtype=float))) for ours, plain in pairs]

    numbers = np.array([added(folds, number) for number in range(3)])
    assert len(np.unique(numbers)) == 6
    np.testing.assert_array_equal(numbers, [added(folds, number) for number in range(3)])
    assert added(folds[:1], 1)[0] == numbers[1, 0]  # whoever learns beside it
    other = untrained(replace(QUICK, seed=1))[0]
    assert not set(added(other, 0)) & set(numbers.ravel())


def alone(embeddings, speakers, held_out):
    """All scores by a PLDA fitted to the voices of one encoder that are not held out."""
    return PLDA(1, embeddings.shape[1]).fit(embeddings, speakers, [held_out]).scores(embeddings)


def test_held_out_scores_are_of_all_trials_within_folds(folds):
    folds, spectrograms, speakers = folds
    parts = [embed(fold.encoder, spectrograms) for fold in folds]
    embeddings, held_out = np.concatenate(parts, axis=1), [fold.held_out for fold in folds]
    plda = PLDA(2, 8).fit(embeddings, speakers, held_out)
    scores, labels, first, second = held_out_scores(plda, embeddings, held_out, speakers)
    assert len(scores) == 30 * 29 // 2 + 25 * 24 // 2
    np.testing.assert_array_equal(labels, first == second)
    start = 0
    for theirs, apart in zip(parts, held_out, strict=True):
        mine, trials = speakers[apart], all_trials(speakers[apart])
        part = slice(start, start + len(trials.label))
        matrix = alone(theirs, speakers, apart)[np.ix_(apart, apart)]
        np.testing.assert_allclose(scores[part], matrix[trials.left, trials.right], rtol=1e-3, atol=1e-3)
        np.testing.assert_array_equal(first[part], mine[trials.left])
        np.testing.assert_array_equal(second[part], mine[trials.right])
        start = part.stop


# ---- training ----------------------------------------------------------------------------------------------


class Run:
    """A training with everything that can be seen of it."""

    def __init__(self, corpus, config, path=None, **settings):
        self.corpus, self.path, self.seen = corpus, path, []
        self.verifier, self.history = train(
            corpus, FEATURES, config, checkpoint_file=path, after_epoch=self.watch, **settings
        )
        self.facts = self.verifier.facts
        self.spectrograms = FEATURES(corpus.waveforms)
        self.speakers = np.unique(corpus.speakers, return_inverse=True)[1]

    def watch(self, history, folds):
        self.folds = folds
        self.seen.append((len(history["loss"]), self.path is not None and self.path.exists()))

    def weights(self):
        return [array(weight) for fold in self.folds for weight in fold.encoder.weights]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """Six epochs of two GRUs on eleven voices."""
    return Run(tones(), QUICK, tmp_path_factory.mktemp("run") / "progress.npz")


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
    learnt = verifier.encoder.trainable_weights + verifier.plda.weights
    assert facts["parameters"] == sum(int(np.prod(weight.shape)) for weight in learnt) + 2
    assert facts["train_seconds"] > 0
    assert not verifier.trained_on_calls
    assert TrainingConfig(**facts["recipe"]) == QUICK


def test_the_verifier_speaks_for_all_encoders(unbroken):
    cosines = []
    for fold in unbroken.folds:
        embeddings = embed(fold.encoder, unbroken.spectrograms)
        cosines.append(embeddings @ embeddings.T)
    embeddings = unbroken.verifier.embed(unbroken.corpus.waveforms)
    np.testing.assert_allclose(embeddings @ embeddings.T, np.mean(cosines, axis=0), atol=1e-5)
    assert np.abs(cosines[0] - cosines[1]).max() > 0.1


def held_out_trials(run):
    """Scores and labels of all trials within the folds, by the encoder that knows none of the speakers."""
    parts = []
    for fold in run.folds:
        embeddings, trials = embed(fold.encoder, run.spectrograms), all_trials(run.speakers[fold.held_out])
        scores = alone(embeddings, run.speakers, fold.held_out)[np.ix_(fold.held_out, fold.held_out)]
        parts.append((scores[trials.left, trials.right], trials.label))
    return map(np.concatenate, zip(*parts, strict=True))


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


def test_of_many_held_out_speakers_some_are_compared(unbroken, folds, monkeypatch):
    monkeypatch.setattr(training, "COMPARED", 12)
    speakers = unbroken.speakers
    embeddings = unbroken.verifier.embed(unbroken.corpus.waveforms)
    held_out = [fold.held_out for fold in unbroken.folds]
    few = held_out_scores(unbroken.verifier.plda, embeddings, held_out, speakers)
    monkeypatch.undo()
    scores, _, first, second = held_out_scores(unbroken.verifier.plda, embeddings, held_out, speakers)
    assert len(few[0]) == 2 * (10 * 9 // 2)  # two speakers with five utterances in each fold
    kept = np.isin(first, few[2]) & np.isin(second, few[3])
    np.testing.assert_allclose(np.sort(few[0]), np.sort(scores[kept]), rtol=1e-6)
    assert few[1].sum() == 2 * 2 * (5 * 4 // 2)


def test_threshold_and_scale_come_from_held_out_scores(unbroken):
    scores, labels = held_out_trials(unbroken)
    assert unbroken.facts["held_out_eer"] == pytest.approx(equal_error(scores, labels)[0], abs=1e-6)
    slope, offset = calibrate(scores, labels)
    verifier = unbroken.verifier
    np.testing.assert_allclose(array(verifier.scale(scores)), slope * scores + offset, rtol=1e-2, atol=1e-2)
    assert verifier.threshold == 0
    embeddings = verifier.embed(unbroken.corpus.waveforms[:5])
    ratios = calibrate(scores, labels).llr(verifier.plda.scores(embeddings))
    np.testing.assert_allclose(verifier.scores(embeddings), ratios, rtol=1e-2, atol=1e-2)


def test_validation_is_the_mean_over_folds_of_the_loss_of_all_held_out_pairs(unbroken):
    losses = losses_of_folds(unbroken.folds, unbroken.spectrograms, unbroken.speakers)
    assert unbroken.history["val_loss"][-1] == pytest.approx(np.mean(losses), rel=1e-4)
    assert losses[0] != pytest.approx(losses[1], rel=0.01)


def test_progress_is_kept_while_it_runs_and_removed_at_the_end(unbroken):
    assert unbroken.seen == [(epoch, True) for epoch in range(1, 7)]
    assert list(unbroken.path.parent.iterdir()) == []


@pytest.mark.slow
def test_an_encoder_learns_what_it_would_learn_alone(unbroken):
    """The first fold has the fewest batches: it sees the same ones with the other beside it or not."""
    alone = Run(tones(), replace(QUICK, encoders=1))
    for ours, theirs in zip(unbroken.weights(), alone.weights(), strict=False):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert alone.verifier.encoder is alone.folds[0].encoder
    assert alone.facts["parameters"] == (unbroken.facts["parameters"] - 2) / 2 + 2
    losses = losses_of_folds(alone.folds, alone.spectrograms, alone.speakers)
    assert alone.history["val_loss"][-1] == pytest.approx(losses[0], rel=1e-4)
    assert alone.facts["held_out_eer"] == pytest.approx(equal_error(*held_out_trials(alone))[0], abs=1e-6)


@pytest.mark.slow
def test_fifty_one_speakers_in_five_folds():
    config = replace(QUICK, epochs=2, folds=5, encoders=5, batch_speakers=25)
    run = Run(tones(51, 4), config, hooks=LIGHT)
    assert sorted(np.sum([fold.held_out for fold in run.folds], axis=1)) == [40, 40, 40, 40, 44]
    np.testing.assert_array_equal(np.sum([fold.held_out for fold in run.folds], axis=0), 1)
    losses = losses_of_folds(run.folds, run.spectrograms, run.speakers)
    assert run.history["val_loss"][-1] == pytest.approx(np.mean(losses), rel=1e-4)
    assert run.verifier.embed(run.corpus.waveforms).shape == (204, 5 * 8)
    assert run.facts["speakers_train"] == 51


@pytest.mark.parametrize(
    ("corpus", "change", "message"),
    [
        (tones(3), {}, "3 speakers in 2 folds"),
        (tones(), {"folds": 6}, "11 speakers in 6 folds"),
        (tones(), {"batch_speakers": 11}, "at most 10 speakers with 5 each"),  # a fold has 12, the other 10
        (tones(), {"batch_utterances": 6}, "at most 10 speakers with 5 each"),
        (tones(samples=200), {}, "200 samples are shorter"),
    ],
)
def test_a_corpus_too_small_for_the_config_is_refused(corpus, change, message):
    with pytest.raises(InputError, match=message) as refusal:
        train(corpus, FEATURES, replace(QUICK, **change))
    assert "\n" not in str(refusal.value)


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
    run = Run(tones(10), replace(QUICK, epochs=1), hooks=TrainingHooks(light, two_objectives))
    for fold in run.folds:
        assert fold.outputs[1].shape[-1] == fold.batches.speakers.max() + 1 < fold.batches.size
    pair_losses, class_losses = losses_of_folds(run.folds, run.spectrograms, run.speakers), []
    for fold in run.folds:
        logits = embed(keras.Model(fold.inputs, fold.outputs[1]), run.spectrograms[fold.held_out])
        labels = run.speakers[fold.held_out]
        chances = array(keras.ops.softmax(logits))[np.arange(len(labels)), labels]
        class_losses.append(-np.mean(np.log(chances)))
    expected = np.mean(pair_losses) + np.mean(class_losses)
    assert run.history["val_loss"][-1] == pytest.approx(expected, rel=1e-4)
    weights = [weight for fold in run.folds for weight in fold.encoder.trainable_weights]
    weights += run.verifier.plda.weights
    assert run.facts["parameters"] == sum(int(np.prod(weight.shape)) for weight in weights) + 2


def test_copies_and_augmentation_are_those_of_the_hooks():
    """Where nothing is left to tell apart, every cosine is 1: w + b = 5 logits for all pairs."""
    config = replace(QUICK, epochs=1, encoders=1, learning_rate=0.0)
    hooks = TrainingHooks(lambda spectrograms: light(spectrograms, 0), copies=loud_copies, augment=flatten)
    run = Run(tones(), config, hooks=hooks)
    same, different = np.log1p(np.exp([-5, 5]))
    assert run.history["loss"][0] == pytest.approx((same + different) / 2, rel=1e-4)
    assert run.history["val_loss"][0] < run.history["loss"][0] - 0.1  # what is held out stays as it was
    (fold,) = run.folds
    learnt = run.spectrograms[~fold.held_out]
    np.testing.assert_array_equal(fold.batches.spectrograms, np.concatenate([learnt, learnt + 3]))
    np.testing.assert_array_equal(*np.split(fold.batches.speakers, 2))
    assert len(fold.batches.names) == 5


# ---- killed and resumed ------------------------------------------------------------------------------------


def train_and_be_killed(path):
    """Dies without warning in the middle of writing its fourth epoch down."""
    savez, saved = np.savez, []

    def die(file, **arrays):
        saved.append(savez(file, **arrays))
        if len(saved) == 4:
            os.kill(os.getpid(), signal.SIGKILL)

    np.savez = die
    train(tones(), FEATURES, QUICK, checkpoint_file=path)


def assert_same(run, expected):
    for ours, theirs in zip(run.weights(), expected.weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert run.verifier.threshold == pytest.approx(expected.verifier.threshold, abs=1e-6)
    for name, losses in expected.history.items():  # sums that may be rounded otherwise in another process
        np.testing.assert_allclose(run.history[name], losses, rtol=1e-6)


@pytest.mark.slow
def test_a_killed_run_goes_on_as_if_nothing_had_been(tmp_path, unbroken):
    path = tmp_path / "progress.npz"
    code = "import sys, test_training; test_training.train_and_be_killed(sys.argv[1])"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    died = subprocess.run(
        [sys.executable, "-c", code, str(path)], env=environment, capture_output=True, text=True
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    run = Run(tones(), QUICK, path)
    assert run.seen == [(4, True), (5, True), (6, True)]  # the fourth's record was cut short
    assert_same(run, unbroken)
    assert not path.exists()


SHORT = replace(QUICK, epochs=4)


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
@pytest.mark.parametrize("after", [2, 4])
def test_an_interrupted_run_goes_on_in_the_same_process(tmp_path, light_run, after):
    """Also when all that was left to do is to remove the file."""
    path = tmp_path / "progress.npz"

    def interrupt(history, folds):
        if len(history["loss"]) == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tones(), FEATURES, SHORT, path, after_epoch=interrupt, hooks=LIGHT)
    seen = []
    verifier, history = train(
        tones(), FEATURES, SHORT, path, after_epoch=lambda *_: seen.append(1), hooks=LIGHT
    )
    assert len(seen) == 4 - after
    assert history == light_run.history
    for ours, theirs in zip(verifier.encoder.weights, light_run.verifier.encoder.weights, strict=True):
        np.testing.assert_array_equal(array(ours), array(theirs))
    assert list(tmp_path.iterdir()) == []


def test_other_settings_and_hooks_are_other_runs(monkeypatch):
    """The fingerprint is of what is done, not of the names that Keras and Python give things."""

    def stop(model, path, run, *_):
        raise Stopped(run)

    monkeypatch.setattr(checkpoint, "Checkpoint", stop)

    def run_of(corpus=None, spectrogram=FEATURES, change=None, **hooks):
        hooks = TrainingHooks(**{"encoder": light} | hooks)
        with pytest.raises(Stopped) as stopped:
            train(corpus or tones(), spectrogram, replace(QUICK, **change or {}), hooks=hooks)
        return stopped.value.args[0]

    plain = run_of()
    assert plain == run_of()
    assert plain == run_of(augment=lambda spectrograms, rng: spectrograms)  # which changes nothing
    faint = tones()
    faint.waveforms[7, 11] += 1e-3
    runs = [plain, run_of(faint), run_of(spectrogram=replace(FEATURES, floor=1e-4))]
    runs += [run_of(change=change) for change in ({"seed": 1}, {"encoders": 1}, {"learning_rate": 1e-3})]
    runs += [run_of(encoder=lambda spectrograms: light(spectrograms, 0.3)), run_of(objective=two_objectives)]
    runs += [run_of(copies=loud_copies), run_of(augment=flatten)]
    assert len(set(runs)) == len(runs)


# ---- on real speech ----------------------------------------------------------------------------------------


def test_real_speech_keeps_its_numbers(real_speech):
    known, unknown = corpora.load_course(real_speech / "course-format")
    verifier, _ = train(known, Spectrogram(), TrainingConfig(encoders=1))
    scores = verifier.scores(verifier.embed(unknown.waveforms))
    row = bootstrap.evaluate(scores, unknown.speakers, verifier.threshold, draws=10)
    assert row["trials"] == 19_900
    assert row["accuracy"] > 0.90
    assert row["eer"] < 0.10
