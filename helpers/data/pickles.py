"""Pickles read without trusting them: NumPy arrays come out, everything else is refused and never run."""

import io
import math
import pickle
import pickletools
from pathlib import Path

import numpy as np

from helpers import InputError, describe_value, error_context

LARGEST_FILE = 4 * 2**30  # bytes: some sixty times the course's training file in float64
SAMPLE_TYPES = {"f2", "f4", "f8", "i2", "i4", "i8"}

# All that a pickled NumPy array asks for: `numpy.core` up to NumPy 1, `numpy._core` from NumPy 2 on.
ALLOWED = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy._core.numeric", "_frombuffer"),
    ("_codecs", "encode"),
}

# What it is written with, and a little more that is harmless. Left out: filling a dict or set (hashing nested
# tuples can take for ever), objects of a class, persistent ids, the extension registry (its cache passes
# find_class by), outside buffers.
INSTRUCTIONS = """
    PROTO FRAME STOP MARK INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT NONE NEWTRUE NEWFALSE
    STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES
    BINBYTES8 BYTEARRAY8 EMPTY_LIST LIST APPEND APPENDS EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3
    PUT BINPUT LONG_BINPUT MEMOIZE GET BINGET LONG_BINGET GLOBAL STACK_GLOBAL INST REDUCE BUILD
    EMPTY_DICT EMPTY_SET POP POP_MARK
"""

# What is named .pkl and is no pickle, by its first bytes.
OTHER_FILES = {
    b"version https://git-lfs": "is a Git LFS pointer in place of the file: run git lfs pull",
    b"\x1f\x8b": "is compressed with gzip: unpack it first",
    b"<": "is a web page (HTML) in place of the file: download the file itself",
}
CONTAINERS = {"SETITEM": "dict", "SETITEMS": "dict", "DICT": "dict", "ADDITEMS": "set", "FROZENSET": "set"}


class Call:
    """A call that a pickle asks for, written down instead of made: nothing done to it runs anything."""

    __slots__ = ("args", "name", "state")
    __match_args__ = ("name", "args", "state")

    def __init__(self, name, args=None):
        self.name, self.args, self.state = name, args, None

    def __call__(self, *args):
        return Call(self.name, args)

    def __setstate__(self, state):  # without it, a pickle could set any attribute
        self.state = state


class ArrayUnpickler(pickle.Unpickler):
    """An unpickler that runs nothing: it accepts the names a NumPy array needs, and notes their calls."""

    def find_class(self, module, name):
        if (module, name) not in ALLOWED:
            wanted = describe_value(f"{module}.{name}")
            raise InputError(f"asks for {wanted}, which is not part of a NumPy array; it was not executed")
        return Call(name)


def read_array(path):
    """Read a pickled matrix of samples without executing anything that the pickle asks for.

    Pickle protocols 0 to 5, those of Python 2 and of old NumPy included, that hold a NumPy matrix or a list
    or tuple of equal rows (NumPy vectors, or lists or tuples of Python numbers).

    Parameters
    ----------
    path : path of the pickle

    Returns
    -------
    np.ndarray
        shape (rows, columns); float16, 32 or 64 or int16, 32 or 64, in the machine's byte order

    Raises
    ------
    InputError
        For a file that cannot be read, a damaged one, and a pickle that asks for or holds anything else.
    """
    with error_context(path, "a pickled 2-D array of samples, one utterance a row"):
        data = _bytes_of(Path(path))
        _refuse_other_files(data)
        end, objection = _walk(data)
        if objection:  # stop there; what it asks for until then is still refused by name
            data = data[:end] + pickle.STOP + data[end + 1 :]
        try:
            # Python 2 kept bytes in its strings: Latin-1 takes each to the character of the same number.
            found = ArrayUnpickler(io.BufferedReader(io.BytesIO(data)), encoding="latin1").load()
            if not objection:
                return _matrix(found, len(data))
        except InputError:
            raise
        except Exception as error:  # a damaged pickle can raise anything
            damage = f"is damaged or not a pickle ({type(error).__name__}: {describe_value(error)})"
            objection = objection or damage
        raise InputError(objection)


def _bytes_of(path):
    try:
        if not path.is_file():
            missing = f"is missing (looked for {describe_value(path)})"
            raise InputError("is not a file" if path.exists() else missing)
        size = path.stat().st_size
        if not 0 < size <= LARGEST_FILE:
            raise InputError(f"holds {size} bytes; from 1 to {LARGEST_FILE} are read")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})") from None


def _refuse_other_files(data):
    for first, what in OTHER_FILES.items():
        if data[:100].lstrip().startswith(first):
            raise InputError(what)
    lines = data.count(b"\n")
    if lines > 2 and data.count(b"\r\n") == lines:  # of the bytes of samples, few stand so
        raise InputError("is not as it was written: its line ends were changed (CRLF); copy it as binary")


_OPCODES = {ord(op.code): op for op in pickletools.opcodes if op.name in INSTRUCTIONS.split()}
_LENGTH_BYTES = {-2: 1, -3: 4, -4: 4, -5: 8}  # pickletools' numbers for an argument that says its length
# The whole length of the instructions that have a fixed one and claim nothing: most of a long list.
_PLAIN = {
    code: 1 + (op.arg.n if op.arg else 0)
    for code, op in _OPCODES.items()
    if op.name not in ("STOP", "FRAME", "LONG_BINPUT") and (op.arg is None or op.arg.n >= 0)
}


