"""The members: layers against librosa, SciPy or plain NumPy, and every member before and after the disk."""

import keras
import librosa
import numpy as np
import pytest
from scipy.fft import dct
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from samples import array

from helpers import SAMPLE_RATE
from helpers.checkpoint import import_closure
from helpers.ensemble.members import MEMBERS, STATISTICS, AttentivePooling, Cepstrum, LogMel
from helpers.ensemble.members import VoiceCorrelations, VoiceStatistics, statistics_encoder
from helpers.features import Spectrogram
from helpers.losses import BalancedPairLoss
from helpers.metrics import equal_error
from helpers.models import AllPairs, ScaledCosine, StatisticsPooling, concatenate_encoders
from helpers.models import count_parameters
from helpers.pairs import all_trials
from helpers.plda import PLDA
from helpers.verifier import Verifier, load_verifier, save_system

pytestmark = pytest.mark.backend

FEATURES = Spectrogram()
RNG = np.random.default_rng(0)
LOGS = RNG.uniform(-11, 3, (5, 11, 513)).astype(np.float32)


def hum(pitch, seed=0, seconds=0.6, level=0.3, slope=0.5):
    """Harmonics of a pitch up to 4 kHz, softer upwards, at random phases and in a little noise."""
    rng, time = np.random.default_rng(seed), np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    cycles = np.cumsum(np.broadcast_to(pitch, time.shape)) / SAMPLE_RATE
    orders = np.arange(1, int(4000 / np.max(pitch)))
    waves = [np.sin(2 * np.pi * (order * cycles + rng.random())) / order**slope for order in orders]
    return (level * sum(waves) / len(orders) ** 0.5 + 1e-3 * rng.normal(size=len(time))).astype(np.float32)


def pulses(pitch, seconds=0.6):
    """A pulse every period, as a glottis opens."""
    wave = np.zeros(int(seconds * SAMPLE_RATE), np.float32)
    wave[np.round(np.arange(0, len(wave), SAMPLE_RATE / pitch)).astype(int)[:-1]] = 0.5
    return np.convolve(wave, np.hanning(16), "same").astype(np.float32)


# ---- views -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bands", [40, 80])
def test_mel_bands_are_those_of_librosa(bands):
    power = np.exp(2 * LOGS.astype(float))
    expected = [
        librosa.feature.melspectrogram(S=each.T, sr=SAMPLE_RATE, n_fft=1024, n_mels=bands).T for each in power
    ]
    found = array(LogMel(bands)(LOGS))
    np.testing.assert_allclose(found, np.log(np.array(expected) + 1e-10) / 2, rtol=1e-4, atol=1e-4)
    assert LogMel.from_config(LogMel(bands, name="mine").get_config()).bands == bands


def test_the_cepstrum_is_the_cosine_transform():
    found = array(Cepstrum(20)(LOGS))
    np.testing.assert_allclose(found, dct(LOGS, norm="ortho", axis=-1)[..., :20], rtol=1e-4, atol=1e-3)
    basis = np.cos(np.pi * np.arange(20)[:, None] * (np.arange(513) + 0.5) / 513) * np.sqrt(2 / 513)
    basis[0] /= np.sqrt(2)
    np.testing.assert_allclose(found, LOGS @ basis.T, rtol=1e-4, atol=1e-3)
    assert Cepstrum.from_config(Cepstrum(7, name="mine").get_config()).coefficients == 7


@pytest.mark.parametrize("pitch", [120, 220])
def test_the_cepstrum_has_a_peak_at_the_pitch(pitch):
    cepstrum = array(Cepstrum()(FEATURES(hum(pitch)[None])))[0].mean(axis=0)
    assert 40 + cepstrum[40:].argmax() == pytest.approx(SAMPLE_RATE / pitch, rel=0.05)


# ---- pooling -----------------------------------------------------------------------------------------------


