"""Recordings from a folder: what is loaded, and what each mistake in the folder is called."""

import pickle
import shutil

import numpy as np
import pandas as pd
import pytest
from scipy.io import wavfile

from helpers import InputError
from helpers.data.corpora import load_recordings
from helpers.data.course import load_speech, load_words

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


def write_tones(folder, names):
    folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names):
        wave = 8000 * np.sin(
            2 * np.pi * (200 + 10 * i + 5 * folder.name.startswith("test")) * np.arange(2000) / 16000
        )
        wavfile.write(folder / name, 16000, wave.astype(np.int16))


def test_speakers_of_a_folder_are_divided(tmp_path):
    names = [f"{speaker}{i}.wav" for speaker in "abcdef" for i in range(2)]
    write_tones(tmp_path, names)
    rows = [(name, name[0]) for name in names]
    pd.DataFrame(rows, columns=["path", "speaker"]).to_csv(tmp_path / "utterances.csv", index=False)
    train, test = load_speech(tmp_path, test_speakers=2, seed=3)
    assert train.labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert test.labels.tolist() == [0, 0, 1, 1]
    assert set(train.table["speaker"]).isdisjoint(test.table["speaker"])
    assert len(train.waveforms) == len(train.table) == 8
    others = load_speech(tmp_path, test_speakers=2, seed=4)[1]
    assert set(others.table["speaker"]) != set(test.table["speaker"])
    everyone, nobody = load_speech(tmp_path, test_speakers=0)
    assert (len(everyone.labels), len(nobody.labels)) == (12, 0)
    with pytest.raises(InputError, match="5 of 6 speakers held out; expected"):
        load_speech(tmp_path, test_speakers=5)


def test_a_course_folder_comes_as_recordings(tmp_path):
    rng = np.random.default_rng(0)
    for stem, size in (("trs", 6000), ("tes", 7000)):
        (tmp_path / f"{stem}.pkl").write_bytes(
            pickle.dumps(rng.uniform(-0.5, 0.5, (6, size)).astype(np.float32))
        )
    train, test = load_speech(tmp_path, utterances_per_speaker=3)
    assert train.labels.tolist() == test.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert [len(wave) for wave in (*train.waveforms[:1], *test.waveforms[:1])] == [6000, 7000]


def write_words(folder, names, test_names, ending=""):
    """Two flat folders of tones."""
    write_tones(folder / f"train{ending}", names)
    write_tones(folder / f"test{ending}", test_names)
    return folder


@pytest.mark.parametrize("ending", ["", "_wav"])
@pytest.mark.parametrize("form", ["{0}_{1:02d}", "{0}{1}", "{1}_{0}", "{0}-{1}", "{1:03d}{0}", "{0} ({1})"])
def test_a_number_that_recurs_over_words_is_the_speaker(tmp_path, ending, form):
    said = [(word, number) for number in (1, 2, 7) for word in ("Clara", "jean-luc")]
    names = [form.format(*each) + ".wav" for each in said]
    train, test = load_words(write_words(tmp_path, names, names[2:], ending))
    assert sorted(set(train.labels)) == ["clara", "jean-luc"]
    assert train.name == tmp_path.name
    assert set(train.table["speaker"]) == {"1", "2", "7"}
    assert set(test.table["speaker"]) == {"2", "7"}
    found = set(zip(train.labels, train.table["speaker"], strict=True))
    assert found == {(word.lower(), str(number)) for word, number in said}
    assert (train.table["word"] == train.labels).all()


def test_one_speaker_is_one_however_the_number_is_written(tmp_path):
    names = ["clara_07.wav", "boris7.wav", "007-anna.wav", "clara_8.wav", "8boris.wav"]
    train, _ = load_words(write_words(tmp_path, names, ["clara1.wav", "boris1.wav", "clara02.wav"]))
    speakers = dict(zip(train.table["path"], train.table["speaker"], strict=True))
    assert [speakers[name] for name in names] == ["7", "7", "7", "8", "8"]


