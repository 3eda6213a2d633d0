"""Tables and lists as people hand them over, read by one set of rules."""

import csv
import io
import os
import unicodedata
from pathlib import Path

import pandas as pd

from helpers import InputError, describe_value, first_line


def read_text(path, expected, name=""):
    """The text of a UTF-8 file, without its byte order mark.

    Parameters
    ----------
    path : path or open binary file
    expected : str
        What an error says was expected of it.
    name : str, optional
        What an error calls the file; by default its file name.

    Raises
    ------
    InputError
        When the file is missing, or in another encoding.
    """
    try:
        return (path.read() if hasattr(path, "read") else Path(path).read_bytes()).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        reason = f"no text in UTF-8: byte {error.start} is 0x{error.object[error.start]:02x}"
    except OSError as error:
        reason = error.strerror or first_line(type(error).__name__, error)[:100]
    name = name or describe_value(Path(path).name)
    raise InputError(f"cannot be read ({reason})", file=name, expected=expected)


def read_table(path, expected, name=""):
    r"""A table with its column names in the first line.

    A file ending in ``.tsv``, or with tabs and no commas in its first line, has its values between tabs; if
    that line has no quotation marks, those of other lines are part of the values, as in Common Voice. All
    others have commas, and quotation marks around values that hold commas. Values and column names are
    stripped; columns without a name are left out.

    Parameters
    ----------
    path, expected, name
        As for `read_text`.

    Returns
    -------
    pandas.DataFrame
        All columns are of str, ``NA``, ``007`` and ``\`` as they are written; ``""`` where there is no value.

    Raises
    ------
    InputError
        As `read_text`; and when the file is empty, a line has more values than the first line has names, a
        quotation mark is not closed, or two columns have one name.
    """
    text = read_text(path, expected, name)
    name = name or describe_value(Path(path).name)
    header = text.lstrip().partition("\n")[0]
    tabs = str(getattr(path, "name", path)).lower().endswith(".tsv") or ("\t" in header and "," not in header)
    quoting = csv.QUOTE_MINIMAL if '"' in header else csv.QUOTE_NONE
    form = {"sep": "\t", "quoting": quoting} if tabs else {"skipinitialspace": True}
    try:
        if "\0" in text:
            raise ValueError("no text in UTF-8: it has zero bytes")
        # Without a header for pandas, which takes surplus values for row labels where every line has one.
        table = pd.read_csv(io.StringIO(text), header=None, dtype=str, keep_default_na=False, **form)
    except ValueError as error:  # pandas' own errors are ValueErrors
        reason = str(error).strip().partition("\n")[0].rpartition("C error: ")[2][:98]
        raise InputError(f"cannot be read ({reason})", file=name, expected=expected) from error
    table = table.fillna("").apply(lambda values: values.str.strip().str.normalize("NFC"))
    names = table.iloc[0].tolist()
    twice = [each for each in names if each and names.count(each) > 1]
    if twice:
        raise InputError(f"has two columns {describe_value(twice[0])}", file=name, expected=expected)
    table = table.iloc[1:].reset_index(drop=True).set_axis(names, axis=1)
    return table[[each for each in names if each]] if "" in names else table


def find_file(folder, path):
    """The path of a file that a table names, as the disk has it; `path` itself where there is none.

    A table may have backslashes; leave out ``clips/``, as Common Voice's do; and have composed letters where
    the disk has decomposed ones (macOS writes these), or the other way round.
    """
    plain = path.replace("\\", "/")
    forms = dict.fromkeys((path, plain, *(unicodedata.normalize(form, plain) for form in ("NFC", "NFD"))))
    for place in ("", "clips/"):
        for form in forms:
            if os.path.isfile(os.path.join(folder, place + form)):
                return place + form
    return path
