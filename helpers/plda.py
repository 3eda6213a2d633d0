"""PLDA: the log likelihood ratio of two embeddings from how they vary within and between speakers."""

import keras
import numpy as np
from keras import layers, ops


def scatter_within(embeddings, speakers, floor):
    """Covariance (dimensions, dimensions) of embeddings around their speakers' centres, and these.

    Some hundred embeddings do not settle a thousand covariances: `floor` times the mean variance is added to
    the diagonal.
    """
    names, index = np.unique(speakers, return_inverse=True)
    centres = np.stack([embeddings[index == i].mean(axis=0) for i in range(len(names))])
    within = np.cov((embeddings - centres[index]).T)
    return within + (floor * np.trace(within) / len(within) + 1e-9) * np.eye(len(within)), centres


def two_covariance(embeddings, speakers, floor=0.3):
    """Fit the two-covariance model: an embedding is its speaker's centre and a scatter, and both are normal.

    Parameters
    ----------
    embeddings : float array (utterances, dimensions)
    speakers : int array (utterances,)
    floor : float
        As for `scatter_within`.

    Returns
    -------
    mean : array (dimensions,)
    own, cross : arrays (dimensions, dimensions)
        The log likelihood ratio of two embeddings x and z, less the mean, is
        ``x' own x / 2 + z' own z / 2 + x' cross z``, up to a constant. Garcia-Romero and Espy-Wilson (2011),
        "Analysis of i-vector length normalization in speaker recognition systems", section 2.
    """
    embeddings = np.asarray(embeddings, dtype=float)
    within, centres = scatter_within(embeddings, speakers, floor)
    between = np.cov(centres.T)
    inverse = np.linalg.inv(within + between)
    given = np.linalg.inv(within + between - between @ inverse @ between)
    return embeddings.mean(axis=0), inverse - given, inverse @ between @ given


@keras.saving.register_keras_serializable("siamese_voices")
class PLDA(layers.Layer):
    """Probabilistic linear discriminant analysis of embeddings that encoders side by side have made.

    Where a cosine counts every direction alike, this counts what differs between speakers and discounts what
    varies from one utterance to the next; and one like many others has to be nearer to count as the same.
    Its scores are the mean of the log likelihood ratios by each encoder's part, up to a constant; see
    `two_covariance`. Ioffe (2006), "Probabilistic linear discriminant analysis".

    Called with two embeddings `(batch, encoders * dimensions)`, it gives their scores `(batch, 1)`.

    Parameters
    ----------
    encoders, dimensions : int
        How many encoders stand side by side in an embedding, and how many numbers each gives.
    """

    def __init__(self, encoders, dimensions, **kwargs):
        super().__init__(**kwargs)
        self.encoders, self.dimensions = encoders, dimensions
        fitted = {"initializer": "zeros", "trainable": False}
        self.mean = self.add_weight((encoders, dimensions), name="mean", **fitted)
        self.own = self.add_weight((encoders, dimensions, dimensions), name="own", **fitted)
        self.cross = self.add_weight((encoders, dimensions, dimensions), name="cross", **fitted)
        self.built = True

    def fit(self, embeddings, speakers, held_out):
        """Fit each encoder's part on the speakers that it has learnt from.

        Parameters
        ----------
        embeddings : float array (utterances, encoders * dimensions)
        speakers : int array (utterances,)
        held_out : list of bool arrays (utterances,)
            The utterances that each encoder has not learnt from.
        """
        parts = zip(self._parts(np.asarray(embeddings)).swapaxes(0, 1), held_out, strict=True)
        fitted = [two_covariance(part[~apart], speakers[~apart]) for part, apart in parts]
        for weight, values in zip((self.mean, self.own, self.cross), zip(*fitted, strict=True), strict=True):
            weight.assign(np.stack(values))
        return self

    def _parts(self, embeddings):
        """`(utterances, encoders, dimensions)`."""
        return embeddings.reshape(-1, self.encoders, self.dimensions)

    def call(self, sides):
        shape = (-1, self.encoders, self.dimensions)
        x, z = (ops.reshape(side, shape) - self.mean for side in sides)
        own = (ops.einsum("nkd,kde,nke->n", side, self.own, side) for side in (x, z))
        scores = (sum(own) / 2 + ops.einsum("nkd,kde,nke->n", x, self.cross, z)) / self.encoders
        return ops.expand_dims(scores, -1)

    def scores(self, embeddings, others=None, encoder=None):
        """Scores of embeddings with others, by default with each other, in double precision.

        Parameters
        ----------
        embeddings, others : float arrays (n, encoders * dimensions), (m, encoders * dimensions)
        encoder : int, optional
            Only this encoder's part; by default all.

        Returns
        -------
        float array (n, m)
        """
        chosen = slice(None) if encoder is None else slice(encoder, encoder + 1)
        weights = (ops.convert_to_numpy(each)[chosen] for each in (self.mean, self.own, self.cross))
        mean, own, cross = (each.astype(float) for each in weights)
        sides = embeddings, embeddings if others is None else others
        x, z = (self._parts(np.asarray(side))[:, chosen] - mean for side in sides)
        ours, theirs = (np.einsum("nkd,kde,nke->n", side, own, side) / 2 for side in (x, z))
        aims = np.einsum("nkd,kde->nke", x, cross)
        return (ours[:, None] + theirs + np.tensordot(aims, z, ([1, 2], [1, 2]))) / len(mean)
