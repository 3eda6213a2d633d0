"""The page that `make app` serves, and notebook 11's widgets: enrol, verify, nearest voices, and the limits.

What is handed over stays in the memory of the process behind the page and ends with it.
"""

import os
from html import escape
from pathlib import Path

import ipywidgets as widgets

import helpers.notebook  # noqa: F401, before Keras: it keeps TensorFlow's log lines from the server's
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


def html(text):
    """HTML as a widget; whatever a person has typed, or named a file, is escaped before it gets here."""
    return widgets.HTML(text)


def guarded(line):
    """Decorate a method of a widget that has the HTML `line`: what it raises ends there, in one line."""

    def decorate(method):
        def run(self, *arguments):
            try:
                return method(self, *arguments)
            except InputError as error:
                found = str(error)
            except Exception as error:  # a page has no use for a traceback
                found = f"That did not work ({first_line(type(error).__name__, error)[:120]})"
            getattr(self, line).value = f'<p class="wrong">{escape(found)}</p>'

        return run

    return decorate


class Clips(widgets.VBox):
    """Clips of one person, uploaded or recorded, each shown with what the system hears in it.

    Parameters
    ----------
    verifier : verifier.Verifier
        It says what can be judged, and shows what it hears.
    changed : callable ()
        Called when a clip has come or gone.
    most : int
        With 1, a new clip takes the place of the last.
    """

    def __init__(self, verifier, changed, most=uploads.MOST):
        self.verifier, self.changed, self.most = verifier, changed, most
        self.input = ClipInput(self.take, multiple=most > 1)
        self.shown, self.state = widgets.Box().add_class("voices-clips"), html("")
        self.clips = {}  # a card each
        super().__init__([self.input, self.state, self.shown])

    @property
    def accepted(self):
        """The clips taken, in order: a list of `uploads.Clip`."""
        return list(self.clips.values())

    def take(self, name, content):
        """Take a clip in from a file's bytes; InputError where it is not fit, and nothing changes."""
        if self.most > 1 and len(self.clips) >= self.most:
            raise InputError(f"{uploads.plain_name(name)} was not taken; expected {self.most} clips at most")
        clip = uploads.read_clip(name, content, self.verifier.trained_on_calls)
        remove = widgets.Button(description="Remove").add_class("voices-remove")
        told = markup.clip_html(clip, self.verifier.spectrogram)
        card = widgets.VBox([html(told), remove]).add_class("voices-clip")
        remove.on_click(lambda _: self.remove(card))
        self.clips = {**(self.clips if self.most > 1 else {}), card: clip}
        self._show()

    def remove(self, card):
        """Forget a clip."""
        self.clips = {each: clip for each, clip in self.clips.items() if each is not card}
        self._show()

    def _show(self):
        self.shown.children = list(self.clips)
        self.changed()


class Verdict(widgets.VBox):
    """The answer for one clip against those enrolled, and the operating point with what it costs to move it.

    Parameters
    ----------
    verifier : verifier.Verifier
    known : costs.ReferenceVoices
        Error rates are measured on its recordings.
    """

    def __init__(self, verifier, known):
        self.verifier, self.known, self.answer, self.measured = verifier, known, None, {}
        self.line, self.picture, self.told = html(""), html("").add_class("voices-picture"), html("")
        auto = {"layout": {"width": "auto"}}
        self.prior = widgets.SelectionSlider(
            options=[(f"{100 * each:g} %", each) for each in PRIORS], value=0.5,
            description="Probability beforehand that it is the same person", **auto,
        )  # fmt: skip
        self.miss, self.false_alarm = (
            widgets.SelectionSlider(options=COSTS, value=1, description=f"Cost of {what}", **auto)
            for what in ("refusing the right person", "letting somebody else in")
        )
        knobs = [self.prior, self.miss, self.false_alarm]
        for knob in knobs:
            knob.observe(lambda _: self.decide(), "value")
        intro = "<p>Set what you know and what an error costs; the threshold follows, the score does not.</p>"
        left = widgets.VBox([html(intro), *knobs]).add_class("voices-knobs")
        self.point = widgets.Box([left, self.picture]).add_class("voices-point")
        self.point.layout.display = self.told.layout.display = "none"
        super().__init__([self.line, self.point, self.told])

    @guarded("line")
    def update(self, enrolled, verified):
        """Compare a clip, None for none yet, with those enrolled, and show the answer."""
        self.answer = None
        self._hide("none")
        lacking = LEAST - len(enrolled)
        if lacking > 0 or verified is None:
            more = f"{lacking} more of step 1" if lacking > 0 else "the clip to verify"
            self.line.value = f'<p class="small">The answer comes here; still needed: {more}.</p>'
            return
        self.line.value = '<p class="small">Listening …</p>'
        clips = [*enrolled, verified]
        names = [clip.name for clip in clips]
        self.answer = verify.score_recordings(self.verifier, names, [clip.waveform for clip in clips])
        self.measured = costs.enrolled_scores(self.verifier, self.known, len(enrolled))
        self.decide()
        self._hide("")

    @guarded("line")
    def decide(self):
        """Show the answer at the operating point that is set."""
        if self.answer is None:
            return
        point = self.prior.value, self.miss.value, self.false_alarm.value
        answer = verify.decide(self.answer, *point)
        scores, labels = self.measured
        picture = verification_plots.plot_operating_point(
            scores, labels, answer["threshold"], answer["score"]
        )
        self.line.value = markup.answer_html(answer)
        seen = "scores of one person and of two people, the threshold, and this clip's score"
        self.picture.value = (
            f'<img alt="{seen}" src="{markup.data_url(verification_plots.png_bytes(picture), "image/png")}">'
        )
        table = costs.operating_points(scores, labels, answer["threshold"], *point)
        self.told.value = markup.costs_html(table, self.measured, self.known, answer["threshold"])

    def _hide(self, display):
        self.point.layout.display = self.told.layout.display = display


