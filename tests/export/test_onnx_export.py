"""The ONNX files against the model that they are made from: voices, scores, and what is refused."""

import json
from functools import partial

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from keras import layers

from helpers import PROJECT, SAMPLE_RATE, InputError, verify
from helpers.data import corpora
from helpers.ensemble.members import MEMBERS, STATISTICS, LogMel
from helpers.export import onnx_export
from helpers.export.onnx_graphs import embeddings_graph, scores_graph
from helpers.features import Spectrogram
from helpers.models import ScaledCosine, gru_encoder, concatenate_encoders
from helpers.plda import PLDA
from helpers.verifier import Verifier, load_verifier, model_digest, save_system

pytestmark = [pytest.mark.backend, pytest.mark.slow]

DIMENSIONS = 5
SMALL = Spectrogram(n_fft=22, hop_length=11)
FACTS = {"corpus": "noise", "recipe": {"seed": 3, "speeds": [0.9, 1.1]}, "nothing": None}


def noise(utterances, samples, seed=1):
    """Noise that fades by 120 dB: bins at every level, and below the floor."""
    values = np.random.default_rng(seed).normal(0, 0.1, (utterances, samples))
    return (values * np.geomspace(1, 1e-6, samples)).astype(np.float32)


def made(count=1, features=SMALL, **settings):
    """A verifier of untrained encoders, every weight drawn at random and no bin standardised like another."""
    keras.utils.set_random_seed(0)
    rng, encoders = np.random.default_rng(2), []
    heard = features(noise(4, 40 * features.hop_length, seed=0))
    for number in range(count):
        shifted = heard * np.geomspace(0.5, 2, features.bins) + rng.normal(size=features.bins)
        encoders.append(gru_encoder(shifted, bands=8, units=6, dimensions=DIMENSIONS, **settings))
        drawn(encoders[-1], f"encoder_{number}", rng)
    return verifier_of(concatenate_encoders(encoders), features, count)


def drawn(encoder, name, rng):
    encoder.name = name
    for weight in encoder.trainable_variables:
        weight.assign(rng.normal(0, 0.4, weight.shape))
    return encoder


def verifier_of(encoder, features=SMALL, count=1):
    rng, speakers = np.random.default_rng(5), np.repeat(np.arange(10), 4)
    voices = rng.normal(size=(10, count * DIMENSIONS))[speakers] + rng.normal(size=(40, count * DIMENSIONS))
    voices /= np.linalg.norm(voices, axis=1, keepdims=True)
    plda = PLDA(count, DIMENSIONS).fit(voices, speakers)
    scale = ScaledCosine(name="scale")
    scale.build(())
    scale.w.assign(7.5)
    return Verifier(encoder, plda, scale, features, 0.4375, FACTS)


def session(graph):
    return onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])


def voices_of(graph, waveforms):
    return session(graph).run(None, {"waveforms": waveforms})[0]


def embed(verifier, waveforms):
    """As `Verifier.embed`, without a compilation for each length."""
    return keras.ops.convert_to_numpy(verifier(verifier.spectrogram(waveforms)))


def compare(verifier, waveforms, graph=None):
    expected = embed(verifier, waveforms)
    found = voices_of(graph or embeddings_graph(verifier), waveforms)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=5e-6)
    return found


@pytest.fixture(scope="module")
def trained_alike():
    """One encoder, and three side by side, on the course's features; each with its graph."""
    verifiers = {count: made(count, Spectrogram()) for count in (1, 3)}
    return {count: (each, embeddings_graph(each)) for count, each in verifiers.items()}


# ---- voices ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(
    ("samples", "frames"), [(1024, 3), (1536, 4), (16_000, 32), (22_560, 45), (59_200, 116)]
)
def test_voices_of_any_length(trained_alike, count, samples, frames):
    """From one window to 3.7 s; of an odd number of frames, the last is averaged with none."""
    verifier, graph = trained_alike[count]
    waveforms = noise(3, samples)
    assert verifier.spectrogram.frames(samples) == frames
    found = compare(verifier, waveforms, graph)
    assert found.shape == (3, count * DIMENSIONS)
    assert np.abs(found[0] - found[1]).max() > 1e-3
    np.testing.assert_allclose(voices_of(graph, waveforms[:1]), found[:1], atol=1e-6)  # a batch of one


def test_loud_and_quiet_side_by_side(trained_alike):
    """Each utterance is measured by its own loudest bin."""
    verifier, graph = trained_alike[1]
    loud = noise(1, 8000)
    together = compare(verifier, np.concatenate([loud, loud * 1e-3, noise(1, 8000, seed=3) * 10]), graph)
    np.testing.assert_allclose(together[1], together[0], atol=1e-5)
    np.testing.assert_allclose(voices_of(graph, loud * 1e-3), together[1:2], atol=1e-6)


