"""The embedded corpus: the course's format, the same bytes every time, speakers told apart by voice alone."""

import hashlib
import json
import os
import pickle
import signal
import subprocess
import sys
import time

import librosa
import numpy as np
import pandas as pd
import pytest

from helpers import PROJECT, InputError
from helpers.data import corpora, course, espeak, synthesis

SMALL = {"train_speakers": 4, "test_speakers": 2, "utterances": 4, "seed": 7}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "corpus"
    synthesis.make_corpus(folder, **SMALL)
    return folder


@pytest.fixture(scope="module")
def both(small):
    numbers = {"snr": float, "level": float}
    return [each._replace(table=each.table.astype(numbers)) for each in corpora.load_course(small)]


def sums(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty project whose embedded corpus is a stub: what matters is when it is made."""
    for module in (synthesis, course):
        monkeypatch.setattr(module, "PROJECT", tmp_path)
    monkeypatch.delenv("SIAMESE_VOICES_DATA", raising=False)
    made = []

    def draw(*_):
        made.append(1)
        return {
            stem: (np.full((2, 4), 0.5, "float32"), pd.DataFrame({"speaker": list("ab")}))
            for stem in ("trs", "tes")
        }

    monkeypatch.setattr(synthesis, "draw_corpus", draw)
    return tmp_path, made


# ---- what is made ------------------------------------------------------------------------------------------


def test_format(small, both):
    assert set(sums(small)) == {"trs.pkl", "tes.pkl", "trs.csv", "tes.csv", "corpus.json"}
    for corpus, samples, speakers in zip(both, (16_180, 22_631), (4, 2), strict=True):
        raw = pickle.loads((small / ("trs.pkl" if speakers == 4 else "tes.pkl")).read_bytes())
        assert raw.shape == (4 * speakers, samples)
        assert raw.dtype == np.float32
        assert np.array_equal(raw, corpus.waveforms)  # loading does not scale it again
        assert np.array_equal(corpus.speakers, np.repeat(np.arange(speakers), 4))
        assert corpus.name == synthesis.NAME
        assert "synthesised" in corpus.name


def test_record_says_synthesised_and_fits_the_files(small):
    facts = json.loads((small / "corpus.json").read_text())
    assert facts["synthesised"] is True
    assert facts["version"] == synthesis.VERSION
    assert facts["files"] == {k: v for k, v in sums(small).items() if k != "corpus.json"}


def test_levels(both):
    """Neither silent nor clipped, and the loudest tenth of a second far above the quietest in most rows."""
    for corpus in both:
        peak = np.abs(corpus.waveforms).max(axis=1)
        assert peak.max() <= 0.9501
        assert peak.min() > 0.05
        assert np.all(np.abs(corpus.waveforms.mean(axis=1)) < 1e-3)
        level = 20 * np.log10(np.sqrt(np.mean(corpus.waveforms**2, axis=1)))
        assert np.allclose(level, corpus.table.level, atol=0.1)
        assert level.min() > -30.2
        assert level.max() < -17.8
        frames = corpus.waveforms[:, : 1600 * 10].reshape(len(level), 10, 1600).std(axis=2)
        assert np.median(frames.max(axis=1) / frames.min(axis=1)) > 3


def test_utterances_begin_and_end_in_speech(both):
    """No padding, no silence waited out at either end: 60 ms there are well above the noise in most rows."""
    for corpus in both:
        noise = 10 ** ((corpus.table.level - corpus.table.snr) / 20)
        for part in (corpus.waveforms[:, :1600], corpus.waveforms[:, -1600:]):
            assert np.median(part.std(axis=1) / noise) > 3


def test_speakers_are_disjoint_and_balanced():
    voices = synthesis.draw_voices(70, seed=2024)
    assert len({voice.speaker for voice in voices}) == 70
    assert len({voice[2:] for voice in voices}) == 70
    assert [v.gender for v in voices].count("female") == 35
    assert [v.gender for v in voices[50:]].count("female") == 10
    assert synthesis.draw_voices(5, seed=2024) == voices[:5]
    assert synthesis.draw_voices(5, seed=2025) != voices[:5]


def test_tables_tell_voices_and_words(both):
    tables = [corpus.table for corpus in both]
    assert not set(tables[0].speaker) & set(tables[1].speaker)
    voice = ["gender", "variant", "accent", "pitch", "range", "rate", "tract"]
    for table in tables:
        assert (table.groupby("speaker")[voice].nunique() == 1).all(axis=None)  # one voice a speaker
    words = pd.concat(tables).words
    assert words.is_unique
    assert words.str.split().str.len().min() >= 2


def test_a_recording_is_an_utterances_own(both):
    for corpus in both:
        for column in ("snr", "level"):
            within = corpus.table.groupby("speaker")[column].agg(lambda values: values.max() - values.min())
            assert within.min() > 1  # dB


def test_no_channel_gives_the_speaker_away(monkeypatch):
    """One sound through every utterance's channel: all differ, a speaker's own no less."""
    sound = np.random.default_rng(0).standard_normal(30_000)
    monkeypatch.setattr(synthesis, "utter", lambda *_: (sound, "hush"))
    rows, table = synthesis.draw_corpus(12, 1, 6, seed=3)["trs"]
    spectra = np.log([librosa.feature.melspectrogram(y=row, sr=16_000).mean(axis=1) for row in rows])
    spectra -= spectra.mean(axis=1, keepdims=True)
    distance = np.linalg.norm(spectra[:, None] - spectra, axis=2)
    same = table.speaker.to_numpy()[:, None] == table.speaker.to_numpy()
    assert distance[~np.eye(len(rows), dtype=bool)].min() > 0.2
    within = distance[same].sum() / (12 * 6 * 5)  # the diagonal is 0
    assert within == pytest.approx(distance[~same].mean(), rel=0.15)


def test_gender_is_audible(both):
    """Median F0 of each speaker: here every female one lies above every male one (the limits overlap)."""
    pitch = {"female": [], "male": []}
    for corpus in both:
        for speaker, rows in corpus.table.groupby("speaker").groups.items():
            f0 = librosa.yin(np.concatenate(corpus.waveforms[rows]), fmin=60, fmax=400, sr=16_000)
            pitch[corpus.table.gender[rows[0]]].append(np.median(f0))
            assert 75 < pitch[corpus.table.gender[rows[0]]][-1] < 310, speaker
    assert min(pitch["female"]) > max(pitch["male"])


def test_tract_moves_formants_and_leaves_pitch_and_rate(monkeypatch):
    """A 15 % longer vocal tract lowers the spectrum, while pitch and rate stay."""
    for name in ("PITCH_WITHIN", "RANGE_WITHIN", "RATE_WITHIN", "TRACT_WITHIN"):
        monkeypatch.setattr(synthesis, name, 0)
    voice = synthesis.Voice("S01", "male", "m3", "en-us", 0.0, 50.0, 175.0, 1.0)
    heard = []
    for tract in (1.0, 1.15):
        pitch, letters, centroid = [], [], []
        for seed in range(6):
            rng = np.random.default_rng(seed)
            speech, words = synthesis.utter(voice._replace(tract=tract), 22_631, rng, set())
            pitch.append(np.median(librosa.yin(speech, fmin=60, fmax=300, sr=16_000)))
            letters.append(len(words))
            centroid.append(librosa.feature.spectral_centroid(y=speech, sr=16_000).mean())
        heard.append([np.mean(values) for values in (pitch, letters, centroid)])
    assert heard[1][0] == pytest.approx(heard[0][0], rel=0.06)
    assert heard[1][1] == pytest.approx(heard[0][1], rel=0.05)
    assert heard[1][2] < 0.96 * heard[0][2]


def test_short_sentences_are_passed_over(monkeypatch):
    """No row is padded: a sentence that ends too early for the cut is replaced by the next."""
    said = iter(["nobody", "the map", "the driver remembered the kitchen table yesterday"])
    monkeypatch.setattr(synthesis, "sentence", lambda _: next(said))
    voice = synthesis.draw_voices(2, 3)[1]
    speech, words = synthesis.utter(voice, 22_631, np.random.default_rng(1), set())
    assert len(speech) >= 22_631
    assert "nobody" not in words
    assert "map" not in words


def test_words_are_those_of_the_stretch():
    """The words named begin where the row begins: a stretch with other words before it sounds different."""
    voice = synthesis.draw_voices(2, 3)[1]
    speech, words = synthesis.utter(voice, 16_180, np.random.default_rng(1), set())
    assert 16_180 <= len(speech) <= 16_180 + 6_400
    assert 2 <= len(words.split()) <= 9
    again, other = synthesis.utter(voice, 16_180, np.random.default_rng(1), {words})
    assert other != words
    assert not np.array_equal(again[-16_180:], speech[-16_180:])


def test_every_variant_and_accent_speaks():
    for variant in (*synthesis.VARIANTS["female"], *synthesis.VARIANTS["male"]):
        wave, onsets = espeak.speak("hello there", variant, "en-us")
        assert 0.02 < np.abs(wave).max() < 0.999, variant
        assert [at for at, _ in onsets] == [0, 6]
    said = [espeak.speak("the last bath", "m3", accent)[0].tobytes() for accent in synthesis.ACCENTS]
    assert len(set(said)) >= len(said) - 1  # two of the British accents may say these words alike


def test_unknown_voice_is_named():
    with pytest.raises(InputError, match="no voice en-us\\+nobody"):
        espeak.speak("hello", "nobody", "en-us")


def test_missing_library_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(espeak.espeakng_loader, "get_library_path", lambda: str(tmp_path / "libespeak.so"))
    with pytest.raises(InputError, match=r"^libespeak\.so cannot be loaded .*install espeakng-loader again$"):
        espeak.speak("hello", "m3", "en-us")


# ---- the same bytes ----------------------------------------------------------------------------------------


def test_what_is_said_does_not_depend_on_what_was_said():
    first = espeak.speak("nobody heard the captain", "m3", "en-us")[0]
    espeak.speak("some other words in between", "f1", "en-gb-scotland", 70, 20, 220)
    assert np.array_equal(espeak.speak("nobody heard the captain", "m3", "en-us")[0], first)


@pytest.mark.slow
def test_same_bytes_again_in_this_process_and_in_others(small, tmp_path):
    synthesis.make_corpus(tmp_path / "again", **SMALL)
    assert sums(tmp_path / "again") == sums(small)
    code = f"from helpers.data import synthesis; synthesis.make_corpus('fresh', **{SMALL})"
    environment = os.environ | {"PYTHONPATH": str(PROJECT), "PYTHONHASHSEED": "5", "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True, timeout=120)
    assert sums(tmp_path / "fresh") == sums(small)


def test_seed_matters(small, tmp_path):
    synthesis.make_corpus(tmp_path / "other", **SMALL | {"seed": 8})
    assert sums(tmp_path / "other")["trs.pkl"] != sums(small)["trs.pkl"]


# ---- when it is made, and what failure leaves --------------------------------------------------------------


def test_embedded_corpus_is_made_once(project):
    root, made = project
    folder = synthesis.embedded_corpus()
    assert folder == root / "data" / "synthesised"
    assert synthesis.embedded_corpus() == folder
    assert len(made) == 1
    assert [path.name for path in folder.parent.iterdir()] == ["synthesised"]


@pytest.mark.parametrize("harm", ["version", "cut", "missing", "garbage", "list"])
def test_stale_or_damaged_corpus_is_remade(project, monkeypatch, harm):
    _, made = project
    folder = synthesis.embedded_corpus()
    good = sums(folder)
    if harm == "version":
        monkeypatch.setattr(synthesis, "VERSION", synthesis.VERSION + 1)
    elif harm == "cut":
        (folder / "tes.pkl").write_bytes((folder / "tes.pkl").read_bytes()[:-1])
    elif harm == "missing":
        (folder / "trs.pkl").unlink()
    else:
        (folder / "corpus.json").write_text("[]" if harm == "list" else "{")
    synthesis.embedded_corpus()
    assert len(made) == 2
    assert (sums(folder) == good) is (harm != "version")
    assert [path.name for path in folder.parent.iterdir()] == ["synthesised"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_interrupted_make_leaves_nothing(project, monkeypatch, error):
    """Stopped at the fourth file: no folder, no temporary is left, and an earlier corpus stays as it was."""
    root, _ = project
    write = synthesis.Path.write_bytes

    def stop(path, content):
        if path.name == "tes.csv":
            raise error
        return write(path, content)

    expected = InputError if isinstance(error, OSError) else KeyboardInterrupt
    for existing in (False, True):
        if existing:
            monkeypatch.setattr(synthesis.Path, "write_bytes", write)
            before = sums(synthesis.embedded_corpus())
            monkeypatch.setattr(synthesis, "VERSION", synthesis.VERSION + 1)
        monkeypatch.setattr(synthesis.Path, "write_bytes", stop)
        with pytest.raises(expected) as caught:
            synthesis.embedded_corpus()
        assert [path.name for path in (root / "data").iterdir()] == ["synthesised"] * existing
    assert sums(root / "data" / "synthesised") == before
    if expected is InputError:
        assert "No space left on device" in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_control_c_stops_at_once_and_leaves_nothing(tmp_path):
    code = "from helpers.data import synthesis; print('go', flush=True); synthesis.make_corpus('corpus')"
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A shell's background job, which these tests may be, has Ctrl-C ignored and hands that on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    process.stdout.readline()
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode != 0
    assert error.rstrip().endswith(b"KeyboardInterrupt")
    assert b"ignored" not in error
    assert not list(tmp_path.iterdir())


def test_other_peoples_files_are_left_alone(project, tmp_path):
    """A folder with anything that is not an earlier synthesised corpus is refused before any work."""
    _, made = project
    for names in (["trs.pkl", "tes.pkl"], ["notes.txt"], ["corpus.json", "trs.pkl", "thesis.tex"]):
        folder = tmp_path / names[-1]
        folder.mkdir()
        for name in names:
            (folder / name).write_text("mine")
        with pytest.raises(InputError, match="expected a new or empty folder"):
            synthesis.make_corpus(folder)
        assert {path.name: path.read_text() for path in folder.iterdir()} == dict.fromkeys(names, "mine")
    assert not made


def test_course_folder(project, monkeypatch, tmp_path):
    root, made = project
    data, named = root / "data", tmp_path / "named"
    assert course.course_folder() == data / "synthesised"
    assert len(made) == 1
    named.mkdir()
    for folder in (data, named):
        (folder / "trs.pkl").touch()
        with pytest.raises(InputError, match=r"has no tes\.pkl; expected trs\.pkl"):
            course.course_folder(named if folder is named else "")
        (folder / "tes.pkl").touch()
    assert course.course_folder() == data
    assert course.course_folder(named) == named
    monkeypatch.setenv("SIAMESE_VOICES_DATA", str(named))
    assert course.course_folder() == named
    assert course.course_folder(data) == data
    monkeypatch.setenv("SIAMESE_VOICES_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match=r"nowhere has no trs\.pkl and no tes\.pkl"):
        course.course_folder()


def test_command(project, tmp_path, capsys):
    assert synthesis.main([str(tmp_path / "mine")]) == 0
    assert "synthesised speech" in capsys.readouterr().out
    (tmp_path / "mine" / "notes.txt").touch()
    assert synthesis.main([str(tmp_path / "mine")]) == 1
    error = capsys.readouterr().err
    assert "notes.txt" in error or "corpus.json" in error
    assert error.count("\n") == 1
