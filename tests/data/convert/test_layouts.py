"""Corpora recognised and listed: each layout, its genders and parts, and which files are one recording."""

import pytest
from trees import PATHS, write_corpus

from helpers import InputError
from helpers.data.convert.layouts import LAYOUTS, list_corpus


@pytest.fixture
def tree(tmp_path):
    """A function that makes a corpus of empty files in a layout."""
    return lambda layout, **settings: write_corpus(tmp_path / "corpus", layout, paths_only=True, **settings)


def refusal(*arguments, **settings):
    with pytest.raises(InputError) as refused:
        list_corpus(*arguments, **settings)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("layout", PATHS)
def test_every_layout_is_recognised(tree, layout):
    folder = tree(layout)
    found = list_corpus(folder)
    assert (found.name, found.layout, len(found.left_out)) == ("corpus", layout, 0)
    table = found.table
    assert list(table)[:6] == ["path", "speaker", "session", "gender", "part", "shared"]
    assert len(table) == 12
    assert found.seconds.empty
    assert all((found.folder / path).is_file() for path in table["path"])
    assert table.groupby("speaker").size().tolist() == [3] * 4
    genders = table.groupby("speaker")["gender"].unique()
    assert all(len(each) == 1 for each in genders)
    expected = ["female", "male"] * 2 if layout not in ("timit", "an4") else ["female"] * 2 + ["male"] * 2
    assert [each[0] for each in genders] == ([""] * 4 if layout == "cn-celeb" else expected)
    sessions = ("voxceleb", "librispeech", "libritts", "cn-celeb")
    assert table["session"].nunique() == (2 if layout in sessions else 1)
    parts = {
        "voxceleb": {"dev"},
        "librispeech": {"dev-clean"},
        "libritts": {"train-clean-100"},
        "aishell": {"train"},
        "timit": {"train", "test"},
        "an4": {"train", "test"},
    }
    assert set(table["part"]) == parts.get(layout, {""})
    assert table["shared"].sum() == (8 if "vctk" in layout else 4 if layout == "timit" else 0)
    assert {layout.name for layout in LAYOUTS} == set(PATHS)


@pytest.mark.parametrize(
    ("layout", "inside"),
    [
        ("vctk-0.92", "wav48_silence_trimmed"),
        ("voxceleb", "dev/aac"),
        ("librispeech", "dev-clean"),
        ("timit", "TRAIN"),
    ],
)
def test_a_folder_inside_or_around_the_corpus_will_do(tree, layout, inside):
    folder = tree(layout)
    found = list_corpus(folder / inside)
    assert found.layout == layout
    assert list_corpus(folder.parent).layout == layout
    if layout == "vctk-0.92":
        assert set(found.table["gender"]) == {"female", "male"}  # of the list beside the folder
    if layout in ("librispeech", "timit"):
        assert set(found.table["part"]) == {inside.lower()}


def test_speakers_of_other_cases_and_names(tmp_path):
    for path in ("train/dr1/fcjf0/sa1.wav", "test/dr8/mabc0/sx3.wav.wav"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).touch()
    table = list_corpus(tmp_path).table
    assert table["speaker"].tolist() == ["MABC0", "FCJF0"]
    assert table["part"].tolist() == ["test", "train"]
    assert table["shared"].tolist() == [False, True]


def test_one_microphone_is_chosen(tree):
    folder = tree("vctk-0.92")
    for path in list(folder.glob("*/*/*_mic1.flac")):
        path.with_name(path.name.replace("mic1", "mic2")).touch()
    both = {name: list_corpus(folder, microphone=name) for name in ("mic1", "mic2")}
    for name, found in both.items():
        assert len(found.table) == len(found.left_out) == 12
        assert found.table["path"].str.contains(name).all()
        assert set(found.left_out["reason"].str.slice(0, 11)) == {"recorded by"}
        assert set(found.left_out["path"]).isdisjoint(found.table["path"])
    assert "no recording by microphone mic3; expected one of mic1, mic2" in refusal(folder, microphone="mic3")
    assert both["mic1"].digest != both["mic2"].digest


