"""Ideas compared by cross-validation over training speakers, in a table that grows.

`python -m helpers.research.experiments --data DIR --out DIR --seeds 0,1 IDEA ...` never looks at test
speakers. A run trains one encoder for each fold of the training speakers, and scores all trials within
the folds. Its result is kept in OUT: a run that is there is not repeated, and the table is written
anew from all of them.
"""

import json
import sys
import time
from collections import deque
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from helpers import PROJECT, InputError, augmentation, features, metrics, pairs, training
from helpers.batches import TrainingConfig, assign_folds
from helpers.bootstrap import paired_difference
from helpers.command_line import new_parser, run_program
from helpers.data import corpora
from helpers.files import atomic_write
from helpers.models import count_parameters, embed_spectrograms
from helpers.research import encoders, ideas, objectives, training_hooks
from helpers.systems.windows import unit_length

RESULTS = PROJECT / "notebooks" / "results"


def run_idea(corpus, idea, config):
    """Train an encoder for each fold that is held out, as an idea says.

    Parameters
    ----------
    corpus : corpora.Corpus
        Training speakers.
    idea : dict
        Changes to the course's training, as in `ideas.IDEAS`.
    config : batches.TrainingConfig
        Its `held_out_folds` are trained and scored.

    Returns
    -------
    dict of arrays
        `speakers` (utterances,); `held_out` (encoders, utterances); the embeddings of all utterances by each
        encoder, `clean` and `disturbed` (encoders, utterances, dimensions); `seconds`, `parameters`.
    """
    started, spectrogram = time.perf_counter(), features.Spectrogram(**idea.get("spectrogram", {}))
    weights = idea.get("objective", {"pairs": 1})
    apart = 1 if "unshared" in weights else idea.get("encoder", {}).get("towers", 1)
    build = partial(encoders.build_encoder, **idea.get("encoder", {}))
    hooks = training.TrainingHooks(
        encoders=(build,),
        objective=objectives.objective(weights, apart),
        copies=training_hooks.training_copies(**idea.get("copies", {})),
        augment=training_hooks.augmenter(idea["augment"]) if "augment" in idea else None,
    )
    config = replace(config, **idea.get("config", {}))
    speakers = np.unique(corpus.speakers, return_inverse=True)[1]
    copies, labels = hooks.copies(corpus, speakers, spectrogram, config)
    fold, seconds = assign_folds(speakers, config.folds, config.seed), time.perf_counter() - started
    waveforms = {"clean": corpus.waveforms, "disturbed": augmentation.random_channel(corpus.waveforms)}
    heard = {name: spectrogram(each) for name, each in waveforms.items()}
    found = {"held_out": [], "clean": [], "disturbed": []}
    for number in range(config.held_out_folds):
        others = np.random.default_rng([config.seed, number]).permutation(np.unique(speakers[fold != number]))
        learners = np.isin(speakers, others[: idea.get("max_speakers")])
        last = deque(maxlen=idea.get("average", 1))

        def keep(_, trained, last=last):
            last.append(trained[0].get_weights())

        (encoder,), state = training.fit_encoders(
            copies, labels, learners, config, hooks, number, after_epoch=keep
        )
        encoder.set_weights([np.mean(each, axis=0) for each in zip(*last, strict=True)])
        found["held_out"].append(fold == number)
        for name, inputs in heard.items():
            found[name].append(embed_crops(encoder, inputs, idea.get("crops", 1)))
        seconds += state.seconds
    found = {name: np.stack(each) for name, each in found.items()}
    facts = {"corpus": corpus.name, "seconds": seconds, "parameters": count_parameters(encoder)}
    return facts | {"speakers": speakers} | found


def embed_crops(encoder, spectrograms, crops=1, share=0.7):
    """Embeddings of whole spectrograms `(n, frames, bins)`, or the mean of those of some equal stretches."""
    frames = spectrograms.shape[1] if crops == 1 else round(share * spectrograms.shape[1])
    starts = np.linspace(0, spectrograms.shape[1] - frames, crops).astype(int)
    parts = [spectrograms[:, start : start + frames] for start in starts]
    mean = np.mean([embed_spectrograms(encoder, part) for part in parts], axis=0)
    return unit_length(mean) if crops > 1 else mean