def test_attention_is_over_time():
    layer, frames = AttentivePooling(), RNG.normal(size=(3, 7, 4)).astype("float32")
    whole = array(layer(frames))
    np.testing.assert_allclose(whole[1:2], array(layer(frames[1:2])), atol=1e-5)  # no other has a say
    np.testing.assert_allclose(whole, array(layer(frames[:, ::-1])), atol=1e-5)
    same = np.repeat(frames[:, :1], 7, axis=1)
    mean, spread = np.split(array(layer(same)), 2, axis=1)
    np.testing.assert_allclose(mean, frames[:, 0], atol=1e-5)
    np.testing.assert_allclose(spread, np.sqrt(1e-5), atol=1e-3)


def test_attention_by_hand():
    layer, frames = AttentivePooling(), RNG.normal(size=(3, 7, 4)).astype("float32")
    found = array(layer(frames))
    assert len(layer.trainable_weights) == 4
    (first, first_bias), (second, second_bias) = (map(array, dense.weights) for dense in layer.score.layers)
    scores = np.tanh(frames @ first + first_bias) @ second + second_bias
    weights = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-6)
    assert np.ptp(weights) > 0.01
    mean = (weights * frames).sum(axis=1)
    variance = (weights * (frames - mean[:, None]) ** 2).sum(axis=1)
    np.testing.assert_allclose(found, np.hstack([mean, np.sqrt(variance + 1e-5)]), rtol=1e-4, atol=1e-4)


# ---- voice statistics --------------------------------------------------------------------------------------


def statistics(waveforms):
    """Statistics of MFCCs (n, 220), and those of the logarithm of the pitch (n, 4)."""
    return np.split(array(VoiceStatistics()(FEATURES(np.stack(waveforms)))), [220], axis=1)


@pytest.mark.parametrize("voice", [hum, pulses])
@pytest.mark.parametrize("pitch", [85, 120, 220, 320])
def test_the_pitch_is_found(voice, pitch):
    _, ((median, low, high, spread),) = statistics([voice(pitch)])
    np.testing.assert_allclose(np.exp([median, low, high]), pitch, rtol=0.03)
    assert spread < 0.02


@pytest.mark.parametrize("pitch", [65, 75])
def test_a_low_pitch_is_not_taken_for_its_octave(pitch):
    """Odd harmonics are weak, and a window has less to compare at a long lag."""
    odd, even = (hum(each, level=level) for each, level in ((pitch, 0.1), (2 * pitch, 0.3)))
    _, found = statistics([odd + even])
    np.testing.assert_allclose(np.exp(found[0, :3]), pitch, rtol=0.03)


