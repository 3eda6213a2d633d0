"""The published recipe, its flaws left in, to measure others against: a Siamese GRU.

It follows the notebooks that the course's files became known with. Each flaw is named where it stands, and
is not to be copied. `python -m helpers.research.baselines published_recipe --data DIR --out DIR --seed N`
trains it and writes a row.
"""

import keras
import librosa
import numpy as np
from keras import layers

from helpers import pairs

EPOCHS = 100
BATCH = 64
THRESHOLD = 0.5


def magnitudes(waveforms):
    """Spectrograms of waveforms, one by one: float32 (utterances, frames, 513)."""
    # flaw: the magnitude without a logarithm, so that a few loud bins are all that the GRU sees
    return np.stack([np.abs(librosa.stft(wave, n_fft=1024, hop_length=512)).T for wave in waveforms])


def build(seed=0):
    """The two-input network: spectrograms (batch, frames, 513) twice, to probabilities (batch, 1)."""
    keras.utils.set_random_seed(seed)
    left, right = (keras.Input((None, 513), name=name) for name in ("left", "right"))
    # flaw: two encoders that share no weight, so that score(a, b) is not score(b, a)
    encoded = [layers.GRU(128, name=f"gru_{side.name}")(side) for side in (left, right)]
    cosine = layers.Dot(axes=1, normalize=True, name="cosine")(encoded)
    model = keras.Model([left, right], layers.Dense(1, activation="sigmoid", name="decision")(cosine))
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    return model


def train(corpus, seed=0, epochs=EPOCHS, verbose=0):
    """Train on all positive pairs of a corpus and as many negative ones, drawn once.

    Parameters
    ----------
    corpus : corpora.Corpus
    seed : int
        Of the pairs, the weights and the order of the batches.
    epochs : int
    verbose : int
        As for Keras' fit.

    Returns
    -------
    keras.Model, keras.callbacks.History
    """
    drawn = pairs.balanced_pairs(corpus.speakers, seed)  # flaw: the same 4,500 of 124,750 in every epoch
    model = build(seed)
    # flaw: an utterance is transformed, and later encoded, anew for each of its 18 or so pairs
    inputs = [magnitudes(corpus.waveforms[side]) for side in (drawn.left, drawn.right)]
    # flaw: no validation, so nothing says when to stop; training accuracy reaches 100 %
    settings = {"batch_size": BATCH, "epochs": epochs, "verbose": verbose}
    history = model.fit(inputs, drawn.label[:, None], **settings)
    return model, history


def logit_matrix(model, waveforms):
    """Log odds of one speaker, what goes into the sigmoid, for each ordered pair (i, j), i the left input.

    The encoders do not see each other, so each utterance passes each of them once.

    Parameters
    ----------
    model : keras.Model, of `build`
    waveforms : float array (utterances, samples)

    Returns
    -------
    float array (utterances, utterances), not symmetric
    """
    spectrograms = magnitudes(waveforms)  # flaw: 45 frames, where the GRU's last state was trained after 32
    sides = []
    for name in ("left", "right"):
        encoder = keras.Model(model.get_layer(name).output, model.get_layer(f"gru_{name}").output)
        encoded = encoder.predict(spectrograms, batch_size=256, verbose=0)
        sides.append(encoded / np.linalg.norm(encoded, axis=1, keepdims=True))
    weight, bias = (value.item() for value in model.get_layer("decision").get_weights())
    return weight * (sides[0] @ sides[1].T) + bias
