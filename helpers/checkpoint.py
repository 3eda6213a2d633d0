"""A training's state on disk: a killed run goes on where it was and ends as an unbroken one would."""

import json
import os
import time
import zipfile
from contextlib import nullcontext, suppress
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np
from filelock import FileLock
from keras.ops import convert_to_numpy
from tqdm.auto import tqdm

from helpers import InputError, first_line
from helpers.files import atomic_write, fingerprint, import_closure


class Checkpoint:
    """The whole state of a training, on disk after each epoch, so that a killed run goes on exactly.

    Parameters
    ----------
    model : keras.Model
        Compiled, its optimizer built.
    path : path, optional
        Where the state is kept, if anywhere.
    run : str
        Fingerprint of the run: the state of another run is not restored.
    history : dict of lists, optional
        What there is before the first epoch; two empty lists by default, `loss` and `val_loss`.
    last : int, optional
        Save the state only after this many epochs; processes may then share the file.
    """

    def __init__(self, model, path=None, run="", history=None, last=None):
        self.path, self.run, self.last = path and Path(path), run, last
        self.history, self.seconds = history or {"loss": [], "val_loss": []}, 0.0
        self.state = model.variables + model.optimizer.variables  # weights, dropout's seeds, Adam's moments
        if self.path is not None:
            self._resume()

    @property
    def epoch(self):
        """Epochs done."""
        return len(self.history["loss"])

    def record(self, figures, seconds):
        """Record an epoch's figures, numbers or arrays by name, and save the state.

        `seconds` is the time since the last record; `self.seconds` the time of all, earlier runs' included.
        """
        self.seconds += seconds
        for name, values in self.history.items():
            values.append(np.asarray(figures[name], dtype=float).tolist())
        if self.path is None or self.last not in (None, self.epoch):
            return
        arrays = {f"now_{i}": convert_to_numpy(variable) for i, variable in enumerate(self.state)}
        kept = json.dumps({"run": self.run, "history": self.history, "seconds": self.seconds})
        lock = FileLock(f"{self.path}.lock") if self.last else nullcontext()
        harmless = (OSError, InputError) if self.last else ()  # no training fails for the sake of later ones
        with suppress(*harmless), lock, atomic_write(self.path) as temporary, temporary.open("wb") as file:
            np.savez(file, kept=kept, **arrays)

    def _resume(self):
        try:
            with np.load(self.path) as saved:
                kept = json.loads(str(saved["kept"]))
                same, history, seconds = kept["run"] == self.run, kept["history"], kept["seconds"]
                now = [saved[f"now_{i}"] for i in range(len(self.state))]
        except Exception:  # a state that cannot be read is none: the run starts from its beginning
            return
        if same:
            self.history, self.seconds = history, seconds
            for variable, value in zip(self.state, now, strict=True):
                variable.assign(value)


def design(settings):
    """A model's `get_config` or `get_compile_config`, or a part of it, without names that Keras counts up."""
    counted = ("name", "inbound_nodes", "input_layers", "output_layers")
    if isinstance(settings, dict):
        return {key: design(value) for key, value in settings.items() if key not in counted}
    return [design(each) for each in settings] if isinstance(settings, list | tuple) else settings


def open_checkpoint(model, epochs, parts, module=None, path=None, history=None):
    """The state of a training, restored from a file if the file is of the same run.

    Parameters
    ----------
    model : keras.Model
        Compiled.
    epochs : int
    parts : list of arrays and settings
        The training data and settings; together with the model's design they identify a run.
    module : str, optional
        Name of the module that trains. Where the environment variable SIAMESE_VOICES_CHECKPOINTS names a
        folder, the finished state is kept there, and not in `path`. It serves a later training with equal
        parts, equal sources of all helpers that the module imports, and equal versions of the libraries.
    path, history
        As for `Checkpoint`.
    """
    model.optimizer.build(model.trainable_variables)
    shapes = [(tuple(variable.shape), variable.dtype) for variable in model.variables]
    about = [keras.backend.backend(), shapes, design(model.get_config()), design(model.get_compile_config())]
    run, folder, last = fingerprint(*parts, *about), os.environ.get("SIAMESE_VOICES_CHECKPOINTS"), None
    if folder and module:
        sources = [file.read_text(encoding="utf-8") for file in sorted(import_closure(f"import {module}"))]
        versions = [version(name) for name in ("keras", "numpy", keras.backend.backend())]
        run, last = fingerprint(run, module, sources, versions), epochs
        path = Path(folder, f"{run}.npz")
    return Checkpoint(model, path, run, history, last)


def adam(rate, steps, **settings):
    """Adam with a step size that falls from `rate` to zero along a cosine in `steps` steps."""
    return keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps), **settings)


def fit_epochs(model, state, draw, batch_size, epochs, started, measure=None, after_epoch=None, bar=False):
    """Train a compiled model from the epoch of its `Checkpoint` on, which records the figures of each epoch.

    Parameters
    ----------
    model : keras.Model
    state : Checkpoint
    draw : callable (number) -> iterable of (inputs, labels)
        An epoch, in parts of whole batches.
    batch_size, epochs : int
    started : float
        `time.perf_counter()` when the training began.
    measure : callable (loss) -> dict, optional
        The figures of an epoch with this mean loss; the loss alone by default.
    after_epoch : callable (history), optional
        Called after each epoch. Its time is not counted.
    bar : bool
        Show a progress bar.
    """
    left = range(state.epoch, epochs)
    for number in tqdm(left, initial=state.epoch, total=epochs, unit="epoch", disable=not bar):
        total, drawn = 0.0, 0
        for inputs, labels in draw(number):
            fitted = model.fit(inputs, labels, batch_size=batch_size, shuffle=False, verbose=0)
            rows = len(labels[0] if isinstance(labels, list) else labels)
            total, drawn = total + rows * fitted.history["loss"][-1], drawn + rows
        loss = total / drawn
        figures, now = measure(loss) if measure else {"loss": loss}, time.perf_counter()
        state.record(figures, now - started)
        started = now
        if after_epoch:
            after_epoch(state.history)
            started = time.perf_counter()


def load_saved(path, kind, expected, missing, again):
    """Load a saved model of a class.

    Parameters
    ----------
    path : path
    kind : class
    expected, missing, again : str
        The class in words, what is said when there is no such file, and what to do about a damaged one.

    Raises
    ------
    InputError
        When the file is missing, damaged, or holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(missing)
    try:
        model = keras.saving.load_model(path, compile=False)
    except Exception as error:  # damaged archives surface as any kind of exception
        whole = zipfile.is_zipfile(path)
        reason = first_line(type(error).__name__, error)[:120] if whole else "not a whole .keras file"
        raise InputError(f"{path.name} cannot be read as a saved model ({reason}); {again}") from error
    if not isinstance(model, kind):
        raise InputError(f"holds a {type(model).__name__}", file=path.name, expected=expected)
    return model
