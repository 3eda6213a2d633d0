"""Spectrograms of whole corpora: stored beside them, or made in memory and on disk."""

import json

import numpy as np
import pandas as pd
import pytest

from helpers import InputError
from helpers.augmentation import at_speed
from helpers.data import stored_features
from helpers.data.corpora import Corpus
from helpers.data.stored_features import features_name, spectrograms_of
from helpers.features import Spectrogram

pytestmark = pytest.mark.backend

SPEEDS = (0.8, 1.1)
SPECTROGRAM = Spectrogram(n_fft=256, hop_length=128)
NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, (7, 3000)).astype(np.float32)
EXPECTED = [SPECTROGRAM(at_speed(NOISE, speed)) for speed in (1, *SPEEDS)]


@pytest.fixture
def corpus(tmp_path):
    speakers = np.array([0, 0, 0, 1, 1, 1, 1])
    return Corpus("noise", NOISE, speakers, pd.DataFrame({"speaker": speakers}), tmp_path / "trs.npy")


@pytest.fixture
def kept(corpus, monkeypatch):
    """The corpus with its features stored; making any is an error."""
    for speed, spectrograms in zip((1, *SPEEDS), EXPECTED, strict=True):
        np.save(corpus.path.with_name(features_name("trs", speed)), spectrograms)
    corpus.path.with_name("features.json").write_text(json.dumps(SPECTROGRAM.to_dict()))
    monkeypatch.setattr(stored_features, "_made", None)
    return corpus


def compare(found):
    for ours, theirs in zip(found, EXPECTED, strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("limit", [0, 2**30])
def test_made_in_memory_and_on_disk(corpus, monkeypatch, limit):
    monkeypatch.setattr(stored_features, "IN_MEMORY", limit)
    monkeypatch.setattr(stored_features, "BATCH", 3)
    found = spectrograms_of(corpus, SPECTROGRAM, SPEEDS)
    compare(found)
    assert all(isinstance(each.base, np.memmap) == (limit == 0) for each in found)
    compare(spectrograms_of(corpus._replace(path=None), SPECTROGRAM, SPEEDS))


def test_stored_ones_are_mapped(kept):
    found = spectrograms_of(kept, SPECTROGRAM, SPEEDS)
    compare(found)
    assert all(isinstance(each.base, np.memmap) for each in found)
    assert not any(each.flags.writeable for each in found)


def test_what_is_not_stored_is_made(kept, monkeypatch):
    monkeypatch.undo()
    kept.path.with_name(features_name("trs", 1.1)).unlink()
    found = spectrograms_of(kept, SPECTROGRAM, SPEEDS)
    compare(found)
    assert [isinstance(each.base, np.memmap) for each in found] == [True, True, False]
    other = Spectrogram(n_fft=512, hop_length=128)
    np.testing.assert_array_equal(spectrograms_of(kept, other)[0], other(NOISE))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda each: each[:-1], "holds 6 utterances of 7"),
        (lambda each: each[::-1], r"holds other speech in row 0 \(counted from 0\)"),
        (lambda each: np.concatenate([each[:6], each[:1]]), "holds other speech in row 6"),
        (lambda each: each[:, :-1], "holds other speech in row 0"),
        (lambda each: each[..., :-1], "holds an array of float32 and shape"),
        (lambda each: each.astype(float), "holds an array of float64"),
    ],
)
def test_those_of_another_corpus_are_refused(kept, change, said):
    path = kept.path.with_name(features_name("trs", 1.1))
    np.save(path, change(EXPECTED[2]))
    with pytest.raises(
        InputError, match=rf"^trs\.features-1\.1\.npy {said}.*; expected .*features"
    ) as refusal:
        spectrograms_of(kept, SPECTROGRAM, SPEEDS)
    assert "\n" not in str(refusal.value)


def test_damaged_ones_are_refused(kept):
    path = kept.path.with_name(features_name("trs"))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"^trs\.features\.npy or features\.json cannot be read"):
        spectrograms_of(kept, SPECTROGRAM)


def test_a_full_disk_is_reported(corpus, monkeypatch):
    class Full:
        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def write(self, _):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(stored_features, "IN_MEMORY", 0)
    monkeypatch.setattr(stored_features.tempfile, "TemporaryFile", Full)
    with pytest.raises(
        InputError, match=r"could not be put into .* \(No space left .*GB of space: set TMPDIR"
    ):
        spectrograms_of(corpus, SPECTROGRAM)