def test_quantiles_of_a_gliding_pitch():
    glide = np.geomspace(120, 240, 16_000)
    wave = hum(glide, seconds=1)
    energy = np.exp(2 * FEATURES(wave[None])[0]).sum(axis=1)
    loudest = np.argsort(-energy)[: (len(energy) + 1) // 2]
    pitch = np.log(glide[np.minimum(512 * loudest, len(glide) - 1)])
    _, (found,) = statistics([wave])
    np.testing.assert_allclose(found[:3], np.quantile(pitch, [0.5, 0.2, 0.8]), atol=0.05)
    assert found[3] == pytest.approx(pitch.std(), abs=0.02)
    assert pitch.std() > 0.1


def test_the_pitch_is_that_of_the_louder_half():
    _, found = statistics([np.concatenate([hum(120), hum(250, level=0.03)])])
    assert np.exp(found[0, :3]) == pytest.approx(120, rel=0.03)


def test_mfcc_statistics_by_librosa():
    spectrograms = FEATURES(np.stack([hum(120), hum(220, 1)]))
    power = np.exp(2 * spectrograms.astype(float))
    found = array(VoiceStatistics()(spectrograms))
    assert found.shape == (2, 224)
    for each, row in zip(power, found, strict=True):
        mel = librosa.feature.melspectrogram(S=each.T, sr=SAMPLE_RATE, n_fft=1024, n_mels=80)
        cepstra = dct(np.log(mel + 1e-10) / 2, norm="ortho", axis=0)
        both = np.concatenate([cepstra, librosa.feature.delta(cepstra[:30], width=5, mode="nearest")])
        np.testing.assert_allclose(row[:110], both.mean(axis=1), rtol=1e-3, atol=2e-3)
        np.testing.assert_allclose(row[110:220], both.std(axis=1), rtol=1e-3, atol=2e-3)


def test_correlations_by_numpy():
    found = array(VoiceCorrelations()(LOGS))
    for log, row in zip(LOGS, found, strict=True):
        cepstra = dct(array(LogMel(80)(log[None]))[0], norm="ortho", axis=1)
        pairs = np.corrcoef(cepstra[:, :16].T)[np.triu_indices(16, 1)]
        np.testing.assert_allclose(row[:120], np.arctanh(np.clip(pairs, -0.99, 0.99)), atol=2e-3)
        loud = cepstra[np.argsort(-cepstra[:, 0])[:6], :50]  # of eleven frames
        np.testing.assert_allclose(
            row[120:], np.concatenate([loud.mean(axis=0), loud.std(axis=0)]), atol=2e-3
        )


@pytest.mark.parametrize("describe", [VoiceStatistics, VoiceCorrelations])
@pytest.mark.parametrize("frames", [1, 2, 30])
def test_statistics_of_anything_are_finite(describe, frames):
    for spectrograms in (np.zeros((2, frames, 513), np.float32), LOGS[:2, :1].repeat(frames, axis=1)):
        layer = describe()
        found = array(layer(spectrograms))
        assert found.shape == layer.compute_output_shape(spectrograms.shape)
        assert np.isfinite(found).all()


# ---- an encoder without a network --------------------------------------------------------------------------


def voices(seed, each=5):
    """Spectrograms of six voices, which differ in pitch and timbre, and whose they are."""
    speakers, pitches, slopes = np.repeat(np.arange(6), each), np.geomspace(90, 300, 6), (0, 1, 0.5) * 2
    waveforms = [
        hum(pitches[who] * np.random.default_rng(seed + i).uniform(0.97, 1.03), seed + i, slope=slopes[who])
        for i, who in enumerate(speakers)
    ]
    return FEATURES(np.stack(waveforms)), speakers


@pytest.fixture(scope="module")
def fitted():
    """What is learnt from, a copy that counts as other speakers included, and the encoder."""
    (first, speakers), (second, _) = voices(0), voices(100)
    copies, labels = [first, second[:, :-3]], np.concatenate([speakers, speakers + 6])
    return copies, labels, statistics_encoder(copies, labels)


def test_statistics_tell_voices_apart(fitted):
    spectrograms, speakers = voices(200)
    embeddings, trials = fitted[2].predict(spectrograms, verbose=0), all_trials(speakers)
    assert embeddings.shape == (30, 48)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    cosines = (embeddings @ embeddings.T)[trials.left, trials.right]
    assert equal_error(cosines, trials.label)[0] < 0.05
    shorter = fitted[2].predict(spectrograms[:, :9], verbose=0)
    assert np.sum(shorter * embeddings, axis=1).mean() > 0.7


def test_the_projection_is_a_discriminant_analysis(fitted):
    copies, labels, encoder = fitted
    values = np.concatenate([array(VoiceStatistics()(copy)) for copy in copies]).astype(float)
    scaled = (values - values.mean(axis=0)) / (values.std(axis=0) + 1e-9)
    centred = np.concatenate([scaled[labels == i] - scaled[labels == i].mean(axis=0) for i in range(12)])
    lda = LinearDiscriminantAnalysis("eigen", ledoit_wolf_shrinkage(centred)).fit(scaled, labels)
    expected = lda.transform(scaled)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = np.concatenate([encoder.predict(copy, verbose=0) for copy in copies])
    assert np.abs(found[:, 11:]).max() < 1e-6  # twelve speakers differ in eleven directions
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=2e-3)


