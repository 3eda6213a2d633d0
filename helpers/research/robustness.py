"""Errors of a verifier on clean and altered recordings of people, and how often `verify` is right.

`python -m helpers.research.robustness --data FOLDER` counts the errors on recordings of real people, and how
often `helpers.verify` is right with three recordings enrolled.
"""

import sys

import numpy as np

from helpers import InputError, verify
from helpers.command_line import new_parser, run_program
from helpers.data import course
from helpers.evaluation.robustness import robustness_table
from helpers.verifier import load_verifier


def verification_accuracy(verifier, waveforms, speakers, seed=0):
    """How often `verify` is right with the first three utterances of a speaker enrolled.

    The speaker's fourth utterance is verified, and the fourth one of another speaker, drawn at random.

    The arguments are those of `robustness_table`; speakers with fewer than four utterances are passed over.

    Returns
    -------
    dict
        `same` and `other`: the number of correct decisions and of all decisions; `refused`: the number of
        recordings that were not decided.
    """
    rng, names = np.random.default_rng(seed), [f"recording {number}" for number in range(4)]
    rows = {name: np.flatnonzero(speakers == name)[:4] for name in np.unique(speakers)}
    rows = {name: mine for name, mine in rows.items() if len(mine) == 4}
    found = {"same": [], "other": []}
    for name, mine in rows.items():
        stranger = rng.choice([other for other in rows if other != name])
        for kind, last in (("same", mine[-1]), ("other", rows[stranger][-1])):
            recordings = [waveforms[row] for row in (*mine[:-1], last)]
            try:
                verdict = verify.decide(verify.score_recordings(verifier, names, recordings))
            except InputError:
                continue
            found[kind].append(verdict.same == (kind == "same"))
    counted = {kind: (sum(each), len(each)) for kind, each in found.items()}
    return counted | {"refused": 2 * len(rows) - sum(count for _, count in counted.values())}


def draw_recordings(found, speakers, each, seed=0):
    """Some speakers, drawn at random, with `each` recordings of each: `corpora.Recordings`."""
    names, counts = np.unique(found.labels, return_counts=True)
    names = np.random.default_rng(seed).permutation(names[counts >= each])[:speakers]
    rows = np.concatenate([np.flatnonzero(found.labels == name)[:each] for name in names])
    return found.select(np.isin(np.arange(len(found.labels)), rows))


def _count_errors(options):
    """Print the errors on recordings that are drawn as the options say."""
    verifier = load_verifier(options.model or verify.find_model())
    train, test = course.load_speech(options.data, test_speakers=0)
    chosen = draw_recordings(test if len(test.labels) else train, options.speakers, options.each)
    table = robustness_table(verifier, chosen.waveforms, chosen.labels)
    found = verification_accuracy(verifier, chosen.waveforms, chosen.labels)
    print(f"{len(chosen.labels)} recordings of {len(set(chosen.labels))} speakers, {chosen.name}, in %")
    print((100 * table).round(1).to_string())
    for kind in ("same", "other"):
        right, count = found[kind]
        print(f"three enrolled, {kind} person verified: {right} of {count} decisions correct")
    print(f"not decided: {found['refused']}")


def main(arguments=None):
    """The command line; returns the exit status."""
    parser = new_parser("research.robustness", __doc__)
    parser.add_argument("--data", default="", help="folder with utterances.csv, or with trs.pkl and tes.pkl")
    parser.add_argument("--model", default="", help="a saved model (default: that of helpers.verify)")
    parser.add_argument("--speakers", type=int, default=40, help="speakers drawn (default: 40)")
    parser.add_argument("--each", type=int, default=6, help="recordings of each (default: 6)")
    return run_program(_count_errors, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
