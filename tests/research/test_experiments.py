"""The research: ideas that build, runs that are kept, and a table whose figures are those of the scores."""

import json
from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import keras
import numpy as np
import pandas as pd
import pytest
from scipy.fft import dct

from helpers import InputError, metrics, models, pairs, training
from helpers.batches import TrainingConfig, assign_folds
from helpers.data import corpora
from helpers.research import encoders, experiments, ideas, objectives, training_hooks

RNG = np.random.default_rng(0)
SPECTROGRAMS = RNG.normal(size=(6, 9, 65)).astype("float32")


@pytest.mark.parametrize("settings", [{}, ideas.PLAIN["encoder"]])
def test_the_encoder_is_the_courses(settings):
    keras.utils.set_random_seed(3)
    ours = encoders.build_encoder(SPECTROGRAMS, **settings)
    keras.utils.set_random_seed(3)
    course = models.gru_encoder(SPECTROGRAMS, **settings)
    np.testing.assert_allclose(
        ours.predict(SPECTROGRAMS, verbose=0), course.predict(SPECTROGRAMS, verbose=0), atol=1e-6
    )


@cache
def embeddings_of(settings):
    """Embeddings of two lengths by an encoder that many ideas share."""
    encoder = encoders.build_encoder(SPECTROGRAMS, **dict(settings))
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
    assert set(changes) <= training | {"max_speakers", "crops", "backend", "other_channels"}
    TrainingConfig(**changes.get("config", {}))
    embeddings = embeddings_of(tuple(changes.get("encoder", {}).items()))
    assert [len(each) for each in embeddings] == [len(SPECTROGRAMS)] * 2
    assert np.isfinite(embeddings).all()


def test_every_part_is_in_an_idea():
    used = {
        (part, name)
        for *_, changes in ideas.IDEAS.values()
        for part, name in changes.get("encoder", {}).items()
    }
    parts = {(part, name) for part, names in encoders.PARTS.items() for name in names}
    assert parts <= used


@pytest.mark.parametrize(
    ("view", "seen"),
    [
        ("spectrum and cepstrum", np.concatenate([SPECTROGRAMS, dct(SPECTROGRAMS, norm="ortho")], axis=-1)),
        ("low bins", SPECTROGRAMS[..., :400]),
        ("own mean", SPECTROGRAMS - SPECTROGRAMS.mean(axis=1, keepdims=True)),
    ],
)
def test_a_view_is_standardised(view, seen):
    encoder = encoders.build_encoder(SPECTROGRAMS, view=view)
    look = keras.Model(encoder.inputs, encoder.get_layer("standardise").output)
    expected = (seen - seen.mean(axis=(0, 1))) / np.maximum(seen.std(axis=(0, 1)), 0.1)
    np.testing.assert_allclose(look.predict(SPECTROGRAMS, verbose=0), expected, atol=1e-3)


def test_only_the_low_bins_are_seen():
    spectrograms = RNG.normal(size=(4, 5, 513)).astype("float32")
    encoder = encoders.build_encoder(spectrograms, view="low bins")
    other = spectrograms.copy()
    other[..., 400:] = 0
    np.testing.assert_allclose(
        encoder.predict(other, verbose=0), encoder.predict(spectrograms, verbose=0), atol=1e-6
    )


def test_embeddings_may_keep_their_length():
    keras.utils.set_random_seed(3)
    free = encoders.build_encoder(SPECTROGRAMS, unit_length=False).predict(SPECTROGRAMS, verbose=0)
    keras.utils.set_random_seed(3)
    unit = encoders.build_encoder(SPECTROGRAMS).predict(SPECTROGRAMS, verbose=0)
    lengths = np.linalg.norm(free, axis=1, keepdims=True)
    assert np.ptp(lengths) > 0.01
    np.testing.assert_allclose(free / lengths, unit, atol=1e-5)


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
        calls.append((config.seed, config.held_out_folds))
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
    assert experiments.main([*arguments[:-1], "2", "--encoders", "1"]) == 0
    assert calls[4:] == [(2, 1), (2, 1)]


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
    encoder = encoders.build_encoder(SPECTROGRAMS, towers=2, dimensions=5)
    assert encoder.output_shape == (None, 10)
    outputs, losses = objectives.objective({"pairs": 1}, towers=2)(encoder.outputs[0], TrainingConfig(), 6)
    assert len(outputs) == len(losses) == 2
    logits = keras.Model(encoder.inputs, outputs).predict(SPECTROGRAMS, verbose=0)
    voices = encoder.predict(SPECTROGRAMS, verbose=0)
    for part, found in zip(np.split(voices, 2, axis=1), logits, strict=True):
        np.testing.assert_allclose(found, 10 * part @ part.T - 5, atol=1e-4)


