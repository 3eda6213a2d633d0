"""The research: ideas that build, runs that are kept, and a table whose figures are those of the scores."""

import json
from functools import cache
from types import SimpleNamespace

import keras
import numpy as np
import pandas as pd
import pytest

from helpers import InputError, metrics, models, pairs, training
from helpers.batches import TrainingConfig
from helpers.data import corpora
from helpers.research import encoders, experiments, ideas, objectives, training_hooks
from helpers.research.encoders import EncoderConfig

RNG = np.random.default_rng(0)
SPECTROGRAMS = RNG.normal(size=(6, 9, 65)).astype("float32")


def test_the_default_encoder_is_the_courses():
    keras.utils.set_random_seed(3)
    ours = encoders.build_encoder(SPECTROGRAMS)
    keras.utils.set_random_seed(3)
    course = models.gru_encoder(SPECTROGRAMS)
    np.testing.assert_allclose(
        ours.predict(SPECTROGRAMS, verbose=0), course.predict(SPECTROGRAMS, verbose=0), atol=1e-6
    )


def test_the_plain_encoder_is_the_one_that_notebook_04_begins_with():
    keras.utils.set_random_seed(3)
    plain = encoders.build_encoder(SPECTROGRAMS, EncoderConfig(**ideas.PLAIN["encoder"]))
    keras.utils.set_random_seed(3)
    theirs = models.gru_encoder(SPECTROGRAMS, shortcut=False, stride=1)
    np.testing.assert_allclose(
        plain.predict(SPECTROGRAMS, verbose=0), theirs.predict(SPECTROGRAMS, verbose=0), atol=1e-6
    )


@cache
def embeddings_of(config):
    """Embeddings of two lengths by an encoder that many ideas share."""
    encoder = encoders.build_encoder(SPECTROGRAMS, config)
    return [encoder.predict(SPECTROGRAMS[:, :frames], verbose=0) for frames in (4, 9)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ideas.IDEAS)
def test_ideas_build_and_stay_comparable(name):
    """Each encoder is built, gives finite embeddings for two lengths; its base exists."""
    group, what, base, changes = ideas.IDEAS[name]
    assert what
    assert base in ideas.IDEAS or name in ("course", "plain")
    assert bool(group) == bool(base)
    training = {"spectrogram", "config", "encoder", "objective", "copies", "augment", "average"}
    assert set(changes) <= training | {"crops", "backend", "other_channels"}
    TrainingConfig(**changes.get("config", {}))
    embeddings = embeddings_of(EncoderConfig(**changes.get("encoder", {})))
    assert [len(each) for each in embeddings] == [len(SPECTROGRAMS)] * 2
    assert np.isfinite(embeddings).all()


def test_attention_is_over_time():
    layer = encoders.AttentivePooling()
    frames = RNG.normal(size=(3, 7, 4)).astype("float32")
    whole = np.array(keras.ops.convert_to_numpy(layer(frames)))
    alone = np.array(keras.ops.convert_to_numpy(layer(frames[1:2])))
    np.testing.assert_allclose(whole[1:2], alone, atol=1e-5)  # no other utterance has a say
    shuffled = np.array(keras.ops.convert_to_numpy(layer(frames[:, ::-1])))
    np.testing.assert_allclose(whole, shuffled, atol=1e-5)
    same = np.repeat(frames[:, :1], 7, axis=1)
    mean, spread = np.split(np.array(keras.ops.convert_to_numpy(layer(same))), 2, axis=1)
    np.testing.assert_allclose(mean, frames[:, 0], atol=1e-5)
    np.testing.assert_allclose(spread, np.sqrt(1e-5), atol=1e-3)


def test_the_cepstrum_is_the_cosine_transform_standardised():
    layer = encoders.CepstralBands(3, 20)
    layer(SPECTROGRAMS)
    layer.adapt(SPECTROGRAMS)
    bins = np.arange(65)
    basis = np.cos(np.pi * np.arange(20)[:, None] * (bins + 0.5) / 65) * np.sqrt(2 / 65)
    basis[0] /= np.sqrt(2)
    cepstra = SPECTROGRAMS @ basis.T
    standard = (cepstra - cepstra.mean(axis=(0, 1))) / np.maximum(cepstra.std(axis=(0, 1)), 0.1)
    kernel, bias = (np.array(keras.ops.convert_to_numpy(w)) for w in (layer.kernel, layer.bias))
    found = np.array(keras.ops.convert_to_numpy(layer(SPECTROGRAMS)))
    np.testing.assert_allclose(found, np.maximum(standard @ kernel + bias, 0), atol=1e-4)


