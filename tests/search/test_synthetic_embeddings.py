"""Synthetic embeddings for large collections."""

import numpy as np

from helpers.search.synthetic_embeddings import synthetic_embeddings

RNG = np.random.default_rng(0)


def test_synthetic_embeddings_scatter_as_those_at_hand():
    speakers = np.repeat(np.arange(300), 8)
    centre, spread = np.array([4.0, 0, 0, 0]), np.array([0.1, 0.8, 0.4, 0.05])
    embeddings = centre + np.repeat(RNG.normal(size=(300, 4)) * spread, 8, axis=0)
    embeddings += 0.1 * RNG.normal(size=embeddings.shape)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    synthetic = synthetic_embeddings(embeddings, speakers, 20_000)
    assert synthetic.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(synthetic, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(synthetic.mean(axis=0), embeddings.mean(axis=0), atol=0.02)
    np.testing.assert_allclose(np.cov(synthetic.T), np.cov(embeddings.T), atol=0.005)
    people = synthetic.reshape(-1, 10, 4)
    assert people.std(axis=1).mean() < synthetic.std(axis=0).mean() / 2  # ten embeddings a speaker
    assert len(synthetic_embeddings(embeddings, speakers, 12_345)) == 12_345
    np.testing.assert_array_equal(synthetic, synthetic_embeddings(embeddings, speakers, 20_000))
    assert not np.array_equal(synthetic, synthetic_embeddings(embeddings, speakers, 20_000, seed=1))
