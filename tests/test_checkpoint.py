"""Progress: the state of a training comes back whole from the disk, or not at all."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from helpers import InputError
from helpers.batches import TrainingConfig
from helpers.checkpoint import Checkpoint
from helpers.features import Spectrogram
from helpers.files import fingerprint

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
def test_progress_of_another_run_is_not_taken_up(tiny, tmp_path, name):
    path = tmp_path / name
    play(tiny, Checkpoint(tiny, path, "one"), [0.5, 0.4])
    assert list(tmp_path.iterdir()) == [path]
    forget(tiny)
    other = Checkpoint(tiny, path, "two")
    assert (other.epoch, other.seconds, other.history) == (0, 0, {"loss": [], "val_loss": []})
    np.testing.assert_array_equal(kernel(tiny), 77)
    assert Checkpoint(tiny, path, "one").history["val_loss"] == [0.5, 0.4]
    np.testing.assert_array_equal(kernel(tiny), 2)


def test_damaged_progress_is_not_taken_up(tiny, tmp_path):
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


def test_a_full_disk_is_told_in_one_line_and_keeps_the_progress(tiny, tmp_path):
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
