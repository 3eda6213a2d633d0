"""Checkpoints: the state of a training comes back whole from the disk, or not at all."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from samples import Stopped
from test_training import FEATURES, LIGHT, QUICK, tones

from helpers import InputError, checkpoint, training
from helpers.batches import TrainingConfig
from helpers.checkpoint import Checkpoint, design
from helpers.features import Spectrogram
from helpers.files import fingerprint
from helpers.systems import contrastive, contrastive_tasks, ge2e, identification

pytestmark = pytest.mark.backend


@pytest.fixture
def tiny():
    """One weight layer, dropout with a seed of its own, and an optimizer with moments."""
    model = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dropout(0.5, seed=3), keras.layers.Dense(1, use_bias=False)]
    )
    model.compile(keras.optimizers.Adam(0.1), "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def state(model):
    return [keras.ops.convert_to_numpy(variable) for variable in model.variables + model.optimizer.variables]


def kernel(model):
    return keras.ops.convert_to_numpy(model.layers[-1].kernel)


def play(model, progress, losses):
    """Epochs that leave their number, counted from 1, in the weights; the losses are given."""
    for loss in losses:
        model.layers[-1].kernel.assign(np.full((2, 1), progress.epoch + 1, np.float32))
        progress.record({"loss": 1.0, "val_loss": loss}, 1.5)


def forget(model):
    """Weights that no epoch has left."""
    model.layers[-1].kernel.assign(np.full((2, 1), 77, np.float32))


def test_epochs_losses_and_seconds_are_counted(tiny):
    progress = Checkpoint(tiny)
    assert (progress.epoch, progress.seconds) == (0, 0)
    play(tiny, progress, [0.9, float("nan")])
    assert (progress.epoch, progress.seconds) == (2, 3.0)
    assert progress.history["loss"] == [1.0, 1.0]
    np.testing.assert_array_equal(progress.history["val_loss"], [0.9, np.nan])


def test_all_of_the_state_comes_back(tiny, tmp_path):
    path = tmp_path / "p.npz"
    progress = Checkpoint(tiny, path, "one")
    tiny.fit(np.ones((8, 2)), np.ones((8, 1)), batch_size=2, verbose=0)
    play(tiny, progress, [0.5, float("nan"), 0.9])
    saved = state(tiny)
    tiny.fit(np.ones((8, 2)), np.ones((8, 1)), batch_size=2, verbose=0)
    changed = [(now != before).any() for now, before in zip(state(tiny), saved, strict=True)]
    assert sum(changed) == 5  # kernel, its two moments, the dropout's seed, the steps; not the rate
    again = Checkpoint(tiny, path, "one")
    for now, before in zip(state(tiny), saved, strict=True):
        np.testing.assert_array_equal(now, before)
    np.testing.assert_array_equal(kernel(tiny), 3)
    assert (again.epoch, again.seconds) == (3, 4.5)
    assert again.history["loss"] == progress.history["loss"]
    np.testing.assert_array_equal(again.history["val_loss"], [0.5, np.nan, 0.9])
    play(tiny, again, [0.3])
    assert Checkpoint(tiny, path, "one").epoch == 4


@pytest.mark.parametrize("name", ["p.npz", "progress"])
def test_a_checkpoint_of_another_run_is_not_taken_up(tiny, tmp_path, name):
    path = tmp_path / name
    play(tiny, Checkpoint(tiny, path, "one"), [0.5, 0.4])
    assert list(tmp_path.iterdir()) == [path]
    forget(tiny)
    other = Checkpoint(tiny, path, "two")
    assert (other.epoch, other.seconds, other.history) == (0, 0, {"loss": [], "val_loss": []})
    np.testing.assert_array_equal(kernel(tiny), 77)
    assert Checkpoint(tiny, path, "one").history["val_loss"] == [0.5, 0.4]
    np.testing.assert_array_equal(kernel(tiny), 2)


def test_a_damaged_checkpoint_is_not_taken_up(tiny, tmp_path):
    path = tmp_path / "p.npz"
    play(tiny, Checkpoint(tiny, path, "one"), [0.5, 0.4])
    whole = path.read_bytes()
    forget(tiny)
    contents = [whole[: int(len(whole) * share)] for share in (0, 0.3, 0.9, 0.999)]
    contents += [np.random.default_rng(0).bytes(2000), b"PK\x03\x04", b"{}"]
    for content in contents:
        path.write_bytes(content)
        assert Checkpoint(tiny, path, "one").epoch == 0
        np.testing.assert_array_equal(kernel(tiny), 77)
    for kept in ("[]", "3", "{}", '{"history": {}}'):
        np.savez(path, kept=kept, **{f"now_{i}": value for i, value in enumerate(state(tiny))})
        assert Checkpoint(tiny, path, "one").epoch == 0
        np.testing.assert_array_equal(kernel(tiny), 77)
    path.write_bytes(whole)
    assert Checkpoint(tiny, path, "one").epoch == 2


def test_a_full_disk_is_reported_in_one_line_and_keeps_the_checkpoint(tiny, tmp_path):
    resource = pytest.importorskip("resource")
    path = tmp_path / "p.npz"
    progress = Checkpoint(tiny, path, "one")
    play(tiny, progress, [0.5])
    earlier, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, limits[1]))
    try:
        with pytest.raises(InputError, match=r"p\.npz could not be saved") as refusal:
            play(tiny, progress, [0.4])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(refusal.value)
    assert path.read_bytes() == earlier
    assert list(tmp_path.iterdir()) == [path]


def test_fingerprints_tell_runs_apart():
    config, data = TrainingConfig(), np.arange(6.0)
    assert fingerprint(data, config) == fingerprint(data.copy(), TrainingConfig())
    runs = [
        (data, config),
        (data + 1, config),
        (data, replace(config, seed=1)),
        (data, config, Spectrogram()),
    ]
    runs += [(data, replace(config, speeds=(0.9,))), (data, replace(config, epochs=41))]
    runs += [(data.astype(np.float32), config), (data.reshape(2, 3), config)]
    assert len({fingerprint(*run) for run in runs}) == len(runs)


def test_a_design_has_no_names_and_all_settings():
    def made(units, seed):
        inputs = keras.Input((2,))
        inner = keras.Model(inputs, keras.layers.Dense(units)(keras.layers.Dropout(0.5, seed=seed)(inputs)))
        inputs = keras.Input((2,))
        return design(keras.Model(inputs, keras.layers.Dense(1)(inner(inputs))).get_config())

    plain = made(3, 1)
    assert plain == made(3, 1)  # although Keras counts its layers on
    assert made(4, 1) != plain != made(3, 2)


# ---- finished trainings that are kept ----------------------------------------------------------------------


def by_training(seed):
    verifier, history = training.train(tones(), FEATURES, replace(QUICK, epochs=2, seed=seed))
    return verifier, history, verifier.facts["train_seconds"]


def by_ge2e(seed, contrast=False):
    corpus, config = tones(), replace(QUICK, epochs=2, seed=seed)
    spectrograms, speakers = list(FEATURES(corpus.waveforms)), corpus.speakers // 10
    encoder, facts = ge2e.train(spectrograms, speakers, config, 9, contrast=contrast)
    seconds = facts.pop("train_seconds")
    return encoder, facts, seconds


def by_contrastive(seed):
    corpus, config = tones(), replace(QUICK, epochs=2, seed=seed)
    views = list(FEATURES(corpus.waveforms)), corpus.speakers // 10
    task = contrastive_tasks.Task("t", views, views, views, (views[1], views[1]), config, 1)
    return *contrastive.train(task), 0


def by_identification(seed):
    corpus, config = (
        tones(),
        identification.IdentificationConfig(width=2, epochs=2, window=0.1, seed=seed),
    )
    identifier, losses = identification.train_identifier(list(corpus.waveforms), corpus.speakers, config)
    return identifier, losses, identifier.facts["train_seconds"]


def retrain(*_, **__):
    raise Stopped


@pytest.mark.slow
@pytest.mark.parametrize("train", [by_training, by_ge2e, by_contrastive, by_identification])
def test_a_finished_training_is_kept_and_taken_up_by_an_equal_one(train, tmp_path, monkeypatch):
    folder = tmp_path / "kept"
    monkeypatch.setenv("SIAMESE_VOICES_CHECKPOINTS", str(folder))
    model, history, seconds = train(0)
    kept = set(folder.glob("*.npz"))
    assert len(kept) == (2 if train is by_training else 1)  # with speakers held out, and with all
    monkeypatch.setattr(keras.Model, "fit", retrain)
    again, same, later = train(0)
    for ours, theirs in zip(again.weights, model.weights, strict=True):
        np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (ours, theirs)))
    assert again.weights
    assert same == history
    assert later == pytest.approx(seconds, abs=10)
    with pytest.raises(Stopped):
        train(1)

    found, changed = checkpoint.import_closure, tmp_path / "changed.py"
    changed.write_text("x = 1")
    monkeypatch.setattr(checkpoint, "import_closure", lambda source: {*found(source), changed})
    with pytest.raises(Stopped):
        train(0)
    monkeypatch.undo()  # and without the folder
    monkeypatch.setattr(keras.Model, "fit", retrain)
    with pytest.raises(Stopped):
        train(0)
    assert set(folder.glob("*.npz")) == kept


@pytest.mark.slow
def test_a_kept_training_serves_its_own_loss_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("SIAMESE_VOICES_CHECKPOINTS", str(tmp_path))
    by_ge2e(0)
    monkeypatch.setattr(keras.Model, "fit", retrain)
    by_ge2e(0)
    with pytest.raises(Stopped):
        by_ge2e(0, contrast=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "others", [{"after_epoch": lambda *_: None}, {"hooks": LIGHT}], ids=["watched", "hooks"]
)
def test_a_training_that_runs_code_of_others_is_not_kept(others, tmp_path, monkeypatch):
    monkeypatch.setenv("SIAMESE_VOICES_CHECKPOINTS", str(tmp_path))
    training.train(tones(), FEATURES, replace(QUICK, epochs=1), **others)
    assert list(tmp_path.iterdir()) == []


def test_the_key_is_of_all_that_the_training_imports():
    names = {path.name for path in checkpoint.import_closure("import helpers.training")}
    assert {"training.py", "batches.py", "augmentation.py", "checkpoint.py", "files.py"} <= names
    assert "experiments.py" not in names
