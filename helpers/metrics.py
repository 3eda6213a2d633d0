"""Error rates of scored trials: EER, ROC AUC, minDCF, balanced accuracy."""

import numpy as np

from helpers import InputError

TARGET_PRIOR = 0.05  # of minDCF, as in the NIST and VoxCeleb evaluations


def cosine_scores(embeddings):
    """Cosine similarity of every utterance with every other.

    Parameters
    ----------
    embeddings : array (utterances, dimensions)

    Returns
    -------
    array (utterances, utterances)
        Symmetric, 1 on the diagonal.
    """
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    return unit @ unit.T


def enrolled_scores(embeddings, trials):
    """Cosine similarity of a test utterance with the mean of the enrolled ones.

    Parameters
    ----------
    embeddings : array (utterances, dimensions)
        Of length 1.
    trials : pairs.Enrolments

    Returns
    -------
    array (trials,)
    """
    models = embeddings[trials.enrolled].mean(axis=1)
    models /= np.linalg.norm(models, axis=1, keepdims=True)
    return np.sum(models * embeddings[trials.test], axis=1)


def _weighed(scores, labels, weights):
    """Scores, and each trial's weight as a target and as an impostor trial, once both kinds are there."""
    scores, labels = np.asarray(scores, dtype=float), np.asarray(labels)
    if not np.isfinite(scores).all():
        raise InputError(f"{np.sum(~np.isfinite(scores))} of {len(scores)} scores are not finite numbers")
    weights = np.ones(len(scores)) if weights is None else np.asarray(weights, dtype=float)
    target, impostor = weights * (labels == 1), weights * (labels == 0)
    if target.sum() == 0 or impostor.sum() == 0:
        raise InputError("all trials are of one kind", expected="both target and impostor trials")
    return scores, target, impostor


def error_rates(scores, labels, weights=None):
    """False acceptance and false rejection at every threshold that makes a difference.

    A trial is accepted when its score is at least the threshold.

    Parameters
    ----------
    scores : array (trials,)
        Higher for the same speaker.
    labels : int array (trials,)
        1 for target, 0 for impostor trials.
    weights : array (trials,), optional
        How often each trial counts; once by default.

    Returns
    -------
    thresholds, false_acceptance, false_rejection : arrays (points,)
        Thresholds rise from the lowest score (accept all) to infinity (reject all).

    Raises
    ------
    InputError
        When target or impostor trials are missing, or a score is not finite.
    """
    scores, target, impostor = _weighed(scores, labels, weights)
    order = np.argsort(scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) > 0, True))  # equal scores move as one
    rejected, turned_away = (np.append(0, np.cumsum(kind[order])[ends]) for kind in (target, impostor))
    return np.append(scores[order][ends], np.inf), 1 - turned_away / turned_away[-1], rejected / rejected[-1]


def equal_error(scores, labels, weights=None):
    """Equal error rate and the threshold where false acceptance equals false rejection.

    Between the two thresholds on either side of the crossing, both rates are interpolated linearly.

    Parameters
    ----------
    scores, labels, weights
        As for `error_rates`.

    Returns
    -------
    rate, threshold : float
    """
    return equal_error_of_rates(*error_rates(scores, labels, weights))


def equal_error_of_rates(thresholds, accepted, rejected):
    """What `equal_error` gives, from what `error_rates` gives."""
    after = int(np.argmax(rejected >= accepted))
    gap = accepted - rejected
    share = gap[after - 1] / (gap[after - 1] - gap[after])
    position = share if gap[after] < 0 else 0.5  # equal rates from one score to the next: halfway between
    rate = accepted[after - 1] + share * (accepted[after] - accepted[after - 1])
    upper = thresholds[min(after, len(thresholds) - 2)]  # the last one is infinite
    return float(rate), float(thresholds[after - 1] + position * (upper - thresholds[after - 1]))


def roc_auc(scores, labels, weights=None):
    """Area under the ROC curve: the chance that a target outscores an impostor, ties counted half.

    Arguments as for `error_rates`.
    """
    return roc_auc_of_rates(*error_rates(scores, labels, weights))


def roc_auc_of_rates(thresholds, accepted, rejected):
    """What `roc_auc` gives, from what `error_rates` gives."""
    return float(np.trapezoid((1 - rejected)[::-1], accepted[::-1]))


def min_dcf(scores, labels, weights=None, target_prior=TARGET_PRIOR):
    """Smallest detection cost over all thresholds, as a share of the cost of not listening.

    The normalised detection cost of the NIST speaker recognition evaluations, both errors costing 1.

    Parameters
    ----------
    scores, labels, weights
        As for `error_rates`.
    target_prior : float
        Share of target trials in the use that is meant.

    Returns
    -------
    float
        0 is perfect, 1 no better than always giving the likelier answer.
    """
    return min_dcf_of_rates(*error_rates(scores, labels, weights), target_prior)


def min_dcf_of_rates(thresholds, accepted, rejected, target_prior=TARGET_PRIOR):
    """What `min_dcf` gives, from what `error_rates` gives."""
    cost = target_prior * rejected + (1 - target_prior) * accepted
    return float(cost.min() / min(target_prior, 1 - target_prior))


def balanced_accuracy(scores, labels, threshold, weights=None):
    """Accuracy over target and impostor trials, both kinds counting the same.

    The accuracy expected of pairs drawn half and half, without the luck of one draw.

    Parameters
    ----------
    scores, labels, weights
        As for `error_rates`.
    threshold : float
        Fixed beforehand, on other speakers; scores at or above it are accepted.
    """
    return 1 - sum(errors_at(scores, labels, threshold, weights)) / 2


def errors_at(scores, labels, threshold, weights=None):
    """False acceptance and false rejection at one threshold, as for `balanced_accuracy`: two floats."""
    scores, target, impostor = _weighed(scores, labels, weights)
    accepted = scores >= threshold
    return float(np.average(accepted, weights=impostor)), float(np.average(~accepted, weights=target))
