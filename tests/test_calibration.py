"""Likelihood ratios by hand, against closed forms and scikit-learn."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from helpers import InputError, metrics
from helpers.calibration import Calibration, bayes_cost, calibrate, cllr, det_curve, fuse, min_cllr
from helpers.calibration import reliability


def gaussian_llrs(spread, targets, impostors):
    """Perfectly calibrated ratios, evenly through both distributions: no luck of a draw."""
    deviates = [norm.ppf((np.arange(n) + 0.5) / n) for n in (targets, impostors)]
    llr = np.concatenate([spread**2 / 2 + spread * deviates[0], -(spread**2) / 2 + spread * deviates[1]])
    return llr, np.repeat([1, 0], [targets, impostors])


def drawn(seed, targets=60, impostors=240, values=None):
    """Scores that lean with the labels, shuffled; on few values where asked for."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat([1, 0], [targets, impostors]))
    scores = rng.normal(size=len(labels)) + 1.5 * labels
    return (scores if values is None else np.round(scores * values) / values), labels


def repeated(seed):
    """Trials, whole weights for them, and which trials to write out in place of the weights."""
    scores, labels = drawn(seed, values=4)
    weights = np.random.default_rng(seed).integers(4, size=len(labels))
    return scores, labels, weights, np.repeat(np.arange(len(labels)), weights)


# ---- from scores to likelihood ratios ----------------------------------------------------------------------


@pytest.mark.parametrize(("targets", "impostors"), [(5000, 5000), (500, 50_000), (50_000, 500)])
@pytest.mark.parametrize("spread", [1, 3])
def test_calibrated_ratios_are_left_as_they_are(spread, targets, impostors):
    llr, labels = gaussian_llrs(spread, targets, impostors)
    assert calibrate(llr, labels) == pytest.approx((1, 0), abs=0.005)
    assert calibrate((llr - 3) / 5, labels) == pytest.approx((5, 3), abs=0.025)


@pytest.mark.parametrize("seed", range(4))
def test_the_line_against_scikit_learn(seed):
    scores, labels, weights, _ = repeated(seed)
    halves = np.where(labels == 1, 1 / weights[labels == 1].sum(), 1 / weights[labels == 0].sum()) * weights
    reference = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10)
    reference.fit(scores[:, None], labels, sample_weight=100 * halves)
    expected = reference.coef_[0, 0], reference.intercept_[0]
    assert calibrate(scores, labels, weights) == pytest.approx(expected, rel=1e-5)


def test_no_other_line_has_a_lower_cost():
    scores, labels = drawn(0)
    slope, offset = calibrate(scores, labels)
    least = cllr(slope * scores + offset, labels)
    for change in (0.9, 0.99, 1.01, 1.1):
        assert cllr(change * slope * scores + offset, labels) > least
        assert cllr(slope * scores + change * offset, labels) > least


@pytest.mark.parametrize(("scale", "shift"), [(1e-9, 0), (1e9, 0), (0.01, 50), (-1, 3)])
def test_the_scale_of_scores_does_not_matter(scale, shift):
    scores, labels = drawn(1)
    llr = calibrate(scores, labels).llr(scores)
    again = scores * scale + shift
    np.testing.assert_allclose(calibrate(again, labels).llr(again), llr, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("impostors", "targets"),
    [([0.0], [1.0]), ([0.1, 0.2, 0.3], [0.7, 0.9]), ([-1.0, 0.0], [0.01, 1.0]), ([0.0] * 1000, [1.0])],
)
def test_separable_scores_stay_finite(impostors, targets):
    scores, labels = np.append(impostors, targets), np.repeat([0, 1], [len(impostors), len(targets)])
    line = calibrate(scores, labels)
    assert np.isfinite(line).all()
    assert line.slope > 0
    assert max(impostors) < line.threshold() < min(targets)
    assert cllr(line.llr(scores), labels) < 0.01
    assert calibrate(scores, 1 - labels).slope == pytest.approx(-line.slope)
    narrow = calibrate([-1, 0, 1e-9, 1], [0, 0, 1, 1])  # nothing but a ridge holds this slope below 1e10
    assert 0 < narrow.slope < 1e6


@pytest.mark.slow
def test_outliers_do_not_make_newton_diverge():
    rng = np.random.default_rng(0)
    for _ in range(200):
        labels = np.append([0, 1], rng.integers(2, size=20))
        scores = rng.standard_cauchy(22) ** 3
        line = calibrate(scores, labels)
        assert np.isfinite(line).all()
        assert cllr(line.llr(scores), labels) <= 1 + 1e-9  # that of slope 0


