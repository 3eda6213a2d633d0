"""Every system on the same trials and the same draws: equal to what single systems and pairs are told."""

import errno
import json

import numpy as np
import pytest

from helpers import InputError, bootstrap, calibration, metrics, pairs
from helpers.evaluation.results import adjusted, enrolled_errors, evaluate_over_draws, intervals_table
from helpers.evaluation.results import metrics_row, write_row
from helpers.evaluation.score_files import Scores

RNG = np.random.default_rng(3)
SPEAKERS = np.repeat([4, 7, 9, 12, 20, 31], 7)  # numbers with gaps
OWN = np.repeat(RNG.normal(size=(6, 8)), 7, axis=0)
VOICES = OWN + RNG.normal(size=(42, 8))
MATRIX = metrics.cosine_scores(VOICES)
TRIALS = pairs.all_trials(SPEAKERS)
SIDES = SPEAKERS[TRIALS.left], SPEAKERS[TRIALS.right]


def system(matrix, threshold=0.3, slope=6.0, offset=-1.0):
    return Scores(matrix, threshold, calibration.Calibration(slope, offset), "tones", SPEAKERS)


OURS = system(MATRIX)
THEIRS = system(metrics.cosine_scores(OWN + 2 * RNG.normal(size=(42, 8))))
COUNTS = bootstrap.draw_speakers(SPEAKERS, 60, seed=5)


def of_trials(matrix):
    return matrix[TRIALS.left, TRIALS.right]


def eer(scores, labels, weights=None):
    return metrics.equal_error(scores, labels, weights)[0]


def test_figures_and_intervals_are_those_of_one_system_alone():
    table = evaluate_over_draws(OURS, COUNTS)
    alone = bootstrap.evaluate(MATRIX, SPEAKERS, 0.3, draws=60, seed=5)
    row = metrics_row(OURS, table)
    for name in bootstrap.FIGURES:
        assert row[name] == pytest.approx(alone[name])
        assert row[f"{name}_ci"] == pytest.approx(alone[f"{name}_ci"])
    assert {name: row[name] for name in ("threshold", "speakers_test", "trials", "corpus")} == {
        "threshold": 0.3, "speakers_test": 6, "trials": 861, "corpus": "tones",
    }  # fmt: skip
    scores, labels = of_trials(MATRIX), TRIALS.label
    assert row["cllr"] == pytest.approx(calibration.cllr(6 * scores - 1, labels))
    assert row["min_cllr"] == pytest.approx(calibration.min_cllr(scores, labels))
    index = np.unique(SPEAKERS, return_inverse=True)[1]
    count = COUNTS[7]
    first, second = index[TRIALS.left], index[TRIALS.right]
    weights = np.where(labels == 1, count[first], count[first] * count[second])
    assert table["cllr"][7] == pytest.approx(calibration.cllr(6 * scores - 1, labels, weights))
    assert table["min_cllr"][7] == pytest.approx(calibration.min_cllr(scores, labels, weights))


def test_a_system_is_judged_in_one_order_of_each_pair():
    spoilt = system(np.where(np.tri(42) == 1, 9.0, MATRIX))
    columns = [*bootstrap.FIGURES, "cllr", "min_cllr"]
    tables = [evaluate_over_draws(each, COUNTS)[columns] for each in (spoilt, OURS)]
    assert np.array_equal(*tables)


@pytest.mark.parametrize("name", ["eer", "min_cllr"])
def test_a_difference_is_the_paired_one(name):
    statistic = eer if name == "eer" else calibration.min_cllr
    expected = bootstrap.paired_difference(
        statistic, of_trials(OURS.scores), of_trials(THEIRS.scores), TRIALS.label, *SIDES, draws=60, seed=5
    )
    tables = [evaluate_over_draws(each, COUNTS) for each in (OURS, THEIRS)]
    found = bootstrap.difference(*(table[name] for table in tables))
    assert isinstance(found, bootstrap.Interval)
    assert found == pytest.approx(expected)
    assert bootstrap.difference(tables[0][name], tables[0][name]) == (0, 0, 0)


def test_an_adjusted_interval_holds_for_all_comparisons_together():
    found = bootstrap.Interval(1.0, 1 - 1.96, 1 + 2 * 1.96)  # as of normal distributions, a width a side
    assert adjusted(found, 1) == pytest.approx(found)
    normal = adjusted(found, 8)  # 0.05 / 8 / 2 lie beyond 2.734 standard deviations
    assert normal == pytest.approx((1.0, 1 - 2.734, 1 + 2 * 2.734), abs=1e-3)


