"""The page's answers as HTML; names of files and speakers are escaped."""

import base64
import json
from html import escape
from pathlib import Path

import numpy as np

from helpers import SAMPLE_RATE, quality, verify
from helpers.app import costs, uploads
from helpers.data import audio, synthesis
from helpers.plots import verification as verification_plots


def clip_html(clip, spectrogram):
    """A clip as HTML: its name, its length, its picture, a player, and what may make an answer wrong."""
    found = clip.quality
    length = f"{found.seconds:.1f} s, of which {found.speech_seconds:.1f} s are speech"
    figure = verification_plots.plot_recording(clip.waveform, spectrogram)
    picture = picture_html(figure, f"waveform and spectrogram of {clip.name}")
    head = f'<div class="name">{escape(clip.name)}</div><div class="small">{length}</div>'
    return f"{head}{picture}{audio_html(clip.waveform, clip.name)}{remarks_html(clip.remarks)}"


def picture_html(figure, text):
    """A figure as an HTML image; `text` says what it shows."""
    content = base64.b64encode(verification_plots.png_bytes(figure)).decode()
    return f'<img alt="{escape(text)}" src="data:image/png;base64,{content}">'


def audio_html(waveform, name):
    """A waveform as an HTML audio element."""
    content = base64.b64encode(audio.flac_bytes(waveform)).decode()
    return f'<audio controls aria-label="{escape(name)}" src="data:audio/flac;base64,{content}"></audio>'


def remarks_html(remarks):
    """Remarks as HTML, each in a line."""
    return "".join(f'<div class="remark">{escape(remark)}</div>' for remark in remarks)


def note_html(text, kind="small"):
    """A short text as an HTML paragraph; "wrong" is the kind of an error."""
    return f'<p class="{kind}">{escape(text)}</p>'


def verdict_html(verdict):
    """A `verify.Verdict` as HTML."""
    kind = "same" if verdict.same else "different"
    decision, score = (escape(line) for line in verify.verdict_lines(verdict))
    remarks = remarks_html(f"{remark}." for remark in verdict.remarks)
    if remarks:
        remarks = f'<div class="remarks"><b>What may make it wrong</b>{remarks}</div>'
    return (
        f'<div class="voices-answer {kind}" role="status">'
        f'<div class="decision">{decision}</div>'
        f'<div class="bar"><i style="width:{100 * verdict.probability:.1f}%"></i></div>'
        f'<div class="small">{score}</div></div>{remarks}'
    )


def costs_html(table, measured, known, threshold):
    """What the operating point costs, and what its neighbours would, as HTML."""
    refused, let_in = costs.error_shares(*measured, threshold)
    rows = "".join(
        f"<tr{' class=now' * (each.name == 'as set')}><td>{each.name}</td>"
        f"<td>{each.threshold:+.1f}</td><td>{each.refused:.1f}</td><td>{each.let_in:.1f}</td>"
        f"<td>{each.cost:.1f}</td></tr>".replace("inf", "∞")
        for each in table
    )
    speakers, test = len(set(known.test.labels)), known.test
    seconds = np.median([len(waveform) for waveform in test.waveforms]) / SAMPLE_RATE
    return (
        f"<p><b>What it costs to move the threshold.</b> From {threshold:+.1f} on, {100 * refused:.1f} % of "
        f"the right people are refused and {100 * let_in:.1f} % of the others let in: measured on "
        f"{speakers} speakers that the model was not trained on ({escape(test.name)}, {seconds:.1f} s a "
        "clip, with as many enrolled as here, if there are enough). With other people the errors may "
        "differ.</p>"
        f'<div class="scroll"><table><tr><th>in {costs.ATTEMPTS:,} attempts</th><th>accepted from</th>'
        f"<th>right people refused</th><th>others let in</th><th>cost</th></tr>{rows}</table></div>"
    )


# Lists of lines by name; their figures are equal error rates of `helpers.research.robustness`, one to one.
LIMITS = json.loads(Path(__file__).with_name("limits.json").read_text(encoding="utf-8"))


def limits_html(verifier):
    """What such a model may not be used for, and what makes it wrong, as HTML."""
    corpus, count = verifier.facts.get("corpus", "unknown"), verifier.facts.get("speakers_train", "unknown")
    kind = {synthesis.NAME: "voices", verify.NAME: "people"}.get(corpus, "others")
    trained, page = ("\n".join(LIMITS[name]) for name in (kind, "page"))
    trained = trained.format(count=count, corpus=escape(str(corpus)))
    most, megabytes = uploads.MOST, uploads.LARGEST // 2**20
    return page.format(trained=trained, most=most, megabytes=megabytes, seconds=quality.LONGEST)
