"""What several test files use: invented speakers, and a process's errors."""

import re

import numpy as np
import pandas as pd

from helpers.data.corpora import Corpus


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