def test_silence_at_the_ends_and_throughout(trained_alike):
    verifier, graph = trained_alike[3]
    waveforms = noise(3, 16_000)
    waveforms[0, 5000:] = 0
    waveforms[1, :5000] = 0
    waveforms[2] = 0
    found = compare(verifier, waveforms, graph)
    assert np.isfinite(found).all()
    assert np.abs(found[0] - compare(verifier, waveforms[:, :5000], graph)[0]).max() > 1e-4  # it is heard


@pytest.mark.parametrize(
    "features",
    [
        SMALL,
        Spectrogram(n_fft=64, hop_length=16, floor=1e-3),
        Spectrogram(n_fft=128, hop_length=64, mel_bands=6),
        Spectrogram(n_fft=22, hop_length=11, compression="power"),
        Spectrogram(n_fft=22, hop_length=11, compression="none"),
    ],
    ids=lambda features: f"{features.n_fft}-{features.compression}-{features.mel_bands}",
)
def test_other_features(features):
    compare(made(features=features), noise(2, 15 * features.n_fft))


@pytest.mark.parametrize("settings", [{"shortcut": False}, {"stride": 1}, {"stride": 3}], ids=str)
def test_encoders_of_other_settings(settings):
    verifier = made(2, **settings)
    graph = embeddings_graph(verifier)
    for samples in (165, 176, 187):  # 16, 17 and 18 frames
        compare(verifier, noise(2, samples), graph)


# ---- the ensemble ------------------------------------------------------------------------------------------


def hums(pitches, samples, seed=1):
    """Harmonics of each pitch in Hz, gliding and swelling, in faint noise: no frame's pitch is in doubt."""
    rng, time, order = np.random.default_rng(seed), np.arange(samples) / SAMPLE_RATE, np.arange(1, 16)
    start = rng.uniform(0, 6, (len(pitches), 1))
    pitch = np.reshape(pitches, (-1, 1)) * (1 + 0.1 * np.sin(start + 9 * time))
    turns = np.cumsum(pitch, axis=1)[..., None] / SAMPLE_RATE * order
    waves = np.sin(2 * np.pi * turns) @ (rng.uniform(0.2, 1, (len(pitches), 15, 1)) / order[:, None])
    waves = 0.05 * waves[..., 0] * (1 + 0.9 * np.sin(2 * start + 7 * time)) + rng.normal(0, 1e-3, pitch.shape)
    return waves.astype(np.float32)


@pytest.fixture(scope="module")
def ensemble():
    """All members and the voice statistics side by side, weighted, for 8 speakers' 3 utterances each."""
    keras.utils.set_random_seed(0)
    rng, speakers, features = np.random.default_rng(2), np.repeat(np.arange(8), 3), Spectrogram()
    waveforms = hums(np.linspace(85, 260, 8)[speakers], 12_000, seed=3)
    heard, sizes = features(waveforms), {"bands": 8, "units": 6, "dimensions": DIMENSIONS}
    members = [*MEMBERS.values(), partial(gru_encoder, view=LogMel)]
    encoders = [drawn(build(heard, **sizes), f"encoder_{i}", rng) for i, build in enumerate(members)]
    for fit in STATISTICS.values():
        encoders.append(fit([heard], speakers, DIMENSIONS))
        encoders[-1].name = f"encoder_{len(encoders)}"
    verifier = verifier_of(concatenate_encoders(encoders), features, len(encoders))
    voices, weights = embed(verifier, waveforms), np.arange(1, len(encoders) + 1)
    voices += rng.normal(0, 0.3, voices.shape)  # real voices vary more than these
    verifier.plda.fit(voices, speakers).weigh(weights / weights.sum())
    return verifier


@pytest.mark.parametrize(("samples", "frames"), [(1024, 3), (1536, 4), (11_000, 22), (22_560, 45)])
def test_the_ensemble_from_waveforms_to_scores(ensemble, samples, frames):
    """Quantiles lie on a frame or between two, as many as are the louder half."""
    voices, scores = embeddings_graph(ensemble), scores_graph(ensemble)
    waveforms = hums([95, 130, 210, 240], samples)
    assert ensemble.spectrogram.frames(samples) == frames
    found = compare(ensemble, waveforms, voices)
    np.testing.assert_allclose(voices_of(voices, waveforms[:1]), found[:1], atol=1e-6)
    expected = ensemble.scores(embed(ensemble, waveforms))
    assert np.ptp(expected) > 1
    (ratios,) = session(scores).run(None, {"embeddings": found, "others": found})
    np.testing.assert_allclose(ratios, expected, rtol=0, atol=1e-4)


