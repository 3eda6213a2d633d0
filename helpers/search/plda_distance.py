"""The PLDA score as a distance, so that a search for nearest points finds the likeliest speakers."""

import numpy as np
from keras.ops import convert_to_numpy
from scipy.linalg import block_diag

from helpers.verifier import calibration_of


class PLDADistance:
    """Log likelihood ratio, of a `verifier.Verifier`, of a voice x asked for and a voice z of a collection.

    ``score(x, z) = offset(x) + aim(x) . place(z) - |place(z)|^2 / 2``, so the highest score belongs to the
    place nearest to the aim, and whatever finds nearest points finds likeliest voices.

    The PLDA's score ``x' own x / 2 + z' own z / 2 + x' cross z`` is quadratic in z, and `own` has no positive
    eigenvalue: completing the square leaves a negative squared distance. With ``-own = Q diag(e) Q'``, z
    stands at ``sqrt(e) Q' z`` and x aims at ``Q' cross' x / sqrt(e)``. Directions in which speakers do not
    differ, e = 0, have no say and are left out.
    """

    def __init__(self, verifier):
        plda, (slope, self.constant) = verifier.plda, calibration_of(verifier)
        mean, own, cross = (convert_to_numpy(x).astype(float) for x in (plda.mean, plda.own, plda.cross))
        aims, places = [], []
        for mine, both in zip(own, cross, strict=True):
            values, axes = np.linalg.eigh(-(mine + mine.T) / 2)
            kept = values > 1e-6 * values.max()
            roots, axes = np.sqrt(values[kept]), axes[:, kept]
            places.append(axes * roots)
            aims.append(both @ axes / roots)
        share = slope / len(own)  # the score is the mean over the encoders, stretched
        self.mean, self.own = mean.ravel(), share * block_diag(*own)
        self.aim, self.place = (np.sqrt(share) * block_diag(*parts) for parts in (aims, places))

    def places(self, embeddings):
        """Where voices (n, dimensions) of a collection stand: float32 (n, r)."""
        return ((np.asarray(embeddings) - self.mean) @ self.place).astype(np.float32)

    def aims(self, embeddings):
        """Where the answer to voices (n, dimensions) is looked for, float32 (n, r), and offsets (n,)."""
        centred = np.asarray(embeddings) - self.mean
        offsets = np.einsum("nd,de,ne->n", centred, self.own, centred) / 2 + self.constant
        return (centred @ self.aim).astype(np.float32), offsets