def score_idea(result, idea, condition="clean"):
    """Scores of all trials within the folds, and with five utterances enrolled.

    Parameters
    ----------
    result : dict of arrays, of `run_idea`
    idea : dict
    condition : {"clean", "disturbed"}

    Returns
    -------
    scores, labels, first, second : arrays (trials,)
    enrolled_scores, enrolled_labels : arrays (enrolled trials,)
    """
    parts, speakers = [], result["speakers"]
    folds = zip(*(result[name] for name in ("held_out", "clean", "disturbed", condition)), strict=True)
    for held_out, clean, other, embeddings in folds:
        test, theirs = embeddings[held_out], speakers[held_out]
        trials, enrolled = pairs.all_trials(theirs), pairs.enrolments(theirs, 5)
        sides = theirs[trials.left], theirs[trials.right]
        if "backend" in idea:
            learnt = [clean[~held_out]] + [other[~held_out]] * idea.get("other_channels", 0)
            whose = np.tile(speakers[~held_out], len(learnt))
            _, first, which = np.unique(enrolled.enrolled, axis=0, return_index=True, return_inverse=True)
            means = test[enrolled.enrolled[first]].mean(axis=1)
            both = np.concatenate([test, means])
            gram = training_hooks.BACKENDS[idea["backend"]](np.concatenate(learnt), whose, both)
            against = gram[len(test) + which.ravel(), enrolled.test]
        else:
            unshared = "unshared" in idea.get("objective", {})
            left, right = np.split(test, 2, axis=1) if unshared else (test, test)
            gram = left @ right.T
            against = metrics.enrolled_scores(test, enrolled)
        parts.append((gram[trials.left, trials.right], trials.label, *sides, against, enrolled.label))
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def _rate(scores, labels, weights=None):
    return metrics.equal_error(scores, labels, weights)[0]


def summarise(results, draws=1000):
    """A row an idea and corpus: equal error rates, means over the seeds, and the difference from its base.

    Parameters
    ----------
    results : dict of (corpus, idea, seed) to dict of arrays
        Of `run_idea`; only ideas of `ideas.IDEAS`.
    draws : int
        Of the paired bootstrap over speakers, which takes the seeds that the idea and its base both have.

    Returns
    -------
    pandas.DataFrame
    """
    scored = {
        key: [score_idea(result, ideas.IDEAS[key[1]][3], condition) for condition in ("clean", "disturbed")]
        for key, result in results.items()
    }
    rows = []
    for corpus in dict.fromkeys(key[0] for key in results):
        for idea, (group, what, base, changes) in ideas.IDEAS.items():
            seeds = sorted(key[2] for key in results if key[:2] == (corpus, idea))
            if not seeds:
                continue
            runs = [results[corpus, idea, seed] for seed in seeds]
            clean, disturbed = zip(*(scored[corpus, idea, seed] for seed in seeds), strict=True)
            known = np.unique(runs[0]["speakers"][~runs[0]["held_out"][0]])
            row = {"corpus": corpus, "idea": idea, "group": group, "what": what, "base": base}
            row |= {"seeds": len(seeds), "speakers": len(np.unique(clean[0][2]))}
            row["max_speakers"] = changes.get("max_speakers", len(known))
            row["eer"] = np.mean([_rate(*each[:2]) for each in clean])
            row["eer_enrol5"] = np.mean([_rate(*each[4:]) for each in clean])
            row["eer_disturbed"] = np.mean([_rate(*each[:2]) for each in disturbed])
            shared = [seed for seed in seeds if (corpus, base, seed) in results]
            found = []
            for seed in shared:
                ours, theirs = scored[corpus, idea, seed], scored[corpus, base, seed]
                gap = paired_difference(_rate, ours[0][0], theirs[0][0], *ours[0][1:4], draws=draws)
                found.append((_rate(*ours[1][:2]) - _rate(*theirs[1][:2]), gap.value, gap.low, gap.high))
            means = np.mean(found, axis=0) if found else [np.nan] * 4
            row |= zip(("difference_disturbed", "difference", "low", "high"), means, strict=True)
            row["parameters"] = int(runs[0]["parameters"])
            rows.append(row)
    return pd.DataFrame(rows)


