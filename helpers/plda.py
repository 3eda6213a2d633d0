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


def _diagonal(value):
    """An initializer for square matrices, side by side, that have a value on their diagonals."""
    return lambda shape, dtype: value * ops.eye(shape[-1], dtype=dtype) * ops.ones(shape, dtype)


@keras.saving.register_keras_serializable("siamese_voices")
class PLDA(layers.Layer):
    """Probabilistic linear discriminant analysis of embeddings that encoders side by side have made.

    Where a cosine counts every direction alike, this counts what differs between speakers and discounts what
    varies from one utterance to the next; and one like many others has to be nearer to count as the same.
    Its scores are the mean, plain or weighted, of the log likelihood ratios by each encoder's part, up to a
    constant; see `two_covariance`. Ioffe (2006), "Probabilistic linear discriminant analysis".

    Called with two embeddings `(batch, encoders * dimensions)`, it gives their scores `(batch, 1)`. Before it
    is fitted, these are minus half the squared distance: for embeddings of length 1 their cosine, less 1.

    Parameters
    ----------
    encoders, dimensions : int
        How many encoders stand side by side in an embedding, and how many numbers each gives.
    """

    def __init__(self, encoders, dimensions, **kwargs):
        super().__init__(**kwargs)
        self.encoders, self.dimensions, self.fitted = encoders, dimensions, False
        square = (encoders, dimensions, dimensions)
        self.mean = self.add_weight((encoders, dimensions), "zeros", trainable=False, name="mean")
        self.own = self.add_weight(square, _diagonal(-1.0), trainable=False, name="own")
        self.cross = self.add_weight(square, _diagonal(1.0), trainable=False, name="cross")
        self.built = True

    def fit(self, embeddings, speakers):
        """Fit each part to embeddings (utterances, encoders * dimensions) of speakers; returns itself."""
        parts = self._parts(np.asarray(embeddings)).swapaxes(0, 1)
        fitted = zip(*(two_covariance(part, speakers) for part in parts), strict=True)
        for weight, values in zip((self.mean, self.own, self.cross), fitted, strict=True):
            weight.assign(np.stack(values))
        self.fitted = True
        return self

    def weigh(self, weights):
        """Let the encoders' parts count by weights (encoders,), in place of all the same; returns itself."""
        weights = np.reshape(weights, (-1, 1, 1)) * self.encoders
        for each in (self.own, self.cross):
            each.assign(ops.convert_to_numpy(each) * weights)
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
