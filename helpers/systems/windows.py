"""Networks that hear windows of one length: a recording is cut into them, and its embedding is their mean."""

import numpy as np


def repeat_to_length(spectrogram, frames):
    """A spectrogram (n, bins) that is too short, repeated to so many frames; a longer one as it is.

    Silence put in place of what is missing would be heard.
    """
    short = len(spectrogram) < frames
    return np.resize(spectrogram, (frames, spectrogram.shape[1])) if short else spectrogram


def window_means(network, windows, batch_size):
    """What a network makes of recordings that are cut into windows: the mean over the windows of each.

    Parameters
    ----------
    network : keras.Model
    windows : list of float arrays (windows, frames, bins)
        One for each recording.
    batch_size : int

    Returns
    -------
    list of float arrays (recordings, values)
        One for each of the network's outputs.
    """
    outputs = network.predict(np.concatenate(windows), batch_size=batch_size, verbose=0)
    starts = np.cumsum([0, *map(len, windows[:-1])])
    counts = np.array([[len(each)] for each in windows])
    outputs = outputs if isinstance(outputs, list) else [outputs]
    return [np.add.reduceat(values, starts) / counts for values in outputs]


def unit_length(embeddings):
    """Embeddings (n, dimensions) scaled to length 1."""
    return embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
