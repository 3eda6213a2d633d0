"""Training hooks: what is disturbed stays speech, each kind does what it says, and so does each backend."""

import numpy as np
import pytest

from test_plda import LEARNT, NAMES, TEST

from helpers import augmentation, metrics, pairs
from helpers.batches import TrainingConfig
from helpers.data.corpora import Corpus
from helpers.features import Spectrogram
from helpers.research import training_hooks

RNG = np.random.default_rng(0)
LOGS = RNG.uniform(-11, 0, (6, 9, 65)).astype(np.float32)


def test_a_microphone_adds_one_curve_to_all_frames():
    change = augmentation.equalise(LOGS, np.random.default_rng(1), share=1.0) - LOGS
    np.testing.assert_allclose(change, np.broadcast_to(change[:, :1], change.shape), atol=1e-4)
    assert np.abs(np.diff(change[:, 0])).max() < np.abs(change).max() / 3, "smooth"
    assert np.ptp(change[:, 0], axis=1).min() > 0.1, "each utterance has one of its own"
    assert np.abs(change[0] - change[1]).max() > 0.1
    none = augmentation.equalise(LOGS, np.random.default_rng(1), share=0.0)
    np.testing.assert_allclose(none, LOGS, atol=1e-6)


def test_noise_only_adds_power_and_hits_its_level():
    logs = RNG.uniform(-11, 0, (3, 2000, 65)).astype(np.float32)
    noisy = augmentation.add_spectrogram_noise(
        logs, np.random.default_rng(1), quietest=10, loudest=10, share=1.0
    )
    assert noisy.dtype == np.float32
    assert (noisy >= logs - 1e-4).all()
    speech, both = (np.exp(2 * x).mean(axis=(1, 2)) for x in (logs, noisy))
    np.testing.assert_allclose(10 * np.log10(speech / (both - speech)), 10, atol=0.3)


def test_a_band_limit_empties_the_top():
    limited = augmentation.band_limit(LOGS, np.random.default_rng(1), share=1.0)
    for before, after in zip(LOGS, limited, strict=True):
        emptied = (after == -11.5).all(axis=0)
        first = np.argmax(emptied)
        assert 0.4 * 65 <= first <= 65
        assert emptied[first:].all()
        np.testing.assert_array_equal(after[:, :first], before[:, :first])


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_a_warp_moves_a_peak(factor):
    spectrum = np.exp(-(((np.arange(65) - 24) / 3.0) ** 2))
    warped = augmentation.warp_vocal_tract(spectrum, factor)
    assert np.argmax(warped) == pytest.approx(24 * factor, abs=1)
    np.testing.assert_allclose(augmentation.warp_vocal_tract(LOGS, 1.0), LOGS)


def test_rooms_keep_the_direct_sound_and_add_a_tail():
    click = np.zeros((2, 8000))
    click[:, 100] = 1
    rng = np.random.default_rng(0)
    heard = np.stack([augmentation.random_room(each, rng) for each in click])
    np.testing.assert_allclose(heard[:, :101], click[:, :101])
    early, late = (np.square(heard[:, part]).sum() for part in (slice(101, 500), slice(4901, 8000)))
    assert early > 0
    assert late < 1e-6


def test_disturbed_recordings_differ_in_channel_and_noise():
    wave = np.sin(2 * np.pi * 300 * np.arange(16000) / 16000).astype(np.float32)
    same = np.stack([wave, wave])
    disturbed = augmentation.random_channel(same)
    assert disturbed.dtype == np.float32
    np.testing.assert_allclose(np.abs(disturbed).max(axis=1), 1, rtol=1e-6)
    spectra = Spectrogram()(disturbed).mean(axis=1)
    assert np.abs(spectra[0] - spectra[1]).max() > 0.5
    np.testing.assert_array_equal(augmentation.random_channel(same), disturbed)
    assert (augmentation.random_channel(same, seed=1) != disturbed).any()


def test_copies_count_as_the_speakers_they_should():
    waveforms = RNG.uniform(-1, 1, (4, 4096)).astype(np.float32)
    speakers, config = np.array([0, 0, 1, 1]), TrainingConfig(speeds=(0.9,))
    spectrogram = Spectrogram(n_fft=256, hop_length=128)
    corpus = Corpus("noise", waveforms, speakers, None)
    made, labels = training_hooks.training_copies(warps=(0.9, 1.1), rooms=1)(
        corpus, speakers, spectrogram, config
    )
    assert list(map(len, made)) == [4] * 5
    np.testing.assert_array_equal(labels, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 0, 0, 1, 1])
    np.testing.assert_array_equal(labels % 2, np.tile(speakers, 5))


def test_augmentation_applies_all_by_name():
    augment = training_hooks.augmenter({"noise": {"share": 1.0}, "band_limit": {"share": 1.0}})
    assert (augment(LOGS, np.random.default_rng(0)) == -11.5).any()


# ---- what can stand behind the embeddings ------------------------------------------------------------------


def test_whitening_makes_the_scatter_within_speakers_round():
    centres = np.stack([LEARNT[8 * i : 8 * i + 8].mean(axis=0) for i in range(30)])
    white = np.linalg.inv(np.linalg.cholesky(np.cov((LEARNT - centres[NAMES]).T)))
    expected = metrics.cosine_scores((TEST - LEARNT.mean(axis=0)) @ white.T)
    np.testing.assert_allclose(training_hooks.whitening(LEARNT, NAMES, TEST, floor=0), expected, atol=1e-6)


def test_normalised_scores_count_deviations_from_the_likest_strangers():
    unit = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in (LEARNT, TEST)]
    scores = training_hooks.score_norm(unit[0], NAMES, unit[1], nearest=3)
    cohort = np.stack([unit[0][8 * i : 8 * i + 8].mean(axis=0) for i in range(30)])
    cohort /= np.linalg.norm(cohort, axis=1, keepdims=True)
    likest = [np.sort(cohort @ voice)[-3:] for voice in unit[1]]
    cosine = unit[1][0] @ unit[1][5]
    expected = np.mean([(cosine - likest[i].mean()) / likest[i].std() for i in (0, 5)])
    assert scores[0, 5] == pytest.approx(expected)
    np.testing.assert_allclose(scores, scores.T, atol=1e-9)


@pytest.mark.parametrize("name", ["lda", "whitening", "plda"])
def test_a_backend_hears_what_a_cosine_misses(name):
    """One direction scatters within speakers only: cosines are taken in by it, a projection is not."""
    rng = np.random.default_rng(1)

    def made(names, seed):
        centres = np.random.default_rng(seed).normal(size=(names.max() + 1, 6))
        noise = rng.normal(size=(len(names), 6)) * [6, 0.3, 0.3, 0.3, 0.3, 0.3]
        raw = centres[names] + noise
        return raw / np.linalg.norm(raw, axis=1, keepdims=True)

    test_names = np.repeat(np.arange(12), 6)
    learnt, test = made(NAMES, 2), made(test_names, 3)
    trials = pairs.all_trials(test_names)

    def rate(matrix):
        return metrics.equal_error(matrix[trials.left, trials.right], trials.label)[0]

    scores = training_hooks.BACKENDS[name](learnt, NAMES, test)
    assert scores.shape == (72, 72)
    np.testing.assert_allclose(scores, scores.T, atol=1e-6)
    assert rate(scores) < rate(metrics.cosine_scores(test)) - 0.05
