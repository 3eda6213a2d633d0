"""Pictures of a recording and of a decision show what was measured."""

import numpy as np
import pandas as pd
import pytest

from helpers import SAMPLE_RATE
from helpers.features import Spectrogram
from helpers.plots import verification as verification_plots


def test_speech_is_marked_where_it_is():
    noise = np.random.default_rng(0).normal(0, 0.1, SAMPLE_RATE)
    waveform = np.concatenate([0 * noise, noise, 0 * noise]).astype(np.float32)
    above, below = verification_plots.plot_recording(waveform, Spectrogram()).axes
    (part,) = above.patches
    assert part.get_x() == pytest.approx(1, abs=0.1)
    assert part.get_width() == pytest.approx(1, abs=0.15)
    assert below.images[0].get_extent() == pytest.approx((0, 3, 0, 8), abs=1e-3)


def test_dots_and_bars_are_the_tables_values():
    rows = {"as they are": (0.2, 0.1, 0.4, 0.1, 0.2, 0.0, 0.3), "hiss": (0.3, 0.3, 0.5, 0.4, 0.5, 0.6, 0.4)}
    names = ["eer", "low", "high", "false_rejection", "false_acceptance", "refused", "warned"]
    table = pd.DataFrame(rows, index=names).T
    left, middle, right = verification_plots.plot_robustness(table).axes
    (dots, _, (whiskers,)) = left.containers[0]
    assert dots.get_xdata() == pytest.approx([20, 30])
    ends = [segment[:, 0] for segment in whiskers.get_segments()]
    assert np.ravel(ends) == pytest.approx([10, 40, 30, 50])
    assert [bar.get_width() for bar in middle.patches] == pytest.approx([10, 40, 20, 50])
    assert [bar.get_width() for bar in right.patches] == pytest.approx([0, 60, 30, 40, 70, 0])
    assert [bar.get_x() for bar in right.patches] == pytest.approx([0, 0, 0, 60, 30, 100])
    assert [label.get_text() for label in left.get_yticklabels()] == ["as they are", "hiss"]
