"""What a notebook builds in a visible cell is what the helpers do: shown on random data.

A function that a notebook defines under the name of a helper needs an entry in `ARGUMENTS`; one that a helper
offers under another name stands in `EQUIVALENT`.
"""

import ast
import importlib
import inspect
import pkgutil

import nbformat
import numpy as np
import pytest

import helpers
from helpers import PROJECT
from helpers.features import Spectrogram
from helpers.losses import BalancedPairLoss

RNG = np.random.default_rng(0)
SPEAKERS = RNG.permutation(np.repeat(np.arange(6), 4))
MAGNITUDE = RNG.exponential(size=(3, 5, 7)).astype(np.float32)
MAGNITUDE[0, 0, :3] = 0, 1e-9, 1e-4  # below every floor
MAGNITUDE[2] = 0  # silence
WAVES = RNG.uniform(-1, 1, (3, 5000)).astype(np.float32)
LABELS = RNG.permutation(np.repeat([0, 1], [3000, 2000]))
SCORES = RNG.normal(LABELS, 1)
LOGITS = RNG.normal(size=(len(SPEAKERS), len(SPEAKERS)))
NEIGHBOURS = np.argsort(LOGITS, axis=1)[:, :5]

# name: argument lists on which the notebook's function and the helper's are called
ARGUMENTS = {
    "all_trials": [(SPEAKERS,), (list(SPEAKERS),)],
    "balanced_pairs": [(SPEAKERS,), (SPEAKERS, 5)],
    "equal_error": [(SCORES, LABELS), (-SCORES, LABELS)],
    "compress": [(MAGNITUDE,), (MAGNITUDE, 1e-2)],
    "vote": [(NEIGHBOURS, SPEAKERS), (NEIGHBOURS[:, :1], SPEAKERS)],
    "speaker_scores": [(LOGITS, SPEAKERS, np.nanmean), (LOGITS, SPEAKERS, np.nanmax)],
    "open_set_threshold": [(SCORES, 3, 0.05), (SCORES, 1, 0.3)],
    "balanced_pair_loss": [(SPEAKERS, LOGITS), (SPEAKERS, 0 * LOGITS)],
    "stft_magnitude": [(WAVES,), (WAVES, 256, 64), (WAVES[:, :4096], 1024, 512)],
}
# name: a helper's counterpart that is called otherwise
EQUIVALENT = {
    "balanced_pair_loss": lambda speakers, logits: np.float64(BalancedPairLoss()(speakers, logits)),
    "stft_magnitude": lambda waves, n_fft=1024, hop=512: Spectrogram(n_fft, hop, compression="none")(waves),
}
# name: how far the two may be apart, where the helper is finer (`equal_error` interpolates); else 1e-5
TOLERANCE = {"equal_error": 2e-3}


def public_functions():
    """Functions of the helpers by name; those that only one helper has."""
    found = {}
    for module in pkgutil.walk_packages(helpers.__path__, "helpers."):
        imported = importlib.import_module(module.name)
        for name, function in inspect.getmembers(imported, inspect.isfunction):
            if function.__module__ == imported.__name__ and not name.startswith("_") and name != "main":
                found.setdefault(name, []).append(function)
    return found


HELPERS = public_functions()


def definitions(path):
    """The imports of a notebook, and its functions that a helper has, as `(name, source)`."""
    cells = nbformat.read(path, as_version=4).cells
    statements = []
    for cell in cells:
        if cell.cell_type == "code":
            statements += ast.parse(cell.source).body
    imports = [node for node in statements if isinstance(node, ast.Import | ast.ImportFrom)]
    functions = [node for node in statements if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    return imports, [node for node in functions if node.name in HELPERS or node.name in EQUIVALENT]


FOUND = [
    (path.name, node.name)
    for path in sorted((PROJECT / "notebooks").glob("*.ipynb"))
    for node in definitions(path)[1]
]


def executed(path):
    """The notebook's own versions, by name, with its imports and nothing else."""
    imports, functions = definitions(path)
    space = {}
    exec(compile(ast.Module([*imports, *functions], []), path.name, "exec"), space)
    return space


def equal(ours, theirs, tolerance):
    """Of one type, shape and content, floats within a tolerance."""
    if isinstance(theirs, tuple):
        assert type(ours) is type(theirs)
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            equal(one, other, tolerance)
        return
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    assert ours.dtype.kind == theirs.dtype.kind
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * max(1.0, np.abs(theirs).max()))


@pytest.mark.parametrize(("notebook", "name"), FOUND)
def test_notebook_and_helper_agree(notebook, name):
    assert name in ARGUMENTS, f"{notebook} defines {name}, which has no arguments in this file's table"
    candidates = HELPERS.get(name, [])
    assert name in EQUIVALENT or len(candidates) == 1, f"{name} is in several helpers"
    theirs = EQUIVALENT.get(name) or candidates[0]
    ours = executed(PROJECT / "notebooks" / notebook)[name]
    for arguments in ARGUMENTS[name]:
        equal(ours(*arguments), theirs(*arguments), TOLERANCE.get(name, 1e-5))


def test_the_lessons_build_their_ideas():
    expected = {
        ("02_stft.ipynb", "stft_magnitude"),
        ("02_stft.ipynb", "compress"),
        ("03_pairs.ipynb", "all_trials"),
        ("03_pairs.ipynb", "balanced_pairs"),
        ("04_siamese_gru.ipynb", "balanced_pair_loss"),
        ("05_accuracy_roc.ipynb", "equal_error"),
        ("10_nearest.ipynb", "vote"),
        ("10_nearest.ipynb", "speaker_scores"),
        ("10_nearest.ipynb", "open_set_threshold"),
    }
    assert expected <= set(FOUND)


def test_a_table_entry_is_used():
    assert {name for _, name in FOUND} == set(ARGUMENTS)
