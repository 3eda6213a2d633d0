"""The steps from a plain Siamese GRU to the ensemble, each judged by cross-validation over training speakers.

`python -m helpers.research.steps --data DIR --out OUT --seeds 0,1` never looks at test speakers. What has
been trained is kept in OUT; notebooks/results/steps.csv is written anew from all that is there.
"""

import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from keras import layers

from helpers import PROJECT, calibration, metrics, pairs, training
from helpers.batches import TrainingConfig, assign_folds
from helpers.bootstrap import paired_difference
from helpers.command_line import new_parser, run_program
from helpers.data import corpora
from helpers.ensemble.members import MEMBERS, STATISTICS
from helpers.features import Spectrogram
from helpers.files import atomic_write
from helpers.models import gru_encoder
from helpers.plda import PLDA
from helpers.verifier import FUSION_RIDGE

TABLE = PROJECT / "notebooks" / "results" / "steps.csv"
last_state = partial(gru_encoder, shortcut=False, sequence=partial(layers.GRU, 96), pooling=layers.Identity)
RUNS = {  # name: encoders that are trained, speeds, encoders that are fitted
    "last": ((last_state,), (), ()),
    "pooled": ((gru_encoder,), (), ()),
    "members": (tuple(MEMBERS.values()), TrainingConfig().speeds, tuple(STATISTICS.values())),
}
NETWORKS = len(MEMBERS)
STEPS = {  # what is added: the run, its parts that score, whether a PLDA compares, whether the sum is fused
    "a GRU, its last state": ("last", 1, False, False),
    "mean and deviation of all states": ("pooled", 1, False, False),
    "copies at four other speeds": ("members", 1, False, False),
    "PLDA": ("members", 1, True, False),
    "three different encoders": ("members", NETWORKS, True, False),
    "statistics without a network": ("members", NETWORKS + len(STATISTICS), True, False),
    "weights by logistic regression": ("members", NETWORKS + len(STATISTICS), True, True),
}


def run(corpus, name, seed, epochs=20):
    """Train one of `RUNS` with each fold of the speakers held out.

    Returns
    -------
    dict of arrays
        `speakers` (utterances,), `held_out` (folds, utterances), and of all utterances by what was trained
        for each fold, `embeddings` (folds, utterances, dimensions).
    """
    encoders, speeds, fitted = RUNS[name]
    config = TrainingConfig(seed=seed, speeds=speeds, epochs=epochs)
    hooks = training.TrainingHooks(encoders=encoders, fitted=fitted)
    speakers = np.unique(corpus.speakers, return_inverse=True)[1]
    copies, labels = hooks.copies(corpus, speakers, Spectrogram(), config)
    fold, found = assign_folds(speakers, config.folds, seed), []
    for number in range(config.folds):
        learners = fold != number
        trained, _ = training.fit_encoders(copies, labels, learners, config, hooks, number)
        found.append(training.fit_back_end(trained, copies, labels, learners, hooks)[2])
    held_out = np.stack([fold == number for number in range(config.folds)])
    return {"speakers": speakers, "held_out": held_out, "embeddings": np.stack(found)}


