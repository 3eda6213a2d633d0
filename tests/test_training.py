"""Training: what batches hold, what stops it, and that a kill changes nothing."""

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from helpers import InputError, corpora, metrics, training
from helpers.augmentation import at_speed, crop, mask_bins
from helpers.corpora import Corpus
from helpers.features import Spectrogram
from helpers.losses import BalancedPairLoss
from helpers.metrics import equal_error
from helpers.models import Verifier, batch_model
from helpers.pairs import all_trials
from helpers.training import Progress, Recipe, SpeakerBatches, fingerprint, hold_out, train

pytestmark = pytest.mark.backend

FEATURES = Spectrogram(n_fft=256, hop_length=128, mel_bands=20)
QUICK = Recipe(
    epochs=6, patience=6, held_out=3, batch_speakers=6, batch_utterances=3, learning_rate=3e-3,
    shortest_crop=1.0, speeds=(1.1,),
)  # fmt: skip


def tones(speakers=10, utterances=5, samples=2560, seed=0):
    """A corpus so easy that a few steps tell its speakers apart: each hums on a pitch of its own."""
    rng = np.random.default_rng(seed)
    time = np.arange(samples) / 16_000
    pitches = np.geomspace(250, 2500, speakers)
    waveforms = [
        sum(
            np.sin(2 * np.pi * (pitch * rng.uniform(0.99, 1.01) * k * time + rng.random())) / k
            for k in (1, 2, 3)
        )
        + 0.05 * rng.normal(size=samples)
        for pitch in pitches
        for _ in range(utterances)
    ]
    numbers = np.repeat(np.arange(speakers), utterances)
    waveforms = (0.2 * np.array(waveforms)).astype(np.float32)
    return Corpus("tones", waveforms, numbers, pd.DataFrame({"speaker": numbers}))


def weights(verifier):
    return [keras.ops.convert_to_numpy(weight) for weight in verifier.weights]


# ---- speakers and speeds -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_held_out_speakers_are_whole_and_as_many_as_asked(seed):
    speakers = np.random.default_rng(seed).permutation(np.repeat([4, 8, 15, 16, 23, 42], [2, 3, 4, 5, 6, 7]))
    aside = hold_out(speakers, 2, seed)
    assert aside.dtype == bool
    assert len(set(speakers[aside])) == 2
    assert not set(speakers[aside]) & set(speakers[~aside])
    np.testing.assert_array_equal(aside, hold_out(speakers, 2, seed))


def test_held_out_speakers_are_drawn():
    speakers = np.repeat(np.arange(6), 2)
    drawn = {tuple(sorted(set(speakers[hold_out(speakers, 2, seed)]))) for seed in range(100)}
    assert len(drawn) == 15


@pytest.mark.parametrize("count", [0, 1, 5, 6, 7, -1])
def test_a_count_that_leaves_too_few_speakers_is_refused(count):
    speakers = np.repeat(np.arange(6), 3)
    with pytest.raises(InputError, match=f"{count} of 6 speakers held out; expected at least 2"):
        hold_out(speakers, count)
    for fits in (2, 4):
        assert hold_out(speakers, fits).sum() == 3 * fits