def test_two_files_of_a_recording_are_one(tree):
    folder = tree("voxceleb")
    first = sorted(folder.rglob("*.m4a"))[0]
    first.with_suffix(".wav").touch()
    (folder / "readme.wav").touch()
    (folder / "._hidden.wav").touch()
    found = list_corpus(folder)
    assert len(found.table) == 12
    second = found.seconds.iloc[0]
    assert second["path"] == str(first.with_suffix(".wav").relative_to(folder))
    assert found.table["path"][second["of"]] == str(first.relative_to(folder))
    assert (found.left_out["path"].tolist(), len(found.seconds)) == (["readme.wav"], 1)
    assert found.left_out["reason"][0].startswith("not in the layout voxceleb")


def test_identification_split_and_meta(tree):
    folder = tree("voxceleb")
    table = list_corpus(folder).table
    assert "identification" not in table
    keys = ["/".join(path.split("/")[-3:]).replace("m4a", "wav") for path in table["path"]]
    (folder / "iden_split.txt").write_text("\n".join(f"{i % 3 + 1} {key}" for i, key in enumerate(keys[:-1])))
    table = list_corpus(folder).table
    assert table["identification"].tolist() == ["train", "validation", "test"] * 3 + [
        "train",
        "validation",
        "",
    ]
    meta = folder / "vox1_meta.csv"
    meta.write_text(meta.read_text().replace("dev", "test"))
    flat = folder.parent / "moved"
    (folder / "dev" / "aac").rename(flat)  # the folder no longer tells the part
    meta.rename(flat / meta.name)
    assert set(list_corpus(flat).table["part"]) == {"test"}


def test_a_table_by_its_own_name(tree):
    folder = tree("table")
    (folder / "speakers.csv").write_text("speaker,gender,town\ns0,male,Ulm\ns1,,Bern\n")
    found = list_corpus(folder)
    assert found.table["age"].tolist()[:4] == ["30", "30", "30", "31"]
    assert found.table["town"].tolist()[2:4] == ["Ulm", "Bern"]
    assert found.table["gender"].tolist()[:1] == ["female"]  # its own column is not overruled
    other = folder / "mine.csv"
    lines = (folder / "utterances.csv").read_text().replace("path,speaker", "file,label").splitlines()
    other.write_text("\n".join([*lines, lines[1]]))
    found = list_corpus(other)
    assert (found.name, found.layout, len(found.table), len(found.left_out)) == ("mine", "table", 12, 1)
    for broken, said in (
        ("", "cannot be read"),
        ("file,who\na,b\n", "no or not every speaker"),
        ("file,label\n", "no rows"),
    ):
        other.write_text(broken)
        assert said in refusal(other)


def test_what_is_not_a_corpus(tmp_path, tree):
    message = refusal(tmp_path)
    assert message.startswith(
        f"{tmp_path} holds 0 recordings, none in a layout that is known; expected table ("
    )
    assert all(layout.name in message for layout in LAYOUTS)
    (tmp_path / "one.wav").touch()
    assert "holds 1 recordings, none in a layout" in refusal(tmp_path)
    assert "does not exist" in refusal(tmp_path / "none")
    assert "there is no layout tree" in refusal(tmp_path, "tree")
    folder = tree("librispeech")
    assert "none in the layout timit" in refusal(folder, "timit")
    assert refusal(folder / "SPEAKERS.TXT", "timit").startswith(f"{folder / 'SPEAKERS.TXT'} is not a folder")
    assert list_corpus(folder, "folders").table["speaker"].unique().tolist() == ["dev-clean"]


def test_the_digest_knows_every_file(tree):
    folder = tree("folders")
    digests = {list_corpus(folder).digest}
    assert len(digests | {list_corpus(folder).digest}) == 1
    (folder / "anna" / "one.ogg").write_text("longer")
    digests.add(list_corpus(folder).digest)
    (folder / "speakers.csv").write_text("speaker,gender\nanna,m\n")
    digests.add(list_corpus(folder).digest)
    (folder / "dan" / "four.wav").touch()
    digests.add(list_corpus(folder).digest)
    assert len(digests) == 4


def test_links_in_a_circle_end(tree):
    folder = tree("folders")
    (folder / "anna" / "round").symlink_to(folder, target_is_directory=True)
    assert len(list_corpus(folder).table) == 12
