"""The page that `make app` serves, and notebook 13's widgets: enrol, verify, nearest voices, and the limits.

What is handed over stays in the memory of the process behind the page and ends with it. In all parts,
`verifier` is a `verifier.Verifier` and `known` a `costs.ReferenceVoices`. What a person has typed, and names
of files, are escaped before they become HTML.
"""

import os
from html import escape
from pathlib import Path

import ipywidgets as widgets
from ipywidgets import HTML

import helpers.notebook  # noqa: F401, first: in a kernel it imports Keras without TensorFlow's log lines
from helpers import InputError, first_line, quality, verify
from helpers.app import costs, markup, uploads
from helpers.app.recorder import ClipInput
from helpers.plots import verification as verification_plots
from helpers.verifier import embed_recordings, load_verifier

LEAST = 3  # clips enrolled
NEAREST = 5
PRIORS = [0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99]
COSTS = [1, 2, 5, 10, 20, 50, 100]
STYLE = Path(__file__).with_name("page.css").read_text(encoding="utf-8")


def guarded(method):
    """Decorate a method of a widget that has the HTML `line`: what it raises ends there, in one line."""

    def run(self, *arguments):
        try:
            return method(self, *arguments)
        except InputError as error:
            found = str(error)
        except Exception as error:  # a page has no use for a traceback
            found = f"That did not work ({first_line(type(error).__name__, error)[:120]})"
        self.line.value = markup.note_html(found, "wrong")

    return run


class Clips(widgets.VBox):
    """Clips of one person, uploaded or recorded, each shown with what the system measures in it.

    Parameters
    ----------
    verifier : verifier.Verifier
    changed : callable ()
        Called when a clip was added or removed.
    most : int
        With 1, a new clip replaces the last.
    """

    def __init__(self, verifier, changed, most=uploads.MOST):
        self.verifier, self.changed, self.most = verifier, changed, most
        self.input = ClipInput(self.take, multiple=most > 1)
        self.shown, self.state = widgets.Box().add_class("voices-clips"), HTML("")
        self.clips = {}  # a card each
        super().__init__([self.input, self.state, self.shown])

    @property
    def accepted(self):
        """The clips taken, in order: a list of `uploads.Clip`."""
        return list(self.clips.values())

    def take(self, name, content):
        """Take a clip in from a file's bytes; InputError where it is not fit, and nothing changes."""
        if self.most > 1 and len(self.clips) >= self.most:
            name, expected = uploads.plain_name(name), f"{self.most} clips at most"
            raise InputError("was not taken", file=name, expected=expected)
        clip = uploads.read_clip(name, content, self.verifier.trained_on_calls)
        remove = widgets.Button(description="Remove").add_class("voices-remove")
        shown = HTML(markup.clip_html(clip, self.verifier.spectrogram))
        card = widgets.VBox([shown, remove]).add_class("voices-clip")
        remove.on_click(lambda _: self.remove(card))
        if self.most == 1:
            self.clips.clear()
        self.clips[card] = clip
        self._show()

    def remove(self, card):
        """Forget a clip."""
        self.clips.pop(card, None)
        self._show()

    def _show(self):
        self.shown.children = list(self.clips)
        self.changed()


class VerdictPanel(widgets.VBox):
    """The answer for one clip against those enrolled, and the operating point with what it costs to move it.

    Error rates are measured on the recordings of `known`.
    """

    def __init__(self, verifier, known):
        self.verifier, self.known, self.comparison, self.measured = verifier, known, None, {}
        self.line, self.picture, self.costs = HTML(""), HTML("").add_class("voices-picture"), HTML("")
        auto = {"layout": {"width": "auto"}}
        priors = [(f"{100 * each:g} %", each) for each in PRIORS]
        what = "Probability beforehand that it is the same person"
        self.prior = widgets.SelectionSlider(options=priors, value=0.5, description=what, **auto)
        self.miss, self.false_alarm = (
            widgets.SelectionSlider(options=COSTS, value=1, description=f"Cost of {what}", **auto)
            for what in ("refusing the right person", "letting somebody else in")
        )
        knobs = [self.prior, self.miss, self.false_alarm]
        for knob in knobs:
            knob.observe(lambda _: self.decide(), "value")
        intro = "<p>Set the prior and what each error costs: the threshold follows, and the score stays.</p>"
        left = widgets.VBox([HTML(intro), *knobs]).add_class("voices-knobs")
        self.point = widgets.Box([left, self.picture]).add_class("voices-point")
        self._set_display("none")
        super().__init__([self.line, self.point, self.costs])

    @guarded
    def update(self, enrolled, verified):
        """Compare a clip, None for none yet, with those enrolled, and show the answer."""
        self.comparison = None
        self._set_display("none")
        lacking = LEAST - len(enrolled)
        if lacking > 0 or verified is None:
            more = f"{lacking} more of step 1" if lacking > 0 else "the clip to verify"
            self.line.value = markup.note_html(f"The answer will appear here. Still needed: {more}.")
            return
        self.line.value = markup.note_html("Comparing …")
        clips = [*enrolled, verified]
        names, waveforms = [clip.name for clip in clips], [clip.waveform for clip in clips]
        self.comparison = verify.score_recordings(self.verifier, names, waveforms)
        self.measured = costs.enrolled_scores(self.verifier, self.known, len(enrolled))
        self.decide()
        self._set_display("")

    @guarded
    def decide(self):
        """Show the answer at the operating point that is set."""
        if self.comparison is None:
            return
        point = self.prior.value, self.miss.value, self.false_alarm.value
        verdict = verify.decide(self.comparison, *point)
        threshold = verdict.threshold
        figure = verification_plots.plot_operating_point(*self.measured, threshold, verdict.score)
        self.line.value = markup.verdict_html(verdict)
        text = "scores of one person and of two people, the threshold, and this clip's score"
        self.picture.value = markup.picture_html(figure, text)
        table = costs.operating_points(*self.measured, threshold, *point)
        self.costs.value = markup.costs_html(table, self.measured, self.known, threshold)

    def _set_display(self, display):
        self.point.layout.display = self.costs.layout.display = display


