"""Scores to log likelihood ratios, and how good these are: Cllr, Bayes cost, reliability, DET.

Throughout, `labels` (trials,) are 1 for target and 0 for impostor trials, `weights` (trials,) say how often
each counts, once by default, and InputError is raised when a kind is missing or a score is not finite.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import isotonic_regression
from scipy.special import expit, xlogy
from scipy.stats import norm

from helpers import InputError
from helpers.metrics import _weighed, error_rates

RIDGE = 1e-8  # on the slope per standard deviation, against a loss in nats: too small for real trials


def _halved(scores, labels, weights):
    """Scores, and weights under which target and impostor trials count half each, 1 in all."""
    scores, target, impostor = _weighed(scores, labels, weights)
    return scores, target / target.sum() / 2, impostor / impostor.sum() / 2


def _bayes_threshold(target_prior, cost_miss, cost_false_alarm):
    """The log likelihood ratio from which on accepting is the cheaper decision."""
    if not (0 < target_prior < 1 and 0 < cost_miss < np.inf and 0 < cost_false_alarm < np.inf):
        found = f"a target prior of {target_prior} and costs of {cost_miss} and {cost_false_alarm}"
        raise InputError(found, expected="a prior between 0 and 1 and costs above 0")
    return np.log((1 - target_prior) / target_prior) + np.log(cost_false_alarm / cost_miss)


class Calibration(NamedTuple):
    """A line from scores to log likelihood ratios: natural log, `slope` x score + `offset`."""

    slope: float
    offset: float

    def llr(self, scores):
        """Log likelihood ratios, one speaker against two, of scores of any shape."""
        return self.slope * np.asarray(scores, dtype=float) + self.offset

    def probability(self, scores, target_prior=0.5):
        """Probability of one speaker, sigmoid(llr + logit(target_prior)), of scores of any shape."""
        return expit(self.llr(scores) - _bayes_threshold(target_prior, 1, 1))

    def threshold(self, target_prior=0.5, cost_miss=1, cost_false_alarm=1):
        """The score from which on accepting is the cheaper decision.

        (log(cost_false_alarm / cost_miss) - logit(target_prior) - offset) / slope; there the probability of
        one speaker is cost_false_alarm / (cost_false_alarm + cost_miss). InputError when the prior is not
        between 0 and 1, a cost (of a target rejected, of an impostor accepted) or the slope not above 0.
        """
        if not self.slope > 0:
            found = f"a slope of {self.slope:.3g}"
            raise InputError(found, expected="scores that are higher for one speaker")
        return float((_bayes_threshold(target_prior, cost_miss, cost_false_alarm) - self.offset) / self.slope)


def fuse(scores, labels, weights=None, ridge=RIDGE):
    """Weights (systems,) and an offset that make scores (trials, systems), added up, log likelihood ratios.

    Logistic regression in which target and impostor trials count half each, so that the log odds that are
    fitted are likelihood ratios however many trials of each kind there are: the linear fusion of Brümmer et
    al. (2007), "Fusion of heterogeneous speaker recognition systems in the STBU submission for the NIST
    speaker recognition evaluation 2006", IEEE TASLP 15(7). Its loss is `cllr` in nats, plus ridge / 2 times
    the sum of squares of the weights, each per standard deviation of its scores: they stay finite where the
    scores separate all trials. A system whose weight would be negative is left out, with a weight of 0.
    InputError when all scores of a system are equal.
    """
    columns = np.stack([_halved(column, labels, weights)[0] for column in np.asarray(scores).T], axis=1)
    _, target, impostor = _halved(columns[:, 0], labels, weights)
    mean = (target + impostor) @ columns
    spread = np.sqrt((target + impostor) @ (columns - mean) ** 2)
    for middle, width, column in zip(mean, spread, columns.T, strict=True):
        if not 1e-12 * np.abs(column).max() < width < np.inf:
            raise InputError(
                f"scores of {middle:.6g} with a spread of {width:.3g}", expected="scores that differ"
            )
    # Imported here, because it takes half a second, and verifying recordings calibrates nothing.
    from sklearn.linear_model import LogisticRegression

    # The weights sum to 1 and scikit-learn's ridge is half the slopes' squares: the loss above times C.
    regression, kept = LogisticRegression(C=1 / ridge, tol=1e-10, max_iter=1000), np.arange(len(mean))
    scaled, slopes = (columns - mean) / spread, np.zeros(len(mean))
    while True:
        regression.fit(scaled[:, kept], target > 0, sample_weight=target + impostor)
        found = regression.coef_[0]
        if len(kept) == 1 or found.min() >= 0:
            break
        kept = np.delete(kept, found.argmin())
    slopes[kept] = found / spread[kept]
    return slopes, float(regression.intercept_.item() - slopes @ mean)


def calibrate(scores, labels, weights=None):
    """Fit the line from scores (trials,) to log likelihood ratios: a `Calibration`; see `fuse`."""
    slopes, offset = fuse(np.asarray(scores)[:, None], labels, weights)
    return Calibration(float(slopes[0]), offset)


def cllr(llr, labels, weights=None):
    """Cost of log likelihood ratios (trials,), natural log, in bits: 0 is perfect, 1 what ratios of 1 get.

    Half the mean of log2(1 + exp(-llr)) over target and half that of log2(1 + exp(llr)) over impostor
    trials. Brümmer and du Preez (2006), "Application-independent evaluation of speaker detection", Computer
    Speech and Language 20(2-3), where it is called C_llr. Above 1 it is better not to listen.
    """
    llr, target, impostor = _halved(llr, labels, weights)
    losses = np.logaddexp(0, np.where(target > 0, -llr, llr)) / np.log(2)
    return float(np.sum((target + impostor) * losses))


def min_cllr(scores, labels, weights=None):
    """C_llr after the best rising function from scores (trials,) to ratios, found on these very trials.

    Pool adjacent violators finds it (Brümmer and du Preez 2006, see `cllr`); equal scores stay equal. It is
    the discrimination loss, between 0 and 1; what `cllr` has above it is the calibration loss.
    """
    scores, target, impostor = _halved(scores, labels, weights)
    order = np.argsort(scores, kind="stable")
    order = order[(target + impostor)[order] > 0]  # isotonic_regression takes no weight of 0
    starts = np.flatnonzero(np.append(True, np.diff(scores[order]) > 0))
    target, impostor = (np.add.reduceat(kind[order], starts) for kind in (target, impostor))
    pools = isotonic_regression(target / (target + impostor), weights=target + impostor).blocks[:-1]
    target, impostor = (np.add.reduceat(kind, pools) for kind in (target, impostor))
    nats = xlogy(target, target / (target + impostor)) + xlogy(impostor, impostor / (target + impostor))
    return abs(float(nats.sum() / np.log(2)))


def bayes_cost(llr, labels, target_prior, cost_miss=1, cost_false_alarm=1, weights=None):
    """Detection cost of the decisions that log likelihood ratios (trials,) call for ("actual DCF").

    Accepted is what lies at or above log(cost_false_alarm / cost_miss) - logit(target_prior). Normalised as
    in the NIST speaker recognition evaluations: 1 is the cost of the better answer without listening, and
    with costs of 1 `metrics.min_dcf` is the least possible. Errors as for `Calibration.threshold`.
    """
    accepted = np.asarray(llr) >= _bayes_threshold(target_prior, cost_miss, cost_false_alarm)
    _, target, impostor = _halved(llr, labels, weights)
    miss, false_alarm = target_prior * cost_miss, (1 - target_prior) * cost_false_alarm
    cost = miss * 2 * (target @ ~accepted) + false_alarm * 2 * (impostor @ accepted)
    return float(cost / min(miss, false_alarm))


def reliability(probability, labels, edges=10, weights=None):
    """Stated probability of one speaker against the observed share of targets, for a reliability diagram.

    Both kinds of trials count half each, so the probabilities (trials,) have to be those for a target prior
    of 0.5. `edges` are a number of bins of equal width, which spread the points over the plot where bins of
    equal count would crowd them at 0 and 1, or edges as for `np.histogram`. Returns mean probability, share
    of targets and weight (1 in all) of each bin that is not empty: arrays (bins,). InputError when a number
    is no probability. DeGroot and Fienberg (1983), "The comparison and evaluation of forecasters".
    """
    probability, target, impostor = _halved(probability, labels, weights)
    low, high = probability.min(), probability.max()
    if low < 0 or high > 1:
        raise InputError(f"probabilities from {low:.3g} to {high:.3g}", expected="numbers from 0 to 1")
    total, share, weight = (
        np.histogram(probability, edges, range=(0, 1), weights=values)[0]
        for values in ((target + impostor) * probability, target, target + impostor)
    )
    full = weight > 0
    return total[full] / weight[full], share[full] / weight[full], weight[full]


def det_curve(scores, labels, weights=None):
    """Thresholds and both rates of `metrics.error_rates`, and the normal deviates x and y of the rates.

    Five arrays (points,). On axes of normal deviates two normal distributions of one width give a straight
    line: Martin et al. (1997), "The DET curve in assessment of detection task performance", Eurospeech.
    Rates of 0 and 1 are drawn half a trial away from them: with n trials of a kind, at 0.5 / (n + 1).
    """
    thresholds, *rates = error_rates(scores, labels, weights)
    _, target, impostor = _weighed(scores, labels, weights)
    least = [0.5 / (np.count_nonzero(kind) + 1) for kind in (impostor, target)]
    deviates = (norm.ppf(np.clip(r, low, 1 - low)) for r, low in zip(rates, least, strict=True))
    return thresholds, *rates, *deviates
