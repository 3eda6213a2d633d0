"""Embeddings of people who do not exist, for a collection larger than any at hand."""

import numpy as np

EACH = 10  # embeddings of a synthetic speaker


def synthetic_embeddings(embeddings, speakers, count, seed=0):
    """Embeddings drawn from the two-covariance model of those at hand. They test a search, not a system.

    Speakers' centres and the scatter around them are drawn from normal distributions with the covariances of
    those at hand, `EACH` a speaker, and brought to length 1.

    Parameters
    ----------
    embeddings : float array (utterances, dimensions)
    speakers : array (utterances,)
    count, seed : int

    Returns
    -------
    float32 array (count, dimensions)
    """
    names, index = np.unique(speakers, return_inverse=True)
    centres = np.stack([embeddings[index == i].mean(axis=0) for i in range(len(names))])
    between, within = _root(centres), _root(embeddings - centres[index])
    rng, found = np.random.default_rng(seed), np.empty((count, embeddings.shape[1]), np.float32)
    for start in range(0, count, 1000 * EACH):
        block = found[start : start + 1000 * EACH]
        people = rng.normal(size=(-(-len(block) // EACH), len(between))) @ between + centres.mean(axis=0)
        block[:] = np.repeat(people, EACH, axis=0)[: len(block)]
        block += rng.normal(size=(len(block), len(within))) @ within
        block /= np.linalg.norm(block, axis=1, keepdims=True)
    return found


def _root(rows):
    """A matrix R (k, dimensions) with R'R the covariance of rows (n, dimensions)."""
    _, values, axes = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    return values[:, None] * axes / np.sqrt(len(rows) - 1)
