"""Did one person speak both? A recording against one or more others, from the shell.

`python -m helpers.verify ENROLLED... VERIFIED` takes all recordings but the last for one person's and says
whether the last is theirs too. Exit status: 0 the same person, 1 different people, 2 could not tell, and why.
"""

import argparse
import json
import sys
import zipfile
from pathlib import Path

from helpers import PROJECT, InputError, quality
from helpers.calibration import Calibration
from helpers.data import audio, synthesis
from helpers.verifier import embed_recordings, load_verifier

TRAINED = PROJECT / "results" / "models" / "siamese_gru.keras"  # by the last `make run`
PEOPLE = PROJECT / "notebooks" / "models" / "people.keras"  # comes with the course: `make people` trained it
RATIO = Calibration(1.0, 0.0)  # a verifier's score is a log likelihood ratio already
STRANGE = -2.0  # an enrolled recording so unlike the others is remarked on: 7 to 1 against one person


def find_model(trained=None):
    """Path of a model for recordings of people: `trained`, by default the last `make run`'s, where it learnt
    from people, or else the one that comes with the course."""
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
    """Compare a recording with those of one person.

    Parameters
    ----------
    verifier : verifier.Verifier
    enrolled : list of paths
        Recordings of one person; the score is the mean over them.
    verified : path
    prior, cost_miss, cost_false_alarm : float
        The operating point, as for `calibration.Calibration.threshold`.

    Returns
    -------
    dict
        `same` (bool); `score`, the mean log likelihood ratio (natural log), one person against two;
        `probability` of one person under the prior; `threshold` of the score; `remarks` on what may make the
        answer wrong (list of str); and `recordings`, for each its `file`, what `quality.measure_quality`
        measured, and `remarks`.

    Raises
    ------
    InputError
        For a recording that cannot be read or that no answer could be trusted on, for none enrolled, and as
        `Calibration.threshold`.
    """
    if not enrolled:
        raise InputError("one recording; expected one or more of one person, and one to verify")
    RATIO.threshold(prior, cost_miss, cost_false_alarm)  # a bad one is told before anything is read
    paths = [Path(path) for path in (*enrolled, verified)]
    waveforms = [audio.load_query(path) for path in paths]
    answer = score_recordings(verifier, [path.name for path in paths], waveforms)
    return decide(answer, prior, cost_miss, cost_false_alarm)


def score_recordings(verifier, names, waveforms):
    """What `verify` finds before an operating point is set: its `score`, `remarks` and `recordings`.

    Parameters
    ----------
    verifier : verifier.Verifier
    names : list of str
        What the recordings are called in remarks.
    waveforms : list of float arrays (samples,)
        One person's, and the one to verify as the last.
    """
    calls = verifier.trained_on_calls
    recordings = [_examined(*each, calls) for each in zip(names, waveforms, strict=True)]
    speech = quality.trim_silence(waveforms, quality.SILENT)
    embeddings = embed_recordings(verifier, speech)
    score = float(
        verifier.scores(embeddings[:-1], embeddings[-1:]).mean()
    )  # voices averaged are not calibrated
    far = max(quality.spectrum_distance(each, speech[-1]) for each in speech[:-1])
    notes = [f"{each['file']} is {remark}" for each in recordings for remark in each["remarks"]]
    notes += _unlike_other_enrolments(verifier, embeddings[:-1], names)
    if far > quality.UNLIKE:
        found = f"average spectra {far:.0f} dB apart"
        notes.append(f"{names[-1]} sounds like another microphone or room ({found}), or another voice")
    return {"score": score, "remarks": notes, "recordings": recordings}


def decide(answer, prior=0.5, cost_miss=1, cost_false_alarm=1):
    """An answer of `score_recordings` or of `verify` at an operating point; parameters as for `verify`."""
    threshold = RATIO.threshold(prior, cost_miss, cost_false_alarm)
    found = {
        "same": answer["score"] >= threshold,
        "score": answer["score"],
        "probability": float(RATIO.probability(answer["score"], prior)),
        "threshold": threshold,
    }
    return found | {name: answer[name] for name in ("remarks", "recordings")}


def _examined(name, waveform, calls):
    measured = quality.measure_quality(waveform)
    quality.check_fit(measured, name, calls)
    return {"file": name, **measured._asdict(), "remarks": quality.remarks(measured)}


def _unlike_other_enrolments(verifier, embeddings, names):
    """Remarks on enrolled recordings that do not sound like the mean of the other ones."""
    if len(embeddings) < 3:
        return []
    others = (embeddings.sum(axis=0) - embeddings) / (len(embeddings) - 1)
    scores = verifier.scores(others, embeddings).diagonal()
    return [
        f"{name} does not sound like the other recordings enrolled"
        for name, score in zip(names, scores, strict=False)
        if score < STRANGE
    ]


def describe(answer):
    """An answer of `verify` as a paragraph in plain words."""
    percent = 100 * answer["probability"]
    sure = f"{percent:.0f} %" if 1 <= percent <= 99 else "less than 1 %" if percent < 1 else "more than 99 %"
    said = "The same person" if answer["same"] else "Different people"
    lines = [f"{said}: the probability of one person is {sure}."]
    lines.append(f"Score {answer['score']:+.2f}, accepted from {answer['threshold']:+.2f} on.")
    return "\n".join([*lines, *(f"Mind: {remark}." for remark in answer["remarks"])])


def main(arguments=None):
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m helpers.verify", description=__doc__.split("\n")[0])
    parser.add_argument("recordings", nargs="+", metavar="FILE", help="of one person; the last is verified")
    parser.add_argument("--model", default="", help="a saved model (default: one that learnt from people)")
    parser.add_argument("--prior", type=float, default=0.5, help="probability of one person beforehand")
    parser.add_argument("--cost-miss", type=float, default=1, help="of rejecting the same person")
    parser.add_argument("--cost-false-alarm", type=float, default=1, help="of accepting another person")
    parser.add_argument("--json", action="store_true", help="one JSON object in place of words")
    options = parser.parse_args(arguments)
    *enrolled, verified = options.recordings
    point = (options.prior, options.cost_miss, options.cost_false_alarm)
    try:
        model = Path(options.model) if options.model else find_model()
        verifier = load_verifier(model)
        answer = verify(verifier, enrolled, verified, *point)
        answer |= {"model": str(model), "trained_on": verifier.facts.get("corpus", "unknown")}
    except InputError as error:
        print(f"Could not tell: {error}", file=sys.stderr)
        if options.json:
            print(json.dumps({"same": None, "why": str(error)}, indent=1))
        return 2
    print(json.dumps(answer, indent=1) if options.json else describe(answer))
    return 0 if answer["same"] else 1


if __name__ == "__main__":
    sys.exit(main())

NAME = "speechocean762 and synthesised speech"  # corpus of the model that comes along