def test_lists_of_utterances_fit_the_same(fitted):
    copies, labels, encoder = fitted
    again = statistics_encoder([list(copy) for copy in copies], labels)
    for ours, theirs in zip(again.get_weights(), encoder.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_what_is_fitted_is_counted(fitted):
    assert count_parameters(fitted[2]) == 224 * 48 + 48


def test_few_voices_do_not_break_it():
    spectrograms, speakers = voices(0, each=2)
    encoder = statistics_encoder([spectrograms[:4]], speakers[:4], dimensions=5)
    found = encoder.predict(spectrograms, verbose=0)
    assert found.shape == (12, 5)
    assert np.isfinite(found).all()


# ---- all members -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def members():
    """Every member: the networks untrained, the statistics fitted; by their names."""
    keras.utils.set_random_seed(0)
    spectrograms, speakers = voices(0, each=2)
    made = {}
    for number, (name, build) in enumerate(MEMBERS.items()):
        with keras.name_scope(f"encoder_{number}"):
            made[name] = build(spectrograms[:, :12])
    made |= {name: fit([spectrograms], speakers) for name, fit in STATISTICS.items()}
    for number, encoder in enumerate(made.values()):
        encoder.name = f"encoder_{number}"
    return made


def test_members_differ_in_what_they_look_at_or_look_with(members):
    views = {"cepstrum": Cepstrum(), "mel bands": LogMel()}
    assert sum("GRU" in name for name in MEMBERS) >= 3
    for name in MEMBERS:
        encoder, names = members[name], {layer.name for layer in members[name].layers}
        assert ("gru" in names, "convolution" in names) == ("GRU" in name, "CNN" in name)
        pooling = AttentivePooling if "attentive" in name else StatisticsPooling
        assert type(encoder.get_layer("pooling")) is pooling
        view = next((view for seen, view in views.items() if seen in name), keras.layers.Identity())
        standard = array(encoder.get_layer("standardise")(view(voices(0, each=2)[0][:, :12])))
        varying = standard.std(axis=(0, 1)) > 0.9
        assert varying.mean() > 0.8
        np.testing.assert_allclose(standard[..., varying].mean(axis=(0, 1)), 0, atol=1e-2)
    kernels = [members[name].get_layer("bands").kernel.shape[0] for name in MEMBERS]
    assert set(kernels) >= {513, 200}


@pytest.mark.slow
def test_a_step_reaches_every_weight(members):
    """One step for all of them at once, as in training."""
    spectrograms, speakers = voices(0, each=2)
    inputs = keras.Input((None, 513))
    encoders = [members[name] for name in MEMBERS]
    outputs = [ScaledCosine()(AllPairs()(encoder(inputs))) for encoder in encoders]
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.SGD(1.0), [BalancedPairLoss() for _ in outputs])
    before = {weight.path: array(weight) for weight in model.trainable_variables}
    assert len(before) == sum(len(encoder.trainable_weights) for encoder in encoders) + 2 * len(encoders)
    model.fit(spectrograms[:, :12], [speakers] * len(encoders), batch_size=12, verbose=0)
    for weight in model.trainable_variables:
        after = array(weight)
        assert np.isfinite(after).all(), weight.path
        unmoved = "score" in weight.path and weight.shape == (1,)  # the same for all frames: softmax drops it
        assert unmoved or (after != before[weight.path]).any(), weight.path


@pytest.mark.slow
def test_the_ensemble_survives_the_disk(members, tmp_path):
    """Every member, at other lengths too."""
    encoder = concatenate_encoders(list(members.values()))
    scale = ScaledCosine(7.5, -3.0, name="calibration")
    count = len(members)
    plda = PLDA(count, 48).weigh(np.arange(count) / count)
    verifier = Verifier(encoder, plda, scale, FEATURES, 0.4)
    save_system(verifier, tmp_path / "v.keras")
    loaded = load_verifier(tmp_path / "v.keras", FEATURES)
    for samples in (5_000, 12_000):
        waveforms = np.stack([hum(pitch)[:samples] for pitch in (100, 200, 300)])
        embeddings = loaded.embed(waveforms)
        np.testing.assert_array_equal(embeddings, verifier.embed(waveforms))
        np.testing.assert_array_equal(loaded.scores(embeddings), verifier.scores(embeddings))
        parts = np.split(embeddings, count, axis=1)
        for part, each in zip(parts, members.values(), strict=True):
            alone = each.predict(FEATURES(waveforms), verbose=0)
            np.testing.assert_allclose(np.linalg.norm(alone, axis=1), 1, atol=1e-5)
            np.testing.assert_allclose(part * count**0.5, alone, atol=1e-4)


def test_a_process_that_loads_a_verifier_knows_the_layers():
    assert "members.py" in {path.name for path in import_closure("import helpers.verifier")}