def _walk(data):
    """Walk a pickle's instructions without following them.

    The unpickler reserves memory for a claimed length or memo number before it checks how long the file is,
    and some instructions can do harm without a name. Returns where the first bad instruction is and what is
    wrong with it, or an empty string.
    """
    at = count = 0
    while at < len(data):
        start, count = at, count + 1
        plain = _PLAIN.get(data[at])
        if plain:
            at += plain
            continue
        op = _OPCODES.get(data[at])
        at += 1
        if op is None:
            known = [op.name for op in pickletools.opcodes if ord(op.code) == data[start]]
            what = f"the pickle instruction {known[0]}" if known else f"the byte {data[start]:#04x}"
            if start and known and known[0] in CONTAINERS:  # the first byte of a text file says nothing
                return start, f"holds a Python {CONTAINERS[known[0]]} ({known[0]} at byte {start})"
            return start, f"has {what} at byte {start}, as no pickled matrix has"
        if op.name == "STOP":
            extra = len(data) - at
            return start, f"goes on for {extra} bytes after the end of its pickle" if extra else ""
        if op.arg.n == -1:  # a line of text, or two
            for _ in range(2 if op.name in ("GLOBAL", "INST") else 1):
                at = data.find(b"\n", at) + 1 or len(data)
            number = data[start + 1 : at].strip()
            if op.name == "PUT" and not (number.isdigit() and len(number) < 12 and int(number) <= count):
                return start, _claims("more objects than it has")
            continue
        width = _LENGTH_BYTES.get(op.arg.n, op.arg.n)
        claim = int.from_bytes(data[at : at + width], "little")
        at += width
        if op.name == "LONG_BINPUT":
            if claim > count:
                return start, _claims("more objects than it has")
        elif claim > len(data) - at:
            return start, _claims(f"{claim} bytes at byte {start} of {len(data)}")
        elif op.name != "FRAME":  # a frame's content is walked too
            at += claim
    return at, ""


def _claims(what):
    return f"is damaged or hostile: it claims {what}"


def _matrix(found, size):
    """The matrix in what was unpickled from a file of `size` bytes."""
    if isinstance(found, Call):
        matrix = _array(found, 2)
    elif isinstance(found, list | tuple) and found:
        rows = []
        for number, row in enumerate(found):
            try:
                rows.append(_array(row, 1) if isinstance(row, Call) else _numbers(row))
            except InputError as error:
                raise InputError(f"{error} (row {number}, counted from 0)") from None
            here, first = len(rows[-1]), len(rows[0])
            if here != first:
                raise InputError(f"has {first} samples in row 0 and {here} in row {number} (counted from 0)")
            if len(found) * first > size:  # one row many times, by reference
                raise InputError(_claims(f"{len(found)} rows of {first} samples in {size} bytes"))
        matrix = np.stack(rows)
    else:
        raise InputError(f"holds {_kind(found)}")
    if not matrix.size:
        raise InputError(f"holds no samples (shape {matrix.shape})")
    return np.array(matrix, dtype=matrix.dtype.newbyteorder("="), order="C")


def _array(call, dimensions):
    """The array that a noted call describes, made from its bytes once its type and shape fit them."""
    match call:
        case Call("_reconstruct", _, (1, tuple(shape), dtype, bool() | int() as fortran, data)):
            order = "F" if fortran else "C"
        case Call("_frombuffer", (data, dtype, tuple(shape), "C" | "F" as order), None):
            pass
        case _:
            raise InputError(f"holds {_kind(call)}")
    dtype = _sample_type(dtype)
    if len(shape) != dimensions:
        raise InputError(f"holds an array of {len(shape)} dimensions in place of {dimensions}")
    if not all(type(n) is int and 0 < n < 2**63 for n in shape):
        raise InputError("holds an array without samples or without a proper shape")
    match data:
        case Call("encode", (str() as data, "latin1")):  # how Python 3 writes bytes for Python 2
            pass
    if not isinstance(data, str | bytes | bytearray):
        raise InputError(f"holds {_kind(data)} in place of an array's bytes")
    claimed = math.prod(shape) * dtype.itemsize
    if claimed != len(data):
        raise InputError(_claims(f"an array of shape {shape}, {claimed} bytes, and has {len(data)} of them"))
    if isinstance(data, str):
        data = data.encode("latin1")
    return np.frombuffer(data, dtype).reshape(shape, order=order)


def _sample_type(noted):
    match noted:
        case Call("dtype", (str() as code, *_), state):
            match state:
                case (_, "<" | ">" as byte_order, None, None, *_) if code in SAMPLE_TYPES:
                    return np.dtype(byte_order + code)
            named = f"values of NumPy type {describe_value(code)}"
            what = "Python objects" if code.startswith("O") else named
            raise InputError(f"holds {what}, not float or 16-bit samples")
    raise InputError("holds an array without a proper type")


def _numbers(row):
    if not isinstance(row, list | tuple):
        raise InputError(f"holds {_kind(row)} for a row")
    others = set(map(type, row)) - {int, float}
    if others:
        raise InputError(f"holds values of type {', '.join(sorted(kind.__name__ for kind in others))}")
    values = np.array(row)
    if values.dtype.kind not in "if":
        raise InputError("holds integers beyond 64 bits")
    return values


def _kind(found):
    return f"a call of {found.name}" if isinstance(found, Call) else f"a Python {type(found).__name__}"