@pytest.mark.parametrize(("speed", "samples"), [(0.9, 17_978), (1.1, 14_710), (1.0, 16_180), (2.0, 8090)])
def test_a_speed_moves_length_and_frequency(speed, samples):
    time = np.arange(16_180) / 16_000
    pitches = (440.0, 1000.0)
    waveforms = np.sin(2 * np.pi * np.array(pitches)[:, None] * time).astype(np.float32) / 2
    faster = at_speed(waveforms, speed)
    assert faster.shape == (2, samples)
    assert faster.dtype == np.float32
    spectrum = np.abs(np.fft.rfft(faster * np.hanning(samples), axis=1))
    found = spectrum.argmax(axis=1) * 16_000 / samples
    np.testing.assert_allclose(found, np.array(pitches) * speed, atol=1.5)
    middle = faster[:, samples // 4 : -samples // 4]
    np.testing.assert_allclose(np.abs(middle).max(axis=1), 0.5, rtol=0.02)


# ---- batches -----------------------------------------------------------------------------------------------

COUNTING = replace(Recipe(), batch_speakers=3, batch_utterances=2, widest_mask=0.0, shortest_crop=0.5)


def numbered(lengths, bins=6):
    """Spectrograms whose every value says its utterance, frame and bin: 10,000 u + 10 f + b."""
    return [
        (10_000 * u + 10 * np.arange(n)[:, None] + np.arange(bins)).astype(np.float32)
        for u, n in enumerate(lengths)
    ]


SPEAKERS = np.random.default_rng(0).permutation(np.repeat([3, 5, 7, 20, 21], [2, 3, 4, 4, 5]))
LENGTHS = np.random.default_rng(1).integers(16, 30, size=len(SPEAKERS))


@pytest.fixture
def batches():
    return SpeakerBatches(numbered(LENGTHS), SPEAKERS, COUNTING)


def test_a_batch_holds_speakers_with_distinct_utterances(batches):
    assert batches.size == 6
    assert batches.steps == 3  # 18 utterances
    for number in range(30):
        crops, speakers = batches.epoch(number)
        assert len(crops) == len(speakers) == batches.steps * batches.size
        assert crops.dtype == np.float32
        rows = (crops[:, 0, 0] // 10_000).astype(int)
        np.testing.assert_array_equal(SPEAKERS[rows], speakers)
        for batch in np.split(np.arange(len(rows)), batches.steps):
            assert len(set(rows[batch])) == 6
            names, counts = np.unique(speakers[batch], return_counts=True)
            assert (len(names), set(counts)) == (3, {2})


def test_every_utterance_comes_up(batches):
    rows = np.concatenate([batches.epoch(number)[0][:, 0, 0] // 10_000 for number in range(60)])
    assert set(rows.astype(int)) == set(range(len(SPEAKERS)))


def test_crops_are_stretches_within_their_utterance(batches):
    shortest, seen, edges = LENGTHS.min(), set(), set()
    for number in range(60):
        crops, _ = batches.epoch(number)
        frames = crops.shape[1]
        seen.add(frames)
        for cut in crops:
            row, start = int(cut[0, 0] // 10_000), int(cut[0, 0] % 10_000 // 10)
            np.testing.assert_array_equal(cut, batches.spectrograms[row][start : start + frames])
            assert start + frames <= LENGTHS[row]
            edges |= {"first"} if start == 0 else set()
            edges |= {"last"} if 0 < start == LENGTHS[row] - frames else set()
    assert edges == {"first", "last"}
    assert len(seen) > 3
    assert (min(seen), max(seen)) == (round(shortest / 2), shortest)


def test_epochs_follow_from_seed_and_number(batches):
    again = SpeakerBatches(numbered(LENGTHS), SPEAKERS, COUNTING)
    for _ in range(3):
        batches.epoch(0)  # what came before does not matter
    for ours, theirs in zip(batches.epoch(4), again.epoch(4), strict=True):
        np.testing.assert_array_equal(ours, theirs)

    def rows(batches, number):
        return (batches.epoch(number)[0][:, 0, 0] // 10_000).tolist()

    assert rows(batches, 4) != rows(batches, 5)
    other = SpeakerBatches(numbered(LENGTHS), SPEAKERS, replace(COUNTING, seed=1))
    assert rows(batches, 4) != rows(other, 4)


def test_masks_are_bands_of_the_mean_within_the_width():
    rng = np.random.default_rng(0)
    widths, places = [], set()
    for _ in range(400):
        spectrogram = rng.normal(size=(5, 12)).astype(np.float32)
        before = spectrogram.copy()
        mask_bins(spectrogram, 0.25, rng)
        changed = np.flatnonzero((spectrogram != before).any(axis=0))
        widths.append(len(changed))
        if len(changed):
            places |= set(changed)
            assert changed[-1] - changed[0] + 1 == len(changed)  # one band, over all frames
            np.testing.assert_allclose(spectrogram[:, changed], before.mean(), rtol=1e-4, atol=1e-6)
    assert set(widths) == {0, 1, 2, 3}
    assert places == set(range(12))


def test_whole_utterances_can_be_masked_and_none():
    rng = np.random.default_rng(0)
    for _ in range(20):
        spectrogram = rng.normal(size=(5, 4)).astype(np.float32)
        before = spectrogram.copy()
        mask_bins(spectrogram, 0.0, rng)
        np.testing.assert_array_equal(spectrogram, before)
        mask_bins(spectrogram, 1.0, rng)


def test_masks_are_drawn_utterance_by_utterance_and_leave_the_data_alone():
    spectrograms = numbered(LENGTHS)
    masked = SpeakerBatches(spectrograms, SPEAKERS, replace(COUNTING, widest_mask=0.5))
    crops, _ = masked.epoch(0)
    plain = [np.diff(cut[:2, :], axis=0)[0] == 10 for cut in crops]  # where a frame is 10 above the last
    assert len({tuple(bins) for bins in plain}) > 3
    for spectrogram, whole in zip(spectrograms, numbered(LENGTHS), strict=True):
        np.testing.assert_array_equal(spectrogram, whole)


def test_crop_copies():
    spectrogram = np.arange(20.0).reshape(10, 2)
    cut = crop(spectrogram, 10, np.random.default_rng(0))
    np.testing.assert_array_equal(cut, spectrogram)
    cut[:] = 0
    assert spectrogram.any()


@pytest.mark.parametrize("change", [{"batch_speakers": 6}, {"batch_utterances": 3}])
def test_batches_larger_than_the_data_are_refused(change):
    with pytest.raises(InputError, match="at most 5 speakers with 2 each") as refusal:
        SpeakerBatches(numbered(LENGTHS), SPEAKERS, replace(COUNTING, **change))
    assert "\n" not in str(refusal.value)
    SpeakerBatches(numbered(LENGTHS), SPEAKERS, replace(COUNTING, batch_speakers=5))


# ---- stopping early ----------------------------------------------------------------------------------------


@pytest.fixture
def tiny():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def play(progress, val_losses):
    """Epochs that leave their number in the weights; the losses are given."""
    for loss in val_losses:
        progress.model.layers[0].kernel.assign(np.full((2, 1), progress.epoch, np.float32))
        progress.record({"loss": [1.0], "val_loss": [loss]}, 1.0)


def kernel(model):
    return keras.ops.convert_to_numpy(model.layers[0].kernel)


def test_the_best_epoch_is_kept_and_patience_counted(tiny):
    progress = Progress(tiny, replace(QUICK, epochs=100, patience=3))
    assert not progress.finished
    play(progress, [0.9, 0.4, 0.5, 0.4])  # equal is not better
    assert (progress.epoch, progress.best_epoch, progress.finished) == (4, 1, False)
    play(progress, [0.6])
    assert progress.finished
    progress.restore_best()
    np.testing.assert_array_equal(kernel(tiny), 1)
    assert progress.history["val_loss"] == [0.9, 0.4, 0.5, 0.4, 0.6]


def test_a_better_epoch_starts_the_waiting_anew(tiny):
    progress = Progress(tiny, replace(QUICK, epochs=6, patience=3))
    play(progress, [0.9, 1.0, 1.1, 0.8, 0.9])
    assert not progress.finished
    play(progress, [0.85])
    assert progress.finished  # all epochs done
    progress.restore_best()
    np.testing.assert_array_equal(kernel(tiny), 3)


def test_a_loss_that_is_no_number_is_not_the_best(tiny, tmp_path):
    progress = Progress(tiny, replace(QUICK, epochs=100, patience=3), tmp_path / "p.npz", "run")
    play(progress, [0.9, 0.5, float("nan"), float("nan")])
    assert (progress.best_epoch, progress.finished) == (1, False)
    again = Progress(tiny, progress.recipe, tmp_path / "p.npz", "run")
    play(again, [float("nan")])
    assert again.finished
    again.restore_best()
    np.testing.assert_array_equal(kernel(tiny), 1)


def test_training_stops_early_and_returns_the_best_epoch(monkeypatch):
    """Losses are dictated: the second epoch is the best, and two more do not better it."""
    dictated, kept = [0.9, 0.2, 0.3, 0.4, 0.1, 0.1], []
    record = Progress.record

    def dictate(progress, losses, seconds):
        record(progress, losses | {"val_loss": [dictated[progress.epoch]]}, seconds)
        kept.append([keras.ops.convert_to_numpy(weight) for weight in progress.model.trainable_variables])

    monkeypatch.setattr(Progress, "record", dictate)
    verifier, history = train(tones(), FEATURES, replace(QUICK, patience=2))
    assert history["val_loss"] == dictated[:4]
    assert verifier.facts["epoch"] == 2
    scores = batch_model(verifier.encoder, verifier.scale)
    for weight, best, last in zip(scores.trainable_variables, kept[1], kept[3], strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(weight), best)
        assert (best != last).any()


# ---- training ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def easy(tmp_path_factory):
    """A training on the tones, with what `prepare` was given and the calls after each epoch."""
    corpus, prepared, seen = tones(), [], []
    prepare = training.prepare

    def watch(*args):
        prepared.extend([args, prepare(*args)])
        return prepared[1]

    path = tmp_path_factory.mktemp("run") / "progress.npz"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "prepare", watch)
        verifier, history = train(
            corpus, FEATURES, QUICK, progress_file=path,
            after_epoch=lambda history: seen.append((len(history["loss"]), path.exists())),
        )  # fmt: skip
    return corpus, prepared, seen, path, verifier, history


def test_an_easy_corpus_is_learnt(easy):
    *_, verifier, history = easy
    assert len(history["loss"]) == len(history["val_loss"]) == 6
    assert history["loss"][-1] < history["loss"][0]
    assert history["loss"][-1] < 0.5 * np.log(2)
    # Held-out voices are ranked well; their loss is not asked for, as seven voices do not teach w and b.
    assert verifier.facts["held_out_eer"] < 0.2


def test_facts_and_threshold_are_those_of_the_run(easy):
    corpus, (_, (_, encoder)), _, _, verifier, history = easy
    assert isinstance(verifier, Verifier)
    assert verifier.spectrogram == FEATURES
    facts = verifier.facts
    assert (facts["corpus"], facts["backend"]) == ("tones", keras.backend.backend())
    assert facts["speakers_train"] == 10
    assert facts["parameters"] == sum(int(np.prod(w.shape)) for w in encoder.trainable_variables) + 2
    assert facts["epoch"] == np.argmin(history["val_loss"]) + 1
    assert facts["train_seconds"] > 0
    assert facts["recipe"]["held_out"] == 3

    aside = hold_out(corpus.speakers, 3, QUICK.seed)
    voices, trials = verifier.embed(corpus.waveforms[aside]), all_trials(corpus.speakers[aside])
    scores = np.sum(voices[trials.left] * voices[trials.right], axis=1)
    error, threshold = equal_error(scores, trials.label)
    assert facts["held_out_eer"] == pytest.approx(error, abs=1e-6)
    assert verifier.threshold == pytest.approx(threshold, abs=1e-4)


def test_validation_is_the_loss_of_all_held_out_pairs_at_once(easy):
    corpus, _, _, _, verifier, history = easy
    aside = hold_out(corpus.speakers, 3, QUICK.seed)
    logits = batch_model(verifier.encoder, verifier.scale)(FEATURES(corpus.waveforms[aside]))
    loss = float(BalancedPairLoss()(corpus.speakers[aside], logits))
    assert loss == pytest.approx(min(history["val_loss"]), rel=1e-3, abs=1e-5)


def test_held_out_speakers_never_enter_a_batch(easy):
    corpus, ((waveforms, speakers, _, _), (batches, _)), *_ = easy
    aside = hold_out(corpus.speakers, 3, QUICK.seed)
    np.testing.assert_array_equal(waveforms, corpus.waveforms[~aside])
    np.testing.assert_array_equal(speakers, corpus.speakers[~aside])
    names = set(speakers)
    assert len(names) == 7
    assert len(batches.names) == 14  # and a copy of each at the other speed
    assert len(batches.spectrograms) == 2 * 7 * 5
    # Each label stands for one speaker at one speed: the spectrograms say so.
    for speed, rows in ((None, slice(0, 35)), (1.1, slice(35, 70))):
        played = waveforms if speed is None else at_speed(waveforms, speed)
        for ours, expected in zip(batches.spectrograms[rows], FEATURES(played), strict=True):
            np.testing.assert_array_equal(ours, expected)
        labels = batches.speakers[rows]
        np.testing.assert_array_equal(np.equal.outer(labels, labels), np.equal.outer(speakers, speakers))
    assert not set(batches.speakers[:35]) & set(batches.speakers[35:])


def test_bins_are_standardised_without_the_held_out_speakers(easy):
    corpus, (_, (_, encoder)), *_ = easy
    aside = hold_out(corpus.speakers, 3, QUICK.seed)
    ours = keras.ops.convert_to_numpy(encoder.get_layer("standardise").mean).ravel()
    np.testing.assert_allclose(ours, FEATURES(corpus.waveforms[~aside]).mean(axis=(0, 1)), atol=1e-3)


def test_progress_is_kept_while_it_runs_and_removed_at_the_end(easy):
    _, _, seen, path, _, _ = easy
    assert seen == [(epoch, True) for epoch in range(1, 7)]
    assert list(path.parent.iterdir()) == []


def test_another_seed_is_another_run(easy):
    other, history = train(tones(), FEATURES, replace(QUICK, epochs=1, seed=1))
    assert other.facts["recipe"]["seed"] == 1
    assert history["val_loss"][0] != pytest.approx(easy[-1]["val_loss"][0], rel=1e-3)


@pytest.mark.parametrize(
    ("corpus", "change", "message"),
    [
        (tones(4), {}, "3 of 4 speakers held out"),
        (tones(), {"batch_speakers": 15}, "at most 14 speakers with 5 each"),
        (tones(), {"batch_utterances": 6}, "at most 14 speakers with 5 each"),
        (tones(samples=200), {}, "200 samples are shorter"),
    ],
)
def test_a_corpus_too_small_for_the_recipe_is_refused(corpus, change, message):
    with pytest.raises(InputError, match=message) as refusal:
        train(corpus, FEATURES, replace(QUICK, **change))
    assert "\n" not in str(refusal.value)


# ---- killed and resumed ------------------------------------------------------------------------------------

# Two lengths of crop. Slow enough that the last epoch is the best: its weights are what is compared.
LONG = replace(QUICK, epochs=5, shortest_crop=0.95, learning_rate=3e-4)


def train_and_be_killed(path):
    """Dies without warning in the middle of writing its fourth epoch down."""
    savez, saved = np.savez, []

    def die(file, **arrays):
        saved.append(savez(file, **arrays))
        if len(saved) == 4:
            os.kill(os.getpid(), signal.SIGKILL)

    training.np.savez = die
    train(tones(), FEATURES, LONG, progress_file=path)


@pytest.fixture(scope="module")
def unbroken():
    result = train(tones(), FEATURES, LONG)
    assert result[0].facts["epoch"] == 5
    return result


def resumed(path, recipe=LONG, corpus=None):
    """A training from what lies at `path`, and the number of epochs that it ran itself."""
    seen = []
    result = train(corpus or tones(), FEATURES, recipe, progress_file=path, after_epoch=seen.append)
    return *result, len(seen)


def assert_same(result, expected):
    for ours, theirs in zip(weights(result[0]), weights(expected[0]), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert result[0].facts["epoch"] == expected[0].facts["epoch"]
    assert result[0].threshold == pytest.approx(expected[0].threshold, abs=1e-6)
    for name, losses in expected[1].items():  # sums that TensorFlow may round otherwise in another process
        np.testing.assert_allclose(result[1][name], losses, rtol=1e-6)


def test_a_killed_run_goes_on_as_if_nothing_had_been(tmp_path, unbroken):
    path = tmp_path / "progress.npz"
    code = "import sys, test_training; test_training.train_and_be_killed(sys.argv[1])"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    died = subprocess.run(
        [sys.executable, "-c", code, str(path)], env=environment, capture_output=True, text=True
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    *result, epochs = resumed(path)
    assert epochs == 2  # the fourth, whose record was cut short, and the fifth
    assert_same(result, unbroken)
    assert not path.exists()


def test_an_interrupted_run_goes_on_in_the_same_process(tmp_path, unbroken):
    path = tmp_path / "progress.npz"

    def interrupt(history):
        if len(history["loss"]) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tones(), FEATURES, LONG, progress_file=path, after_epoch=interrupt)
    other = Path(shutil.copy(path, tmp_path / "other.npz"))
    assert (
        resumed(other, replace(LONG, learning_rate=1e-4, epochs=1))[2] == 1
    )  # not taken up by another recipe
    *result, epochs = resumed(path)
    assert epochs == 3
    assert_same(result, unbroken)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["p.npz", "progress"])
def test_progress_of_another_run_is_not_taken_up(tiny, tmp_path, name):
    path = tmp_path / name
    play(Progress(tiny, QUICK, path, "one"), [0.5, 0.4])
    assert Progress(tiny, QUICK, path, "one").history["val_loss"] == [0.5, 0.4]
    tiny.layers[0].kernel.assign(np.full((2, 1), 77, np.float32))
    other = Progress(tiny, QUICK, path, "two")
    assert (other.epoch, other.best) == (0, None)
    np.testing.assert_array_equal(kernel(tiny), 77)


def test_damaged_progress_is_not_taken_up(tiny, tmp_path):
    path = tmp_path / "p.npz"
    play(Progress(tiny, QUICK, path, "one"), [0.5, 0.4])
    whole = path.read_bytes()
    tiny.layers[0].kernel.assign(np.full((2, 1), 77, np.float32))
    contents = [whole[: int(len(whole) * share)] for share in (0, 0.3, 0.9, 0.999)]
    contents += [np.random.default_rng(0).bytes(2000), b"PK\x03\x04", b"{}"]
    for content in contents:
        path.write_bytes(content)
        assert Progress(tiny, QUICK, path, "one").epoch == 0
        np.testing.assert_array_equal(kernel(tiny), 77)
    for kept in ("[]", "3", "{}", '{"history": {}}'):
        np.savez(
            path, kept=kept, **{f"{kind}_{i}": np.zeros((2, 1)) for kind in ("now", "best") for i in range(9)}
        )
        assert Progress(tiny, QUICK, path, "one").epoch == 0
        np.testing.assert_array_equal(kernel(tiny), 77)


def test_all_of_the_state_comes_back(tiny, tmp_path):
    path = tmp_path / "p.npz"
    progress = Progress(tiny, QUICK, path, "one")
    tiny.optimizer.iterations.assign(41)
    play(progress, [0.5, 0.4, 0.9])
    tiny.layers[0].kernel.assign(np.full((2, 1), 77, np.float32))
    tiny.optimizer.iterations.assign(0)
    again = Progress(tiny, QUICK, path, "one")
    assert again.history == progress.history
    assert int(keras.ops.convert_to_numpy(tiny.optimizer.iterations)) == 41
    np.testing.assert_array_equal(kernel(tiny), 2)  # the latest, to go on from
    again.restore_best()
    np.testing.assert_array_equal(kernel(tiny), 1)


def test_a_full_disk_is_told_in_one_line_and_keeps_the_progress(tiny, tmp_path):
    resource = pytest.importorskip("resource")
    path = tmp_path / "p.npz"
    progress = Progress(tiny, QUICK, path, "one")
    play(progress, [0.5])
    earlier, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, limits[1]))
    try:
        with pytest.raises(InputError, match=r"p\.npz could not be saved") as refusal:
            play(progress, [0.4])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(refusal.value)
    assert path.read_bytes() == earlier
    assert list(tmp_path.iterdir()) == [path]


def test_fingerprints_tell_runs_apart():
    recipe, data = Recipe(), np.arange(6.0)
    assert fingerprint(data, recipe) == fingerprint(data.copy(), Recipe())
    runs = [(data, recipe), (data + 1, recipe), (data, replace(recipe, seed=1)), (data, recipe, FEATURES)]
    runs += [(data, replace(recipe, speeds=(0.9,))), (data, replace(recipe, epochs=41))]
    assert len({fingerprint(*run) for run in runs}) == len(runs)


# ---- on real speech ----------------------------------------------------------------------------------------


def test_real_speech_keeps_its_numbers(real_speech):
    known, unknown = corpora.load_course(real_speech / "course-format")
    verifier, _ = train(known, Spectrogram())
    scores = metrics.cosine_scores(verifier.embed(unknown.waveforms))
    row = metrics.evaluate(scores, unknown.speakers, verifier.threshold, draws=10)
    assert row["trials"] == 19_900
    assert row["accuracy"] > 0.89  # 0.910 to 0.920 with seeds 0 to 2
    assert row["eer"] < 0.12  # 0.076 to 0.084