def write_table(out, table):
    """Write the table of all runs in a folder; returns it."""
    results = {}
    for path in sorted(Path(out).glob("[!.]*.npz")):
        with np.load(path) as saved:
            result = dict(saved)
        _, name, seed = path.stem.rsplit("-", 2)
        if name in ideas.IDEAS:
            results[str(result["corpus"]), name, int(seed)] = result
    for (corpus, base, seed), result in list(results.items()):
        same = [name for name, idea in ideas.IDEAS.items() if idea[2] == base and "backend" in idea[3]]
        results |= {(corpus, name, seed): result for name in same}
    found = summarise(results)
    with atomic_write(table) as part:
        found.to_csv(part, index=False, float_format="%.5g")
    return found


def write_seeds(folders, table):
    """What cross-validation estimated beside what the test file gave, from the metrics.json of batch runs.

    Raises
    ------
    InputError
        When a folder has no metrics.json with a row that holds both.
    """
    columns = ["corpus", "system", "seed", "held_out_eer", "eer", "accuracy", "eer_enrol5", "cllr"]
    rows = []
    for folder in folders:
        try:
            known = json.loads((Path(folder) / "metrics.json").read_text())
            rows += [row | {"system": system} for system, row in known.items() if "held_out_eer" in row]
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise InputError(f"{folder} has no metrics.json of a batch run ({error})") from error
    if not rows:
        raise InputError("no metrics.json has a row with held_out_eer; notebooks 04 and 05 write it")
    found = pd.DataFrame(rows).reindex(columns=columns).sort_values(columns[:3])
    with atomic_write(table) as part:
        found.to_csv(part, index=False, float_format="%.5g")


def run_ideas(options):
    """Run ideas by name, or all, and write the tables."""
    unknown = sorted(set(options.ideas) - set(ideas.IDEAS))
    if unknown:
        raise InputError(f"no idea is called {', '.join(unknown)}; there are {', '.join(ideas.IDEAS)}")
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    train = corpora.load_course(options.data)[0] if options.data else None
    for seed in map(int, options.seeds.split(",")) if train else ():
        for name in options.ideas or ideas.IDEAS:
            kept, changes = out / f"{train.name}-{name}-{seed}.npz".replace("/", "_"), ideas.IDEAS[name][3]
            if not kept.exists() and "backend" not in changes:
                config = TrainingConfig(seed=seed, held_out_folds=options.encoders)
                result = run_idea(train, changes, config)
                with atomic_write(kept) as part, part.open("wb") as file:
                    np.savez(file, **result)
                rate = _rate(*score_idea(result, changes)[:2])
                print(f"{train.name}, {name}, seed {seed}: EER {100 * rate:.2f} %", flush=True)
    write_table(out, RESULTS / "ideas.csv")
    if options.tested:
        write_seeds(options.tested, RESULTS / "seeds.csv")


def main(arguments=None):
    """The command line; returns the exit status."""
    parser = new_parser("research.experiments", __doc__)
    parser.add_argument("ideas", nargs="*", help=f"of {', '.join(ideas.IDEAS)} (default: all)")
    parser.add_argument("--data", help="folder with trs.pkl; without it, only the table is written")
    parser.add_argument("--out", required=True, help="folder where runs are kept")
    parser.add_argument("--seeds", default="0", help="comma-separated")
    parser.add_argument("--encoders", type=int, default=5, help="folds that are trained and scored")
    parser.add_argument("--tested", nargs="+", default=(), help="folders of batch runs: writes seeds.csv too")
    return run_program(run_ideas, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
