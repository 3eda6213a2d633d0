"""The PLDA score as a distance, so that a search for nearest points finds the likeliest speakers."""

import numpy as np
from keras.ops import convert_to_numpy
from scipy.linalg import block_diag

from helpers.verifier import calibration_of


class PLDADistance:
    """Log likelihood ratio, of a `verifier.Verifier`, of a query x and an embedding z of a collection.

    ``score(x, z) = offset(x) + query(x) . point(z) - |point(z)|^2 / 2``, so the highest score belongs to the
    point nearest to the query's, and whatever finds nearest points finds likeliest speakers.

    The PLDA's score ``x' own x / 2 + z' own z / 2 + x' cross z`` is quadratic in z, and `own` has no positive
    eigenvalue: completing the square leaves a negative squared distance. With ``-own = Q diag(e) Q'``, z
    becomes ``sqrt(e) Q' z`` and x becomes ``Q' cross' x / sqrt(e)``. Directions in which speakers do not
    differ, e = 0, change no score and are left out.
    """

    def __init__(self, verifier):
        plda, (slope, self.constant) = verifier.plda, calibration_of(verifier)
        mean, own, cross = (convert_to_numpy(x).astype(float) for x in (plda.mean, plda.own, plda.cross))
        queries, points = [], []
        for mine, both in zip(own, cross, strict=True):
            values, axes = np.linalg.eigh(-(mine + mine.T) / 2)
            kept = values > 1e-6 * values.max()
            roots, axes = np.sqrt(values[kept]), axes[:, kept]
            points.append(axes * roots)
            queries.append(both @ axes / roots)
        share = slope / len(own)  # the score is the mean over the encoders, stretched
        self.mean, self.own = mean.ravel(), share * block_diag(*own)
        self.query, self.point = (np.sqrt(share) * block_diag(*parts) for parts in (queries, points))

    def points(self, embeddings):
        """Points of the embeddings (n, dimensions) of a collection: float32 (n, r)."""
        return ((np.asarray(embeddings) - self.mean) @ self.point).astype(np.float32)

    def queries(self, embeddings):
        """Points of queries (n, dimensions), float32 (n, r), and their offsets (n,)."""
        centred = np.asarray(embeddings) - self.mean
        offsets = np.einsum("nd,de,ne->n", centred, self.own, centred) / 2 + self.constant
        return (centred @ self.query).astype(np.float32), offsets
