"""Files of scores: what is kept comes back, what does not fit is refused by name."""

import json

import keras
import numpy as np
import pandas as pd
import pytest

from helpers import InputError, bootstrap, calibration, metrics, models, pairs
from helpers.data.corpora import Corpus
from helpers.evaluation import score_files
from helpers.evaluation.results import add_rows, write_row
from helpers.features import Spectrogram
from helpers.plda import PLDA
from helpers.research import baselines
from helpers.systems import mfcc_lda, published_recipe
from helpers.verifier import Verifier, calibration_of

RNG = np.random.default_rng(0)
SPEAKERS = np.repeat(np.arange(4), 3)
VOICES = RNG.normal(size=(12, 6)) + 2 * np.repeat(RNG.normal(size=(4, 6)), 3, axis=0)
MATRIX = metrics.cosine_scores(VOICES)
WAVES = RNG.normal(size=(12, 50)).astype(np.float32)
TEST = Corpus("tones", WAVES, SPEAKERS, pd.DataFrame({"speaker": SPEAKERS}))


def save(folder, system="ge2e", scores=MATRIX, slope=8.0, **changes):
    return score_files.save_scores(folder, system, scores, 0.4, slope, -3.5, TEST._replace(**changes))


def test_what_is_kept_comes_back(tmp_path):
    assert save(tmp_path) == tmp_path / "scores" / "ge2e.npz"
    save(tmp_path, "another", MATRIX + 0.1)
    loaded = score_files.load_scores(tmp_path, TEST)
    assert list(loaded) == ["another", "ge2e"]
    system = loaded["ge2e"]
    assert system.scores.dtype == float
    assert np.allclose(system.scores, MATRIX, atol=1e-6)
    assert (system.threshold, system.calibration, system.corpus) == (0.4, (8.0, -3.5), "tones")
    assert np.array_equal(system.speakers, SPEAKERS)
    assert np.allclose(system.llr, 8 * MATRIX - 3.5, atol=1e-5)


def test_a_recording_read_on_another_machine_is_the_same(tmp_path):
    save(tmp_path)
    assert score_files.load_scores(tmp_path, TEST._replace(waveforms=WAVES * np.float32(1 + 1e-6)))


def test_an_empty_folder_has_no_systems(tmp_path):
    assert score_files.load_scores(tmp_path, TEST) == {}


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    before = save(tmp_path).read_bytes()

    def full(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(score_files.np, "savez_compressed", full)
    with pytest.raises(InputError, match=r"ge2e\.npz could not be saved \(No space left on device\)"):
        save(tmp_path)
    assert [path.name for path in (tmp_path / "scores").iterdir()] == ["ge2e.npz"]
    assert (tmp_path / "scores" / "ge2e.npz").read_bytes() == before


def test_a_part_that_a_killed_run_left_is_no_system(tmp_path):
    save(tmp_path).rename(tmp_path / "scores" / ".ge2e.part.npz")
    assert score_files.load_scores(tmp_path, TEST) == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"scores": MATRIX[:, :5]},
        {"scores": MATRIX[:5, :5]},
        {"scores": np.where(np.eye(12) == 1, np.nan, MATRIX)},
        {"scores": np.full((12, 12), 1e300)},  # infinite in single precision
        {"slope": np.inf},
    ],
)
def test_scores_that_are_no_score_for_every_two_are_not_kept(tmp_path, changes):
    with pytest.raises(InputError, match=r"ge2e\.npz has scores .*; expected a finite score for every two"):
        save(tmp_path, **changes)
    assert not (tmp_path / "scores").exists()


def damage(path, **changes):
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files} | changes
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})


class Harmful:
    def __reduce__(self):
        return (pytest.fail, ("a pickle in a file of scores was executed",))


