"""The systems that ours is compared with, trained and tested.

``python -m helpers.research.baselines SYSTEM --data DIR --out DIR`` writes a row, and keeps the scores.
"""

import sys
import time
from functools import partial

import numpy as np
from scipy.special import expit, logit

from helpers import metrics
from helpers.calibration import Calibration
from helpers.command_line import new_parser, run_program
from helpers.data import corpora, course
from helpers.evaluation.results import mean_scores, record_scores
from helpers.research.pretrained import Pretrained, campplus, resemblyzer
from helpers.systems.mfcc_lda import MfccLda
from helpers.systems.published_recipe import EPOCHS, THRESHOLD, logit_matrix, train


def run_fitted(name, make, folder, out, seed=0):
    """Fit what `make` gives, a system as `mfcc_lda.MfccLda`, and test it on a course folder.

    The row `name` of OUT/metrics.json is returned, and the scores are kept. InputError as of
    `corpora.load_course`, the system's `fit` and `results.record_scores`.
    """
    training, test = corpora.load_course(folder)
    start = time.perf_counter()
    system = make().fit(training, seed)
    facts = {"train_seconds": round(time.perf_counter() - start, 1), "parameters": system.parameters}
    facts |= {"speakers_train": len(np.unique(training.speakers)), "seed": seed, "backend": system.backend}
    embeddings = system.embed(test.waveforms)
    scores, fixed = metrics.cosine_scores(embeddings), (system.threshold, system.calibration)
    enrolled = partial(metrics.enrolled_scores, embeddings)
    return record_scores(out, name, scores, *fixed, test, facts, enrolled)


def run_published_recipe(folder, out, seed=0, epochs=EPOCHS, verbose=0):
    """Train and test on a course folder: the row `published_recipe` of OUT/metrics.json, and its scores.

    The scores, OUT/scores/published_recipe.npz, are the logits: trained on as many target as impostor pairs,
    the recipe takes them for log likelihood ratios. The row's threshold is the probability 0.5. Its accuracy
    is that over all test trials, each scored in one order, with target and impostor trials counting half
    each: what 900 + 900 drawn pairs have on average. For `eer_enrol5` it is probabilities that are averaged.
    `seed`, `epochs` and `verbose` are those of `train`; the row is returned.

    Raises
    ------
    InputError
        As `corpora.load_course` and `results.record_scores`.
    """
    training, test = corpora.load_course(folder)
    start = time.perf_counter()
    model, _ = train(training, seed, epochs, verbose)
    facts = {"train_seconds": round(time.perf_counter() - start, 1), "parameters": model.count_params()}
    facts |= {"speakers_train": len(np.unique(training.speakers)), "seed": seed, "threshold": THRESHOLD}
    logits, line = logit_matrix(model, test.waveforms), Calibration(1, 0)
    enrolled = partial(mean_scores, expit(logits))
    return record_scores(out, "published_recipe", logits, logit(THRESHOLD), line, test, facts, enrolled)


FITTED = {
    "mfcc_lda": MfccLda,
    "resemblyzer": partial(Pretrained, resemblyzer),
    "campplus": partial(Pretrained, campplus),
}
SYSTEMS = {name: partial(run_fitted, name, make) for name, make in FITTED.items()}
SYSTEMS |= {"published_recipe": partial(run_published_recipe, verbose=2)}


def _run(options):
    row = SYSTEMS[options.system](course.course_folder(options.data), options.out, options.seed)
    print(f"{options.system} on {row['corpus']}: accuracy {row['accuracy']:.3f}, EER {row['eer']:.3f}")


def main(arguments=None):
    """The command line; returns the exit status."""
    parser = new_parser("research.baselines", __doc__)
    takes = "published_recipe takes 7 to 15 minutes, all others seconds"
    parser.add_argument("system", choices=SYSTEMS, help=takes)
    parser.add_argument("--data", default="", help="folder with trs.pkl and tes.pkl (default: the course's)")
    parser.add_argument("--out", required=True, help="folder of metrics.json")
    parser.add_argument("--seed", type=int, default=0)
    return run_program(_run, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
