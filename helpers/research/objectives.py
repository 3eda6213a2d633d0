"""Training objectives beside the course's pairs: heads on the embeddings, and their losses."""

import keras
import numpy as np
from keras import layers, ops

from helpers.losses import BalancedPairLoss, same_speaker
from helpers.models import AllPairs, ScaledCosine
from helpers.systems.cnn import ClassCosines
from helpers.systems.ge2e import CentroidCosines, GE2ELoss


class AdditiveMarginLoss(keras.losses.Loss):
    """Softmax over classes whose own cosine is lowered by a margin.

    Wang et al. (2018), "Additive margin softmax for face verification", equation 6.
    """

    def __init__(self, margin=0.2, scale=30.0, name="additive_margin", **kwargs):
        super().__init__(name=name, reduction=None, **kwargs)
        self.margin, self.scale = margin, scale

    def call(self, speakers, cosines):
        own = ops.one_hot(ops.cast(ops.reshape(speakers, (-1,)), "int32"), cosines.shape[-1])
        logits = self.scale * (cosines - self.margin * own)
        return ops.mean(ops.logsumexp(logits, axis=1) - ops.sum(own * logits, axis=1))


class HardPairLoss(BalancedPairLoss):
    """Balanced pair loss over the hardest fifth of the negative pairs only."""

    def call(self, speakers, logits):
        positive, negative = same_speaker(speakers)
        missed = ops.sum(ops.softplus(-logits) * positive) / ops.maximum(ops.sum(positive), 1)
        costs = ops.reshape(ops.softplus(logits) * negative, (-1,))
        hardest = ops.top_k(costs, max(1, costs.shape[0] // 5))[0]
        return (missed + ops.mean(hardest)) / 2


class FewPairLoss(BalancedPairLoss):
    """Balanced pair loss over as many pairs as two-input training has: an utterance in one of either kind.

    In a batch of P x K, speaker by speaker, an utterance meets the next of its speaker and its counterpart of
    the next speaker; the other pairs of the Gram matrix are ignored.
    """

    def __init__(self, utterances, name="few_pair_loss", **kwargs):
        super().__init__(name=name, **kwargs)
        self.utterances = utterances

    def call(self, speakers, logits):
        rows = np.arange(logits.shape[0] or len(speakers))
        own = rows // self.utterances * self.utterances + (rows + 1) % self.utterances
        other = (rows + self.utterances) % len(rows)
        missed, fooled = (ops.sum(ops.one_hot(each, len(rows)) * logits, axis=1) for each in (own, other))
        return (ops.mean(ops.softplus(-missed)) + ops.mean(ops.softplus(fooled))) / 2


class SidePairs(layers.Layer):
    """Cosines of each embedding's first half with every other's second: `(n, 2 d)` to `(n, n)`."""

    def call(self, embeddings):
        left, right = ops.split(embeddings, 2, axis=-1)
        return ops.matmul(left, ops.transpose(right))


class PrototypeCosines(CentroidCosines):
    """Cosines of each speaker's last utterance with the mean of the others: `(P K, d)` to `(P, P)`.

    Chung et al. (2020), "In defence of metric learning for speaker recognition", section 2.2.
    """

    def call(self, embeddings):
        grouped = ops.reshape(embeddings, (-1, self.utterances, embeddings.shape[-1]))
        prototypes = ops.normalize(ops.mean(grouped[:, :-1], axis=1), axis=-1)
        return ops.matmul(grouped[:, -1], ops.transpose(prototypes))


OBJECTIVES = {  # name: (utterances a speaker, speakers) -> layers after the embedding, and a loss
    "pairs": lambda k, speakers: ([AllPairs(), ScaledCosine()], BalancedPairLoss()),
    "inner_product": lambda k, speakers: ([AllPairs(), ScaledCosine(1.0, 0.0)], BalancedPairLoss()),
    "hard_pairs": lambda k, speakers: ([AllPairs(), ScaledCosine()], HardPairLoss()),
    "ge2e_softmax": lambda k, speakers: ([CentroidCosines(k), ScaledCosine()], GE2ELoss(k)),
    "prototypes": lambda k, speakers: ([PrototypeCosines(k), ScaledCosine()], GE2ELoss(1)),
    "few_pairs": lambda k, speakers: ([AllPairs(), ScaledCosine()], FewPairLoss(k)),
    "unshared": lambda k, speakers: ([SidePairs(), ScaledCosine()], BalancedPairLoss()),
    "additive_margin": lambda k, speakers: ([ClassCosines(speakers)], AdditiveMarginLoss()),
}


class Weighted(keras.losses.Loss):
    """A loss times a weight, for sums of several."""

    def __init__(self, loss, weight):
        super().__init__(name=loss.name, reduction=None)
        self.loss, self.weight = loss, weight

    def get_config(self):
        return super().get_config() | {"loss": keras.losses.serialize(self.loss), "weight": self.weight}

    def call(self, speakers, outputs):
        return self.weight * self.loss.call(speakers, outputs)


def objective(weights, towers=1):
    """An objective of `training.TrainingHooks`: the weighted sum of some by name.

    Of embeddings of several towers side by side, each tower is taught by itself.
    """

    def build(embeddings, config, speakers):
        outputs, losses = [], []
        for tower in ops.split(embeddings, towers, axis=-1) if towers > 1 else [embeddings]:
            for name, weight in weights.items():
                stack, loss = OBJECTIVES[name](config.batch_utterances, speakers)
                outputs.append(keras.Sequential(stack)(tower))
                losses.append(Weighted(loss, weight))
        return outputs, losses

    return build
