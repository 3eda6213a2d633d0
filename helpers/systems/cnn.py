"""CNNs over spectrograms (VGG, ResNet) and self-attentive pooling over their frames."""

import keras
import numpy as np
from keras import layers, ops

from helpers import InputError
from helpers.models import StatisticsPooling, layer_seed, registered, standardisation

VGG = ((1,), (2,), (4, 4), (8, 8))  # widths of the convolutions in each block, the last one left out
RESNETS = {"resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3)}  # blocks in each stage
STRIDES = ((1, 1), (2, 2), (1, 2), (1, 2))  # of the stages, in time and in frequency
NETWORKS = ("vgg", *RESNETS)


def redundancy(weights):
    """How alike the heads of an attention are: the squared Frobenius norm of A A^T - I.

    Lin et al. (2017), "A structured self-attentive sentence embedding", equation 8.

    Parameters
    ----------
    weights : tensor (batch, frames, heads)
        A transposed: each head's weights sum to 1 over the frames.

    Returns
    -------
    tensor (batch,)
        0 when each head looks at one frame of its own.
    """
    products = ops.matmul(ops.transpose(weights, (0, 2, 1)), weights)
    return ops.sum(ops.square(products - ops.eye(weights.shape[-1])), axis=(1, 2))


@registered
class SelfAttentivePooling(layers.Layer):
    """Several weighted means over time: `(batch, frames, d)` to `(batch, heads * d)`.

    The weights are a softmax over the *frames* of tanh(H W1) W2: Lin et al. (2017), "A structured
    self-attentive sentence embedding", equations 6 to 8; for speakers An et al. (2019), "Deep CNNs with
    self-attention for speaker identification", IEEE Access 7.

    Parameters
    ----------
    heads : int
        Weighted means.
    hidden : int
        Columns of W1.
    penalty : float
        So many times the mean `redundancy` of a batch is added to the loss.
    """

    def __init__(self, heads=4, hidden=32, penalty=0.001, **kwargs):
        super().__init__(**kwargs)
        self.heads, self.hidden, self.penalty = heads, hidden, penalty

    def build(self, shape):
        self.first = self.add_weight(shape=(shape[-1], self.hidden), name="first")
        # All frames count nearly alike at first: random weights cling to the edges, which a CNN can tell.
        nearly_equal = keras.initializers.RandomNormal(stddev=0.01)
        self.second = self.add_weight((self.hidden, self.heads), nearly_equal, name="second")

    def attention(self, frames):
        """Weights (batch, frames, heads) of frames (batch, frames, d); over the frames they sum to 1."""
        scores = ops.matmul(ops.tanh(ops.matmul(frames, self.first)), self.second)
        return ops.softmax(scores, axis=1)

    def call(self, frames):
        weights = self.attention(frames)
        self.add_loss(self.penalty * ops.mean(redundancy(weights)))
        pooled = ops.matmul(ops.transpose(weights, (0, 2, 1)), frames)
        return ops.reshape(pooled, (-1, self.heads * frames.shape[-1]))


POOLINGS = {"attention": SelfAttentivePooling, "average": layers.GlobalAveragePooling1D}


def _convolve(x, filters, size=3, strides=1, activation="relu"):
    settings = {"padding": "same", "use_bias": False, "kernel_initializer": "he_normal"}
    x = layers.Conv2D(filters, size, strides, **settings)(x)
    x = layers.BatchNormalization(momentum=0.9)(x)  # trainings of a few hundred steps: a short memory
    return layers.Activation(activation)(x) if activation else x


def _residual_block(x, filters, strides, bottleneck):
    """Convolutions and a way around: He et al. (2016), "Deep residual learning", figure 5, left or right.

    The stride of a bottleneck is that of its 3 x 3 convolution, as in later implementations. The way around
    is x itself where it fits, else a 1 x 1 convolution of it.
    """
    if bottleneck:
        y = _convolve(_convolve(x, filters, 1), filters, 3, strides)
        y = _convolve(y, 4 * filters, 1, activation=None)
    else:
        y = _convolve(_convolve(x, filters, 3, strides), filters, activation=None)
    if strides != (1, 1) or x.shape[-1] != y.shape[-1]:
        x = _convolve(x, y.shape[-1], 1, strides, activation=None)
    return layers.Activation("relu")(layers.Add()([x, y]))


def frame_network(x, network, width):
    """A CNN over pictures (batch, frames, bands, 1), in which a frame of the output is eight of the input.

    Simonyan and Zisserman (2015), "Very deep convolutional networks", here with batch normalisation and four
    blocks; He et al. (2016), "Deep residual learning for image recognition", table 1. Later stages keep the
    rate of frames, which the attention needs, and halve the frequencies alone.

    Parameters
    ----------
    x : keras tensor
    network : {"vgg", "resnet18", "resnet50"}
    width : int
        Channels of the first convolution; 64 is the full width of the papers.

    Returns
    -------
    keras tensor (batch, frames / 8, d)
    """
    if network not in NETWORKS:
        raise InputError(f"is {network!r}", file="network", expected=f"one of {', '.join(NETWORKS)}")
    if width < 1:
        raise InputError(f"is {width}", file="width", expected="at least 1 channel")
    if network == "vgg":
        for number, block in enumerate(VGG):
            for times in block:
                x = _convolve(x, times * width)
            x = layers.MaxPooling2D((2, 2) if number < 3 else (1, 2), padding="same")(x)
    else:
        x = _convolve(x, width, 7, 2)
        x = layers.MaxPooling2D(3, 2, padding="same")(x)
        for number, blocks in enumerate(RESNETS[network]):
            for place in range(blocks):
                strides = STRIDES[number] if place == 0 else (1, 1)
                x = _residual_block(x, width * 2**number, strides, network == "resnet50")
    return layers.Reshape((-1, x.shape[2] * x.shape[3]), name="frames")(x)


def cnn_encoder(spectrograms, network="resnet18", pooling="attention", width=8):
    """A CNN with pooling over time that turns a spectrogram of any length into an embedding.

    The bands themselves are pooled beside the CNN's frames, as in `models.gru_encoder`: how a voice sounds on
    average need not pass through the convolutions.

    Parameters
    ----------
    spectrograms : list of float arrays (frames, bands)
        Training data: each band is standardised with its mean and variance there.
    network, width
        As for `frame_network`.
    pooling : {"attention", "average"}

    Returns
    -------
    keras.Model
        `(batch, frames, bands)` to embeddings `(batch, 64)` of length 1. Its layers "frames",
        "pooling" and "projection" (the embedding before its length is taken out) are of use by themselves.

    Raises
    ------
    InputError
        For a network, pooling or width that does not exist.
    """
    if pooling not in POOLINGS:
        raise InputError(f"is {pooling!r}", file="pooling", expected=f"one of {', '.join(POOLINGS)}")
    everything = np.concatenate(spectrograms)
    inputs = keras.Input((None, everything.shape[1]), name="spectrogram")
    x = standardisation(everything)(inputs)
    picture = layers.Reshape((-1, everything.shape[1], 1), name="picture")(x)
    around = StatisticsPooling(name="pooling_around")(x)
    pooled = POOLINGS[pooling](name="pooling")(frame_network(picture, network, width))
    x = layers.Concatenate(name="both")([pooled, around])
    x = layers.BatchNormalization(momentum=0.9, name="even")(x)  # all numbers alike, or all voices are
    x = layers.Dropout(0.2, seed=layer_seed(), name="hide")(x)
    x = layers.Dense(64, name="projection")(x)
    return keras.Model(inputs, layers.UnitNormalization(name="embedding")(x), name=network)