@pytest.mark.parametrize(
    ("scores", "labels", "weights"),
    [([4, 9, 25], [0, 1, 1], [0.1, 1e-5, 0.1]), ([8, 125, 512, 729], [1, 0, 0, 0], [1e-3, 1e-4, 1, 0.1])],
)
def test_steps_that_would_be_too_long_are_shortened(scores, labels, weights):
    """Weights so unlike that Newton's method alone jumps to where the loss has no curvature."""
    line = calibrate(scores, labels, weights)
    assert cllr(line.llr(scores), labels, weights) < 1e-3


def test_scores_that_tell_nothing():
    with pytest.raises(InputError, match="expected scores that differ"):
        calibrate(np.full(10, 0.1), np.repeat([0, 1], 5))
    with pytest.raises(InputError, match="expected scores that differ"):
        calibrate([0.1, 0.1, 0.7], [0, 1, 1], [1, 1, 0])
    assert calibrate([1, 2, 1, 2], [0, 0, 1, 1]) == pytest.approx((0, 0), abs=1e-9)


# ---- several systems at once -------------------------------------------------------------------------------


def normal_scores(gaps, covariance, targets=40_000, impostors=60_000, seed=0):
    """Scores (trials, systems), normal with one covariance around plus and minus half a gap."""
    rng, labels = np.random.default_rng(seed), np.repeat([1, 0], [targets, impostors])
    noise = rng.multivariate_normal(np.zeros(len(gaps)), covariance, len(labels))
    return noise + (labels[:, None] - 0.5) * gaps, labels


def test_known_weights_are_recovered():
    """The log likelihood ratio of normal scores is linear: inverse covariance times gap."""
    gaps, covariance = np.array([2.0, 1.0, 0.8]), np.array([[1, 0.3, 0], [0.3, 1, 0], [0, 0, 0.5]])
    scores, labels = normal_scores(gaps, covariance)
    weights, offset = fuse(scores, labels)
    np.testing.assert_allclose(weights, np.linalg.solve(covariance, gaps), rtol=0.05)
    assert offset == pytest.approx(0, abs=0.05)
    stretched = scores * [10, 0.1, 1] + [3, -2, 0]
    again, shift = fuse(stretched, labels)
    np.testing.assert_allclose(again, weights / [10, 0.1, 1], rtol=1e-5)
    np.testing.assert_allclose(stretched @ again + shift, scores @ weights + offset, atol=1e-5)
    singles = [cllr(calibrate(column, labels).llr(column), labels) for column in scores.T]
    assert cllr(scores @ weights + offset, labels) < min(singles)


@pytest.mark.parametrize("seed", range(3))
def test_the_fusion_of_one_system_is_its_calibration(seed):
    scores, labels, counts, _ = repeated(seed)
    (weight,), offset = fuse(scores[:, None], labels, counts)
    assert (weight, offset) == pytest.approx(calibrate(scores, labels, counts))


@pytest.mark.parametrize("seed", range(3))
def test_weights_of_trials_are_repetitions(seed):
    scores, labels, counts, rows = repeated(seed)
    both = np.stack([scores, np.random.default_rng(seed).normal(size=len(labels)) + labels], axis=1)
    weights, offset = fuse(both, labels, counts)
    expected, shift = fuse(both[rows], labels[rows])
    np.testing.assert_allclose(weights, expected, rtol=1e-4)
    assert offset == pytest.approx(shift, rel=1e-4)


def test_a_useless_system_has_no_say():
    scores, labels = normal_scores(np.array([2.0, 0.0]), np.eye(2))
    weights, _ = fuse(scores, labels)
    assert weights[0] == pytest.approx(2, rel=0.05)
    assert 0 <= weights[1] < 0.03


def test_a_system_that_would_count_against_itself_is_left_out():
    """What two systems err in alike would be taken away by the worse one."""
    scores, labels = normal_scores(np.array([2.0, 0.3]), np.array([[1, 0.8], [0.8, 1]]))
    weights, offset = fuse(scores, labels)
    slope, expected = calibrate(scores[:, 0], labels)
    assert weights == pytest.approx([slope, 0])
    assert offset == pytest.approx(expected)
    (alone,), _ = fuse(-scores[:, :1], labels)  # the last one keeps its sign
    assert alone == pytest.approx(-slope)


def test_a_ridge_keeps_systems_that_say_the_same_near_each_other():
    scores, labels = normal_scores(np.array([2.0, 2.0]), np.array([[1, 0.9999], [0.9999, 1]]), 200, 300)
    far, near = (fuse(scores, labels, ridge=ridge)[0] for ridge in (1e-8, 1e-3))
    assert np.ptp(near) < 0.5 * near.mean() < np.ptp(far)
    assert near.sum() == pytest.approx(far.sum(), rel=0.1)


