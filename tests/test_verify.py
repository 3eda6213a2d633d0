"""One person or two, from files to an exit status: on the embedded corpus, with the course's model."""

import json
import shutil

import numpy as np
import pytest
import soundfile

from helpers import PROJECT, SAMPLE_RATE, InputError, augmentation, quality, verify
from helpers.data import audio, corpora, course, decoding, synthesis
from helpers.verifier import load_verifier

MODEL = str(PROJECT / "notebooks" / "models" / "siamese_gru.keras")


@pytest.fixture(scope="module")
def verifier():
    return load_verifier(MODEL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three recordings of one speaker (a0 to a2) and one of another (b0), clearly told apart by the model."""
    folder = tmp_path_factory.mktemp("voices")
    test = corpora.load_course(course.course_folder())[1]
    for name, row in (("a0", 0), ("a1", 1), ("a2", 2), ("b0", 11)):
        soundfile.write(folder / f"{name}.wav", test.waveforms[row], SAMPLE_RATE)
    return folder


def paths(folder, names):
    return [str(folder / f"{name}.wav") for name in names.split()]


def test_exit_status_and_words_for_the_same_person_and_for_two(folder, capsys):
    assert verify.main([*paths(folder, "a0 a1"), "--model", MODEL]) == 0
    assert capsys.readouterr().out.startswith("The same person: the probability of one person is ")
    assert verify.main([*paths(folder, "a0 a1 a2 b0"), "--model", MODEL]) == 1
    assert capsys.readouterr().out.startswith("Different people: ")


def test_the_score_is_the_models_own(folder, verifier):
    answer = verify.verify(verifier, paths(folder, "a0 a1"), paths(folder, "b0")[0])
    speech = quality.trim_silence([audio.load_recording(path) for path in paths(folder, "a0 a1 b0")], 35)
    embeddings = np.concatenate([verifier.embed(each) for each in speech])
    expected = np.mean([verifier.scores(embeddings[row : row + 1], embeddings[2:])[0, 0] for row in (0, 1)])
    assert answer.score == pytest.approx(expected, abs=1e-4)
    assert answer.probability == pytest.approx(1 / (1 + np.exp(-expected)), abs=1e-4)
    assert answer.same == (expected >= 0)


def test_the_operating_point_moves_threshold_and_probability(folder, verifier):
    a0, a1 = paths(folder, "a0 a1")
    plain, rare = verify.verify(verifier, [a0], a1), verify.verify(verifier, [a0], a1, prior=1e-9)
    assert (plain.same, rare.same) == (True, False)
    assert rare.score == plain.score
    assert rare.probability < 0.01 < plain.probability
    dear = verify.verify(verifier, [a0], a1, cost_false_alarm=np.e)
    assert dear.threshold == pytest.approx(1)
    assert dear.probability == plain.probability


def test_json_is_for_machines(folder, capsys):
    assert verify.main([*paths(folder, "a0 a1"), "--model", MODEL, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    keys = ["same", "score", "probability", "threshold", "remarks", "recordings", "model", "trained_on"]
    assert list(answer) == keys
    assert answer["same"] is True
    assert answer["trained_on"].startswith("synthesised speech")
    assert [each["file"] for each in answer["recordings"]] == ["a0.wav", "a1.wav"]
    assert set(quality.Quality._fields) < set(answer["recordings"][0])


def spoilt(folder, name, waveform):
    soundfile.write(folder / name, waveform, SAMPLE_RATE)
    return str(folder / name)


def test_what_cannot_be_told_ends_with_status_2_and_why(folder, tmp_path, capsys):
    a0 = paths(folder, "a0")[0]
    waveform = audio.load_recording(a0)
    text = tmp_path / "text.wav"
    text.write_text("no sound")
    noise = np.random.default_rng(0).normal(size=len(waveform)) * np.std(waveform)
    cases = {
        "text.wav cannot be decoded": str(text),
        "none.wav is missing": str(tmp_path / "none.wav"),
        "quick.wav has 0.2 s of speech": spoilt(tmp_path, "quick.wav", waveform[4000:7200]),
        "hiss.wav is too noisy": spoilt(tmp_path, "hiss.wav", (waveform + noise) / 4),
        "silent.wav holds silence": spoilt(tmp_path, "silent.wav", 0 * waveform),
    }
    for why, path in cases.items():
        assert verify.main([a0, path, "--model", MODEL, "--json"]) == 2
        said = capsys.readouterr()
        assert said.err.startswith(f"Could not tell: {why}")
        assert said.err.count("\n") == 1
        answer = json.loads(said.out)
        assert answer["same"] is None
        assert answer["why"].startswith(why)


def test_a_call_is_judged_by_a_model_that_has_learnt_from_calls(folder, tmp_path, verifier, monkeypatch):
    a0, a1 = paths(folder, "a0 a1")
    call = spoilt(tmp_path, "call.wav", augmentation.telephone_call(audio.load_recording(a1), None))
    with pytest.raises(InputError, match=r"call\.wav has nothing above 4 kHz, like a telephone call"):
        verify.verify(verifier, [a0], call)
    monkeypatch.setitem(verifier.facts, "calls", 0.6)
    assert np.isfinite(verify.verify(verifier, [call], call).score)
    with pytest.raises(InputError, match=r"a0\.wav has sound above 4 kHz; expected a telephone call"):
        verify.verify(verifier, [a0], call)


FORMS = {
    "2 an offset": lambda wave: wave + 0.02,
    "2 a large offset": lambda wave: wave - 0.2,
    "3 opposite phase": lambda wave: np.stack([wave, -wave], axis=1),
    "3 opposite phase, softer": lambda wave: np.stack([0.7 * wave, -wave], axis=1),
}


@pytest.mark.parametrize("form", FORMS)
def test_an_offset_and_opposite_phase_change_no_answer(folder, tmp_path, verifier, form):
    a0, a1, b0 = paths(folder, "a0 a1 b0")
    for other in (a1, b0):
        plain = verify.verify(verifier, [a0], other)
        wave = 0.6 * audio.load_recording(other)
        told = verify.verify(verifier, [a0], spoilt(tmp_path, "x.flac", FORMS[form](wave)))
        assert told.score == pytest.approx(plain.score, abs=0.1)
        assert told.remarks == [
            remark.replace(other.rpartition("/")[2], "x.flac") for remark in plain.remarks
        ]


def test_an_hour_is_refused_by_its_header(folder, tmp_path, capsys, monkeypatch):
    hour = spoilt(tmp_path, "hour.flac", np.zeros(3600 * SAMPLE_RATE, np.int16))
    monkeypatch.setattr(decoding, "_read", lambda *_: pytest.fail("it was decoded"))
    assert verify.main([hour, *paths(folder, "a0"), "--model", MODEL]) == 2
    told = "hour.flac is 3600 s long, in 1 channel; expected 120 s at most, in one or two"
    assert capsys.readouterr().err == f"Could not tell: {told}\n"


def test_names_are_told_on_one_line(folder, tmp_path, verifier):
    wave = audio.load_recording(paths(folder, "a0")[0])
    soft = spoilt(tmp_path, "a\nb.wav", 0.01 * wave)
    told = verify.verify(verifier, [soft], paths(folder, "a1")[0])
    assert any(remark.startswith("a\\nb.wav is too quiet") for remark in told.remarks)
    with pytest.raises(InputError, match=r"^a\\nb\.wav has 0\.1 s of speech"):
        verify.verify(verifier, [spoilt(tmp_path, "a\nb.wav", wave[4000:5600])], soft)


@pytest.mark.parametrize(
    ("extra", "why"),
    [
        (["--model", "nowhere.keras"], "nowhere.keras does not exist; notebooks 04 and 06 make models"),
        (["--prior", "1.5"], "a target prior of 1.5 and costs of 1 and 1; expected a prior between 0 and 1"),
    ],
)
def test_other_reasons_are_told_too(folder, capsys, extra, why):
    assert verify.main([*paths(folder, "a0 a1"), "--model", MODEL, *extra]) == 2
    assert why in capsys.readouterr().err


def test_one_recording_is_not_enough(folder, capsys):
    assert verify.main([*paths(folder, "a0"), "--model", MODEL]) == 2
    assert "one recording; expected one or more of one person" in capsys.readouterr().err


def test_a_stranger_among_the_enrolled_is_remarked_on(folder, verifier):
    answer = verify.verify(verifier, paths(folder, "a0 a2 b0"), paths(folder, "a1")[0])
    assert "b0.wav does not sound like the other recordings enrolled" in answer.remarks
    answer = verify.verify(verifier, paths(folder, "a0 a1"), paths(folder, "a2")[0])
    assert not [remark for remark in answer.remarks if "enrolled" in remark]


def test_another_microphone_is_remarked_on(folder, tmp_path, verifier):
    a0, a1 = paths(folder, "a0 a1")
    thin = np.diff(audio.load_recording(a1), n=2)  # 12 dB an octave
    answer = verify.verify(verifier, [a0], spoilt(tmp_path, "thin.wav", thin))
    assert any(each.startswith("thin.wav sounds like another microphone") for each in answer.remarks)
    assert "Note: thin.wav sounds like another microphone" in verify.describe(answer)


def test_the_last_runs_model_is_taken_where_it_has_learnt_from_people(tmp_path, monkeypatch):
    last = tmp_path / "ensemble.keras"
    monkeypatch.setattr(verify, "TRAINED", last)
    assert verify.find_model() == verify.PEOPLE
    shutil.copy(MODEL, last)  # of synthesised voices
    assert verify.training_corpus(last) == synthesis.NAME
    assert verify.find_model() == verify.PEOPLE
    shutil.copy(verify.PEOPLE, last)
    assert verify.training_corpus(last) == verify.NAME
    assert verify.find_model() == last
    last.write_bytes(last.read_bytes()[:1000])
    assert verify.find_model() == verify.PEOPLE
