"""From voices to a score: a model of how one speaker's voices scatter, and how speakers differ."""

import keras
import numpy as np
from keras import layers, ops


def two_covariance(embeddings, speakers, floor=0.3):
    """Fit the two-covariance model: a voice is its speaker's centre and a scatter, and both are normal.

    Parameters
    ----------
    embeddings : float array (utterances, dimensions)
    speakers : int array (utterances,)
    floor : float
        Some hundred voices do not settle a thousand covariances: so many times the mean variance is added to
        the scatter's diagonal.

    Returns
    -------
    mean : array (dimensions,)
    own, cross : arrays (dimensions, dimensions)
        The log likelihood ratio of two voices x and z, less the mean, is
        ``x' own x / 2 + z' own z / 2 + x' cross z``, up to a constant. Garcia-Romero and Espy-Wilson (2011),
        "Analysis of i-vector length normalization in speaker recognition systems", section 2.
    """
    names, index = np.unique(speakers, return_inverse=True)
    embeddings = np.asarray(embeddings, dtype=float)
    centres = np.stack([embeddings[index == i].mean(axis=0) for i in range(len(names))])
    within, between = np.cov((embeddings - centres[index]).T), np.cov(centres.T)
    within += (floor * np.trace(within) / len(within) + 1e-9) * np.eye(len(within))
    inverse = np.linalg.inv(within + between)
    given = np.linalg.inv(within + between - between @ inverse @ between)
    return embeddings.mean(axis=0), inverse - given, inverse @ between @ given


@keras.saving.register_keras_serializable("siamese_voices")
class PLDA(layers.Layer):
    """Probabilistic linear discriminant analysis of voices that encoders side by side have made.

    Where a cosine counts every direction alike, this counts what differs between speakers and discounts what
    varies from one utterance to the next; and a voice like many others has to be nearer to count as the same.
    Its scores are the mean of the log likelihood ratios by each encoder's part, up to a constant; see
    `two_covariance`. Ioffe (2006), "Probabilistic linear discriminant analysis".

    Called with two voices `(batch, encoders * dimensions)`, it gives their scores `(batch, 1)`.

    Parameters
    ----------
    encoders, dimensions : int
        How many encoders stand side by side in a voice, and how many numbers each gives.
    """

    def __init__(self, encoders, dimensions, **kwargs):
        super().__init__(**kwargs)
        self.encoders, self.dimensions = encoders, dimensions
        square = (encoders, dimensions, dimensions)
        shapes = {"mean": square[:2], "own": square, "cross": square}
        for name, shape in shapes.items():
            setattr(self, name, self.add_weight(shape, name=name, initializer="zeros", trainable=False))
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
        parts = zip(self._parts(embeddings), held_out, strict=True)
        fitted = [two_covariance(part[~apart], speakers[~apart]) for part, apart in parts]
        for weight, values in zip((self.mean, self.own, self.cross), zip(*fitted, strict=True), strict=True):
            weight.assign(np.stack(values))
        return self

    def _parts(self, embeddings):
        """`(encoders, utterances, dimensions)`."""
        return np.asarray(embeddings).reshape(-1, self.encoders, self.dimensions).swapaxes(0, 1)

    def call(self, sides):
        shape = (-1, self.encoders, self.dimensions)
        x, z = (ops.reshape(side, shape) - self.mean for side in sides)
        own = (ops.einsum("nkd,kde,nke->n", side, self.own, side) for side in (x, z))
        scores = (sum(own) / 2 + ops.einsum("nkd,kde,nke->n", x, self.cross, z)) / self.encoders
        return ops.expand_dims(scores, -1)

    def compute_output_shape(self, shapes):
        return (shapes[0][0], 1)

    def scores(self, embeddings, others=None, encoder=None):
        """Scores of voices with others, by default with each other.

        Parameters
        ----------
        embeddings, others : float arrays (n, encoders * dimensions), (m, encoders * dimensions)
        encoder : int, optional
            Only this encoder's part; by default all.

        Returns
        -------
        float array (n, m)
        """
        mean, own, cross = (
            ops.convert_to_numpy(each).astype(float) for each in (self.mean, self.own, self.cross)
        )
        total, chosen = 0.0, range(self.encoders) if encoder is None else [encoder]
        pairs = list(
            zip(self._parts(embeddings), self._parts(embeddings if others is None else others), strict=True)
        )
        for k in chosen:
            x, z = (side - mean[k] for side in pairs[k])
            ours, theirs = (np.einsum("nd,de,ne->n", side, own[k], side) / 2 for side in (x, z))
            total = total + ours[:, None] + theirs + x @ cross[k] @ z.T
        return total / len(chosen)

    def get_config(self):
        return super().get_config() | {"encoders": self.encoders, "dimensions": self.dimensions}
