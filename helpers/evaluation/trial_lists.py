"""Published trial lists scored with a verifier: exactly these trials, each recording embedded once.

``python -m helpers.evaluation.trial_lists LIST --data FOLDER --model FILE --out DIR`` writes
``DIR/LIST.csv``, a score a trial, and ``DIR/LIST.json`` with the equal error rate and the minimal detection
costs.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from helpers import InputError, describe_value, error_context, metrics
from helpers.command_line import new_parser, run_program
from helpers.data.audio import load_recording
from helpers.data.convert.layouts import list_corpus, recording_key
from helpers.data.tables import find_file, read_text
from helpers.files import atomic_write
from helpers.verifier import embed_recordings, load_verifier

BATCH = 64  # recordings in memory at a time
TRIALS = 1 << 14  # scored at a time
PRIORS = (0.01, 0.05)  # of target trials: the costs that VoxCeleb's publications give


def read_trials(path):
    """Read a list of verification trials as VoxCeleb publishes them: ``1 one.wav other.wav`` a line.

    Returns
    -------
    pandas.DataFrame
        Columns `label` (1 for the same speaker, 0 for different ones), `first` and `second` (paths).

    Raises
    ------
    InputError
        When the file is missing, or a line is something else, naming it.
    """
    expected = "lines of 0 or 1 and two paths"
    lines = read_text(path, expected).splitlines()
    with error_context(path, expected):
        rows = [line.split() for line in lines if line.strip()]
        for number, row in enumerate(rows, start=1):
            if len(row) != 3 or row[0] not in ("0", "1"):
                raise InputError(f"has {describe_value(' '.join(row))} as trial {number}")
        if not rows:
            raise InputError("has no trials")
    trials = pd.DataFrame(rows, columns=["label", "first", "second"])
    return trials.assign(label=trials["label"].astype(int))


def find_recordings(names, folder):
    """Where the recordings of a trial list lie, in whatever folder and encoding the corpus came in.

    Parameters
    ----------
    names : sequence of str
        Paths as the list has them.
    folder : path
        The corpus.

    Returns
    -------
    dict of str to Path

    Raises
    ------
    InputError
        When a recording is not there, or several may be meant, naming the first ones: the published trials
        are scored whole.
    """
    folder, known = Path(os.path.expanduser(folder)), {}
    places = {name: folder / find_file(folder, name) for name in names}
    lost = [name for name in names if not os.path.isfile(places[name])]
    if lost:
        listing = list_corpus(folder)
        for path in listing.table["path"]:
            known.setdefault(recording_key(path), []).append(listing.place(path))
    meant = {name: known.get(recording_key(name), []) for name in lost}
    for what, wrong, expected in (
        ("not in", [name for name in lost if not meant[name]], "all"),
        ("more than once in", [name for name in lost if len(meant[name]) > 1], "paths that tell them apart"),
    ):
        if wrong:
            named = ", ".join(map(describe_value, wrong[:5])) + ", …" * (len(wrong) > 5)
            corpus = describe_value(folder.name)
            found = f"{len(wrong)} of {len(names)} recordings are {what} {corpus}: {named}"
            raise InputError(found, expected=expected)
    return places | {name: paths[0] for name, paths in meant.items()}


def score_trials(trials, folder, verifier):
    """Score every trial of a list.

    Parameters
    ----------
    trials : pandas.DataFrame
        As `read_trials` returns it.
    folder : path
        The corpus.
    verifier : verifier.Verifier

    Returns
    -------
    float array (trials,)

    Raises
    ------
    InputError
        When a recording is missing or of no use, naming it.
    """
    names, which = np.unique(trials[["first", "second"]].to_numpy(dtype=str), return_inverse=True)
    which = which.reshape(-1, 2)
    places, parts, scores = find_recordings(names, folder), [], []
    for start in tqdm(range(0, len(names), BATCH), unit=f"{BATCH} recordings", disable=None):
        recordings = [load_recording(places[name], name) for name in names[start : start + BATCH]]
        parts.append(embed_recordings(verifier, recordings))
    embeddings = np.concatenate(parts)
    for start in range(0, len(which), TRIALS):
        first, second = which[start : start + TRIALS].T
        scores.append(verifier.pair_scores(embeddings[first], embeddings[second]))
    return np.concatenate(scores)


def figures(scores, labels):
    """Equal error rate, and minimal detection costs at the published priors, of scored trials."""
    costs = {f"min_dcf_{prior}": metrics.min_dcf(scores, labels, target_prior=prior) for prior in PRIORS}
    counts = {"trials": len(labels), "targets": int(np.sum(labels))}
    return {"eer": metrics.equal_error(scores, labels)[0]} | costs | counts


def _run(options):
    trials = read_trials(options.list)
    scores = score_trials(trials, options.data, load_verifier(options.model))
    found = figures(scores, trials["label"].to_numpy())
    stem = Path(options.list).stem
    with atomic_write(Path(options.out, f"{stem}.csv")) as temporary:
        trials.assign(score=scores).to_csv(temporary, index=False)
    with atomic_write(Path(options.out, f"{stem}.json")) as temporary:
        temporary.write_text(json.dumps(found, indent=2) + "\n")
    costs = ", ".join(f"minDCF({prior}) {found[f'min_dcf_{prior}']:.3f}" for prior in PRIORS)
    print(f"{len(trials)} trials, {found['targets']} of them targets: EER {found['eer']:.2%}, {costs}")


def main(arguments=None):
    """The command line; returns the exit status."""
    parser = new_parser("evaluation.trial_lists", __doc__)
    parser.add_argument("list", help="trials, as veri_test.txt of VoxCeleb")
    parser.add_argument("--data", required=True, metavar="FOLDER", help="the corpus")
    parser.add_argument("--model", required=True, metavar="FILE", help="ensemble.keras of notebook 06")
    parser.add_argument("--out", required=True, metavar="DIR")
    return run_program(_run, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