def test_systems_that_tell_nothing_are_refused():
    scores, labels = drawn(0)
    with pytest.raises(InputError, match=r"scores of 0\.1 with a spread of .*; expected scores that differ"):
        fuse(np.stack([scores, np.full(len(scores), 0.1)], axis=1), labels)
    with pytest.raises(InputError, match="finite"):
        fuse(np.stack([scores, np.where(labels, np.nan, 1)], axis=1), labels)


@pytest.mark.parametrize("prior", [0.01, 0.5, 0.9])
@pytest.mark.parametrize(("miss", "false_alarm"), [(1, 1), (10, 1), (1, 4)])
def test_probability_and_threshold_agree(prior, miss, false_alarm):
    line = Calibration(12.0, -5.0)
    threshold = line.threshold(prior, miss, false_alarm)
    assert line.probability(threshold, prior) == pytest.approx(false_alarm / (false_alarm + miss))
    for score, accept in ((threshold - 0.01, False), (threshold + 0.01, True)):
        same = line.probability(score, prior)
        assert (miss * same > false_alarm * (1 - same)) == accept  # the dearer mistake is avoided


def test_probability_by_hand():
    line = Calibration(2.0, -1.0)
    assert line.llr([0.5, 1.5]).tolist() == [0, 2]
    assert line.threshold() == 0.5
    assert line.probability(0.5) == 0.5
    assert line.probability(0.5, target_prior=0.2) == pytest.approx(0.2)  # a ratio of 1 tells nothing
    odds = np.exp(2) * 0.2 / 0.8
    assert line.probability([[1.5]], 0.2) == pytest.approx(np.array([[odds / (1 + odds)]]))


@pytest.mark.parametrize(
    "arguments", [(0,), (1,), (-0.1,), (np.nan,), (0.5, 0), (0.5, 1, -1), (0.5, np.inf), (0.5, 1, np.inf)]
)
def test_impossible_uses_are_refused(arguments):
    with pytest.raises(InputError, match="expected a prior"):
        Calibration(1.0, 0.0).threshold(*arguments)
    with pytest.raises(InputError, match="expected a prior"):
        bayes_cost([0.0, 1.0], [0, 1], *arguments)
    if len(arguments) == 1:
        with pytest.raises(InputError, match="expected a prior"):
            Calibration(1.0, 0.0).probability([0.5], *arguments)


@pytest.mark.parametrize("slope", [0.0, -2.0, np.nan])
def test_no_threshold_on_a_line_that_does_not_rise(slope):
    with pytest.raises(InputError, match="a slope of"):
        Calibration(slope, 0.0).threshold()


# ---- the cost of likelihood ratios -------------------------------------------------------------------------


def test_cllr_by_hand():
    llr, labels = np.log([3, 1, 1 / 7, 3]), [1, 1, 0, 0]
    # log2 of 1 + 1/3 and of 2 over the targets, of 1 + 1/7 and of 4 over the impostors.
    targets, impostors = (0.415037 + 1) / 2, (0.192645 + 2) / 2
    assert cllr(llr, labels) == pytest.approx((targets + impostors) / 2, abs=1e-6)
    assert cllr(llr[1:], labels[1:]) == pytest.approx((1 + impostors) / 2, abs=1e-6)
    assert cllr(np.zeros(5), [1, 0, 0, 0, 0]) == pytest.approx(1)
    assert cllr([1000.0, -1000.0], [1, 0]) == 0
    assert cllr([-1000.0, -1000.0], [1, 0]) == pytest.approx(500 / np.log(2))


@pytest.mark.parametrize("spread", [1, 3])
def test_cllr_of_calibrated_ratios(spread):
    llr, labels = gaussian_llrs(spread, 20_000, 5000)
    expected, _ = quad(
        lambda x: norm.pdf(x, spread**2 / 2, spread) * np.logaddexp(0, -x) / np.log(2), -40, 40, points=[0]
    )
    assert cllr(llr, labels) == pytest.approx(expected, abs=3e-4)
    assert min_cllr(llr, labels) == pytest.approx(expected, abs=1e-3)
    assert 0 < cllr(llr, labels) - min_cllr(llr, labels) < 1e-3
    assert cllr(2 * llr, labels) > expected + 0.03  # too sure of itself: a calibration loss
    assert cllr(llr / 2, labels) > expected + 0.02


