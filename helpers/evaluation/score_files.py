"""A system as a matrix of scores in a file, so that all systems are judged on the same trials.

``OUT/scores/SYSTEM.npz`` holds the scores of all test utterances with one another, the threshold and the
calibration that were fixed without them, and which utterances they were.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from helpers import InputError, first_line
from helpers.calibration import Calibration
from helpers.files import atomic_write

# What makes the scores of a system that is missing.
COMMANDS = {
    "ensemble": "python -m helpers.batch --notebooks 04,06 --data DATA --out OUT, seven minutes",
    "siamese_gru": "python -m helpers.batch --notebooks 04,05 --data DATA --out OUT, three minutes",
    "published_recipe": "python -m helpers.research.baselines published_recipe --data DATA --out OUT, "
    "7 to 15 minutes",
    "mfcc_lda": "python -m helpers.research.baselines mfcc_lda --data DATA --out OUT, seconds",
    "ge2e_softmax": "python -m helpers.batch --notebooks 07 --data DATA --out OUT, a minute",
    "ge2e_contrast": "python -m helpers.batch --notebooks 07 --data DATA --out OUT, a minute",
    "contrastive_mel": "python -m helpers.batch --notebooks 08 --data DATA --out OUT, a minute",
    "vgg_attention": "python -m helpers.batch --notebooks 09 --data DATA --out OUT, a minute",
}


class Scores(NamedTuple):
    """What a system says of a test set.

    `scores` (n, n) has element (i, j) for utterance i against utterance j; `threshold` and `calibration` (to
    log likelihood ratios) were fixed without test data; `corpus` and `speakers` (n,) say of whom.
    """

    scores: np.ndarray
    threshold: float
    calibration: Calibration
    corpus: str
    speakers: np.ndarray

    @property
    def llr(self):
        """The scores as log likelihood ratios (n, n)."""
        return self.calibration.llr(self.scores)


def save_scores(folder, system, scores, threshold, slope, offset, test):
    """Keep a system's scores in FOLDER/scores/SYSTEM.npz, whole or not at all; returns the path.

    Parameters
    ----------
    folder : path
    system : str
        Short name, as in metrics.json; an earlier file of that name is replaced.
    scores : float array (n, n)
        Higher for the same speaker; kept in single precision.
    threshold : float
        From which on a pair is accepted, fixed without test data.
    slope, offset : float
        ``slope * score + offset`` is the log likelihood ratio (natural log), fixed without test data.
    test : corpora.Corpus or corpora.Recordings
        The n utterances; the file keeps the corpus's name, the speakers, and each utterance's level, by which
        other recordings are told apart.

    Raises
    ------
    InputError
        When the scores are not finite numbers (n, n), or cannot be written.
    """
    with np.errstate(over="ignore"):  # what is too large is refused below
        scores = np.asarray(scores, dtype=np.float32)
    path = Path(folder) / "scores" / f"{system}.npz"
    _check(path, scores, (threshold, slope, offset), len(speakers_of(test)))
    facts = {"threshold": float(threshold), "slope": float(slope), "offset": float(offset)}
    facts |= {"corpus": test.name, "speakers": speakers_of(test), "levels": _levels(test)}
    with atomic_write(path) as part, part.open("wb") as file:
        np.savez_compressed(file, scores=scores, **facts)
    return path


def speakers_of(test):
    """The speakers (n,) of a corpora.Corpus, or the labels of corpora.Recordings."""
    return test.speakers if hasattr(test, "speakers") else test.labels


def _levels(test):
    return np.array([np.sqrt(np.mean(np.square(waveform))) for waveform in test.waveforms])


def _check(path, scores, facts, count):
    if scores.shape != (count, count) or not np.isfinite(scores).all() or not np.isfinite(facts).all():
        wrong = np.count_nonzero(~np.isfinite(scores)) + np.count_nonzero(~np.isfinite(facts))
        found = f"has scores {scores.shape} for {count} utterances, and {wrong} numbers that are not finite"
        raise InputError(found, file=path.name, expected="a finite score for every two utterances")


def load_scores(folder, test, refused=None):
    """Every system's scores in FOLDER/scores, of a test set.

    Parameters
    ----------
    folder : path
    test : corpora.Corpus
    refused : dict, optional
        Takes the reason, one line, of each system whose file does not fit, and the others go on.

    Returns
    -------
    dict of str to Scores
        In the order of the names.

    Raises
    ------
    InputError
        Without `refused`: when a file is damaged, or of another corpus or other utterances, naming it.
    """
    systems = {}
    for path in sorted((Path(folder) / "scores").glob("[!.]*.npz")):
        try:
            systems[path.stem] = _load(path, test)
        except InputError as error:
            if refused is None:
                raise
            refused[path.stem] = str(error)
    return systems


def _load(path, test):
    again = f"{COMMANDS.get(path.stem, 'the program that wrote it')} makes it anew"
    try:
        with np.load(path, allow_pickle=False) as file:
            scores, levels = (file[name].astype(float) for name in ("scores", "levels"))
            threshold, *line = (float(file[name]) for name in ("threshold", "slope", "offset"))
            system = Scores(scores, threshold, Calibration(*line), str(file["corpus"]), file["speakers"])
    except Exception as error:  # a damaged archive surfaces as any kind of exception
        reason = first_line(type(error).__name__, error)[:100]
        raise InputError(f"{path.name} is not a whole file of scores ({reason}); {again}") from error
    found = f"has {len(system.speakers)} utterances of {system.corpus}"
    expected = f"the {len(speakers_of(test))} of {test.name}; {again}"
    if system.corpus != test.name or not np.array_equal(system.speakers, speakers_of(test)):
        raise InputError(found, file=path.name, expected=expected)
    if not np.allclose(levels, _levels(test), rtol=1e-3):
        raise InputError(f"{found}, recorded otherwise", file=path.name, expected=expected)
    _check(path, system.scores, (system.threshold, *system.calibration), len(system.speakers))
    return system


def missing(systems):
    """A line for each known system that is not among `systems`, with the command that makes it."""
    return [f"{name} is missing: {command}" for name, command in COMMANDS.items() if name not in systems]