class Nearest(widgets.VBox):
    """Which voices of a collection are nearest to a clip or to those enrolled, with players.

    Parameters
    ----------
    verifier : verifier.Verifier
    known : costs.ReferenceVoices
    """

    def __init__(self, verifier, known):
        self.verifier, self.known, self.asked = verifier, known, {}
        self.line, self.found = html(""), html("")
        self.whose = widgets.ToggleButtons(options=["the clip to verify", "the person enrolled"])
        self.whose.style.button_width = "auto"
        self.whose.observe(lambda _: self.find(), "value")
        super().__init__([self.whose, self.line, self.found])

    def update(self, enrolled, verified):
        """Ask for the clip to verify, None for none yet, or for the clips enrolled."""
        self.asked = dict(
            zip(self.whose.options, ([verified] if verified else [], list(enrolled)), strict=True)
        )
        self.find()

    @guarded("line")
    def find(self):
        """Show who is nearest to whom is asked for."""
        clips, self.found.value = self.asked.get(self.whose.value, []), ""
        if not clips:
            self.line.value = '<p class="small">There is no clip to ask for yet.</p>'
            return
        speech = quality.trim_silence([clip.waveform for clip in clips], quality.SILENT)
        voice = embed_recordings(self.verifier, speech).mean(axis=0, keepdims=True)
        near = self.known.index.search(voice, NEAREST)
        self.line.value = self._told(float(near.scores[0, 0]))
        rows = zip(near.rows[0], near.scores[0], strict=True)
        self.found.value = f'<div class="voices-near">{"".join(self._card(*each) for each in rows)}</div>'

    def _told(self, score):
        share = costs.impostor_share(self.verifier, self.known.index, score)
        said = f"<p>Of {len(self.known.index):,} voices ({escape(self.known.test.name)}) these are nearest. "
        said += "Somebody always is, whoever asks"
        if share is not None:
            said += (
                f": {100 * share:.0f} % of people who are not among them would find one as near as the first"
            )
        return f"{said}.</p>"

    def _card(self, row, score):
        sound, who = self.known.sound(row), str(self.known.index.speakers[row])
        heard = (
            '<div class="small">no recording at hand</div>'
            if sound is None
            else markup.audio_html(sound, who)
        )
        return (
            f'<div><b class="who">{escape(who)}</b><div class="small">score {score:+.1f}</div>{heard}</div>'
        )


def step(number, title, text, *parts):
    """A numbered part of the page."""
    head = f'<h2><span class="number">{number}</span>{title}</h2><p>{text}</p>'
    return widgets.VBox([html(head), *parts]).add_class("voices-step")


def page(verifier, known):
    """The whole page.

    Parameters
    ----------
    verifier : verifier.Verifier
    known : costs.ReferenceVoices

    Returns
    -------
    ipywidgets.Widget
    """
    verdict, nearest = Verdict(verifier, known), Nearest(verifier, known)

    def changed():
        clips = enrolled.accepted, (verified.accepted or [None])[0]
        count = len(clips[0])
        more = f"; {LEAST - count} more needed" if count < LEAST else ""
        enrolled.state.value = f'<p class="small">{count} of at least {LEAST} clips{more}.</p>'
        verdict.update(*clips)
        nearest.update(*clips)

    enrolled, verified = Clips(verifier, changed), Clips(verifier, changed, 1)
    changed()
    lead = "Did one person speak both? Enrol a voice with a few clips, then verify another clip against it."
    first = "Upload or record three clips or more, some seconds of speech each: the more, the surer."
    title = html(f'<style>{STYLE}</style><h1>Siamese Voices</h1><p class="lead">{lead}</p>')
    steps = [
        step(1, "Enrol one person", first, enrolled),
        step(2, "Verify", "One clip, of the same person or of somebody else.", verified, verdict),
        step(3, "Nearest voices", "Whose voices of a collection are nearest to", nearest),
        step(
            4,
            "What it is not for",
            "Read this before you believe an answer.",
            html(markup.limits_html(verifier)),
        ),
    ]
    return widgets.VBox([title, *steps]).add_class("voices-page")


def show(model="", data=""):
    """The page for a model and a data folder, or one line that says why there is none.

    Parameters
    ----------
    model : path, optional
        By default SIAMESE_VOICES_MODEL of the environment, else as `verify.find_model`.
    data : path, optional
        As for `course.course_folder`.

    Returns
    -------
    ipywidgets.Widget
    """
    try:
        chosen = model or os.environ.get("SIAMESE_VOICES_MODEL") or verify.find_model()
        verifier = load_verifier(chosen)
        return page(verifier, costs.load_reference_voices(verifier, data))
    except InputError as error:
        return html(f'<style>{STYLE}</style><p class="wrong">{escape(str(error))}</p>')
