"""Reading untrusted pickles of speech: what loads, what is refused and how, and that nothing runs."""

import contextlib
import copyreg
import gzip
import hashlib
import io
import json
import os
import pickle
import pickletools
import random
import re
import struct
import subprocess
import sys
import time
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from helpers import PROJECT, InputError
from helpers.data.corpora import load_course, load_utterances
from helpers.data.pickles import ArrayUnpickler, read_array

REAL_SPEECH = os.environ.get("REAL_SPEECH")
SMALL = np.random.default_rng(0).uniform(-0.5, 0.5, (4, 6)).astype(np.float32)
HUGE = 50 * 10**9


# ---- pickles made by hand ----------------------------------------------------------------------------------


def written(folder, content, name="trs.pkl"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content))
    return path


def word(text):
    return b"X" + struct.pack("<I", len(text.encode())) + text.encode()


def ask(module, name, *args, stack_global=True):
    """A pickle that asks for the call module.name(*args)."""
    wanted = word(module) + word(name) + b"\x93" if stack_global else f"c{module}\n{name}\n".encode()
    return b"\x80\x04" + wanted + pickle.dumps(args, 2)[2:-1] + b"R."


def dtype_of(code="f4", order="<"):
    return (
        b"cnumpy\ndtype\n"
        + word(code)
        + b"\x89\x88\x87R(K\x03"
        + word(order)
        + b"NNNJ\xff\xff\xff\xffK\x00K\x00tb"
    )


def array_of(shape, data, dtype=None, version=b"K\x01", order=b"\x89", core="_core"):
    """A pickled array with a state of one's own: any argument may be hostile."""
    state = b"(" + version + pickle.dumps(shape, 2)[2:-1] + (dtype or dtype_of()) + order + data + b"t"
    start = f"cnumpy.{core}.multiarray\n_reconstruct\ncnumpy\nndarray\n".encode()
    return b"\x80\x04" + start + b"K\x00\x85C\x01b\x87R" + state + b"b."


def raw(data):
    return b"B" + struct.pack("<I", len(data)) + data


def python2(matrix, protocol):
    """The bytes that Python 2 and the NumPy of its day wrote: its str held the bytes."""
    rows, columns = matrix.shape
    code, data = matrix.dtype.str[1:], matrix.tobytes()
    order = matrix.dtype.str[0]
    if protocol == 0:
        text = (
            "cnumpy.core.multiarray\n_reconstruct\np1\n(cnumpy\nndarray\np2\n(I0\ntp3\nS'b'\np4\ntp5\nRp6\n"
            f"(I1\n(I{rows}\nI{columns}\ntp7\ncnumpy\ndtype\np8\n(S'{code}'\np9\nI0\nI1\ntp10\nRp11\n"
            f"(I3\nS'{order}'\np12\nNNNI-1\nI-1\nI0\ntp13\nbI00\nS{repr(data)[1:]}\np14\ntp15\nb."
        )
        return text.encode("ascii")
    return (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85q\x03U\x01bq\x04\x87"
        b"q\x05Rq\x06(K\x01"
        + b"M"
        + struct.pack("<H", rows)
        + b"M"
        + struct.pack("<H", columns)
        + b"\x86q\x07"
        b"cnumpy\ndtype\nq\x08U\x02"
        + code.encode()
        + b"q\x09K\x00K\x01\x87q\x0aRq\x0b(K\x03U\x01"
        + order.encode()
        + b"q\x0cNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x0db\x89T"
        + struct.pack("<i", len(data))
        + data
        + b"q\x0etb."
    )


def renamed(content):
    """The same pickle with the module names of NumPy 1 (frames, which are optional, left out)."""
    operations = list(pickletools.genops(content))
    ends = [position for _, _, position in operations[1:]] + [len(content)]
    kept = b"".join(
        content[position:end]
        for (operation, _, position), end in zip(operations, ends, strict=True)
        if operation.name != "FRAME"
    )
    for module in (b"multiarray", b"numeric"):
        new, old = b"numpy._core." + module, b"numpy.core." + module
        kept = kept.replace(b"\x8c" + bytes([len(new)]) + new, b"\x8c" + bytes([len(old)]) + old)
        kept = kept.replace(new, old)
    return kept


# ---- what loads --------------------------------------------------------------------------------------------

FORMS = {
    "float32": SMALL,
    "float64": SMALL.astype(np.float64),
    "float16": SMALL.astype(np.float16),
    "int16": (SMALL * 32768).astype(np.int16),
    "big-endian float64": SMALL.astype(">f8"),
    "big-endian int16": (SMALL * 32768).astype(">i2"),
    "Fortran order": np.asfortranarray(SMALL),
    "big-endian Fortran order": np.asfortranarray(SMALL.astype(">f4")),
    "every other row and column": np.repeat(np.repeat(SMALL, 2, axis=0), 2, axis=1)[::2, ::2],
    "reversed": SMALL[::-1, ::-1],
}


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("form", FORMS)
def test_every_form_loads_under_every_protocol(tmp_path, form, protocol):
    content = pickle.dumps(FORMS[form], protocol)
    for variant in (content, renamed(content)):
        found = read_array(written(tmp_path, variant))
        np.testing.assert_array_equal(found, FORMS[form])
        assert found.dtype == FORMS[form].dtype.newbyteorder("=")
        assert found.flags.c_contiguous
        assert found.flags.writeable
    assert b"numpy.core." in renamed(content)
    assert b"numpy._core." not in renamed(content)


