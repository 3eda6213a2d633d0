"""Shared code of the Siamese Voices notebooks; README.md beside this file is its map."""

import os
import sys
import tempfile
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from math import inf
from numbers import Integral, Real
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
SAMPLE_RATE = 16_000
SHORTEST = 1024  # samples: one STFT window
BACKENDS = ("tensorflow", "jax", "torch")
KINDS = {bool: (bool, "True or False"), int: (Integral, "a whole number"), float: (Real, "a number")}
KINDS[str] = (str, "text")


class InputError(ValueError):
    """Bad input, described in one line: the file, what was found in it, and what is expected.

    Parameters
    ----------
    found : str
        What is wrong.
    file : str, optional
        What it is wrong with; comes first in the line.
    expected : str, optional
        What was expected; comes last.
    """

    def __init__(self, found, *, file="", expected=""):
        super().__init__(found)
        self.found, self.file, self.expected = str(found), str(file), expected

    def __str__(self):
        said = f"{self.file} {self.found}" if self.file else self.found
        return f"{said}; expected {self.expected}" if self.expected else said


def first_line(kind, text):
    """An error on one line: its kind, and the first line of what it says, if it says anything."""
    return f"{kind}: {str(text).strip()}".splitlines()[0].rstrip(": ")


@contextmanager
def error_context(path, expected):
    """Add to an InputError the file that it is about, and what is expected of it."""
    try:
        yield
    except InputError as error:
        name = describe_value(Path(path).name or path)
        raise InputError(str(error), file=name, expected=expected) from None


def describe_value(text):
    """Foreign text as one short line without control characters."""
    text = str(text)
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[:100])
    return line + "…" * (len(text) > 100)


def check_values(values, defaults, conditions):
    """Refuse, in one line, a parameter of another kind than its default, or one that breaks a condition.

    Parameters
    ----------
    values, defaults : dict of str to object
        A default that is a bool, int, float or str settles the kind; a float may be given as an int.
    conditions : sequence of str
        Python expressions, such as ``"epochs >= 1"``; each is checked with the first value that it names.

    Raises
    ------
    InputError
        Naming the parameter, what was given and what is expected.
    """
    named = {each: compile(each, "condition", "eval").co_names for each in conditions}
    for name, value in values.items():
        kind, expected = KINDS.get(type(defaults.get(name)), (object, ""))
        own = [each for each in conditions if [n for n in named[each] if n in values][:1] == [name]]
        fits = isinstance(value, kind) and (kind in (bool, object) or not isinstance(value, bool))
        try:
            fits &= kind not in (Integral, Real) or abs(value) < inf
            fits = fits and all(eval(each, {}, values) for each in own)
        except TypeError:  # as in 'ten' >= 1
            fits = False
        if not fits:
            expected = ", ".join(filter(None, [expected, *own]))
            raise InputError(f"is {describe_value(repr(value))}", file=name, expected=expected)


def is_writable(path):
    """Whether a file or folder can be written, or made where it is missing; "~" is the home folder."""
    path = Path(os.path.expanduser(path))  # Path.expanduser stops where no home is known
    there = next((each for each in (path, *path.parents) if os.path.lexists(each)), path)
    return path.is_absolute() and os.access(there, os.W_OK)


@cache
def user_folder():
    """Folder for what is kept for the user: in their cache, or where that cannot be written, a temporary one.

    The temporary one can be written by its user alone, because what lies there is trusted.
    """
    folder = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "siamese-voices")
    if is_writable(folder):
        return folder
    user = getattr(os, "getuid", int)()
    folder = Path(tempfile.gettempdir(), f"siamese-voices-{user}")
    with suppress(OSError):  # something else is there
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if found.st_uid == user and not found.st_mode & 0o022:
            return folder
    return Path(tempfile.mkdtemp(prefix="siamese-voices-"))


@cache
def _elsewhere():
    print(f"{PROJECT} cannot be written: what is made here goes to {user_folder()}", file=sys.stderr)
    return user_folder()


def writable_folder(own):
    """A folder of the project, or if it cannot be written, one in `user_folder`, as a line on stderr says."""
    return own if is_writable(own) else _elsewhere() / own.name


def set_environment():
    """Settle what counts before other packages are imported, and for the kernels and workers started here."""
    # TensorFlow writes native log lines into notebooks, and oneDNN reorders sums from run to run. The home
    # folder's keras.json may be of an old Keras, whose backends there are no more, or of another project.
    settings = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}
    settings["KERAS_HOME"] = str(user_folder() / "keras")
    # Where the home folder cannot be written, as in a container run by another user, these stop or complain.
    places = {"NUMBA_CACHE_DIR": "~/.cache", "MPLCONFIGDIR": "~/.config", "IPYTHONDIR": "~/.ipython"}
    places |= {"JUPYTER_CONFIG_DIR": "~/.jupyter", "JUPYTER_DATA_DIR": "~/.local/share/jupyter"}
    settings |= {name: str(user_folder() / name) for name, place in places.items() if not is_writable(place)}
    for name, value in settings.items():
        os.environ.setdefault(name, value)
    # Kernels and workers import this very package, whatever else is called `helpers` on their path.
    paths = [str(PROJECT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(filter(None, paths)))
    backend = os.environ["KERAS_BACKEND"] = os.environ.get("KERAS_BACKEND") or "tensorflow"
    if backend not in BACKENDS or not find_spec(backend):
        expected = f"one of {', '.join(BACKENDS)} that is installed"
        print(f"KERAS_BACKEND is {describe_value(backend)}; expected {expected}", file=sys.stderr)
        sys.exit(2)


set_environment()
