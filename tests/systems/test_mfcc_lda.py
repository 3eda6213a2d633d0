"""The floor: its statistics, its projection, where its threshold comes from, and its row."""

import json

import librosa
import numpy as np
import pytest
from scipy.fftpack import dct

from samples import voices

from helpers import InputError, bootstrap, metrics
from helpers.research import baselines
from helpers.systems import mfcc_lda

TRAINING, TEST = voices(12, 6), voices(8, 7, 5120, seed=1)


@pytest.fixture(scope="module")
def fitted():
    return mfcc_lda.MfccLda().fit(TRAINING)


def test_statistics_are_those_of_a_loop_over_frames():
    """Frame by frame: Hann window, power, mel bands, decibels, cosine transform; deltas by least squares."""
    waves = TRAINING.waveforms[::30].copy()
    waves[0, :2000] *= 1e-5  # 100 dB apart
    window = np.hanning(513)[:512]
    mel = librosa.filters.mel(sr=16_000, n_fft=512, n_mels=40)
    ramp = np.arange(-4, 5)
    expected = []
    for wave in waves:
        padded = np.pad(wave.astype(float), 256)
        frames = []
        for start in range(0, len(padded) - 511, 160):
            power = np.abs(np.fft.rfft(window * padded[start : start + 512])) ** 2
            frames.append(dct(10 * np.log10(np.maximum(mel @ power, 1e-10)), norm="ortho")[:20])
        mfcc = np.array(frames)
        assert len(mfcc) == 1 + len(wave) // 160
        ends = np.pad(mfcc, ((4, 4), (0, 0)), mode="edge")
        delta = np.array([ramp @ ends[i : i + 9] / (ramp @ ramp) for i in range(len(mfcc))])
        both = np.concatenate([mfcc, delta], axis=1)
        expected.append(np.concatenate([both.mean(axis=0), both.std(axis=0)]))
    found = mfcc_lda.mfcc_statistics(waves)
    assert found.shape == (len(waves), 80)
    assert np.allclose(found, expected, atol=2e-3)


def test_statistics_do_not_depend_on_the_company(monkeypatch):
    alone = [mfcc_lda.mfcc_statistics(wave[None])[0] for wave in TRAINING.waveforms[:5]]
    monkeypatch.setattr(mfcc_lda.features, "BATCH", 2)
    assert np.allclose(mfcc_lda.mfcc_statistics(TRAINING.waveforms[:5]), alone, atol=1e-4)


def test_the_level_moves_one_value():
    """The mean of the first coefficient, by the gain in decibels times the root of the number of bands."""
    moved = mfcc_lda.mfcc_statistics(0.25 * TRAINING.waveforms[:4]) - mfcc_lda.mfcc_statistics(
        TRAINING.waveforms[:4]
    )
    assert np.allclose(moved[:, 0], 20 * np.log10(0.25) * np.sqrt(40), atol=1e-3)
    assert np.allclose(moved[:, 1:], 0, atol=1e-3)


def test_the_shortest_utterances_will_do():
    assert np.isfinite(mfcc_lda.mfcc_statistics(TRAINING.waveforms[:2, :1024])).all()


def test_lda_finds_the_direction_that_tells_two_classes_apart():
    """Two clouds, apart in value 7 alone, where value 3 has most of the variance."""
    rng = np.random.default_rng(0)
    spread = np.where(np.arange(80) == 3, 50.0, 1.0)
    values = rng.normal(0, spread, (400, 80))
    speakers = np.repeat([4, 9], 200)
    values[speakers == 9, 7] += 12
    projection = mfcc_lda.discriminants(values, speakers)
    one = projection.transform(values)
    assert one.shape == (400, 1)
    low, high = np.sort([one[speakers == 4].mean(), one[speakers == 9].mean()])
    assert high - low > 4 * one[speakers == 4].std()
    direction = np.ravel(projection[-1].scalings_[:, :1])
    assert np.argmax(np.abs(direction)) == 7


def test_scales_are_taken_out():
    values, speakers = mfcc_lda.mfcc_statistics(TRAINING.waveforms), TRAINING.speakers
    scales = np.geomspace(0.01, 100, 80)
    one, other = (mfcc_lda.discriminants(v, speakers).transform(v) for v in (values, values * scales + 5))
    assert one.shape == (72, 11)
    assert np.allclose(np.abs(one), np.abs(other), atol=1e-6)


def test_two_utterances_a_speaker_are_shrunk_to_something_usable():
    """Of 60 differences no inverse of 80 x 80 values can be had without shrinking."""
    rng = np.random.default_rng(0)
    speakers = np.repeat(np.arange(60), 2)
    clouds = rng.normal(size=(60, 80))[speakers] + rng.normal(0, 0.5, (120, 80))
    projection = mfcc_lda.discriminants(clouds, speakers)
    assert projection.transform(clouds).shape == (120, 40)
    assert 0 < projection[-1].shrinkage < 1
    others = np.repeat(rng.normal(size=(40, 80)), 2, axis=0) + rng.normal(0, 0.5, (80, 80))
    scores = metrics.cosine_scores(projection.transform(others))
    assert np.mean(np.argmax(scores - 2 * np.eye(80), axis=1) == np.arange(80) ^ 1) > 0.9


