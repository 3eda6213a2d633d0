"""The balanced pair loss, over all pairs of a batch."""

import keras
from keras import ops


def same_speaker(speakers):
    """Which pairs of a batch share a speaker.

    Parameters
    ----------
    speakers : int tensor (n,) or (n, 1)

    Returns
    -------
    positive, negative : float tensors (n, n)
        1 where the pair is of that kind. The diagonal is 0 in both: an utterance is not compared with itself.
    """
    speakers = ops.reshape(ops.cast(speakers, "int32"), (-1, 1))
    same = ops.cast(ops.equal(speakers, ops.transpose(speakers)), "float32")
    return same - ops.eye(ops.shape(speakers)[0]), 1 - same


@keras.saving.register_keras_serializable("siamese_voices")
class BalancedPairLoss(keras.losses.Loss):
    """Binary cross-entropy over all pairs of a batch, positive and negative pairs counting half each.

    In a batch of P speakers with K utterances, ``(K - 1) / (PK - 1)`` of the pairs are positive, a few per
    cent: unbalanced, "always different" would be nearly right. Balanced, a score that says nothing
    costs at least ln 2. A kind that a batch has no pairs of costs nothing.

    Call it with speakers (n,) or (n, 1) and logits (n, n).
    """

    def __init__(self, name="balanced_pair_loss", **kwargs):
        kwargs["reduction"] = None  # one number for the whole batch: its pairs are not independent samples
        super().__init__(name=name, **kwargs)

    def call(self, speakers, logits):
        positive, negative = same_speaker(speakers)
        missed = ops.sum(ops.softplus(-logits) * positive) / ops.maximum(ops.sum(positive), 1)
        fooled = ops.sum(ops.softplus(logits) * negative) / ops.maximum(ops.sum(negative), 1)
        return (missed + fooled) / 2
