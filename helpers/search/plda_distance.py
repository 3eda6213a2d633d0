"""Scores as distances: what a search for nearest points needs in order to find the likeliest voices."""

from typing import NamedTuple

import numpy as np
from keras import ops
from scipy.linalg import block_diag

from helpers.verifier import calibration_of


class Comparison(NamedTuple):
    """A score as a distance: how a voice x that is asked for compares with a voice z of a collection.

    ``score(x, z) = offset(x) + aim(x) . place(z) - |place(z)|^2 / 2``, so the highest score belongs to the
    place nearest to the aim, and whatever finds nearest points finds likeliest voices. With `mean` taken off,
    place and aim are linear, matrices (dimensions, r), and the offset is ``x' own x / 2 + constant``.
    """

    mean: np.ndarray
    aim: np.ndarray
    place: np.ndarray
    own: np.ndarray
    constant: float

    def places(self, embeddings):
        """Where voices (n, dimensions) of a collection stand: float32 (n, r)."""
        return ((np.asarray(embeddings) - self.mean) @ self.place).astype(np.float32)

    def aims(self, embeddings):
        """Where the answer to voices (n, dimensions) is looked for, float32 (n, r), and offsets (n,)."""
        centred = np.asarray(embeddings) - self.mean
        offsets = np.einsum("nd,de,ne->n", centred, self.own, centred) / 2 + self.constant
        return (centred @ self.aim).astype(np.float32), offsets


def by_cosine(dimensions):
    """Cosine similarity of voices of length 1, as a `Comparison`: 1 less half the squared distance."""
    same = np.eye(dimensions, dtype=np.float32)
    return Comparison(np.zeros(dimensions, np.float32), same, same, 0 * same, 0.5)


def by_plda(verifier):
    """A verifier's log likelihood ratio as a `Comparison`.

    The PLDA's score ``x' own x / 2 + z' own z / 2 + x' cross z`` is quadratic in z, and `own` has no positive
    eigenvalue: completing the square leaves a negative squared distance. With ``-own = Q diag(e) Q'``, z
    stands at ``sqrt(e) Q' z`` and x aims at ``Q' cross' x / sqrt(e)``. Directions in which speakers do not
    differ, e = 0, have no say and are left out.
    """
    mean, own, cross = (
        ops.convert_to_numpy(part).astype(float)
        for part in (verifier.plda.mean, verifier.plda.own, verifier.plda.cross)
    )
    slope, constant = calibration_of(verifier)
    aims, places = [], []
    for mine, both in zip(own, cross, strict=True):
        values, axes = np.linalg.eigh(-(mine + mine.T) / 2)
        kept = values > 1e-6 * values.max()
        roots, axes = np.sqrt(values[kept]), axes[:, kept]
        places.append(axes * roots)
        aims.append(both @ axes / roots)
    share = slope / len(own)  # the score is the mean over the encoders, stretched
    aim, place = (np.sqrt(share) * block_diag(*parts) for parts in (aims, places))
    return Comparison(mean.ravel(), aim, place, share * block_diag(*own), constant)
