"""Classical features on sounds whose values are known, and the ranking of what each tells apart."""

import numpy as np
import pandas as pd
import pytest

from helpers import InputError
from helpers.systems import classical_features

RNG = np.random.default_rng(0)
TIME = np.arange(16_000) / 16_000
TONE = np.sin(2 * np.pi * 440 * TIME)
NOISE = RNG.standard_normal(16_000)


def inner(values):
    """Without the frames at the ends, which are half padding."""
    return values[:, 4:-4]


def test_flux_is_the_change_of_shape_alone():
    spectrum = np.array([[1.0, 5, 0, 0, 3], [0, 0, 2, 4, 4], [0, 0, 0, 0, 0]])
    expected = [0, 0, np.sqrt(2), 0, np.linalg.norm([0.6, 0.8 - 1])]  # the last: (3, 4) / 5 after (0, 1)
    np.testing.assert_allclose(classical_features.spectral_flux(spectrum)[0], expected, atol=1e-6)
    assert classical_features.spectral_flux(np.zeros((3, 4))).tolist() == [[0, 0, 0, 0]]  # silence


def test_a_tone_is_known_by_each_feature():
    features = classical_features.frame_features(TONE)
    assert list(features) == list(classical_features.UNITS)
    assert len({values.shape[1] for values in features.values()}) == 1
    sizes = [len(values) for values in features.values()]
    assert sizes == [20, 64, 12, 1, 1, 1]
    np.testing.assert_allclose(inner(features["zero-crossing rate"]), 2 * 440 / 16_000, atol=0.003)
    np.testing.assert_allclose(inner(features["spectral roll-off"]), 440, atol=40)
    assert inner(features["spectral flux"]).max() < 0.05
    assert (inner(features["chroma"]).argmax(axis=0) == 9).all()  # A, counted from C
    band = inner(features["mel spectrogram"]).argmax(axis=0)
    assert ((band == band[0]) & (band > 5) & (band < 14)).all()


def test_noise_is_known_by_each_feature():
    features = classical_features.frame_features(NOISE)
    assert abs(inner(features["zero-crossing rate"]).mean() - 0.5) < 0.02
    assert abs(inner(features["spectral roll-off"]).mean() - 0.85 * 8000) < 400
    assert inner(features["spectral flux"]).mean() > 0.4


def test_a_gain_changes_nothing():
    soft, loud = classical_features.frame_features(0.01 * TONE), classical_features.frame_features(0.9 * TONE)
    for name, values in soft.items():
        np.testing.assert_allclose(values, loud[name], rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("waveform", [np.zeros(1000), NOISE[:500], NOISE[None], np.empty(0)])
def test_what_is_no_speech_is_refused(waveform):
    with pytest.raises(InputError, match="expected 512 samples or more of speech"):
        classical_features.frame_features(waveform)


def test_summaries_are_means_and_deviations_over_time():
    found = classical_features.summaries([TONE, NOISE[:8000]])
    for name, values in found.items():
        frames = classical_features.frame_features(NOISE[:8000])[name]
        assert values.shape == (2, 2 * len(frames))
        expected = [*frames.mean(axis=1), *frames.std(axis=1)]
        np.testing.assert_allclose(values[1], expected, rtol=1e-4, atol=1e-4)


def test_the_ranking_puts_what_tells_labels_apart_first():
    def summary(labels, seed):
        rng, count = np.random.default_rng(seed), len(labels)
        told = np.random.default_rng(9).normal(size=(8, 3))[labels % 8]
        hidden = 5 * rng.normal(size=(count, 1)) * [1, 1] + 0.1 * rng.normal(size=(count, 2))
        hidden[:, 0] += told[:, 0]  # in the difference of the two only, which LDA finds
        return {
            "noise": rng.normal(size=(count, 4)),
            "hidden": hidden,
            "good": told + 0.1 * rng.normal(size=(count, 3)),
        }

    labels = np.repeat(np.arange(8), 10)
    table = classical_features.ranking(summary(labels, 1), labels, summary(labels, 2), labels, labels, 30)
    assert table.index[0] == "good"
    assert table["values"].to_dict() == {"good": 3, "hidden": 2, "noise": 4}
    assert table["eer"]["good"] < 0.1
    assert table["eer"]["noise"] > 0.4
    assert table["eer"]["hidden"] > 0.35
    assert table["eer_lda"]["hidden"] < table["eer"]["hidden"] - 0.15
    for end in ("", "_lda"):
        assert (table[f"low{end}"] <= table[f"high{end}"]).all()
        assert (table[f"high{end}"] >= table[f"eer{end}"] - 0.05).all()


def test_the_table_has_an_interval_beside_each_rate():
    columns = ["values", "eer", "low", "high", "eer_lda", "low_lda", "high_lda"]
    table = pd.DataFrame([[40, 0.1, 0.05, 0.2, 0.05, 0.021, 0.1]], ["MFCC"], columns)
    found = classical_features.ranking_table({"speakers": table, "words": table})
    assert found.loc["MFCC", "speakers: distance"] == "10 (5 to 20)"
    assert found.loc["MFCC", "words: LDA"] == "5 (2 to 10)"
    assert len(found.columns) == 5
