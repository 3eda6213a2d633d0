"""A widget that takes clips: files that are chosen or dropped, or the microphone's, as bytes for Python.

A file goes over in pieces of half a megabyte, so that no message is too large for a server, and what is too
large as a whole never leaves the browser. Files go over as they are; recordings are 16-bit WAV at 16,000 Hz,
mono.
"""

from pathlib import Path

import anywidget
import traitlets

from helpers import InputError, first_line
from helpers.app import uploads


class ClipInput(anywidget.AnyWidget):
    """Two buttons, Record and Choose files, and a line that says what is going on or went wrong.

    Parameters
    ----------
    take : callable (name, content)
        Called with each clip, a str and bytes; what it raises is shown in a line under the buttons.
    multiple : bool
        Whether several files may be chosen at once.
    most_seconds : int
        When a recording stops by itself.
    """

    _esm = Path(__file__).with_name("recorder.js")
    _css = Path(__file__).with_name("recorder.css")
    multiple = traitlets.Bool(True).tag(sync=True)
    most_bytes = traitlets.Int(uploads.LARGEST).tag(sync=True)
    most_seconds = traitlets.Int(20).tag(sync=True)
    doing = traitlets.Unicode("").tag(sync=True)
    said = traitlets.Unicode("").tag(sync=True)

    def __init__(self, take, **settings):
        super().__init__(**settings)
        self.take, self.pieces, self.size = take, [], 0
        self.on_msg(self._receive)

    def say(self, line):
        """Add a line under the buttons; it is shown as text, never as HTML."""
        self.said = f"{self.said}\n{line}".strip()[-2000:]

    def _receive(self, _, message, buffers):
        kind, name = message.get("kind"), str(message.get("name", ""))
        if kind == "start":
            self.said = ""
        elif kind == "problem":
            self.say(str(message.get("text"))[:200])
        elif kind == "piece":
            self.size += sum(len(piece) for piece in buffers)
            if self.size <= uploads.LARGEST:  # the browser is not trusted
                self.pieces += [bytes(piece) for piece in buffers]
        elif kind == "whole":
            content, size = b"".join(self.pieces), max(self.size, int(message.get("size") or 0))
            self.pieces, self.size, shown = [], 0, uploads.plain_name(name)
            self.doing = f"Listening to {shown}"
            try:
                uploads.check_size(name, size)
                self.take(name, content)
            except InputError as error:
                self.say(str(error))
            except Exception as error:  # nothing that is handed over may end in a traceback
                self.say(f"{shown}: {first_line(type(error).__name__, error)[:100]}")
            finally:
                self.doing = ""
