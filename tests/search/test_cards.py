"""From recordings to voices and their cards."""

import numpy as np
import pandas as pd
import pytest
from scipy.io import wavfile

from helpers import InputError
from helpers.data import audio
from helpers.data.corpora import Recordings
from helpers.search import voice_index
from helpers.verifier import embed_recordings


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


def test_cards_of_the_course_and_of_a_folder():
    table = pd.DataFrame({"speaker": ["S7", "S9"], "gender": ["female", "male"], "snr": [1, 2]})
    found = voice_index.index_rows(Recordings("a", [], np.array([0, 1]), table), "tes")
    assert found.to_dict("list") == {
        "speaker": ["tes 00", "tes 01"], "file": ["tes.pkl"] * 2, "row": [0, 1], "gender": ["female", "male"],
    }  # fmt: skip
    table = table.assign(path=["a/1.wav", "b/2.wav"])
    found = voice_index.index_rows(Recordings("a", [], np.array([0, 1]), table), "tes")
    assert found["speaker"].tolist() == ["S7", "S9"]
    assert found["file"].tolist() == ["a/1.wav", "b/2.wav"]


def test_a_query_is_loaded_and_a_bad_one_named(tmp_path):
    tone = (8000 * np.sin(np.arange(4000) / 10)).astype(np.int16)
    wavfile.write(tmp_path / "me.wav", 8000, tone)
    assert audio.load_query(str(tmp_path / "me.wav")).shape == (8000,)
    wavfile.write(tmp_path / "still.wav", 16000, 0 * tone)
    (tmp_path / "text.wav").write_text("no sound")
    for name, said in (("none", "is missing"), ("still", "holds silence"), ("text", "cannot be decoded")):
        with pytest.raises(InputError, match=rf"^{name}\.wav {said}.*; expected a recording of speech"):
            audio.load_query(tmp_path / f"{name}.wav")
