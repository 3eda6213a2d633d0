"""The systems that ours is compared with, trained and tested.

``python -m helpers.research.baselines SYSTEM --data DIR --out DIR`` writes a row, and keeps the scores.
"""

import argparse
import sys
import time
from functools import partial

import keras
import numpy as np

from helpers import InputError, bootstrap, metrics, pairs
from helpers.data import corpora, course
from helpers.evaluation import score_files
from helpers.systems.mfcc_lda import MfccLda
from helpers.systems.published_recipe import EPOCHS, THRESHOLD, logit_matrix, train


def run_mfcc_lda(folder, out, seed=0):
    """Fit and test on a course folder: returns the row `mfcc_lda` of OUT/metrics.json, and keeps the scores.

    Raises
    ------
    InputError
        As `corpora.load_course`, `Floor.fit`, `metrics.write_row` and `score_files.save_scores`.
    """
    training, test = corpora.load_course(folder)
    start = time.perf_counter()
    floor = MfccLda().fit(training, seed)
    seconds = time.perf_counter() - start
    embeddings = floor.embed(test.waveforms)
    scores = metrics.cosine_scores(embeddings)
    row = bootstrap.evaluate(scores, test.speakers, floor.threshold)
    if np.bincount(test.speakers).min() > 5:
        trials = pairs.enrolments(test.speakers, 5)
        row["eer_enrol5"] = metrics.equal_error(metrics.enrolled_scores(embeddings, trials), trials.label)[0]
    row |= {"train_seconds": round(seconds, 1), "parameters": floor.parameters, "seed": seed}
    row |= {"speakers_train": len(np.unique(training.speakers)), "corpus": test.name, "backend": "numpy"}
    metrics.write_row(out, "mfcc_lda", row)
    score_files.save_scores(out, "mfcc_lda", scores, floor.threshold, *floor.calibration, test)
    return row


def run_published_recipe(folder, out, seed=0, epochs=EPOCHS, verbose=0):
    """Train and test on a course folder: the row `published_recipe` of OUT/metrics.json, and its scores.

    The scores, OUT/scores/published_recipe.npz, are the logits: trained on as many target as impostor pairs,
    the recipe takes them for log likelihood ratios. The row is of the probabilities; its accuracy is at the
    threshold 0.5, target and impostor trials counting half each, over all test trials, each scored in one
    order: what 900 + 900 drawn pairs have on average.

    Parameters
    ----------
    folder, out : path
    seed, epochs, verbose : int
        As for `train`.

    Returns
    -------
    dict
        The row.

    Raises
    ------
    InputError
        As `corpora.load_course`, `metrics.write_row` and `score_files.save_scores`.
    """
    training, test = corpora.load_course(folder)
    start = time.perf_counter()
    model, _ = train(training, seed, epochs, verbose)
    seconds = time.perf_counter() - start
    logits = logit_matrix(model, test.waveforms)
    scores = 1 / (1 + np.exp(-logits))
    row = bootstrap.evaluate(scores, test.speakers, THRESHOLD)
    if np.bincount(test.speakers).min() > 5:
        trials = pairs.enrolments(test.speakers, 5)
        against = scores[trials.enrolled, trials.test[:, None]].mean(axis=1)
        row["eer_enrol5"] = metrics.equal_error(against, trials.label)[0]
    row |= {
        "train_seconds": round(seconds, 1),
        "parameters": model.count_params(),
        "speakers_train": len(np.unique(training.speakers)),
        "corpus": test.name,
        "backend": keras.backend.backend(),
        "seed": seed,
    }
    metrics.write_row(out, "published_recipe", row)
    score_files.save_scores(out, "published_recipe", logits, 0, 1, 0, test)
    return row


SYSTEMS = {"mfcc_lda": run_mfcc_lda, "published_recipe": partial(run_published_recipe, verbose=2)}


def main(arguments=None):
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m helpers.research.baselines", description=__doc__.split("\n")[0]
    )
    parser.add_argument(
        "system", choices=SYSTEMS, help="mfcc_lda: seconds; published_recipe: 7 to 15 minutes"
    )
    parser.add_argument("--data", default="", help="folder with trs.pkl and tes.pkl (default: the course's)")
    parser.add_argument("--out", required=True, help="folder of metrics.json")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    try:
        row = SYSTEMS[options.system](course.course_folder(options.data), options.out, options.seed)
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{options.system} on {row['corpus']}: accuracy {row['accuracy']:.3f}, EER {row['eer']:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