def score(result, parts, plda, fused):
    """Scores of all trials within the folds, and with five utterances enrolled, of the first parts of a run.

    The weights of a fold's scores are fitted to the other folds' scores, and its threshold is where these
    have equal errors.

    Returns
    -------
    scores, labels, first, second : arrays (trials,)
    enrolled_scores, enrolled_labels : arrays (enrolled trials,)
    accepted : bool array (trials,)
    """
    folds, speakers = [], result["speakers"]
    for held_out, embeddings in zip(result["held_out"], result["embeddings"], strict=True):
        whole = PLDA(embeddings.shape[1] // 48, 48)
        if plda:
            whole.fit(embeddings[~held_out], speakers[~held_out])
        test, theirs = embeddings[held_out], speakers[held_out]
        trials, enrolled = pairs.all_trials(theirs), pairs.enrolments(theirs, 5)
        _, rows, which = np.unique(enrolled.enrolled, axis=0, return_index=True, return_inverse=True)
        means = test[enrolled.enrolled[rows]].mean(axis=1)
        alone = [whole.scores(test, encoder=k)[trials.left, trials.right] for k in range(parts)]
        against = [whole.scores(means, test, k)[which.ravel(), enrolled.test] for k in range(parts)]
        sides = theirs[trials.left], theirs[trials.right]
        folds.append((np.stack(alone, 1), trials.label, *sides, np.stack(against, 1), enrolled.label))
    joined = []
    for number, (alone, labels, first, second, against, enrolled) in enumerate(folds):
        weights, offset = np.full(parts, 1 / parts), 0
        others = folds[:number] + folds[number + 1 :]
        rest, known = (np.concatenate([each[place] for each in others]) for place in (0, 1))
        if fused:
            weights, offset = calibration.fuse(rest, known, ridge=FUSION_RIDGE)
        scores, threshold = alone @ weights + offset, metrics.equal_error(rest @ weights + offset, known)[1]
        sides = labels, first, second
        joined.append((scores, *sides, against @ weights + offset, enrolled, scores >= threshold))
    return tuple(np.concatenate(part) for part in zip(*joined, strict=True))


def _rate(scores, labels, weights=None):
    return metrics.equal_error(scores, labels, weights)[0]


def summarise(results, draws=1000):
    """A row a corpus and step: means over seeds, and the paired difference from the step before.

    `results` are a dict of (corpus, run, seed) to what `run` gives. Returns a pandas.DataFrame with columns
    `corpus`, `step`, `seeds`, `eer`, `eer_enrol5`, `false_acceptance` and `false_rejection` at the threshold,
    `difference`, `low`, `high`, and of the fused step `cllr`.
    """
    rows = []
    for corpus in dict.fromkeys(key[0] for key in results):
        seeds = sorted({key[2] for key in results if key[0] == corpus})
        seeds = [seed for seed in seeds if all((corpus, name, seed) in results for name in RUNS)]
        before = None
        for step, (name, *how) in STEPS.items() if seeds else ():
            found = [score(results[corpus, name, seed], *how) for seed in seeds]
            row = {"corpus": corpus, "step": step, "seeds": len(seeds)}
            row["eer"] = np.mean([_rate(*each[:2]) for each in found])
            row["eer_enrol5"] = np.mean([_rate(*each[4:6]) for each in found])
            row["false_acceptance"] = np.mean([each[6][each[1] == 0].mean() for each in found])
            row["false_rejection"] = np.mean([1 - each[6][each[1] == 1].mean() for each in found])
            if before:
                gaps = [
                    paired_difference(_rate, ours[0], theirs[0], *ours[1:4], draws=draws)
                    for ours, theirs in zip(found, before, strict=True)
                ]
                means = np.mean([(gap.value, gap.low, gap.high) for gap in gaps], axis=0)
                row |= dict(zip(("difference", "low", "high"), means, strict=True))
            if how[-1]:
                row["cllr"] = np.mean([calibration.cllr(*each[:2]) for each in found])
            rows.append(row)
            before = found
    return pd.DataFrame(rows)


def run_steps(options):
    """Train what is not there yet, and write the table."""
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    corpus = corpora.load_course(options.data)[0] if options.data else None
    for seed in map(int, options.seeds.split(",")) if corpus else ():
        for name in RUNS:
            kept = out / f"{corpus.name}-{name}-{seed}.npz".replace("/", "_")
            if not kept.exists():
                result = run(corpus, name, seed, options.epochs) | {"corpus": corpus.name}
                with atomic_write(kept) as part, part.open("wb") as file:
                    np.savez(file, **result)
                print(f"{corpus.name}, {name}, seed {seed}", flush=True)
    results = {}
    for path in sorted(out.glob("[!.]*.npz")):
        with np.load(path) as saved:
            results[str(saved["corpus"]), path.stem.split("-")[-2], int(path.stem.split("-")[-1])] = dict(
                saved
            )
    with atomic_write(TABLE) as part:
        summarise(results).to_csv(part, index=False, float_format="%.5g")


def main(arguments=None):
    """The command line; returns the exit status."""
    parser = new_parser("research.steps", __doc__)
    parser.add_argument("--data", help="folder with trs.pkl; without it, only the table is written")
    parser.add_argument("--out", required=True, help="folder where runs are kept")
    parser.add_argument("--seeds", default="0", help="comma-separated")
    parser.add_argument("--epochs", type=int, default=20)
    return run_program(run_steps, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