def test_equal_errors_are_those_of_the_metrics():
    found = [evaluate_over_draws(each, COUNTS)["eer"] for each in (OURS, THEIRS)]
    assert np.shape(found) == (2, len(COUNTS))
    assert [each[0] for each in found] == pytest.approx(
        [eer(of_trials(each.scores), TRIALS.label) for each in (OURS, THEIRS)]
    )


def test_enrolment_averages_scores():
    found = enrolled_errors(MATRIX, SPEAKERS, [1, 3], COUNTS)
    assert found.shape == (2, len(COUNTS))
    trials = pairs.enrolments(SPEAKERS, 3)
    means = [
        np.mean([MATRIX[i, test] for i in rows])
        for rows, test in zip(trials.enrolled, trials.test, strict=True)
    ]
    assert found[1, 0] == pytest.approx(eer(np.array(means), trials.label))
    expected = bootstrap.bootstrap(
        eer, np.array(means), trials.label, trials.speaker, SPEAKERS[trials.test], draws=60, seed=5
    )
    assert bootstrap.interval(found[1])[1:] == pytest.approx(expected)
    table = evaluate_over_draws(OURS, COUNTS, enrolled=3)
    assert np.array_equal(table["eer_enrol3"], found[1])


def test_figures_as_text():
    table = intervals_table(
        {"ours": evaluate_over_draws(OURS, COUNTS), "theirs": evaluate_over_draws(THEIRS, COUNTS)}
    )
    assert list(table.index) == ["ours", "theirs"]
    assert table.loc["ours", "EER %"].split()[0] == f"{100 * eer(of_trials(MATRIX), TRIALS.label):.1f}"
    assert "to" in table.loc["theirs", "Cllr"]
    rates = ["accuracy %", "FA %", "FR %", "EER %", "AUC %"]
    assert list(table) == [*rates, "minDCF", "Cllr", "min Cllr", "EER % enrolled 5"]


# ---- metrics.json ------------------------------------------------------------------------------------------


def written_rows(folder):
    return json.loads((folder / "metrics.json").read_text())


def test_rows_are_added_and_replaced(tmp_path):
    write_row(tmp_path / "out", "siamese_gru", {"eer": 0.1, "corpus": "a"})
    write_row(tmp_path / "out", "ge2e", {"eer": 0.2})
    write_row(tmp_path / "out", "siamese_gru", {"eer": np.float64(0.3)})
    assert written_rows(tmp_path / "out") == {"siamese_gru": {"eer": 0.3}, "ge2e": {"eer": 0.2}}
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["metrics.json"]


@pytest.mark.parametrize(
    "content", [b"", b'{"siamese_gru": {"eer": 0.1}', b"[1, 2]", b"null", b"3", b'"x"', b"\xff\xfe"]
)
def test_a_damaged_table_is_refused_and_kept(tmp_path, content):
    (tmp_path / "metrics.json").write_bytes(content)
    with pytest.raises(InputError, match=r"metrics\.json is not a JSON object") as refusal:
        write_row(tmp_path, "ge2e", {"eer": 0.2})
    assert "\n" not in str(refusal.value)
    assert (tmp_path / "metrics.json").read_bytes() == content
    assert len(list(tmp_path.iterdir())) == 1


def test_a_full_disk_keeps_the_table(tmp_path, monkeypatch):
    write_row(tmp_path, "ge2e", {"eer": 0.2})
    write_text = type(tmp_path).write_text

    def half(path, text, *args, **kwargs):
        write_text(path, text[: len(text) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(type(tmp_path), "write_text", half)
        with pytest.raises(InputError, match=r"metrics\.json could not be saved \(No space left") as refusal:
            write_row(tmp_path, "siamese_gru", {"eer": 0.1})
    assert "\n" not in str(refusal.value)
    assert written_rows(tmp_path) == {"ge2e": {"eer": 0.2}}
    assert len(list(tmp_path.iterdir())) == 1


def test_a_row_that_is_no_json_keeps_the_table(tmp_path):
    write_row(tmp_path, "ge2e", {"eer": 0.2})
    for unfit in ({1, 2}, float("nan")):
        with pytest.raises(InputError, match=r"metrics\.json: the row siamese_gru cannot be written"):
            write_row(tmp_path, "siamese_gru", {"eer": unfit})
    assert written_rows(tmp_path) == {"ge2e": {"eer": 0.2}}
    assert len(list(tmp_path.iterdir())) == 1