def test_min_cllr_by_hand():
    assert min_cllr([1, 2, 3, 4], [0, 1, 0, 1]) == pytest.approx(0.5)  # 2 and 3 pooled: a ratio of 1
    # The first alone, the others pooled: one of two impostors beside the target, so shares of 1/3 and 2/3.
    assert min_cllr([1, 2, 3], [0, 1, 0]) == pytest.approx((np.log2(3 / 2) + np.log2(3) / 2) / 2)
    assert min_cllr([1, 2, 3, 4], [0, 0, 1, 1]) == 0
    assert min_cllr([1, 2, 3, 4], [1, 1, 0, 0]) == 1
    assert min_cllr([5, 5, 5], [0, 1, 0]) == pytest.approx(1)  # equal scores cannot be told apart


@pytest.mark.parametrize("seed", range(4))
def test_min_cllr_against_scikit_learn(seed):
    scores, labels, weights, _ = repeated(seed)
    halves = np.where(labels == 1, 1 / weights[labels == 1].sum(), 1 / weights[labels == 0].sum()) * weights
    share = IsotonicRegression().fit(scores, labels, sample_weight=halves).predict(scores)
    right = np.where(labels == 1, share, 1 - share)
    used = halves > 0
    assert min_cllr(scores, labels, weights) == pytest.approx(-halves[used] @ np.log2(right[used]) / 2)


@pytest.mark.parametrize("seed", range(6))
def test_min_cllr_looks_at_the_order_only(seed):
    scores, labels = drawn(seed, values=4)
    least = min_cllr(scores, labels)
    for changed in (np.exp(scores), 100 * scores - 7, scores**3):
        assert min_cllr(changed, labels) == pytest.approx(least)
        assert least <= cllr(changed, labels)
    assert least <= cllr(calibrate(scores, labels).llr(scores), labels) < 1
    assert min_cllr(-scores, labels) > least


# ---- the cost of decisions ---------------------------------------------------------------------------------


def test_bayes_cost_by_hand():
    llr, labels = [2.0, 1.0, -1.0, 0.5, -2.0], [1, 1, 1, 0, 0]
    # At 0: one of three targets missed, one of two impostors accepted.
    assert bayes_cost(llr, labels, 0.5) == pytest.approx(1 / 3 + 1 / 2)
    # A prior of 0.2 asks for log 4 = 1.39: two of three missed, nobody accepted.
    assert bayes_cost(llr, labels, 0.2) == pytest.approx(2 / 3)
    # Missing costs 16 times as much: from log 4 down to -log 4, so that all targets are accepted.
    assert bayes_cost(llr, labels, 0.2, cost_miss=16) == pytest.approx((0.8 / 2) / 0.8)
    assert bayes_cost(llr, labels, 0.2, 2, 2) == pytest.approx(2 / 3)
    assert bayes_cost(llr, labels, 0.5, 1, 4) == pytest.approx(2 / 3)  # as a prior of 0.2
    assert bayes_cost([-1.0, 0.0], [0, 1], 0.5) == 0  # at the threshold: accepted


@pytest.mark.parametrize("prior", [0.05, 0.5, 0.8])
def test_calibrated_ratios_decide_as_well_as_can_be(prior):
    llr, labels = gaussian_llrs(3, 2000, 5000)
    least = metrics.min_dcf(llr, labels, target_prior=prior)
    assert bayes_cost(llr, labels, prior) == pytest.approx(least, abs=0.004)
    assert bayes_cost(llr + 2, labels, prior) > least + 0.02
    scores, labels = drawn(2)
    assert bayes_cost(scores, labels, prior) >= metrics.min_dcf(scores, labels, target_prior=prior)


def test_the_threshold_decides_as_the_ratio_does():
    scores, labels = drawn(3)
    line = calibrate(scores, labels)
    threshold = line.threshold(0.5)
    accuracy = metrics.balanced_accuracy(scores, labels, threshold)
    assert bayes_cost(line.llr(scores), labels, 0.5) == pytest.approx(2 * (1 - accuracy))


# ---- what the plots show -----------------------------------------------------------------------------------


def test_reliability_by_hand():
    probability, labels = [0.05, 0.15, 0.15, 0.95, 1.0, 0.5], [0, 0, 1, 1, 1, 0]
    stated, observed, weight = reliability(probability, labels, edges=2)  # 0.5 is in the upper half
    np.testing.assert_allclose(weight, [1 / 3 + 1 / 6, 1 / 3 + 1 / 6])
    np.testing.assert_allclose(observed, [(1 / 6) / (1 / 2), (2 / 6) / (1 / 2)])
    np.testing.assert_allclose(stated, [(0.05 + 0.15 + 0.15) / 3, (0.95 + 1 + 0.5) / 3])
    stated, observed, weight = reliability(probability, labels)  # ten bins, four of them not empty
    np.testing.assert_allclose(stated, [0.05, 0.15, 0.5, 0.975])
    np.testing.assert_allclose(observed, [0, 0.5, 0, 1])
    assert len(reliability(probability, labels, edges=[0, 0.1, 1])[0]) == 2
    weight = reliability(probability, labels, edges=[0, 0.1, 1], weights=[3, 1, 1, 1, 1, 0])[2]
    np.testing.assert_allclose(weight, [3 / 8, 5 / 8])