def test_an_ensemble_read_from_its_file(ensemble, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_export, "SECONDS", (0.2,))
    save_system(ensemble, tmp_path / "ensemble.keras")
    voices, scores = onnx_export.export(load_verifier(tmp_path / "ensemble.keras"), tmp_path, "ensemble")
    assert voices < 1e-4
    assert scores < 1e-4
    compare(ensemble, hums([120, 200], 9000), onnx.load(tmp_path / "ensemble.onnx"))


# ---- scores ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 3])
def test_scores(count):
    verifier = made(count)
    voices, others = (embed(verifier, noise(rows, 200, seed=rows)) for rows in (3, 4))
    expected = verifier.scores(voices, others)
    (found,) = session(scores_graph(verifier)).run(None, {"embeddings": voices, "others": others})
    assert found.shape == (3, 4)
    assert np.ptp(expected) > 1e-2
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-5)
    means = voices.mean(axis=0, keepdims=True)  # of several enrolled recordings
    (found,) = session(scores_graph(verifier)).run(None, {"embeddings": means, "others": others[:1]})
    np.testing.assert_allclose(found, verifier.scores(means, others[:1]), rtol=1e-6, atol=1e-5)


def test_from_waveforms_to_scores(trained_alike):
    verifier, graph = trained_alike[3]
    sessions, waveforms = (session(graph), session(scores_graph(verifier))), [noise(2, 9000), noise(3, 1500)]
    voices, scores = onnx_export.differences(verifier, *sessions, waveforms)
    assert voices < 5e-6
    assert scores < 2e-5


# ---- what is refused ---------------------------------------------------------------------------------------


def encoder_with(*middle):
    inputs = x = keras.Input((None, SMALL.bins))
    for each in middle:
        x = each(x)
    return keras.Model(inputs, layers.Dense(DIMENSIONS, name="last")(x), name="encoder")


def twice_the_same(x):
    layer = layers.Dense(SMALL.bins, name="used_twice")
    return layer(layer(x))


def started(x):
    return layers.GRU(4, return_sequences=True, name="started")(x, initial_state=x[:, 0, :4])


@pytest.mark.parametrize(
    ("middle", "named"),
    [
        (layers.LSTM(4, return_sequences=True, name="memory"), "memory of the encoder is a LSTM"),
        (
            layers.GRU(4, return_sequences=True, reset_after=False, name="g"),
            "g .* a GRU with reset_after=False",
        ),
        (layers.GRU(4, return_sequences=True, go_backwards=True, name="g"), "a GRU with go_backwards=True"),
        (layers.GRU(4, name="g"), "a GRU with return_sequences=False"),
        (layers.GRU(4, return_sequences=True, activation="relu", name="g"), "a GRU with activation=relu"),
        (layers.Dense(4, activation="gelu", name="d"), "d of the encoder is a Dense with activation=gelu"),
        (layers.Dense(4, use_bias=False, name="d"), "a Dense with use_bias=False"),
        (layers.Conv1D(4, 3, padding="causal", name="c"), "c of the encoder is a Conv1D with padding=causal"),
        (layers.Conv1D(4, 3, padding="same", strides=2), r"a Conv1D with strides=\(2,\)"),
        (layers.Conv1D(4, 3, padding="same", activation="tanh"), "a Conv1D with activation=tanh"),
        (layers.AveragePooling1D(2, padding="valid"), "an? AveragePooling1D with padding=valid"),
        (layers.Normalization(invert=True, mean=0.0, variance=1.0), "a Normalization with invert=True"),
        (lambda x: layers.Concatenate(axis=1)([x, x]), "a Concatenate with axis=1"),
        (lambda x: x[:, :, :4], "a GetItem"),
        (lambda x: layers.Dropout(0.2, name="always")(x, training=True), "always .* more than its input"),
        (
            keras.Sequential([keras.Input((None, SMALL.bins)), layers.Dense(4)], name="row"),
            "row .* not a functional",
        ),
        (twice_the_same, "used_twice .* called more than once"),
        (started, "GetItem|started"),
    ],
)
def test_what_is_not_known_is_refused(middle, named):
    with pytest.raises(InputError, match=named) as refusal:
        embeddings_graph(verifier_of(encoder_with(middle)))
    assert "\n" not in str(refusal.value)
    assert "expected AttentivePooling, AveragePooling1D, Cepstrum," in str(refusal.value)


# ---- the files ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small():
    return made(2)


@pytest.fixture
def briefly(monkeypatch):
    """Files are checked with one length beside the shortest."""
    monkeypatch.setattr(onnx_export, "SECONDS", (0.01,))


