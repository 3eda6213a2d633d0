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
from keras.ops import convert_to_numpy

import helpers
from helpers import PROJECT
from helpers.bootstrap import Interval
from helpers.ensemble.members import AttentivePooling
from helpers.features import Spectrogram
from helpers.losses import BalancedPairLoss
from helpers.systems.contrastive import contrastive_cost
from helpers.systems.ge2e import CentroidCosines, GE2ELoss, ProjectedLSTMCell
from helpers.systems.windows import unit_length

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
TIED = np.round(RNG.normal(size=(len(SPEAKERS), 6)))
FRAMES, ATTENTION = RNG.normal(size=(3, 5, 7)).astype(np.float32), AttentivePooling()
ATTENTION(FRAMES)  # builds it
FRAME_SCORES = convert_to_numpy(ATTENTION.score(FRAMES))
DISTANCES, SAME = RNG.uniform(0, 2, 9).astype(np.float32), np.float32([1, 0, 0, 1, 0, 1, 0, 0, 1])

UNIT = unit_length(RNG.normal(size=(24, 7)))
CELL = [
    RNG.normal(size=shape).astype(np.float32) for shape in ((7,), (3,), (5,), (7, 20), (3, 20), (20,), (5, 3))
]


def keras_lstm_step(frame, output, memory, *weights):
    """What `ProjectedLSTMCell` makes of a frame: its output and its memory."""
    cell = ProjectedLSTMCell(len(memory), len(output))
    cell.build((1, len(frame)))
    cell.set_weights(weights)
    _, states = cell(frame[None], [output[None], memory[None]])
    return tuple(np.asarray(state)[0] for state in states)


def ge2e_cost(contrast):
    """The helper's loss of logits (P K, P), as a function of them and of K."""
    return lambda logits, utterances: np.float64(
        GE2ELoss(utterances, contrast)(0 * logits[:, 0], np.float32(logits))
    )


def pair_costs(distances, labels, margin=1.0):
    """What the helper's loss makes of each pair alone; each of its two kinds counts half."""
    alone = zip(distances, labels, strict=True)
    return [
        2 * float(contrastive_cost(np.array([d]), np.array([y]), np.array([1 - y]), margin)) for d, y in alone
    ]


# name: argument lists on which the notebook's function and the helper's are called
ARGUMENTS = {
    "adjusted": [(Interval(-4.2, -7.0, -2.1), 8), (Interval(1.0, -1.0, 3.5), 57)],
    "attentive_statistics": [(FRAMES, FRAME_SCORES)],
    "lstm_step": [CELL],
    "centroid_cosines": [(UNIT, 4), (UNIT, 2)],
    "softmax_loss": [(LOGITS[:, :6], 4), (LOGITS[:, :12], 2)],
    "contrast_loss": [(LOGITS[:, :6], 4), (LOGITS[:, :12], 2)],
    "top_k": [(TIED, SPEAKERS), (TIED, SPEAKERS, 3), (0 * TIED, SPEAKERS, 5)],
    "all_trials": [(SPEAKERS,), (list(SPEAKERS),)],
    "balanced_pairs": [(SPEAKERS,), (SPEAKERS, 5)],
    "equal_error": [(SCORES, LABELS), (-SCORES, LABELS)],
    "compress": [(MAGNITUDE,), (MAGNITUDE, 1e-2)],
    "pair_cost": [(DISTANCES, SAME), (DISTANCES, SAME, 1.5)],
    "vote": [(NEIGHBOURS, SPEAKERS), (NEIGHBOURS[:, :1], SPEAKERS)],
    "speaker_scores": [(LOGITS, SPEAKERS, np.nanmean), (LOGITS, SPEAKERS, np.nanmax)],
    "open_set_threshold": [(SCORES, 3, 0.05), (SCORES, 1, 0.3)],
    "balanced_pair_loss": [(SPEAKERS, LOGITS), (SPEAKERS, 0 * LOGITS)],
    "stft_magnitude": [(WAVES,), (WAVES, 256, 64), (WAVES[:, :4096], 1024, 512)],
}
# name: a helper's counterpart that is called otherwise
EQUIVALENT = {
    "attentive_statistics": lambda frames, scores: np.asarray(ATTENTION(frames)),
    "lstm_step": keras_lstm_step,
    "centroid_cosines": lambda embeddings, utterances: np.asarray(CentroidCosines(utterances)(embeddings)),
    "softmax_loss": ge2e_cost(contrast=False),
    "contrast_loss": ge2e_cost(contrast=True),
    "pair_cost": pair_costs,
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
        ("11_compare.ipynb", "adjusted"),
        ("10_nearest.ipynb", "vote"),
        ("10_nearest.ipynb", "speaker_scores"),
        ("10_nearest.ipynb", "open_set_threshold"),
        ("07_ge2e.ipynb", "lstm_step"),
        ("07_ge2e.ipynb", "centroid_cosines"),
        ("07_ge2e.ipynb", "softmax_loss"),
        ("07_ge2e.ipynb", "contrast_loss"),
        ("08_contrastive.ipynb", "pair_cost"),
        ("09_identification.ipynb", "attentive_statistics"),
        ("09_identification.ipynb", "top_k"),
    }
    assert expected <= set(FOUND)


def test_a_table_entry_is_used():
    assert {name for _, name in FOUND} == set(ARGUMENTS)
