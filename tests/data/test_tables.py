"""Tables read: what each kind of file gives, and what each mistake in one is called."""

import io
import unicodedata

import pytest

from helpers import InputError
from helpers.data.tables import find_file, read_table, read_text

READ = {
    "byte order mark": ("a.csv", b"\xef\xbb\xbfpath,speaker\na.wav,anna\n", [["a.wav", "anna"]]),
    "line ends of Windows": ("a.csv", b"path,speaker\r\na.wav,anna\r\n", [["a.wav", "anna"]]),
    "line ends of old Macs": ("a.csv", b"path,speaker\ra.wav,anna\r", [["a.wav", "anna"]]),
    "NA as text": ("a.csv", b"path,speaker\nNA,nan\nnull,None\n", [["NA", "nan"], ["null", "None"]]),
    "numbers as text": ("a.csv", b"path,speaker\n1e5,007\n", [["1e5", "007"]]),
    "spaces stripped": ("a.csv", b" path , speaker\n a.wav ,\tanna \n", [["a.wav", "anna"]]),
    "quotes of Excel": ("a.csv", b'path,speaker\n"a, ""b"".wav", "anna"\n', [['a, "b".wav', "anna"]]),
    "backslashes": ("a.csv", b"path,speaker\nx\\new\\a.wav,a\\\n", [["x\\new\\a.wav", "a\\"]]),
    "quotes in .tsv": ("a.tsv", b'path\tspeaker\n"a\tb\n"c"\td\n', [['"a', "b"], ['"c"', "d"]]),
    "commas in .tsv": ("a.tsv", b"path\tspeaker\na, b\tc\n", [["a, b", "c"]]),
    "tabs in .csv": ("a.csv", b'path\tspeaker\n"a, b\tc\n', [['"a, b', "c"]]),
    "a short row": ("a.csv", b"path,speaker\na.wav\n", [["a.wav", ""]]),
    "columns without a name": ("a.csv", b",path,speaker,,\n0,a.wav,anna,,\n", [["a.wav", "anna"]]),
    "letters beyond ASCII": ("a.csv", "path,speaker\né.wav,Å\n".encode(), [["é.wav", "Å"]]),
    "no rows": ("a.csv", b"path,speaker\n", []),
}
REFUSED = {
    "nothing": (b"", r"a\.csv cannot be read \(No columns"),
    "missing": (None, r"a\.csv cannot be read \(No such file"),
    "UTF-16": (
        "path,speaker\n".encode("utf-16"),
        r"a\.csv cannot be read \(no text in UTF-8: byte 0 is 0xff",
    ),
    "UTF-16 without a mark": (
        "path,speaker\n".encode("utf-16-le"),
        r"cannot be read \(no text .* zero bytes",
    ),
    "Latin-1": (b"path,speaker\ncaf\xe9.wav,a\n", r"cannot be read \(no text in UTF-8: byte 16 is 0xe9"),
    "gzip": (b"\x1f\x8b\x08\0", r"cannot be read \(no text in UTF-8: byte 1 is 0x8b"),
    "more values than names": (b"a,b\n1,2\n1,2,3\n", r"cannot be read \(Expected 2 fields in line 3, saw 3"),
    "more values in every row": (b"a,b\n1,2,3\n4,5,6\n", r"cannot be read \(Expected 2 fields in line 2"),
    "an open quote": (b'a,b\n"1,2\n3,4\n', r"cannot be read \(EOF inside string"),
    "two columns of a name": (b"a,b, a\n1,2,3\n", "has two columns a"),
}
FOUND = {
    "as it is": ("a/b.wav", "a/b.wav"),
    "backslashes": ("a/b.wav", "a\\b.wav"),
    "in clips": ("clips/b.wav", "b.wav"),
    "decomposed on the disk": (unicodedata.normalize("NFD", "é/ü.wav"), "é/ü.wav"),
    "composed on the disk": ("é/ü.wav", unicodedata.normalize("NFD", "é/ü.wav")),
    "all at once": (unicodedata.normalize("NFD", "clips/é/ü.wav"), "é\\ü.wav"),
}


@pytest.mark.parametrize(("name", "content", "rows"), READ.values(), ids=READ)
def test_a_table_is_read_as_text(tmp_path, name, content, rows):
    (tmp_path / name).write_bytes(content)
    table = read_table(tmp_path / name, "a table")
    assert list(table) == ["path", "speaker"]
    assert table.to_numpy().tolist() == rows
    assert read_table(io.BytesIO(content), "a table", name).equals(table)


@pytest.mark.parametrize(("content", "said"), REFUSED.values(), ids=REFUSED)
def test_a_table_is_refused_in_one_line(tmp_path, content, said):
    if content is not None:
        (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(
        InputError, match=rf"^{said}.*; expected a table$|{said}.*; expected a table$"
    ) as refused:
        read_table(tmp_path / "a.csv", "a table")
    assert str(refused.value).startswith("a.csv ")
    assert "\n" not in str(refused.value)


def test_a_text_and_a_name_of_ones_own(tmp_path):
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbf1 a b\r\n")
    assert read_text(tmp_path / "list.txt", "lines") == "1 a b\r\n"
    with pytest.raises(InputError, match=r"^mine\.txt cannot be read \(Is a directory\); expected lines$"):
        read_text(tmp_path, "lines", "mine.txt")


@pytest.mark.parametrize(("lies", "listed"), FOUND.values(), ids=FOUND)
def test_a_file_is_found_as_the_disk_has_it(tmp_path, lies, listed):
    (tmp_path / lies).parent.mkdir(parents=True)
    (tmp_path / lies).touch()
    assert (tmp_path / find_file(tmp_path, listed)).samefile(tmp_path / lies)
    assert find_file(tmp_path, "none\\é.wav") == "none\\é.wav"
    assert find_file(tmp_path, "x" * 5000) == "x" * 5000


def test_labels_are_composed_and_a_folder_may_be_called_as_a_table_is(tmp_path):
    path = tmp_path / "utterances.csv"
    path.write_text("path,speaker\na.wav,u\u0308\nb.wav,\u00fc\n", encoding="utf-8")
    table = read_table(path, "", "utterances.csv of c.tsv")
    assert table["speaker"].tolist() == ["\u00fc"] * 2