class NearestVoices(widgets.VBox):
    """Which voices of a collection are nearest to a clip or to those enrolled, with players."""

    def __init__(self, verifier, known):
        self.verifier, self.known, self.asked = verifier, known, {}
        self.line, self.found = HTML(""), HTML("")
        self.whose = widgets.ToggleButtons(options=["the clip to verify", "the person enrolled"])
        self.whose.style.button_width = "auto"
        self.whose.observe(lambda _: self.find(), "value")
        super().__init__([self.whose, self.line, self.found])

    def update(self, enrolled, verified):
        """Ask for the clip to verify, None for none yet, or for the clips enrolled."""
        clips = [verified] if verified else [], list(enrolled)
        self.asked = dict(zip(self.whose.options, clips, strict=True))
        self.find()

    @guarded
    def find(self):
        """Show the nearest voices to the clip or the person that is asked for."""
        clips, self.found.value = self.asked.get(self.whose.value, []), ""
        if not clips:
            self.line.value = markup.note_html("There is no clip to search for yet.")
            return
        speech = quality.trim_silence([clip.waveform for clip in clips], quality.SILENT)
        voice = embed_recordings(self.verifier, speech).mean(axis=0, keepdims=True)
        near = self.known.index.search(voice, NEAREST)
        share = costs.impostor_share(self.verifier, self.known.index, float(near.scores[0, 0]))
        chance = "Some voice is always the nearest, whatever the clip"
        if share is not None:
            strangers = f"{100 * share:.0f} % of people who are not among these"
            chance += f"; {strangers} would find one as near as the first"
        voices = f"{len(self.known.index):,} voices ({escape(self.known.test.name)})"
        self.line.value = f"<p>Of {voices} these are nearest. {chance}.</p>"
        cards = ""
        for row, score in zip(near.rows[0], near.scores[0], strict=True):
            waveform, speaker = self.known.sound(row), str(self.known.index.speakers[row])
            player = '<div class="small">no recording at hand</div>'
            if waveform is not None:
                player = markup.audio_html(waveform, speaker)
            head = f'<b class="who">{escape(speaker)}</b><div class="small">score {score:+.1f}</div>'
            cards += f"<div>{head}{player}</div>"
        self.found.value = f'<div class="voices-near">{cards}</div>'


def step(number, title, text, *parts):
    """A numbered part of the page."""
    head = f'<h2><span class="number">{number}</span>{title}</h2><p>{text}</p>'
    return widgets.VBox([HTML(head), *parts]).add_class("voices-step")


def page(verifier, known):
    """The whole page, an `ipywidgets.Widget`."""
    verdict, nearest = VerdictPanel(verifier, known), NearestVoices(verifier, known)

    def changed():
        clips = enrolled.accepted, (verified.accepted or [None])[0]
        count = len(clips[0])
        more = f"; {LEAST - count} more needed" if count < LEAST else ""
        enrolled.state.value = markup.note_html(f"{count} of at least {LEAST} clips{more}.")
        verdict.update(*clips)
        nearest.update(*clips)

    enrolled, verified = Clips(verifier, changed), Clips(verifier, changed, 1)
    changed()
    lead = "Did one person speak both? Enrol a person with a few clips, then verify another clip."
    first = "Upload or record at least three clips with some seconds of speech each; more are better."
    limits = HTML(markup.limits_html(verifier))
    title = HTML(f'<style>{STYLE}</style><h1>Siamese Voices</h1><p class="lead">{lead}</p>')
    steps = [
        step(1, "Enrol one person", first, enrolled),
        step(2, "Verify", "One clip, of the same person or of somebody else.", verified, verdict),
        step(3, "Nearest voices", "Which voices of a collection are nearest to", nearest),
        step(4, "What it is not for", "Read this before you rely on an answer.", limits),
    ]
    return widgets.VBox([title, *steps]).add_class("voices-page")


def show(model="", data=""):
    """The page for a model and a data folder, or one line that says why there is none, as a widget.

    Parameters
    ----------
    model : path, optional
        By default SIAMESE_VOICES_MODEL of the environment, else as `verify.find_model`.
    data : path, optional
        As for `course.course_folder`.
    """
    try:
        verifier = load_verifier(model or os.environ.get("SIAMESE_VOICES_MODEL") or verify.find_model())
        return page(verifier, costs.load_reference_voices(verifier, data))
    except InputError as error:
        return HTML(f"<style>{STYLE}</style>{markup.note_html(str(error), 'wrong')}")
