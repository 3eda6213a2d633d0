"""A verifier in use: recordings of any length to embeddings."""

import numpy as np
import pytest

from helpers import PROJECT, InputError
from helpers.verifier import embed_recordings, load_verifier


class Loudness:
    """In place of a verifier: two numbers an utterance, and the lengths that it was asked for."""

    def __init__(self):
        self.lengths = []

    def embed(self, waveforms):
        self.lengths.append(waveforms.shape[1])
        return np.stack([waveforms[:, 0], np.full(len(waveforms), waveforms.shape[1])], axis=1)


def recordings_of(*lengths):
    return [np.full(length, number, np.float32) for number, length in enumerate(lengths)]


def test_voices_come_in_the_order_of_the_recordings():
    verifier = Loudness()
    embeddings = embed_recordings(verifier, recordings_of(3000, 2000, 3000, 2500))
    assert embeddings.tolist() == [[0, 3000], [1, 2000], [2, 3000], [3, 2500]]
    assert verifier.lengths == [2000, 2500, 3000]  # one call a length


def test_many_lengths_are_cut_to_few():
    verifier = Loudness()
    embeddings = embed_recordings(verifier, recordings_of(15000, 16000, 16001, 23999, 24000, 50000))
    assert embeddings[:, 1].tolist() == [15000, 16000, 16000, 16000, 24000, 48000]
    assert len(verifier.lengths) == 4


def test_held_out_scores_travel_with_the_model():
    models = PROJECT / "notebooks" / "models"
    ((matrix, speakers),) = load_verifier(models / "siamese_gru.keras").held_out_scores()
    assert matrix.shape == (100, 100)
    assert len(set(speakers)) == 10
    np.testing.assert_array_equal(matrix, matrix.T)
    same = speakers[:, None] == speakers
    assert matrix[same & ~np.eye(100, dtype=bool)].mean() > 0 > matrix[~same].mean()
    with pytest.raises(InputError, match="without held-out scores"):  # saved before there were any
        load_verifier(models / "people.keras").held_out_scores()
