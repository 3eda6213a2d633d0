"""Spoken words: the same on every run, everyone's own voice, whole or not at all."""

import numpy as np
import pandas as pd
import pytest
from scipy.io import wavfile

from helpers import InputError
from helpers.data import phrases, synthesis


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("spoken") / "words"
    phrases.make_phrases(folder, ["anna", "open the door"], 2, train_speakers=2, test_speakers=1)
    return folder


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_everyone_says_everything(folder):
    table = pd.read_csv(folder / "utterances.csv")
    assert table["part"].tolist() == ["train"] * 8 + ["test"] * 4
    assert table["word"].tolist() == ["anna", "anna", "open the door", "open the door"] * 3
    assert table["take"].tolist() == [0, 1] * 6
    voices = synthesis.draw_voices(3, 2024)
    assert table["speaker"].tolist() == [voice.speaker for voice in voices for _ in range(4)]
    assert table["gender"].tolist() == [voice.gender for voice in voices for _ in range(4)]
    assert not table["path"].str.contains(" ").any()


def test_recordings_are_speech_of_their_length_and_never_twice_the_same(folder):
    table = pd.read_csv(folder / "utterances.csv")
    waves = []
    for path in table["path"]:
        rate, wave = wavfile.read(folder / path)
        assert (rate, wave.dtype) == (16_000, np.int16)
        assert 1000 < np.abs(wave.astype(int)).max() < 32_767
        waves.append(wave)
    seconds = np.array([len(wave) for wave in waves]) / 16_000
    assert seconds[table["word"] == "anna"].max() < seconds[table["word"] != "anna"].min()
    assert ((seconds > 0.2) & (seconds < 3)).all()
    for one, other in zip(waves[::2], waves[1::2], strict=True):  # two takes of one text
        same = min(len(one), len(other))
        assert abs(np.corrcoef(one[:same], other[:same])[0, 1]) < 0.9


def test_the_same_bytes_on_every_run(folder, tmp_path):
    phrases.make_phrases(tmp_path / "again", ["anna", "open the door"], 2, 2, 1)
    assert contents(tmp_path / "again") == contents(folder)


def test_more_speakers_leave_the_others_as_they_are(folder, tmp_path):
    phrases.make_phrases(tmp_path / "more", ["anna", "open the door"], 2, 2, 1, more=1)
    parts = pd.read_csv(tmp_path / "more" / "utterances.csv").groupby("speaker")["part"].first()
    assert parts.to_dict() == {"S01": "train", "S02": "train", "S03": "test", "S04": "train"}
    before, after = contents(folder), contents(tmp_path / "more")
    assert all(after[name] == before[name] for name in before if name.endswith(".wav"))
    with pytest.raises(InputError, match="-1 more speakers of a phrase; expected 0 or more"):
        phrases.make_phrases(tmp_path / "fewer", ["anna"], 1, more=-1)


def test_a_damaged_folder_is_made_anew_and_a_strangers_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(phrases, "PROJECT", tmp_path)
    monkeypatch.setattr(phrases, "TEXTS", {"words": (["anna"], 1)})
    made = []
    monkeypatch.setattr(
        phrases, "make_phrases", lambda *a, make=phrases.make_phrases, **b: made.append(make(*a, 2, 1, **b))
    )
    folder = phrases.embedded_phrases("words")
    assert (folder, len(made)) == (tmp_path / "data" / "words", 1)
    phrases.embedded_phrases("words")
    assert len(made) == 1
    good = contents(folder)
    next(folder.rglob("*.wav")).write_bytes(b"")
    phrases.embedded_phrases("words")
    assert len(made) == 2
    assert contents(folder) == good
    larger = phrases.embedded_phrases("words", more=1)
    assert (larger, len(made)) == (tmp_path / "data" / "words_1_more", 3)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("private")
    with pytest.raises(InputError, match="mine is not empty; expected a new or empty folder"):
        phrases.make_phrases(tmp_path / "mine", ["anna"], 1)
    assert (tmp_path / "mine" / "diary.txt").read_text() == "private"