def corpus_of(speakers, each=2):
    """A corpus of noises of unlike colour; the speakers are numbered with gaps."""
    names = np.repeat(10 * np.arange(speakers) + 3, each)
    waveforms = [
        np.convolve(RNG.normal(size=5000 + who), np.ones(1 + who // 10), "same")[:5000] for who in names
    ]
    return corpora.Corpus("made up", np.float32(np.tanh(waveforms) / 2), names, pd.DataFrame())


@pytest.fixture
def pretended(monkeypatch):
    """In place of training, what it is given; weights become the epoch's number, of three epochs."""
    encoder, calls = encoders.build_encoder(SPECTROGRAMS), []

    def fit_encoders(copies, labels, learners, config, hooks, stream, after_epoch):
        calls.append((labels, learners, config, hooks, stream))
        for number in (1, 2, 3):
            encoder.set_weights([np.full_like(weight, number) for weight in encoder.get_weights()])
            after_epoch({}, [encoder])
        return [encoder], SimpleNamespace(seconds=10.0)

    monkeypatch.setattr(training, "fit_encoders", fit_encoders)
    hooks = lambda **_: lambda corpus, speakers, *_: ([SPECTROGRAMS], speakers)  # noqa: E731
    monkeypatch.setattr(training_hooks, "training_copies", hooks)
    monkeypatch.setattr(experiments.features, "Spectrogram", lambda: lambda waveforms: SPECTROGRAMS)
    return encoder, calls


def test_averaged_weights_are_those_of_the_last_epochs(pretended):
    """The mean of the last two of three."""
    encoder, _ = pretended
    config = TrainingConfig(folds=2)
    experiments.run_idea(corpus_of(4), {"average": 2}, config)
    assert all(np.allclose(weight, 2.5) for weight in encoder.get_weights())
    experiments.run_idea(corpus_of(4), {}, config)
    assert all(np.allclose(weight, 3) for weight in encoder.get_weights())


def test_an_encoder_is_trained_for_each_fold_that_is_asked_for(pretended):
    _, calls = pretended
    corpus, config = corpus_of(11), TrainingConfig(seed=4, held_out_folds=3)
    made = experiments.run_idea(corpus, {"config": {"epochs": 2}, "crops": 1}, config)
    speakers = np.repeat(np.arange(11), 2)
    np.testing.assert_array_equal(made["speakers"], speakers)
    fold = assign_folds(speakers, 5, 4)
    np.testing.assert_array_equal(made["held_out"], [fold == number for number in range(3)])
    assert made["clean"].shape == made["disturbed"].shape == (3, 6, 48)
    assert [stream for *_, stream in calls] == [0, 1, 2]
    for number, (labels, learners, settings, hooks, _) in enumerate(calls):
        np.testing.assert_array_equal(labels, speakers)
        np.testing.assert_array_equal(learners, fold != number)
        assert settings == replace(config, epochs=2)
        assert len(hooks.encoders) == 1
    assert 30 < made["seconds"] < 40


def test_an_encoder_may_learn_from_fewer_speakers(pretended):
    _, calls = pretended
    corpus = corpus_of(11)
    for seed in (0, 0, 1):
        experiments.run_idea(corpus, {"max_speakers": 4}, TrainingConfig(seed=seed, held_out_folds=2))
    speakers, chosen = np.repeat(np.arange(11), 2), []
    for (_, learners, config, _, stream), seed in zip(calls, (0, 0, 0, 0, 1, 1), strict=True):
        assert config.seed == seed
        chosen.append(tuple(np.unique(speakers[learners])))
        assert learners.sum() == 2 * 4  # all of each
        assert not (learners & (assign_folds(speakers, 5, seed) == stream)).any()
    assert chosen[:2] == chosen[2:4]
    assert len(set(chosen)) == 4
    experiments.run_idea(corpus, {"max_speakers": 40}, TrainingConfig())
    assert calls[-1][1].sum() == 2 * len(set(speakers[assign_folds(speakers, 5) != 0]))


def test_a_run_is_scored_and_stands_in_the_table(tmp_path, monkeypatch):
    idea = ("ablation", "no GRU", "", {"encoder": {"sequence": "none"}, "config": {"speeds": ()}})
    monkeypatch.setitem(ideas.IDEAS, "no_gru", idea)
    settings = {"batch_speakers": 4, "batch_utterances": 2, "crop": 0.9}
    config = TrainingConfig(epochs=1, folds=2, held_out_folds=2, **settings)
    corpus = corpus_of(8, 6)
    made = experiments.run_idea(corpus, idea[3], config)
    assert np.linalg.norm(made["clean"], axis=-1) == pytest.approx(1, abs=1e-5)
    assert np.abs(made["clean"] - made["disturbed"]).max() > 0.01
    np.savez(tmp_path / "made up-no_gru-0.npz", **made)
    (row,) = experiments.write_table(tmp_path, tmp_path / "ideas.csv").to_dict("records")
    assert (row["corpus"], row["idea"], row["speakers"], row["max_speakers"]) == ("made up", "no_gru", 8, 4)
    assert 0 <= row["eer"] <= 1
    assert row["parameters"] == made["parameters"] > 0


def test_the_table_says_how_many_speakers_were_learnt_from():
    few, all_of_them = ("made up", "learners_5", 0), ("made up", "course", 0)
    table = experiments.summarise({few: result(0.5, speakers=20), all_of_them: result(0.5, speakers=20)}, 10)
    assert table.set_index("idea")["max_speakers"].to_dict() == {"course": 10, "learners_5": 5}


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