@pytest.mark.parametrize("protocol", [0, 2])
@pytest.mark.parametrize("dtype", ["<f8", "<f4", "<i2", ">f4"])
def test_pickles_of_python_2_load(tmp_path, dtype, protocol):
    # All byte values occur, so that quotes, newlines, backslashes and non-ASCII bytes are in the strings.
    content = np.frombuffer(bytes(range(256)) * 2, np.uint8).view(dtype).reshape(8, -1)
    found = read_array(written(tmp_path, python2(content, protocol)))
    assert found.astype(dtype).tobytes() == content.tobytes()


def test_the_python_2_pickles_here_are_right():
    for protocol in (0, 2):
        found = pickle.loads(python2(SMALL, protocol), encoding="latin1")
        np.testing.assert_array_equal(found, SMALL)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "rows",
    [
        list(SMALL),
        tuple(SMALL),
        list(np.asfortranarray(SMALL)),
        [row.astype(">f8") for row in SMALL],
        SMALL.tolist(),
        tuple(map(tuple, SMALL.tolist())),
        [SMALL[0], *SMALL[1:].tolist()],
        [[0, 1, -1, 0, 0, 0], *SMALL[1:].tolist()],
    ],
    ids=["list", "tuple", "strided", "big-endian", "numbers", "tuples of numbers", "mixed", "integers among"],
)
def test_rows_load(tmp_path, rows, protocol):
    found = read_array(written(tmp_path, pickle.dumps(rows, protocol)))
    np.testing.assert_array_equal(found, np.array([np.asarray(row) for row in rows], found.dtype))
    assert found.dtype in (np.float32, np.float64)


def test_whole_numbers_stay_integers(tmp_path):
    assert read_array(written(tmp_path, [[0, -32768], [32767, 5]])).dtype == np.int64


# ---- attacks -----------------------------------------------------------------------------------------------


def armed(canary):
    """Pickles that do create the canary when Python's own unpickler reads them, by the name they ask for."""
    touch, create, path = f"touch {canary}", f"open({str(canary)!r}, 'w').close()", str(canary)
    system, line = ask("os", "system", touch), f"V{touch}\n".encode()
    here = b"cpathlib\nPath\n" + word(path) + b"\x85R"
    return {
        "os.system": system,
        "posix.system": ask("posix", "system", touch, stack_global=False),
        "posix.system (protocol 0)": b"cposix\nsystem\n(" + line + b"tR.",
        "posix.system (INST)": b"(" + line + b"iposix\nsystem\n.",
        "pathlib.Path (OBJ, then os.system)": b"(cpathlib\nPath\n" + word(path) + b"o0" + system[2:],
        "os.popen": ask("os", "popen", f"{touch} && echo"),
        "subprocess.check_output": ask("subprocess", "check_output", ["touch", path]),
        "subprocess.check_call (then NEWOBJ)": b"\x80\x02csubprocess\ncheck_call\n]("
        + word("touch")
        + word(path)
        + b"e\x85R0csubprocess\nPopen\n)\x81.",
        "builtins.eval": ask("builtins", "eval", create),
        "builtins.exec": ask("builtins", "exec", create),
        "__builtin__.eval": ask("__builtin__", "eval", create, stack_global=False)[2:],
        "builtins.open": ask("builtins", "open", path, "w"),
        "builtins.getattr": b"\x80\x04cbuiltins\ngetattr\ncos\nsystem\n"
        + word("__call__")
        + b"\x86R"
        + word(touch)
        + b"\x85R.",
        "builtins.list": b"\x80\x04cbuiltins\nlist\ncbuiltins\nmap\ncos\nsystem\n]("
        + word(touch)
        + b"e\x86R\x85R.",
        "numpy.lib._npyio_impl.os.system": ask("numpy", "lib._npyio_impl.os.system", touch),
        "numpy.lib._npyio_impl.os.system (one dot)": ask("numpy.lib._npyio_impl", "os.system", touch),
        "numpy.testing._private.utils.runstring": ask(
            "numpy.testing._private.utils", "runstring", create, {}
        ),
        "numpy.memmap": ask("numpy", "memmap", path, "u1", "w+", 0, 8),
        "numpy.savetxt": ask("numpy", "savetxt", path, [1.0]),
        "pathlib.Path.touch": b"\x80\x04" + word("pathlib") + word("Path.touch") + b"\x93" + here + b"\x85R.",
        "pickle.loads": ask("pickle", "loads", system),
        "_pickle.loads": ask("_pickle", "loads", system),
        "operator.methodcaller": b"\x80\x04coperator\nmethodcaller\n"
        + word("touch")
        + b"\x85R"
        + here
        + b"\x85R.",
        "functools.partial": b"\x80\x04cfunctools\npartial\ncos\nsystem\n" + word(touch) + b"\x86R)R.",
        "timeit.timeit": ask("timeit", "timeit", create, "pass", time.perf_counter, 1),
        "copyreg._reconstructor": b"\x80\x04ccopyreg\n_reconstructor\ncbuiltins\nobject\n"
        + b"cbuiltins\nobject\nN\x87R0"
        + system[2:],
        "os.system (in a row)": b"\x80\x04](" + system[2:-1] + b"e.",
        "os.system (as a shape)": array_of((1,), raw(b"1234")).replace(b"K\x01\x85", system[2:-1]),
        "os.system (as a dtype's state)": array_of(
            (1,), raw(b"1234"), dtype_of()[:-1] + b"0" + system[2:-1] + b"b"
        ),
        "os.system (before a claim of 50 GB)": system[:-1] + b"\x8e" + struct.pack("<Q", HUGE),
        "os.system (in a dict)": b"\x80\x04}" + word("a") + system[2:-1] + b"s.",
        "os.system (after an array)": pickle.dumps(SMALL, 4)[:-1] + b"0" + system[2:],
        "os.system (in a frame)": b"\x80\x04\x95" + struct.pack("<Q", len(system) - 2) + system[2:],
    }