@pytest.mark.parametrize(
    "harm",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"not an archive"),
        lambda path: path.write_bytes(path.read_bytes()[:-200]),
        lambda path: np.save(path.open("wb"), MATRIX),
        lambda path: damage(path, slope=None),
        lambda path: damage(path, threshold=np.array(["high"])),
        lambda path: damage(path, scores=np.array(Harmful(), dtype=object)),
    ],
)
def test_a_damaged_file_is_refused_by_name_and_the_rest_goes_on(tmp_path, harm):
    save(tmp_path, "mfcc_lda")
    harm(save(tmp_path))
    pattern = r"^ge2e\.npz is not a whole file of scores \(.*\); the program that wrote it makes it anew$"
    with pytest.raises(InputError, match=pattern) as error:
        score_files.load_scores(tmp_path, TEST)
    refused = {}
    assert list(score_files.load_scores(tmp_path, TEST, refused)) == ["mfcc_lda"]
    assert refused == {"ge2e": str(error.value)}


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"name": "real speech"}, "12 utterances of real speech; expected"),
        ({"scores": MATRIX[:9, :9], "speakers": SPEAKERS[:9]}, "9 utterances of tones; expected"),
        ({"speakers": SPEAKERS[::-1]}, "12 utterances of tones; expected"),
        ({"waveforms": WAVES[::-1]}, "12 utterances of tones, recorded otherwise; expected"),
        ({"waveforms": 1.002 * WAVES}, "12 utterances of tones, recorded otherwise; expected"),
    ],
)
def test_scores_of_other_utterances_are_refused_with_the_command(tmp_path, changes, found):
    save(tmp_path, "published_recipe", **changes)
    with pytest.raises(InputError) as error:
        score_files.load_scores(tmp_path, TEST)
    assert str(error.value).startswith(f"published_recipe.npz has {found} the 12 of tones; ")
    assert "python -m helpers.research.baselines published_recipe --data DATA --out OUT" in str(error.value)


def test_scores_that_were_made_not_finite_are_refused(tmp_path):
    damage(save(tmp_path), scores=np.full((12, 12), np.nan))
    with pytest.raises(
        InputError, match=r"ge2e\.npz has scores \(12, 12\) for 12 utterances, and 144 numbers"
    ):
        score_files.load_scores(tmp_path, TEST)
    damage(save(tmp_path), scores=MATRIX[:5])
    with pytest.raises(InputError, match=r"ge2e\.npz has scores \(5, 12\) for 12 utterances"):
        score_files.load_scores(tmp_path, TEST)


def test_a_missing_system_is_named_with_its_command():
    lines = score_files.missing({"ensemble": None, "nearest": None})
    assert lines[0].startswith("siamese_gru is missing: python -m helpers.batch --notebooks 04,05 ")
    assert lines[1:3] == [
        "published_recipe is missing: python -m helpers.research.baselines published_recipe --data DATA "
        "--out OUT, 7 to 15 minutes",
        "mfcc_lda is missing: python -m helpers.research.baselines mfcc_lda --data DATA --out OUT, seconds",
    ]
    assert len(lines) == len(score_files.COMMANDS) - 1
    assert score_files.missing(score_files.COMMANDS) == []


def test_rows_of_a_system_s_own_program_stay(tmp_path):
    write_row(tmp_path, "siamese_gru", {"corpus": "tones", "train_seconds": 20})
    write_row(tmp_path, "mfcc_lda", {"corpus": "real speech", "eer": 0.5})
    rows = {name: {"corpus": "tones", "eer": 0.1} for name in ("siamese_gru", "mfcc_lda", "ge2e")}
    assert add_rows(tmp_path, rows) == ["mfcc_lda", "ge2e"]
    written = json.loads((tmp_path / "metrics.json").read_text())
    assert written == rows | {"siamese_gru": {"corpus": "tones", "train_seconds": 20}}
    assert add_rows(tmp_path / "new", rows) == list(rows)
    for broken in ("{", "[]", '{"a": {}}', '{"a": 3}'):
        (tmp_path / "metrics.json").write_text(broken)
        with pytest.raises(InputError, match=r"metrics\.json is not a JSON object with a row a system"):
            add_rows(tmp_path, rows)


