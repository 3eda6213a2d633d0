"""Files and folders: held by one process, known by their content, and recognised as made before."""

import json
from pathlib import Path

import pytest

from helpers import InputError
from helpers.files import atomic_folder, digest, file_digest, hold_folder, is_made

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # of "abc", by FIPS 180-2
FORBIDDEN = [path for path in (Path("/proc"),) if path.exists()]  # not even root can write there


def test_digests_are_sha256(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert file_digest(tmp_path / "abc") == digest([b"abc"]) == digest(iter([b"a", b"", b"bc"])) == ABC


def test_a_folder_is_held_until_the_block_ends(tmp_path):
    folder = tmp_path / "new" / "folder"
    for _ in range(2):
        with (
            hold_folder(folder, "first"),
            pytest.raises(InputError, match=r"^second$"),
            hold_folder(folder, "second"),
        ):
            pytest.fail("it was held twice")
    with pytest.raises(ZeroDivisionError), hold_folder(folder, "third"):
        raise ZeroDivisionError
    with hold_folder(folder, "fourth"):
        assert [path.name for path in folder.iterdir()] == [".lock"]


def test_a_folder_that_cannot_be_written_is_not_taken_for_held(tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "folder", *FORBIDDEN):
        with pytest.raises((FileExistsError, NotADirectoryError, FileNotFoundError, PermissionError)):
            hold_folder(folder, "held").__enter__()


def test_a_folder_that_cannot_take_its_place_leaves_what_stood_there(tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "kept").touch()
    rename = Path.rename

    def fail(path, target):
        if path.name == "new":
            raise OSError("busy")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail)
    with (
        pytest.raises(InputError, match=r"could not be written \(busy\)"),
        atomic_folder(tmp_path / "folder", 1),
    ):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "kept"]


def made(folder, files, **facts):
    folder.mkdir(exist_ok=True)
    for name in files:
        (folder / name).write_text("12345")
    (folder / "corpus.json").write_text(json.dumps(facts))


def test_what_was_made_before_is_recognised(tmp_path):
    assert not is_made(tmp_path / "new", {"version": 1}, lambda said: False)
    (tmp_path / "empty").mkdir()
    assert not is_made(tmp_path / "empty", {"version": 1}, lambda said: False)
    folder = tmp_path / "made"
    made(folder, ["a", "b"], name="mine", version=1, bytes={"a": 5, "b": 5})
    for facts in ({"version": 1}, {"version": 1, "name": "mine"}):
        assert is_made(folder, facts)
    for facts in ({"version": 2}, {"version": 1, "name": "other"}, {"version": 1, "more": 0}):
        assert not is_made(folder, facts)
    (folder / "b").write_text("1234")
    assert not is_made(folder, {"version": 1})
    (folder / "b").unlink()
    assert not is_made(folder, {"version": 1})


def test_what_another_made_is_refused(tmp_path):
    folder = tmp_path / "made"
    made(folder, ["a"], name="mine", version=1)
    assert not is_made(folder, {"version": 2}, lambda said: said.get("name") == "mine", "mine")
    for content in ('{"name": "other"}', "[]", "3", '"name"', "{"):
        (folder / "corpus.json").write_text(content)
        assert not is_made(folder, {"version": 1})
        with pytest.raises(InputError, match=r"made holds something else; expected mine$"):
            is_made(folder, {"version": 1}, lambda said: said.get("name") == "mine", "mine")
    (folder / "corpus.json").unlink()
    with pytest.raises(InputError, match=r"made holds something else; expected mine$"):
        is_made(folder, {"version": 1}, lambda said: said.get("name") == "mine", "mine")