@pytest.mark.parametrize("attack", armed("canary"))
def test_an_attack_is_refused_by_name_and_nothing_runs(tmp_path, attack):
    canary = tmp_path / "canary"
    content = armed(canary)[attack]
    with contextlib.suppress(Exception), contextlib.redirect_stderr(io.StringIO()):
        pickle.loads(content, encoding="latin1")
    for _ in range(100):  # a command of its own process may need a moment
        if canary.exists():
            break
        time.sleep(0.02)
    assert canary.exists(), "the attack is a dud: it would not show that anything ran"
    canary.unlink()
    name = attack.split(" ")[0]
    refused(written(tmp_path, content), rf"^trs\.pkl asks for {re.escape(name)}, .* not executed; expected")
    assert not canary.exists()


def refused(path, pattern, load=read_array):
    with pytest.raises(InputError) as caught:
        load(path)
    message = str(caught.value)
    assert re.search(pattern, message), message
    assert message.startswith(path.name)
    assert "\n" not in message
    assert message.isprintable()
    assert len(message) < 500
    return message


GLOBALS = {
    "numpy": [
        "load",
        "fromfile",
        "ndarray.tofile",
        "matrix",
        "recarray",
        "core.multiarray.sys.modules",
        "vectorize",
    ],
    "numpy.core.multiarray": ["scalar", "fromstring", "_reconstruct.__class__", "sys"],
    "numpy._core.multiarray": ["scalar", "frombuffer", "_reconstruct.__self__"],
    "numpy._core.numeric": ["frombuffer", "fromfunction"],
    "numpy.matrixlib.defmatrix": ["matrix"],
    "numpy.ma.core": ["_mareconstruct"],
    "numpy.random._pickle": ["__generator_ctor"],
    "_codecs": ["decode", "lookup", "register", "encode.__self__"],
    "codecs": ["encode"],
    "copyreg": ["_reconstructor", "add_extension"],
    "helpers.data.corpora": ["Call", "ALLOWED", "ArrayUnpickler"],
    "builtins": ["bytes", "bytearray", "type", "__import__", "range"],
    "pandas.core.frame": ["DataFrame"],
    "evil\n\x1b[2J": ["name"],
}


@pytest.mark.parametrize(("module", "name"), [(m, n) for m, names in GLOBALS.items() for n in names])
def test_any_other_name_is_refused(tmp_path, module, name):
    message = refused(written(tmp_path, ask(module, name)), "asks for .*, which is not part of a NumPy array")
    assert ascii(f"{module}.{name}")[1:-1] in message


@pytest.mark.parametrize(
    "content",
    [
        OrderedDict(a=1),
        SMALL.view(np.matrix),
        np.ma.masked_array(SMALL),
        pd.DataFrame(SMALL),
        np.float32(1),
        [list(row) for row in SMALL],
        Path("here"),
        np.zeros((2, 2)).view(np.recarray),
        np.random.default_rng(0),
        range(3),
    ],
    ids=lambda content: type(content).__name__,
)
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_other_objects_are_refused_by_name(tmp_path, content, protocol):
    refused(
        written(tmp_path, pickle.dumps(content, protocol)),
        r"asks for [\w.]+, which is not part of a NumPy array",
    )