def test_reliability_of_calibrated_ratios_lies_on_the_diagonal():
    llr, labels = gaussian_llrs(2, 4000, 40_000)
    line = Calibration(1.0, 0.0)
    stated, observed, weight = reliability(line.probability(llr), labels)
    assert len(stated) == 10
    assert weight.sum() == pytest.approx(1)
    np.testing.assert_allclose(observed, stated, atol=0.01)
    stated, observed, _ = reliability(line.probability(2 * llr), labels)
    assert (observed[1:4] > stated[1:4] + 0.04).all()  # too sure of itself: flatter than the diagonal
    assert (observed[6:9] < stated[6:9] - 0.04).all()


def test_what_is_no_probability_is_refused():
    for bad in (-0.1, 1.1):
        with pytest.raises(InputError, match="expected numbers from 0 to 1"):
            reliability([0.5, bad, 0.5], [0, 1, 1])


def test_det_curve_of_two_normals_is_a_straight_line():
    scores, labels = gaussian_llrs(2, 2000, 8000)
    _, accepted, rejected, x, y = det_curve(scores, labels)
    for rates, expected in zip((accepted, rejected), metrics.error_rates(scores, labels)[1:], strict=True):
        np.testing.assert_array_equal(rates, expected)
    assert (np.diff(x) <= 0).all()
    assert (np.diff(y) >= 0).all()
    assert np.isfinite([x, y]).all()
    assert x.min() == pytest.approx(norm.ppf(0.5 / 8001))
    assert y.max() == pytest.approx(-norm.ppf(0.5 / 2001))
    inside = (np.minimum(accepted, rejected) > 0.002) & (np.maximum(accepted, rejected) < 0.998)
    np.testing.assert_allclose((x + y)[inside], -2, atol=0.06)


@pytest.mark.parametrize("labels", [[0, 1], [1, 0], [0, 0, 0, 1], [1, 1, 1, 0]])
def test_det_curve_is_finite_for_the_smallest_lists(labels):
    _, accepted, rejected, x, y = det_curve(np.arange(len(labels)), labels)
    assert np.isfinite([x, y]).all()
    inside = (accepted > 0) & (accepted < 1)
    np.testing.assert_allclose(x[inside], norm.ppf(accepted[inside]))  # a true rate is left alone
    assert (x[accepted == 1] > 0).all()
    assert (y[rejected == 0] < 0).all()


# ---- every statistic ---------------------------------------------------------------------------------------

STATISTICS = {
    "calibrate": calibrate,
    "cllr": cllr,
    "min_cllr": min_cllr,
    "bayes_cost": lambda llr, labels, weights=None: bayes_cost(llr, labels, 0.1, 1, 2, weights),
    "reliability": lambda p, labels, weights=None: reliability(norm.cdf(p), labels, 10, weights),
    "det_curve": lambda scores, labels, weights=None: det_curve(scores, labels, weights)[1:3],
}


@pytest.mark.parametrize("name", STATISTICS)
@pytest.mark.parametrize("seed", range(3))
def test_weights_are_repetitions(name, seed):
    scores, labels, weights, written_out = repeated(seed)
    weighed = STATISTICS[name](scores, labels, weights)
    if name == "det_curve":  # thresholds at scores of weight 0 add points, no rates
        weighed = np.unique(np.round(weighed, 12), axis=1)
        expected = np.unique(np.round(det_curve(scores[written_out], labels[written_out])[1:3], 12), axis=1)
    else:
        expected = STATISTICS[name](scores[written_out], labels[written_out])
    np.testing.assert_allclose(weighed, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", STATISTICS)
def test_bad_trials_are_refused(name):
    for bad in (np.nan, np.inf):
        with pytest.raises(InputError, match="1 of 3 scores"):
            STATISTICS[name]([0.1, bad, 0.3] if name != "reliability" else [0.1, np.nan, 0.3], [0, 1, 1])
    for labels, weights in (([1, 1, 1], None), ([0, 0, 0], None), ([0, 1, 1], [1, 0, 0])):
        with pytest.raises(InputError, match="one kind"):
            STATISTICS[name]([0.1, 0.2, 0.3], labels, weights)
