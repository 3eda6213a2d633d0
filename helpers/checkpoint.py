"""A training's state on disk, so that a killed run goes on where it was and ends as an unbroken one would."""

import json
from pathlib import Path

import numpy as np
from keras.ops import convert_to_numpy

from helpers.files import atomic_write


class Checkpoint:
    """The whole state of a training, on disk after each epoch, so that a killed run goes on exactly.

    Parameters
    ----------
    model : keras.Model
        Compiled, its optimizer built.
    path : path, optional
        Where the state is kept, if anywhere.
    run : str
        Fingerprint of the run: the state of another run is not taken up.
    """

    def __init__(self, model, path=None, run=""):
        self.path, self.run = path and Path(path), run
        self.history, self.seconds = {"loss": [], "val_loss": []}, 0.0
        self.state = model.variables + model.optimizer.variables  # weights, dropout's seeds, Adam's moments
        if self.path is not None and self.path.exists():
            self._resume()

    @property
    def epoch(self):
        """Epochs done."""
        return len(self.history["loss"])

    def record(self, losses, seconds):
        """Take down an epoch's losses, and save the state.

        `seconds` is the time since the last record; `self.seconds` the time of all, earlier runs' included.
        """
        self.seconds += seconds
        for name, values in self.history.items():
            values.append(float(losses[name]))
        if self.path is not None:
            self._save()

    def _save(self):
        arrays = {f"now_{i}": convert_to_numpy(variable) for i, variable in enumerate(self.state)}
        kept = json.dumps({"run": self.run, "history": self.history, "seconds": self.seconds})
        with atomic_write(self.path) as temporary, temporary.open("wb") as file:
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