NUMBER, ROW = array_of((1, 1), raw(b"1234")), array_of((2,), raw(b"12345678"))
NESTED = b")\x94" + b"".join(b"0h%ch%c\x86\x94" % (n, n) for n in range(24))
TOO_LONG = "claims 50000000000 bytes at byte"
SILLY = {
    # instructions that no matrix needs
    "extension registry, 1 byte": (b"\x80\x02\x82\xf0.", "EXT1"),
    "extension registry, 2 bytes": (b"\x80\x02\x83\xf0\xf0.", "EXT2"),
    "extension registry, 4 bytes": (b"\x80\x02\x84\xf0\xf0\xf0\x00.", "EXT4"),
    "persistent id, text": (b"Pevil\n.", "PERSID"),
    "persistent id": (b"\x80\x02" + word("evil") + b"Q.", "BINPERSID"),
    "buffer outside": (b"\x80\x05\x97.", "NEXT_BUFFER"),
    "read-only buffer": (b"\x80\x05\x97\x98.", "NEXT_BUFFER"),
    "object": (b"\x80\x02cnumpy\nndarray\n)\x81.", "NEWOBJ"),
    "object with keywords": (b"\x80\x04cnumpy\nndarray\n)N\x92.", "NEWOBJ_EX"),
    "object, old": (b"(cnumpy\nndarray\no.", "OBJ"),
    "dict": (pickle.dumps({"a": SMALL}, 0), "SETITEM|DICT"),
    "dict of now": (pickle.dumps({"a": SMALL}), r"holds a Python dict \(SETITEM at byte"),
    "set": (pickle.dumps({1}), "ADDITEMS"),
    "frozenset": (pickle.dumps(frozenset([1])), "FROZENSET"),
    "hash for ever": (b"\x80\x04}(" + NESTED + b"Nu.", "SETITEMS"),
    "hash for ever in a set": (b"\x80\x04\x8f(" + NESTED + b"\x90.", "ADDITEMS"),
    "hash for ever, frozen": (b"\x80\x04(" + NESTED + b"\x91.", "FROZENSET"),
    "recursive tuple": (pickle.dumps((lambda a: (a.append((a,)), a[0])[1])([])), "type tuple"),
    # what is not a matrix of numbers
    "object array": (np.array([[1, None], ["a", {}]], object), "Python objects"),
    "object array of numbers": (SMALL.astype(object), "Python objects"),
    "object rows": (list(SMALL.astype(object)), r"Python objects.*row 0"),
    "objects claimed over bytes": (array_of((1, 1), raw(b"12345678"), dtype_of("O8", "|")), "Python objects"),
    "objects claimed, with an order": (array_of((1, 1), raw(b"12345678"), dtype_of("O8")), "Python objects"),
    "structured": (np.zeros((2, 2), [("a", "f4"), ("b", "i2")]), "NumPy type V6|SETITEM"),
    "structured with objects": (np.zeros((2, 2), [("a", "O")]), "SETITEM"),
    "subarray": (
        array_of((1, 1), raw(b"1234"), dtype_of().replace(b"NNN", word("f4") + b"NN")),
        "NumPy type",
    ),
    "fields on a simple type": (
        array_of((1, 1), raw(b"1234"), dtype_of().replace(b"NNN", b"N]N")),
        "NumPy type",
    ),
    "strings": (np.array([["a", "b"]]), "NumPy type U1"),
    "bytes": (np.array([[b"a", b"b"]]), "NumPy type S1"),
    "bools": (np.zeros((2, 2), bool), "NumPy type b1"),
    "complex": (SMALL.astype(complex), "NumPy type c16"),
    "dates": (np.zeros((2, 2), "M8[s]"), "NumPy type M8|SETITEM"),
    "long double": (SMALL.astype(np.longdouble), "NumPy type f16"),
    "unsigned": (np.zeros((2, 2), np.uint16), "NumPy type u2"),
    "type that is a list": (array_of((1, 1), raw(b"1234"), b"]"), "without a proper type"),
    "type without state": (
        array_of((1, 1), raw(b"1234"), dtype_of().partition(b"(K\x03")[0]),
        "NumPy type f4",
    ),
    "type of no call": (array_of((1, 1), raw(b"1234"), b"cnumpy\ndtype\n"), "without a proper type"),
    "type of a silly order": (array_of((1, 1), raw(b"1234"), dtype_of("f4", "?")), "NumPy type f4"),
    "type state of numbers": (
        array_of((1, 1), raw(b"1234"), dtype_of().replace(b"NNN", b"K\x01NN")),
        "NumPy type",
    ),
    "3-D": (np.zeros((2, 3, 4)), "3 dimensions"),
    "1-D": (SMALL[0], "1 dimensions"),
    "0-D": (np.array(1.0), "0 dimensions"),
    "no columns": (np.zeros((3, 0)), "without samples|asks for"),
    "rows of matrices": ([SMALL, SMALL], "2 dimensions in place of 1.*row 0"),
    "ragged arrays": ([SMALL[0], SMALL[1, :3]], "6 samples in row 0 and 3 in row 1"),
    "ragged numbers": ([[1.0, 2.0], [1.0]], "2 samples in row 0 and 1 in row 1"),
    "ragged at depth": ([[1.0, [2.0]], [1.0, 2.0]], "type list.*row 0"),
    "texts among numbers": ([[1.0, "2.0"]], "type str"),
    "None among numbers": ([[1.0, 2.0], [1.0, None]], "type NoneType.*row 1"),
    "bools in rows": ([[True, False]], "type bool"),
    "integers without end": ([[10**30, 1]], "beyond 64 bits"),
    "integers beyond int64": ([[2**63, 2**63]], "beyond 64 bits"),
    "list of texts": (["a", "b"], "Python str for a row"),
    "list of numbers": ([1.0, 2.0], "Python float for a row"),
    "empty list": ([], "Python list"),
    "empty rows": ([[], []], "no samples"),
    "None": (None, "Python NoneType"),
    "number": (3, "Python int"),
    "text": ("speech", "Python str"),
    "bytes alone": (pickle.dumps(b"speech" * 1000), "Python bytes"),
    "array and labels": ((SMALL, [0, 0, 1, 1]), "2 dimensions in place of 1"),
    # hostile states
    "a name, not called": (b"cnumpy\nndarray\n.", "call of ndarray"),
    "array never filled": (NUMBER[: NUMBER.index(b"R") + 1] + b".", "call of _reconstruct"),
    "ndarray called": (ask("numpy", "ndarray", (2, 2)), "call of ndarray"),
    "encode called": (ask("_codecs", "encode", "x", "rot13"), "call of encode"),
    "bytes by another codec": (
        array_of((1, 1), ask("_codecs", "encode", "1234", "zip")[2:-1]),
        "call of encode in",
    ),
    "bytes by a codec module": (
        array_of((1, 1), ask("_codecs", "encode", "x", "evil.mod")[2:-1]),
        "call of encode",
    ),
    "not Latin-1": (array_of((1, 1), word("a\u0141aa")), "UnicodeEncodeError"),
    "list for bytes": (array_of((1, 1), b"]"), "Python list in place"),
    "too few bytes": (array_of((1, 2), raw(b"1234")), "8 bytes, and has 4"),
    "too many bytes": (array_of((1, 1), raw(b"12345678")), "4 bytes, and has 8"),
    "negative shape": (array_of((-1, -1), raw(b"1234")), "proper shape"),
    "shape of texts": (array_of(("1", "1"), raw(b"1234")), "proper shape"),
    "shape of bools": (array_of((True, True), raw(b"1234")), "proper shape"),
    "shape beyond 64 bits": (array_of((2**64, 1), raw(b"1234")), "proper shape"),
    "shape of ten thousand digits": (array_of((10**10000, 10**10000), raw(b"1234")), "proper shape"),
    "shape that overflows to the right size": (array_of((2**62 + 1, 4), raw(b"x" * 16)), "claims an array"),
    "a list for a shape": (array_of([1, 1], raw(b"1234")), "call of _reconstruct"),
    "65 dimensions": (array_of((1,) * 65, raw(b"1234")), "65 dimensions"),
    "another version": (array_of((1, 1), raw(b"1234"), version=b"K\x63"), "call of _reconstruct"),
    "order of text": (array_of((1, 1), raw(b"1234"), order=word("F")), "call of _reconstruct"),
    "state of None": (NUMBER[: NUMBER.index(b"R") + 1] + b"Nb.", "call of _reconstruct"),
    "attributes of a name": (b"\x80\x04cnumpy\ndtype\nN}(" + word("__code__") + b"Nu\x86b.", "SETITEMS"),
    "buffer of silly order": (
        ask("numpy.core.numeric", "_frombuffer", b"1234", 0, (1, 1), "K"),
        "call of _frombuffer",
    ),
    "buffer that is a list": (
        b"\x80\x04cnumpy._core.numeric\n_frombuffer\n(]"
        + dtype_of()
        + b"K\x01K\x01\x86"
        + word("C")
        + b"tR.",
        "Python list in place",
    ),
    "buffer of a wrong size": (
        pickle.dumps(SMALL, 5).replace(b"K\x04K\x06\x86", b"K\x05K\x06\x86"),
        "120 bytes, and has 96",
    ),
    # claims
    "billion laughs": (
        b"\x80\x04]\x94"
        + b"".join(b"](" + b"h" + bytes([n]) + b"h" + bytes([n]) + b"e\x94" for n in range(60))
        + b".",
        "type list|Python list",
    ),
    "billion laughs of tuples": (
        b"\x80\x04)\x94" + b"".join(b"h" + bytes([n, 104, n]) + b"\x86\x94" for n in range(60)) + b".",
        "type tuple",
    ),
    "many rows by reference": (
        b"\x80\x04](](" + b"K\x01" * 2_000 + b"e\x94" + b"h\x00" * 20_000 + b"e.",
        "claims 20001 rows of 2000 samples",
    ),
    "deep lists": (b"\x80\x04" + b"]" * 300_000 + b"a" * 299_999 + b".", "type list|Python list"),
    "deep tuples": (b"\x80\x04)" + b"\x85" * 300_000 + b".", "type tuple|Python tuple"),
    "deep states": (b"\x80\x04" + b"cnumpy\ndtype\n" * 50_000 + b"b" * 49_999 + b".", "call of dtype"),
    "a pile of marks": (b"(" * 500_000 + b".", "damaged"),
    "decimal without end": (b"L" + b"9" * 100_000 + b"L\n.", "ValueError"),
    "memo number": (b"]r\xff\xff\xff\xff.", "more objects"),
    "memo number in text": (b"]p4000000000\n.", "more objects"),
    "memo number with underscores": (b"]p4_000_000_000\n.", "more objects"),
    "negative memo number": (b"]p-1\n.", "more objects"),
    "memo that was never written": (b"h\x07.", "damaged"),
    "50 GB of bytes": (b"\x80\x04\x8e" + struct.pack("<Q", HUGE) + b"x.", TOO_LONG),
    "50 GB of bytearray": (b"\x80\x05\x96" + struct.pack("<Q", HUGE) + b"x.", TOO_LONG),
    "50 GB of text": (b"\x80\x04\x8d" + struct.pack("<Q", HUGE) + b"x.", TOO_LONG),
    "50 GB of frame": (b"\x80\x04\x95" + struct.pack("<Q", HUGE) + b"x.", TOO_LONG),
    "16 EB of bytes": (b"\x80\x04\x8e" + b"\xff" * 8 + b"x.", "claims 18446744073709551615 bytes"),
    "4 GB of bytes": (b"\x80\x04B\xff\xff\xff\xffx.", "claims 4294967295 bytes"),
    "2 GB of Python 2 string": (b"\x80\x02T\xff\xff\xff\x7fx.", "claims 2147483647 bytes"),
    "negative Python 2 string": (b"\x80\x02T\xff\xff\xff\xffx.", "claims"),
    "2 GB of integer": (b"\x80\x02\x8b\xff\xff\xff\x7fx.", "claims 2147483647 bytes"),
    "50 GB in the shape": (array_of((500, 25_000_000), raw(b"1234")), "50000000000 bytes, and has 4"),
    "50 GB in the shape, NumPy 1": (
        array_of((500, 25_000_000), raw(b"1234"), core="core"),
        "50000000000 bytes",
    ),
    "50 GB in a row's shape": (
        b"\x80\x04](" + array_of((HUGE // 4,), raw(b"1234"))[2:-1] + b"e.",
        "50000000000 bytes",
    ),
    "50 GB in a buffer's shape": (
        pickle.dumps(SMALL, 5).replace(b"K\x06\x86", b"J\x00\xbc\xa0\x65\x86"),
        "bytes, and has",
    ),
    # not this, or not only this
    "trailing bytes": (pickle.dumps(SMALL) + b"extra", "goes on for 5 bytes"),
    "two pickles": (pickle.dumps(SMALL) * 2, "goes on for"),
    "empty": (b"", "holds 0 bytes"),
    "only a stop": (b".", "damaged"),
    "only a protocol": (b"\x80\x04", "damaged"),
    "protocol of the future": (b"\x80\x09N.", "damaged"),
    "text file": (b"speaker,words\n1,hello\n", "instruction SETITEM|damaged|byte"),
    "zeros": (bytes(4096), "the byte 0x00"),
    "npy file": (b"\x93NUMPY\x01\x00v\x00{'descr': '<f4'", "damaged|byte"),
    "gzip": (gzip.compress(pickle.dumps(SMALL)), "is compressed with gzip: unpack it first"),
    "wave file": (b"RIFF\x24\x08\x00\x00WAVEfmt ", "byte|damaged"),
}


@pytest.mark.parametrize("case", SILLY)
def test_what_is_not_a_matrix_is_refused_with_its_reason(tmp_path, case):
    content, pattern = SILLY[case]
    path = written(tmp_path, content)
    refused(path, f"(?:{pattern}).*; expected a pickled 2-D array")


def test_the_cache_of_the_extension_registry_is_no_way_around_the_names(tmp_path, monkeypatch):
    monkeypatch.setitem(copyreg._inverted_registry, 0xF0, ("os", "system"))
    monkeypatch.setitem(copyreg._extension_cache, 0xF0, os.system)
    canary = tmp_path / "canary"
    content = b"\x80\x02\x82\xf0" + word(f"touch {canary}") + b"\x85R."
    pickle.loads(content)
    canary.unlink()
    refused(written(tmp_path, content), "EXT1")
    assert not canary.exists()


def test_no_state_reaches_the_noted_calls():
    attributes = b"N}" + word("name") + word("other") + b"s\x86"
    for target in (b"cnumpy\ndtype\n", b"cnumpy.core.multiarray\n_reconstruct\n)R"):
        found = ArrayUnpickler(io.BytesIO(b"\x80\x04" + target + attributes + b"b.")).load()
        assert found.name in ("dtype", "_reconstruct")
        assert found.state == (None, {"name": "other"})


def test_claims_of_50_gb_take_no_memory(tmp_path):
    claims = [case for case in SILLY if "GB" in case or "EB" in case or "memo number" in case]
    assert len(claims) >= 12
    for number, case in enumerate(claims):
        written(tmp_path, SILLY[case][0], f"{number}.pkl")
    sparse = tmp_path / "file.pkl"
    with open(sparse, "wb") as file:
        file.truncate(HUGE)
    program = """
import resource, sys
from pathlib import Path
from helpers import InputError
from helpers.data.pickles import read_array
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, used + 2**28))
for path in sys.argv[1:]:
    try:
        read_array(path)
    except InputError as error:
        print(error)
"""
    paths = [str(tmp_path / f"{number}.pkl") for number in range(len(claims))] + [str(sparse)]
    done = subprocess.run(
        [sys.executable, "-c", program, *paths], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert len(lines) == len(claims) + 1, done.stdout + done.stderr
    assert "MemoryError" not in done.stdout
    for line, case in zip(lines, claims, strict=False):
        assert re.search(SILLY[case][1], line), (case, line)
    assert "holds 50000000000 bytes" in lines[-1]


@pytest.mark.parametrize("protocol", range(6))
def test_a_truncated_pickle_is_refused(tmp_path, protocol):
    content = pickle.dumps(np.random.default_rng(1).uniform(-1, 1, (20, 1100)).astype(np.float32), protocol)
    path = tmp_path / "trs.pkl"
    for length in [*range(1, 300), *range(1000, len(content), 1000), len(content) - 1]:
        refused(written(tmp_path, content[:length]), "damaged|asks for")
    path.write_bytes(content)
    assert read_array(path).shape == (20, 1100)


@pytest.mark.filterwarnings("ignore:invalid escape sequence")
def test_mutated_pickles_give_an_array_or_one_line(tmp_path):
    chance = random.Random(5)
    seeds = [pickle.dumps(SMALL, protocol) for protocol in range(6)]
    seeds += [
        python2(SMALL, 0),
        python2(SMALL, 2),
        pickle.dumps(list(SMALL)),
        pickle.dumps(SMALL.tolist(), 2),
    ]
    seeds += [renamed(content) for content in seeds[:6]]
    refusals = 0
    for _ in range(1500):
        content = bytearray(chance.choice(seeds))
        for _ in range(chance.choice((1, 1, 2, 5))):
            # Half of them among the first bytes, where the instructions are.
            place = chance.randrange(len(content) if chance.random() < 0.5 else min(len(content), 160))
            content[place] = chance.choice((chance.randrange(256), content[place] ^ 1, *b".RbtN(\x85"))
        message = None
        try:
            found = read_array(written(tmp_path, bytes(content)))
        except InputError as error:
            message = str(error)
        if message is None:
            assert found.ndim == 2
            assert found.dtype.kind in "if"
            assert found.size <= len(content)
        else:
            refusals += 1
            assert message.startswith("trs.pkl ")
            assert message.isprintable()
            assert "MemoryError" not in message
    assert 500 < refusals < 1500


# ---- files that cannot be read -----------------------------------------------------------------------------


def test_missing_file(tmp_path):
    refused(tmp_path / "trs.pkl", "is missing .*; expected a pickled 2-D array")


def test_directory(tmp_path):
    (tmp_path / "trs.pkl").mkdir()
    refused(tmp_path / "trs.pkl", "is not a file")


def test_device_and_pipe(tmp_path):
    os.mkfifo(tmp_path / "trs.pkl")
    refused(tmp_path / "trs.pkl", "is not a file")
    refused(Path("/dev/zero"), "is not a file")


def test_unreadable_file(tmp_path, monkeypatch):
    path = written(tmp_path, SMALL)

    def denied(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", denied)  # root may read any file
    refused(path, r"cannot be read \(Permission denied\)")


def test_a_name_that_steers_a_terminal_is_shown_harmless(tmp_path):
    with pytest.raises(InputError) as caught:
        read_array(tmp_path / "a\n\x1b[31mb.pkl")
    assert str(caught.value).startswith(r"a\n\x1b[31mb.pkl is missing")
    assert str(caught.value).isprintable()


# ---- utterances --------------------------------------------------------------------------------------------


def speech(rows=6, samples=1200, peak=0.5):
    noise = np.random.default_rng(2).normal(size=(rows, samples))
    noise -= noise.mean(axis=1, keepdims=True)
    return peak * noise / np.abs(noise).max()


def test_utterances_and_speakers(tmp_path):
    corpus = load_utterances(written(tmp_path, speech()), 3)
    assert corpus.name == tmp_path.name
    assert corpus.waveforms.dtype == np.float32
    np.testing.assert_allclose(corpus.waveforms, speech(), atol=1e-7)
    assert corpus.speakers.tolist() == [0, 0, 0, 1, 1, 1]
    assert corpus.table["speaker"].tolist() == [0, 0, 0, 1, 1, 1]
    assert load_utterances(str(tmp_path / "trs.pkl"), utterances_per_speaker=2).speakers.tolist() == [
        0,
        0,
        1,
        1,
        2,
        2,
    ]


@pytest.mark.parametrize(
    ("samples", "scale"),
    [
        (speech(), 1),
        (speech(peak=1), 1),
        (speech(peak=1.25), 1.25),
        (speech(peak=2), 2),
        (np.round(speech(peak=40)), 32768),
        (speech(peak=257), 32768),
        (speech(peak=32768), 32768),
        (np.round(speech(peak=20000)).astype(np.int16), 32768),
        (np.round(speech(peak=20000)).astype(">i2"), 32768),
        (np.round(speech(peak=40)).astype(np.int16), 32768),
        (np.round(speech(peak=20000)).astype(np.int64), 32768),
        (speech().astype(np.float16), 1),
        (speech(peak=30000).astype(np.float16), 32768),
        (np.round(speech(peak=20000)).astype(int).tolist(), 32768),
    ],
)
def test_scale(tmp_path, samples, scale):
    found = load_utterances(written(tmp_path, samples), 3).waveforms
    np.testing.assert_allclose(found, np.asarray(samples, float) / scale, atol=1e-7, rtol=1e-6)
    assert found.dtype == np.float32
    assert np.abs(found).max() <= 1


def test_the_lowest_16_bit_sample_is_minus_one(tmp_path):
    samples = np.round(speech(peak=20000)).astype(np.int16)
    samples[0, 0] = -32768
    assert load_utterances(written(tmp_path, samples), 3).waveforms[0, 0] == -1


@pytest.mark.parametrize(
    "samples", [speech(peak=32770), speech(peak=1e30), np.full((6, 1200), -(2**63)) + np.arange(1200)]
)
def test_a_scale_that_is_none(tmp_path, samples):
    refused(
        written(tmp_path, samples),
        r"has samples up to [\d.e+]+ in row \d \(counted from 0\); expected .* floats up to 1 or 16-bit",
        three,
    )


def three(path):
    return load_utterances(path, 3)


SQUARE = np.sign(np.sin(np.arange(1200) / 7 + 0.1))
BAD_ROWS = {
    "NaN": (np.r_[np.nan, np.zeros(1199)], "not finite"),
    "inf": (np.r_[np.zeros(1199), np.inf], "not finite"),
    "minus inf": (np.r_[-np.inf, np.ones(1199)], "not finite"),
    "zeros": (np.zeros(1200), "silent"),
    "a constant": (np.full(1200, 0.3), "silent"),
    "next to nothing": (speech(1, peak=9e-5)[0], "silent"),
    "a square wave": (0.7 * SQUARE, "clipped throughout"),
    "clipped at 1": (np.clip(speech(1, peak=20)[0], -1, 1), "clipped throughout"),
    "clipped a little unevenly": (np.where(SQUARE > 0, 0.99997, -1), "clipped throughout"),
}


@pytest.mark.parametrize("kind", BAD_ROWS)
def test_unusable_rows_are_named_by_number(tmp_path, kind):
    row, words = BAD_ROWS[kind]
    samples = speech(30)
    samples[[4, 17]] = row
    refused(written(tmp_path, samples), rf"has 2 of 30 rows {words} .*: 4, 17 \(counted from 0\)", three)
    samples[5:17] = row
    refused(written(tmp_path, samples), r"14 of 30 rows .*: 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, … \(", three)


def test_silence_and_clipping_in_int16(tmp_path):
    samples = np.round(speech(peak=9000)).astype(np.int16)
    samples[1] = np.where(SQUARE > 0, 32767, -32768)
    refused(written(tmp_path, samples), "1 of 6 rows clipped throughout .*: 1 ", three)
    samples[1] = 1
    refused(written(tmp_path, samples), "1 of 6 rows silent .*: 1 ", three)
    faint = np.round(speech(peak=2)).astype(np.int16)  # no float of full scale: two steps of 16 bits
    refused(written(tmp_path, faint), "6 of 6 rows silent", three)


def test_soft_and_partly_clipped_speech_passes(tmp_path):
    samples = speech(peak=0.5)
    samples[0] *= 0.001  # 54 dB down
    samples[1] = np.clip(samples[1], -0.2, 0.2)
    samples[2, 600:] = 0
    assert (np.abs(samples[1]) == 0.2).mean() > 0.1
    assert len(load_utterances(written(tmp_path, samples), 3).waveforms) == 6


@pytest.mark.parametrize(
    ("rows", "each", "pattern"),
    [
        (6, 4, "has 6 rows, read with 4 utterances per speaker; expected at least 2 speakers"),
        (9, 4, "has 9 rows, read with 4 utterances"),
        (6, 6, "has 6 rows, read with 6 utterances"),
        (1, 10, "has 1 rows, read with 10 utterances"),
        (6, 1, "is to be read with 1 utterances"),
        (6, 0, "is to be read with 0 utterances"),
        (6, -3, "is to be read with -3 utterances"),
        (6, 3.0, r"is to be read with 3\.0 utterances"),
        (6, True, "is to be read with True utterances"),
        (6, "3", "is to be read with 3 utterances"),
    ],
)
def test_rows_that_do_not_make_speakers(tmp_path, rows, each, pattern):
    refused(written(tmp_path, speech(rows)), pattern, lambda path: load_utterances(path, each))


def test_rows_shorter_than_a_window(tmp_path):
    refused(
        written(tmp_path, speech(6, 1023)),
        "has rows of 1023 samples.*expected .* 1024 samples or more",
        three,
    )
    assert three(written(tmp_path, speech(6, 1024))).waveforms.shape == (6, 1024)


# ---- table, name and course --------------------------------------------------------------------------------


def test_a_table_says_who_spoke(tmp_path):
    path = written(tmp_path, speech())
    (tmp_path / "trs.csv").write_text(
        'speaker,gender,words\n007,f,"well, yes"\nNA,m,no\n007,f,\nNA,m,so\nz,,a\nz,f,b\n', encoding="utf-8"
    )
    corpus = load_utterances(path, utterances_per_speaker=4)  # which is not used
    assert corpus.speakers.tolist() == [0, 1, 0, 1, 2, 2]
    assert corpus.speakers.dtype.kind == "i"
    assert corpus.table["speaker"].tolist() == ["007", "NA", "007", "NA", "z", "z"]
    assert corpus.table["words"][0] == "well, yes"
    assert corpus.table["gender"].tolist() == ["f", "m", "f", "m", "", "f"]
    (tmp_path / "trs.csv").write_text("speaker\n" + "007\n07\n" * 3)  # labels, no numbers
    assert three(path).speakers.tolist() == [0, 1] * 3


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("", "cannot be read"),
        ("speaker\na\n", "has 1 rows for 6 utterances"),
        ("speaker\n" + "a\nb\n" * 4, "has 8 rows for 6 utterances"),
        ("who\n" + "a\nb\n" * 3, r"no column speaker \(its columns: who\)"),
        ("speaker,words\n" + "a,x\nb,x\n,x\n" * 2, "2 of 6 rows without a speaker: 2, 5 "),
        ("speaker\n" + "a\n" * 6, "has 1 speakers, and 6 utterances of a"),
        ("speaker\n" + "a\n" * 5 + "b\n", "has 2 speakers, and 1 utterances of b"),
        ("speaker,words\n" + "a,yes, well\nb,no, well\n" * 3, "cannot be read"),
        ("speaker,words\na,b\n" + "a,b,c,d\n" * 5, "cannot be read"),
        ("speaker\n\udcff\n", "cannot be read"),
    ],
)
def test_a_table_that_does_not_fit(tmp_path, text, pattern):
    path = written(tmp_path, speech())
    path.with_suffix(".csv").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=pattern) as caught:
        three(path)
    assert re.search(r"^trs\.csv .*; expected a column speaker, a row per utterance", str(caught.value))
    assert str(caught.value).isprintable()


def test_corpus_json_names_the_very_file_it_describes(tmp_path):
    path = written(tmp_path, speech())
    about = {"name": "made speech", "files": {"trs.pkl": hashlib.sha256(path.read_bytes()).hexdigest()}}
    described = tmp_path / "corpus.json"
    described.write_text(json.dumps(about))
    assert three(path).name == "made speech"
    assert three(written(tmp_path, speech(9))).name == tmp_path.name  # another file by that name
    for broken in ("", "[]", "3", '{"files": []}', '{"name": "x"}', '{"files": {"trs.pkl": 3}}', "\0"):
        described.write_text(broken)
        assert three(path).name == tmp_path.name


def test_the_course_is_two_files(tmp_path):
    written(tmp_path, speech(4), "trs.pkl")
    with pytest.raises(
        InputError, match=r"tes\.pkl is missing; expected trs\.pkl \(training\) and tes\.pkl \(test\)"
    ):
        load_course(tmp_path, 2)
    written(tmp_path, speech(7, 1500)[1:], "tes.pkl")
    train, test = load_course(str(tmp_path), 2)
    assert (train.waveforms.shape, test.waveforms.shape) == ((4, 1200), (6, 1500))
    (tmp_path / "trs.pkl").unlink()
    with pytest.raises(InputError, match=r"trs\.pkl is missing"):
        load_course(tmp_path, 2)


@pytest.mark.skipif(not REAL_SPEECH, reason="REAL_SPEECH names no folder of real speech")
def test_real_speech_in_the_course_format():
    train, test = load_course(Path(REAL_SPEECH) / "course-format")
    assert train.waveforms.shape == (500, 16180)
    assert test.waveforms.shape == (200, 22631)
    for corpus, speakers in ((train, 50), (test, 20)):
        assert corpus.waveforms.dtype == np.float32
        assert 0.05 < np.abs(corpus.waveforms).max() <= 1
        assert np.bincount(corpus.speakers).tolist() == [10] * speakers
        assert corpus.name == "course-format"
    plain = pickle.loads((Path(REAL_SPEECH) / "course-format" / "trs.pkl").read_bytes())
    np.testing.assert_array_equal(train.waveforms, plain)