def test_embeddings_have_length_1_and_scores_are_symmetric(fitted):
    embeddings = fitted.embed(TEST.waveforms)
    assert embeddings.shape == (56, 11)
    assert np.allclose(np.linalg.norm(embeddings, axis=1), 1)
    scores = metrics.cosine_scores(embeddings)
    assert np.array_equal(scores, scores.T)
    again = fitted.embed(TEST.waveforms[::-1])[::-1]
    assert np.allclose(embeddings, again, atol=1e-4)


def test_unheard_speakers_are_told_apart(fitted):
    row = bootstrap.evaluate(
        metrics.cosine_scores(fitted.embed(TEST.waveforms)), TEST.speakers, fitted.threshold
    )
    assert row["eer"] < 0.2
    assert row["accuracy"] > 0.8


def test_the_threshold_is_where_unheard_training_speakers_have_equal_errors(monkeypatch):
    """Each speaker is scored once, by discriminants that never saw them, and the errors are equal there."""
    corpus = voices(12, 6, within=1.0)
    learnt, scored = [], []
    discriminants, cosine_scores = mfcc_lda.discriminants, metrics.cosine_scores

    def watch(values, speakers):
        learnt.append(set(speakers.tolist()))
        return discriminants(values, speakers)

    monkeypatch.setattr(mfcc_lda, "discriminants", watch)
    monkeypatch.setattr(metrics, "cosine_scores", lambda x: scored.append(cosine_scores(x)) or scored[-1])
    threshold = mfcc_lda.MfccLda().fit(corpus).threshold
    everyone = set(range(12))
    assert learnt[-1] == everyone
    unheard = [everyone - some for some in learnt[:-1]]
    assert len(unheard) == len(scored) == 5
    assert all(len(some) >= 2 for some in unheard)
    assert sorted(speaker for some in unheard for speaker in some) == sorted(everyone)
    wrong = {0: [], 1: []}
    for matrix, some in zip(scored, unheard, strict=True):
        speakers = corpus.speakers[np.isin(corpus.speakers, list(some))]
        for i, j in zip(*np.triu_indices(len(speakers), 1), strict=True):
            same = speakers[i] == speakers[j]
            wrong[same].append((matrix[i, j] >= threshold) != same)
    assert np.mean(wrong[0]) > 0.1
    assert abs(np.mean(wrong[0]) - np.mean(wrong[1])) < 0.006  # one of 180 target trials


def test_the_threshold_uses_no_test_data(monkeypatch, tmp_path):
    rows = []
    for test in (TEST, voices(5, 7, 4096, seed=5)):
        monkeypatch.setattr(baselines.corpora, "load_course", lambda _, test=test: (TRAINING, test))
        rows.append(baselines.SYSTEMS["mfcc_lda"]("anywhere", tmp_path))
    assert rows[0]["threshold"] == rows[1]["threshold"]
    assert rows[0]["eer"] != rows[1]["eer"]


def test_the_seed_deals_the_folds(fitted):
    assert mfcc_lda.MfccLda().fit(TRAINING, seed=1).threshold != fitted.threshold


def test_too_few_speakers_are_refused_and_four_will_do():
    with pytest.raises(InputError, match="3 speakers; expected at least 4"):
        mfcc_lda.MfccLda().fit(voices(3, 4))
    assert -1 <= mfcc_lda.MfccLda().fit(voices(4, 4)).threshold <= 1


def test_parameters_are_the_numbers_that_embedding_uses(fitted):
    scaler, lda = fitted.projection[0], fitted.projection[-1]
    used = fitted.projection.transform(mfcc_lda.mfcc_statistics(TEST.waveforms)).shape[1] * 80
    assert fitted.parameters == scaler.mean_.size + scaler.scale_.size + used == 80 + 80 + 80 * 11
    assert lda.n_components == 11


def test_run_writes_its_row(monkeypatch, tmp_path):
    monkeypatch.setattr(baselines.corpora, "load_course", lambda _: (TRAINING, TEST))
    row = baselines.SYSTEMS["mfcc_lda"]("anywhere", tmp_path, seed=3)
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"mfcc_lda": row}
    figures = {*bootstrap.FIGURES, "cllr", "min_cllr", "eer_enrol5"}
    counts = {"threshold", "speakers_test", "trials", "train_seconds", "parameters", "speakers_train"}
    intervals = {f"{name}_ci" for name in figures}
    assert set(row) == figures | intervals | counts | {"corpus", "backend", "seed"}
    assert np.isfinite([value for value in row.values() if not isinstance(value, str | list)]).all()
    assert (row["speakers_train"], row["speakers_test"], row["trials"]) == (12, 8, 1540)
    assert (row["backend"], row["corpus"], row["seed"]) == ("numpy", "voices", 3)
    assert 0 <= row["eer_enrol5"] <= row["eer"]


def test_bad_folder_is_one_line(tmp_path, capsys):
    assert baselines.main(["mfcc_lda", "--data", str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert "trs.pkl" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