def result(noise, seed=0, speakers=10, each=7):
    """Embeddings of speakers in two folds, the clearer the less noise."""
    rng = np.random.default_rng(seed)
    names = np.repeat(np.arange(speakers), each)
    centres = np.random.default_rng(9).normal(size=(speakers, 8))
    made = []
    for _ in range(2):
        voices = centres[names] + noise * rng.normal(size=(len(names), 8))
        made.append(voices / np.linalg.norm(voices, axis=1, keepdims=True))
    return {
        "corpus": "made up",
        "speakers": names,
        "held_out": np.stack([names < speakers // 2, names >= speakers // 2]),
        "clean": np.stack(made),
        "disturbed": np.stack(made)[:, ::-1],
        "seconds": 3.0,
        "parameters": 7,
    }


def test_only_trials_within_a_fold_are_scored_by_its_encoder():
    made = result(0.5)
    scores, labels, first, second, _, _ = experiments.score_idea(made, {})
    assert len(scores) == 2 * (35 * 34 // 2)
    assert ((first < 5) == (second < 5)).all()
    np.testing.assert_array_equal(labels, first == second)
    trials = pairs.all_trials(made["speakers"][:35])
    gram = metrics.cosine_scores(made["clean"][0][:35])
    np.testing.assert_allclose(scores[: len(trials.label)], gram[trials.left, trials.right], atol=1e-6)


def test_unshared_encoders_are_scored_side_against_side():
    made = result(0.5)
    made["clean"] = np.concatenate([made["clean"], -made["clean"]], axis=-1)
    scores = experiments.score_idea(made, {"objective": {"unshared": 1}})[0]
    np.testing.assert_allclose(scores, -experiments.score_idea(result(0.5), {})[0], atol=1e-6)


def test_the_table_pairs_an_idea_with_its_base():
    results = {
        ("made up", "course", 0): result(0.5),
        ("made up", "no_gru", 0): result(2.0),
        ("made up", "no_gru", 1): result(2.0, 1),
        ("made up", "plain", 0): result(0.5),
    }
    table = experiments.summarise(results, draws=100).set_index("idea")
    assert list(table.index) == ["course", "plain", "no_gru"]
    row = table.loc["no_gru"]
    assert (row["seeds"], row["base"], row["speakers"]) == (2, "course", 10)
    rates = [
        experiments._rate(*experiments.score_idea(results["made up", "no_gru", s], {})[:2]) for s in (0, 1)
    ]
    assert row["eer"] == pytest.approx(np.mean(rates))
    base = experiments._rate(*experiments.score_idea(results["made up", "course", 0], {})[:2])
    assert row["difference"] == pytest.approx(rates[0] - base)  # of the seed that both have
    both = [
        experiments.score_idea(results["made up", name, 0], {}, "disturbed") for name in ("no_gru", "course")
    ]
    worse, better = (experiments._rate(*each[:2]) for each in both)
    assert row["difference_disturbed"] == pytest.approx(worse - better)
    assert 0 < row["low"] < row["difference"] < row["high"]
    assert np.isnan(table.loc["course", "difference"])


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A corpus in a folder, and a `run` that counts its calls."""
    calls = []

    def run(corpus, idea, config):
        calls.append((config.seed, config.encoders))
        return result(1.0, config.seed)

    monkeypatch.setattr(experiments, "run_idea", run)
    monkeypatch.setattr(experiments, "RESULTS", tmp_path / "results")
    corpus = corpora.Corpus("made up", np.zeros((4, 8)), np.array([0, 0, 1, 1]), pd.DataFrame())
    monkeypatch.setattr(corpora, "load_course", lambda *_: (corpus, corpus))
    return tmp_path, calls


@pytest.mark.slow
def test_runs_are_kept_and_not_repeated(tiny):
    folder, calls = tiny
    table = folder / "results" / "ideas.csv"
    arguments = ["course", "no_gru", "--data", "x", "--out", str(folder / "runs"), "--seeds", "0,1"]
    assert experiments.main(arguments) == 0
    assert calls == [(0, 5), (0, 5), (1, 5), (1, 5)]
    assert experiments.main(arguments) == 0
    assert len(calls) == 4
    found = pd.read_csv(table).set_index("idea")
    assert found.loc["no_gru", "seeds"] == 2
    assert found.loc["course", "corpus"] == "made up"
    assert len(list((folder / "runs").iterdir())) == 4


def test_an_unknown_idea_is_refused_in_one_line(tmp_path, capsys):
    assert experiments.main(["no_such", "--data", "x", "--out", str(tmp_path / "o")]) == 1
    assert "no idea is called no_such" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_the_mean_of_some_crops_is_an_embedding():
    encoder = encoders.build_encoder(SPECTROGRAMS)
    whole = experiments.embed_crops(encoder, SPECTROGRAMS)
    np.testing.assert_allclose(whole, encoder.predict(SPECTROGRAMS, verbose=0), atol=1e-6)
    two = experiments.embed_crops(encoder, SPECTROGRAMS, crops=2)
    ends = [encoder.predict(part, verbose=0) for part in (SPECTROGRAMS[:, :6], SPECTROGRAMS[:, -6:])]
    mean = sum(ends) / np.linalg.norm(sum(ends), axis=1, keepdims=True)
    np.testing.assert_allclose(two, mean, atol=1e-6)


def test_towers_are_taught_apart():
    encoder = encoders.build_encoder(SPECTROGRAMS, EncoderConfig(towers=2, dimensions=5))
    assert encoder.output_shape == (None, 10)
    outputs, losses = objectives.objective({"pairs": 1}, towers=2)(encoder.outputs[0], TrainingConfig(), 6)
    assert len(outputs) == len(losses) == 2
    logits = keras.Model(encoder.inputs, outputs).predict(SPECTROGRAMS, verbose=0)
    voices = encoder.predict(SPECTROGRAMS, verbose=0)
    for part, found in zip(np.split(voices, 2, axis=1), logits, strict=True):
        np.testing.assert_allclose(found, 10 * part @ part.T - 5, atol=1e-4)


def test_averaged_weights_are_those_of_the_last_epochs(monkeypatch):
    """With a training that sets the weights to the epoch's number, the mean of the last two of three."""
    encoder = encoders.build_encoder(SPECTROGRAMS)
    corpus = corpora.Corpus("made up", RNG.normal(size=(6, 5000)), np.repeat([0, 1, 2], 2), pd.DataFrame())

    def train(corpus, spectrogram, config, after_epoch, hooks):
        fold = training.Fold(encoder, None, corpus.speakers == 0, None, None, [], [])
        for number in (1, 2, 3):
            encoder.set_weights([np.full_like(weight, number) for weight in encoder.get_weights()])
            after_epoch({}, [fold])
        return SimpleNamespace(facts={"train_seconds": 1.0}), {}

    monkeypatch.setattr(training, "train", train)
    monkeypatch.setattr(experiments.features, "Spectrogram", lambda: lambda waveforms: SPECTROGRAMS)
    experiments.run_idea(corpus, {"average": 2}, TrainingConfig())
    assert all(np.allclose(weight, 2.5) for weight in encoder.get_weights())
    experiments.run_idea(corpus, {}, TrainingConfig())
    assert all(np.allclose(weight, 3) for weight in encoder.get_weights())


def test_a_backend_scores_the_embeddings_of_its_base():
    made = result(0.5)
    speakers, second = made["speakers"], made["held_out"][1]
    clean, other = made["clean"][1], made["disturbed"][1]
    both = np.concatenate([clean[~second], other[~second]])
    for settings, learnt in (({}, clean[~second]), ({"other_channels": 1}, both)):
        whose = np.resize(speakers[~second], len(learnt))
        for condition, test in (("clean", clean), ("disturbed", other)):  # what is learnt stays the same
            found = experiments.score_idea(made, {"backend": "plda"} | settings, condition)
            matrix, trials = (
                training_hooks.plda(learnt, whose, test[second]),
                pairs.all_trials(speakers[second]),
            )
            np.testing.assert_allclose(found[0][-len(trials.label) :], matrix[trials.left, trials.right])
            enrolled, voices = pairs.enrolments(speakers[second], 5), test[second]
            mean = voices[enrolled.enrolled[-1]].mean(axis=0)
            pair = training_hooks.plda(learnt, whose, np.stack([mean, voices[enrolled.test[-1]]]))
            assert found[4][-1] == pytest.approx(pair[0, 1])


def test_backends_are_in_the_table_without_a_run(tmp_path):
    np.savez(tmp_path / "made-course-0.npz", **result(0.5))
    table = experiments.write_table(tmp_path, tmp_path / "ideas.csv").set_index("idea")
    assert set(table.index) == {"course", "plda_channels", *training_hooks.BACKENDS}
    assert (table["max_speakers"] == 5).all()


def test_what_was_foretold_is_gathered_from_batch_runs(tmp_path):
    for seed in (1, 0):
        row = {
            "corpus": "made up",
            "seed": seed,
            "held_out_eer": 0.06,
            "eer": 0.07 + seed / 100,
            "accuracy": 0.9,
        }
        (tmp_path / str(seed)).mkdir()
        rows = {"siamese_gru": row, "mfcc_lda": {"corpus": "made up", "eer": 0.1}}
        (tmp_path / str(seed) / "metrics.json").write_text(json.dumps(rows))
    table = tmp_path / "seeds.csv"
    experiments.write_seeds([tmp_path / "1", tmp_path / "0"], table)
    found = pd.read_csv(table)
    assert found[["system", "seed", "eer"]].to_numpy().tolist() == [
        ["siamese_gru", 0, 0.07],
        ["siamese_gru", 1, 0.08],
    ]
    (tmp_path / "0" / "metrics.json").write_text("[")
    with pytest.raises(InputError, match=r"0 has no metrics\.json of a batch run \("):
        experiments.write_seeds([tmp_path / "0"], table)
    (tmp_path / "0" / "metrics.json").write_text("{}")
    with pytest.raises(InputError, match="held_out_eer"):
        experiments.write_seeds([tmp_path / "0"], table)
    assert len(pd.read_csv(table)) == 2