@pytest.mark.backend
@pytest.mark.parametrize("built", [False, True])
def test_a_verifier_s_calibration(built):
    encoder = keras.Sequential([keras.Input((None, 513)), keras.layers.GlobalAveragePooling1D()])
    scale = models.ScaledCosine(12.5, -6.25)
    if built:
        scale.build(())
        scale.w.assign(9.0)
    verifier = Verifier(encoder, PLDA(1, 4), scale, Spectrogram(), 0.5)
    found = calibration_of(verifier)
    assert isinstance(found, calibration.Calibration)
    assert found == pytest.approx((9.0 if built else 12.5, -6.25))


# ---- the programs that write them


def tones(speakers, utterances, samples, seed=0):
    """Each speaker a chord of their own in noise."""
    rng, rows = np.random.default_rng(seed), []
    time = np.arange(samples) / 16_000
    for speaker in range(speakers):
        for _ in range(utterances):
            phase = rng.uniform(0, 6, 3)[:, None]
            chord = np.sin(2 * np.pi * (200 + 90 * speaker) * np.arange(1, 4)[:, None] * time + phase).sum(
                axis=0
            )
            rows.append(0.2 * chord + 0.05 * rng.standard_normal(samples))
    names = np.repeat(np.arange(speakers), utterances)
    return Corpus("tones", np.array(rows, dtype=np.float32), names, pd.DataFrame({"speaker": names}))


def test_the_floor_keeps_its_scores(tmp_path, monkeypatch):
    training, test = tones(8, 5, 4096), tones(6, 6, 5120, seed=1)
    monkeypatch.setattr(baselines.corpora, "load_course", lambda _: (training, test))
    row = baselines.SYSTEMS["mfcc_lda"]("anywhere", tmp_path)
    system = score_files.load_scores(tmp_path, test)["mfcc_lda"]
    fitted = mfcc_lda.MfccLda().fit(training)
    assert (system.threshold, system.calibration) == (fitted.threshold, fitted.calibration)
    assert np.allclose(system.scores, metrics.cosine_scores(fitted.embed(test.waveforms)), atol=1e-6)
    assert bootstrap.evaluate(system.scores, test.speakers, system.threshold, draws=2)["eer"] == row["eer"]


def test_the_floor_is_calibrated_on_speakers_that_its_folds_held_out():
    training = tones(8, 5, 4096)
    values, speakers, parts = mfcc_lda.mfcc_statistics(training.waveforms), training.speakers, []
    for known, unknown in mfcc_lda.GroupKFold(4, shuffle=True, random_state=0).split(values, groups=speakers):
        projected = mfcc_lda.discriminants(values[known], speakers[known]).transform(values[unknown])
        trials = pairs.all_trials(speakers[unknown])
        parts.append((metrics.cosine_scores(projected)[trials.left, trials.right], trials.label))
    expected = calibration.calibrate(*map(np.concatenate, zip(*parts, strict=True)))
    assert mfcc_lda.MfccLda().fit(training).calibration == pytest.approx(expected)


@pytest.mark.slow
@pytest.mark.backend
def test_the_published_recipe_keeps_its_logits(tmp_path, monkeypatch):
    training, test = tones(5, 4, 4096), tones(6, 6, 5120, seed=1)
    monkeypatch.setattr(baselines.corpora, "load_course", lambda _: (training, test))
    row = baselines.run_published_recipe("anywhere", tmp_path, epochs=1)
    system = score_files.load_scores(tmp_path, test)["published_recipe"]
    assert (system.threshold, system.calibration) == (0, (1, 0))
    probability = system.calibration.probability(system.scores)
    assert not np.allclose(
        probability, probability.T, atol=1e-4
    )  # kept as it is: each order has its own score
    again = bootstrap.evaluate(probability, test.speakers, published_recipe.THRESHOLD)
    for name in ("accuracy", "eer", "roc_auc", "min_dcf"):
        assert again[name] == pytest.approx(row[name], abs=1e-3)
    assert bootstrap.evaluate(system.scores, test.speakers, 0)["accuracy"] == pytest.approx(
        row["accuracy"], abs=1e-3
    )
