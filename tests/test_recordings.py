"""Recordings from a folder: what is loaded, and what each mistake in the folder is called."""

import numpy as np
import pandas as pd
import pytest
from scipy.io import wavfile

from helpers import InputError
from helpers.recordings import load_recordings

ROWS = [("a/one.wav", "anna", "yes"), ("a/two.wav", "anna", "no"), ("b/one.wav", "ben", "yes")]


@pytest.fixture
def folder(tmp_path):
    """Three tones: at 16 kHz, at 8 kHz, and in stereo."""
    folder = tmp_path / "voices"
    time = np.arange(8000) / 16000
    tone = (8000 * np.sin(2 * np.pi * 200 * time)).astype(np.int16)
    for (path, *_), rate, samples in zip(
        ROWS, (16000, 8000, 16000), (tone, tone[::2], np.stack([tone, 0 * tone], axis=1)), strict=True
    ):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        wavfile.write(folder / path, rate, samples)
    pd.DataFrame(ROWS, columns=["path", "speaker", "word"]).to_csv(folder / "utterances.csv", index=False)
    return folder


def refusal(folder, **settings):
    with pytest.raises(InputError) as refused:
        load_recordings(folder, **settings)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_recordings_come_at_16_khz_in_mono_with_any_label(folder):
    found = load_recordings(folder)
    assert found.name == "voices"
    assert found.labels.tolist() == ["anna", "anna", "ben"]
    assert load_recordings(folder, "word").labels.tolist() == ["yes", "no", "yes"]
    assert [len(waveform) for waveform in found.waveforms] == [8000] * 3
    assert [waveform.dtype for waveform in found.waveforms] == [np.float32] * 3
    peaks = [np.abs(waveform[2000:6000]).max() for waveform in found.waveforms]
    np.testing.assert_allclose(peaks, [0.244, 0.244, 0.122], atol=0.01)  # both channels' mean
    assert found.table["word"].tolist() == ["yes", "no", "yes"]


def test_a_folder_without_its_table(folder):
    table = folder / "utterances.csv"
    content = table.read_text()
    for broken, said in (
        (None, "utterances.csv of voices is missing"),
        ("", "utterances.csv of voices cannot be read"),
        (content.replace("speaker", "person"), "has no or not every speaker"),
        (content.replace("ben", ""), "has no or not every speaker"),
        (content.splitlines()[0] + "\n", "has no rows"),
    ):
        table.unlink(missing_ok=True)
        if broken is not None:
            table.write_text(broken)
        message = refusal(folder)
        assert said in message
        assert message.endswith("expected a table with the columns path and speaker, a row per recording")
    table.write_text(content)
    assert "has no or not every mood" in refusal(folder, label="mood")


def test_a_bad_recording_is_named(folder):
    path = folder / "a/two.wav"
    good = path.read_bytes()
    for broken, said in (
        (None, "a/two.wav is missing"),
        (b"RIFF but no more", "a/two.wav cannot be decoded"),
        (np.zeros(8000, np.int16), "a/two.wav holds silence"),
        (np.arange(100, dtype=np.int16), "a/two.wav holds 100 samples"),
    ):
        path.unlink(missing_ok=True)
        if isinstance(broken, bytes):
            path.write_bytes(broken)
        elif broken is not None:
            wavfile.write(path, 16000, broken)
        message = refusal(folder)
        assert message.startswith(said)
        assert "expected a recording of speech, 1024 samples or more at 16,000 Hz" in message
    path.write_bytes(good)
    assert len(load_recordings(folder).waveforms) == 3