@pytest.mark.parametrize(
    "names", [["anna007.wav", "Ben_1.wav", "anna12.wav"], ["1a.wav", "2a.wav", "3b.wav", "3a.wav", "4b.wav"]]
)
def test_numbers_that_belong_to_one_word_each_say_nothing_of_speakers(tmp_path, names):
    train, test = load_words(write_words(tmp_path, names, ["ben3.wav", "jean-luc2.wav"]))
    assert "speaker" not in train.table
    assert "speaker" not in test.table
    assert test.labels.tolist() == ["ben", "jean-luc"]
    assert test.table["path"].tolist() == ["ben3.wav", "jean-luc2.wav"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "ben.wav",
            "has no word and one number in its name; expected recordings named by a word and one number",
        ),
        ("7.wav", "has no word and one number"),
        ("ben_07_1.wav", "has no word and one number"),
        ("be7n.wav", "has no word and one number"),
    ],
)
def test_a_file_without_a_word_and_one_number_is_named(tmp_path, name, said):
    write_words(tmp_path, ["anna1.wav", "ben1.wav", name], ["anna2.wav", "ben2.wav"])
    with pytest.raises(InputError, match=rf"^{name} of train {said}") as refused:
        load_words(tmp_path)
    assert "\n" not in str(refused.value)


def test_faults_of_flat_folders(tmp_path):
    write_words(tmp_path, ["anna1.wav", "ben1.wav"], ["anna2.wav", "anna3.wav"])
    with pytest.raises(InputError, match=r"^test has recordings of one word; expected two or more"):
        load_words(tmp_path)
    write_tones(tmp_path / "test", ["ben2.wav"])
    (tmp_path / "test" / "anna3.wav").unlink()
    with pytest.raises(InputError, match=r"^train has recordings of one speaker; expected two or more"):
        load_words(tmp_path)
    write_tones(tmp_path / "train", ["anna1.wav", "ben1.wav", "anna4.wav"])
    write_tones(tmp_path / "test", ["ben2.wav", "anna2.wav", "ben5.wav"])
    (tmp_path / "test" / "Thumbs.db").touch()
    assert len(load_words(tmp_path)[1].labels) == 3
    shutil.copy(tmp_path / "train" / "anna4.wav", tmp_path / "test" / "anna1.wav")
    with pytest.raises(InputError, match=r"has one recording twice: train/anna4\.wav and test/anna1\.wav"):
        load_words(tmp_path)
    for path in (tmp_path / "test").iterdir():
        path.unlink()
    with pytest.raises(InputError, match=r"test is empty; expected recordings"):
        load_words(tmp_path)
    shutil.rmtree(tmp_path / "test")
    with pytest.raises(InputError, match="two folders, train and test or train_wav and test_wav"):
        load_words(tmp_path)


def test_words_of_a_table(folder):
    train, test = load_words_of(folder, part=["train", "train", "test"])
    assert train.labels.tolist() == ["yes", "no"]
    assert test.labels.tolist() == ["yes"]
    rows = pd.DataFrame([(f"{i}{path[-4:]}", *more) for i, (path, *more) in enumerate(ROWS * 4)])
    rows[1] = [f"{name}{i // 3}" for i, name in enumerate(rows[1])]
    write_tones(folder, rows[0])
    rows.columns = ["path", "speaker", "word"]
    rows.to_csv(folder / "utterances.csv", index=False)
    train, test = load_words(folder, test_speakers=3)
    assert len(set(test.table["speaker"])) == 3
    assert set(train.table["speaker"]).isdisjoint(test.table["speaker"])
    rows.drop(columns="speaker").to_csv(folder / "utterances.csv", index=False)
    with pytest.raises(InputError, match=r"utterances\.csv has no column speaker"):
        load_words(folder)
    (folder / "utterances.csv").unlink()
    with pytest.raises(InputError, match="voices has no spoken words; expected utterances"):
        load_words(folder)


def load_words_of(folder, **columns):
    table = pd.read_csv(folder / "utterances.csv").assign(**columns)
    table.to_csv(folder / "utterances.csv", index=False)
    return load_words(folder)
