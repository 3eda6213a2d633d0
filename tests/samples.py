"""What several test files use: invented speakers, arrays, metrics, labels of plots, a process's errors."""

import re

import numpy as np
import pandas as pd

from helpers.data.corpora import Corpus
from helpers.metrics import balanced_accuracy, equal_error, min_dcf, roc_auc


class Stopped(Exception):
    """What a test raises to end a training."""


def voices(speakers, utterances, samples=4096, seed=0, within=0.4):
    """Noise that each speaker colours in a way of their own, each utterance a little otherwise."""
    rng = np.random.default_rng(seed)
    bins = samples // 2 + 1
    nodes = np.linspace(0, bins - 1, 12)
    rows, names = [], np.repeat(np.arange(speakers), utterances)
    for _ in range(speakers):
        own = rng.normal(0, 1.0, 12)
        for _ in range(utterances):
            gain = np.exp(np.interp(np.arange(bins), nodes, own + rng.normal(0, within, 12)))
            rows.append(np.fft.irfft(gain * np.fft.rfft(rng.standard_normal(samples))))
    rows = 0.1 * np.array(rows) / np.std(rows, axis=1, keepdims=True)
    return Corpus("voices", rows.astype(np.float32), names, pd.DataFrame({"speaker": names}))


def without_zeromq(errors):
    """Stderr but for a line that libzmq may print when a kernel that has finished is taken down."""
    return re.sub(r"Assertion failed: .*\(src/signaler\.cpp:\d+\)\n", "", errors)


def array(tensor):
    """A tensor of any backend as an array that may be written."""
    import keras  # not above: the tests of batches do without

    return np.array(keras.ops.convert_to_numpy(tensor))


def figures(scores, labels, weights=None):
    """EER, ROC AUC, minDCF and balanced accuracy at 0.9."""
    return np.array(
        [
            equal_error(scores, labels, weights)[0],
            roc_auc(scores, labels, weights),
            min_dcf(scores, labels, weights),
            balanced_accuracy(scores, labels, 0.9, weights),
        ]
    )


def labelled(figure):
    """The figure, once every axis with data has a label: its own, one that it shares, or the figure's."""
    figure.canvas.draw()
    for axes in figure.axes:
        if axes.has_data() and axes.axison and axes.get_label() != "<colorbar>":
            rows, columns = axes.get_shared_x_axes(), axes.get_shared_y_axes()
            assert figure.get_supxlabel() or any(each.get_xlabel() for each in rows.get_siblings(axes)), axes
            assert figure.get_supylabel() or any(each.get_ylabel() for each in columns.get_siblings(axes)), (
                axes
            )
    return figure
