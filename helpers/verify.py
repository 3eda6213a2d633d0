"""Did one person speak both? A recording against one or more others, from Python or the shell.

`python -m helpers.verify ENROLLED... VERIFIED` enrols all recordings but the last, of one person, and
verifies the last. Exit status: 0 the same person, 1 different people, 2 no answer, and a line that says why.
"""

import json
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from helpers import PROJECT, InputError, describe_value, quality
from helpers.calibration import Calibration
from helpers.command_line import new_parser, run_program
from helpers.data import audio, synthesis
from helpers.verifier import embed_recordings, load_verifier

TRAINED = PROJECT / "results" / "models" / "ensemble.keras"  # by the last `make run`
PEOPLE = (
    PROJECT / "notebooks" / "models" / "people.keras"
)  # comes with the course: research.people trained it
RATIO = Calibration(1.0, 0.0)  # a verifier's score is a log likelihood ratio already
NAME = "speechocean762 and synthesised speech"  # corpus of the model that comes with the course
STRANGE = -2.0  # an enrolled recording with a lower score against the others gets a remark: 7 to 1


class Comparison(NamedTuple):
    """What a comparison of recordings finds before an operating point is set."""

    score: float  # mean log likelihood ratio (natural log), one person against two
    remarks: list  # of str: what may make the answer wrong
    recordings: list  # of dict: each one's `file`, what `quality.measure_quality` measured, and `remarks`


class Verdict(NamedTuple):
    """A `Comparison` at an operating point."""

    same: bool  # one person?
    score: float
    probability: float  # of one person under the prior
    threshold: float  # of the score
    remarks: list
    recordings: list


def find_model(trained=None):
    """Path of a model for recordings of people: `trained`, by default the last `make run`'s, if it was
    trained on people, or else the one that comes with the course."""
    trained = trained or TRAINED
    return trained if training_corpus(trained) not in ("", synthesis.NAME) else PEOPLE


def training_corpus(path):
    """Name of the corpus that a saved model was trained on; empty where it cannot be read."""
    try:
        with zipfile.ZipFile(path) as saved:
            return str(json.loads(saved.read("config.json"))["config"]["facts"]["corpus"])
    except (OSError, ValueError, LookupError, TypeError, zipfile.BadZipFile):
        return ""


def verify(verifier, enrolled, verified, prior=0.5, cost_miss=1, cost_false_alarm=1):
    """The `Verdict` on a recording and those of one person.

    Parameters
    ----------
    verifier : verifier.Verifier
    enrolled : list of paths
        Recordings of one person; the score is the mean over them.
    verified : path
    prior, cost_miss, cost_false_alarm : float
        The operating point, as for `calibration.Calibration.threshold`.

    Raises
    ------
    InputError
        For a recording that cannot be read or judged, for none enrolled, and as
        `Calibration.threshold`.
    """
    if not enrolled:
        raise InputError("one recording", expected="one or more of one person, and one to verify")
    RATIO.threshold(prior, cost_miss, cost_false_alarm)  # refuses a bad one before anything is read
    paths = [Path(path) for path in (*enrolled, verified)]
    waveforms = [audio.load_recording(path, longest=quality.LONGEST) for path in paths]
    comparison = score_recordings(verifier, [describe_value(path.name) for path in paths], waveforms)
    return decide(comparison, prior, cost_miss, cost_false_alarm)


def score_recordings(verifier, names, waveforms):
    """The `Comparison` of the last of some recordings with the others, which are enrolled.

    Parameters
    ----------
    verifier : verifier.Verifier
    names : list of str
        Names of the recordings, for remarks.
    waveforms : list of float arrays (samples,)
        The enrolled ones, and last the one to verify; InputError as `quality.check_fit`.
    """
    recordings = []
    for name, waveform in zip(names, waveforms, strict=True):
        measured = quality.measure_quality(waveform)
        quality.check_fit(measured, name, verifier.trained_on_calls)
        recordings.append({"file": name, **measured._asdict(), "remarks": quality.remarks(measured)})
    notes = [f"{each['file']} is {remark}" for each in recordings for remark in each["remarks"]]
    speech = quality.trim_silence(waveforms, quality.SILENT)
    embeddings = embed_recordings(verifier, speech)
    enrolled = embeddings[:-1]
    if len(enrolled) > 2:
        others = (enrolled.sum(axis=0) - enrolled) / (len(enrolled) - 1)
        strange = np.flatnonzero(verifier.scores(others, enrolled).diagonal() < STRANGE)
        notes += [f"{names[row]} does not sound like the other recordings enrolled" for row in strange]
    far = max(quality.spectrum_distance(each, speech[-1]) for each in speech[:-1])
    if far > quality.UNLIKE:
        found = f"average spectra {far:.0f} dB apart"
        notes.append(f"{names[-1]} sounds like another microphone or room ({found}), or another voice")
    scores = verifier.scores(enrolled, embeddings[-1:])
    # The mean of the scores is a heuristic; the score of the mean embedding would not be calibrated.
    return Comparison(float(scores.mean()), notes, recordings)


def decide(comparison, prior=0.5, cost_miss=1, cost_false_alarm=1):
    """The `Verdict` on a `Comparison` at an operating point; parameters as for `verify`."""
    threshold = RATIO.threshold(prior, cost_miss, cost_false_alarm)
    score, *found = comparison
    return Verdict(score >= threshold, score, float(RATIO.probability(score, prior)), threshold, *found)


def verdict_lines(verdict):
    """Two lines in plain words: the decision with its probability, and the score with the threshold."""
    percent = 100 * verdict.probability
    sure = f"{percent:.0f} %" if 1 <= percent <= 99 else "less than 1 %" if percent < 1 else "more than 99 %"
    who = "The same person" if verdict.same else "Different people"
    score = f"Score {verdict.score:+.2f}, accepted from {verdict.threshold:+.2f} on."
    return f"{who}: the probability of one person is {sure}.", score


def describe(verdict):
    """A `Verdict` as a paragraph in plain words."""
    return "\n".join([*verdict_lines(verdict), *(f"Note: {remark}." for remark in verdict.remarks)])


def _answer(options):
    """Print the answer for the options of the command line; returns the exit status."""
    *enrolled, verified = options.recordings
    model = Path(options.model or find_model())
    try:
        verifier = load_verifier(model)
        point = options.prior, options.cost_miss, options.cost_false_alarm
        verdict = verify(verifier, enrolled, verified, *point)
    except InputError as error:
        if options.json:
            print(json.dumps({"same": None, "why": str(error)}, indent=1))
        raise
    facts = {"model": str(model), "trained_on": verifier.facts.get("corpus", "unknown")}
    print(json.dumps(verdict._asdict() | facts, indent=1) if options.json else describe(verdict))
    return 0 if verdict.same else 1


def main(arguments=None):
    """The command line; returns the exit status."""
    parser = new_parser("verify", __doc__)
    parser.add_argument(
        "recordings", nargs="+", metavar="FILE", help="recordings of one person; the last is verified"
    )
    parser.add_argument("--model", default="", help="a saved model (default: one trained on people)")
    parser.add_argument("--prior", type=float, default=0.5, help="probability of one person beforehand")
    parser.add_argument("--cost-miss", type=float, default=1, help="cost of rejecting the same person")
    parser.add_argument("--cost-false-alarm", type=float, default=1, help="cost of accepting another person")
    parser.add_argument("--json", action="store_true", help="one JSON object in place of words")
    return run_program(_answer, parser.parse_args(arguments), prefix="Could not tell: ", failed=2)


if __name__ == "__main__":
    sys.exit(main())