def test_what_the_files_say_of_the_model(small, briefly, tmp_path):
    onnx_export.export(small, tmp_path, "v")
    for name, shapes in {
        "v.onnx": [("waveforms", ["utterances", "samples"]), ("embeddings", ["utterances", 2 * DIMENSIONS])],
        "v_scores.onnx": [
            ("embeddings", ["n", 2 * DIMENSIONS]),
            ("others", ["m", 2 * DIMENSIONS]),
            ("scores", ["n", "m"]),
        ],
    }.items():
        onnx.checker.check_model(tmp_path / name, full_check=True)
        opened = onnxruntime.InferenceSession(tmp_path / name, providers=["CPUExecutionProvider"])
        assert [(each.name, each.shape) for each in opened.get_inputs() + opened.get_outputs()] == shapes
        said = opened.get_modelmeta().custom_metadata_map
        assert said["model"] == model_digest(small)
        assert (said["sample_rate"], said["shortest"]) == ("16000", "22")
        assert float(said["threshold"]) == 0.4375
        assert Spectrogram.from_dict(json.loads(said["features"])) == SMALL
        assert json.loads(said["calibration"]) == {"w": 7.5, "b": -5.0}
        assert json.loads(said["facts"]) == FACTS
    assert sorted(path.name for path in tmp_path.iterdir()) == ["v.onnx", "v_scores.onnx"]


def calibrated_otherwise(verifier):
    other = made(2)
    other.scale.b.assign(-4.0)
    return scores_graph(other)


def pooled_otherwise(verifier):
    return embeddings_graph(made(2, stride=1))


@pytest.mark.parametrize(
    ("name", "wrong"), [("embeddings_graph", pooled_otherwise), ("scores_graph", calibrated_otherwise)]
)
def test_files_that_differ_from_the_model_are_not_kept(small, briefly, tmp_path, monkeypatch, name, wrong):
    (tmp_path / "v.onnx").write_text("earlier")
    monkeypatch.setattr(onnx_export, name, wrong)
    with pytest.raises(InputError, match=r"v\.onnx gives embeddings") as refusal:
        onnx_export.export(small, tmp_path, "v")
    assert "\n" not in str(refusal.value)
    assert [path.name for path in tmp_path.iterdir()] == ["v.onnx"]
    assert (tmp_path / "v.onnx").read_text() == "earlier"


def test_numbers_that_are_none_are_not_kept(briefly, tmp_path):
    broken = made()
    broken.encoder.get_layer("projection").bias.assign(np.full(DIMENSIONS, np.nan))
    with pytest.raises(InputError, match="gives embeddings nan"):
        onnx_export.export(broken, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_command(small, briefly, tmp_path, monkeypatch, capsys):
    save_system(small, tmp_path / "models" / "siamese_gru.keras")
    monkeypatch.setattr(verify, "TRAINED", tmp_path / "models" / "siamese_gru.keras")
    assert onnx_export.main(["--out", str(tmp_path / "out")]) == 0
    told = capsys.readouterr()
    assert "siamese_gru_scores.onnx: 0.0 MB" in told.out
    assert "Largest differences from siamese_gru.keras: embeddings" in told.out
    waveforms = noise(2, 300)
    found = voices_of(onnx.load(tmp_path / "out" / "siamese_gru.onnx"), waveforms)
    np.testing.assert_allclose(found, embed(small, waveforms), atol=5e-6)


def test_the_command_refuses_in_one_line(briefly, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("no folder")
    save_system(verifier_of(encoder_with(layers.LSTM(4, name="memory"))), tmp_path / "lstm.keras")
    save_system(made(), tmp_path / "good.keras")
    for arguments, told in (
        (["lstm.keras", "--out", "out"], "memory of the encoder is a LSTM"),
        (["none.keras", "--out", "out"], "none.keras does not exist"),
        (["file", "--out", "out"], "file cannot be read as a saved model"),
        (["good.keras", "--out", "file"], "could not be saved"),
    ):
        monkeypatch.chdir(tmp_path)
        assert onnx_export.main(arguments) == 1
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        assert told in lines[0]
        assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_the_course_model_on_real_speech(real_speech):
    verifier = load_verifier(PROJECT / "notebooks" / "models" / "siamese_gru.keras")
    course = corpora.load_course(real_speech / "course-format")
    waveforms = [each.waveforms[::70] for each in course]
    sessions = session(embeddings_graph(verifier)), session(scores_graph(verifier))
    voices, scores = onnx_export.differences(verifier, *sessions, waveforms)
    assert voices < 5e-6
    assert scores < 1e-4
