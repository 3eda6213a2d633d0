"""The READMEs say what the project is: their maps, files and commands."""

import json
import re

import pytest

from helpers import PROJECT
from helpers.__main__ import INTERNAL, programs
from helpers.batch.chapters import helpers_map, notebook_map, with_map

NAMES = ("README.md", "helpers/README.md", "data/README.md", "notebooks/results/README.md")
READMES = {name: (PROJECT / name).read_text(encoding="utf-8") for name in NAMES}
README = READMES["README.md"]
CELLS = {
    f"{path.stem}, {cell['id']}": "".join(cell["source"])
    for path in sorted((PROJECT / "notebooks").glob("*.ipynb"))
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
    if cell["cell_type"] == "markdown"
}


def test_the_map_is_that_of_the_notebooks():
    current = with_map(README, notebook_map())
    assert current == README, "python -m helpers.batch.chapters brings the map up to date"


def test_the_map_of_helpers_is_that_of_its_files():
    text = READMES["helpers/README.md"]
    assert with_map(text, helpers_map()) == text, "python -m helpers.batch.chapters brings the map up to date"


@pytest.mark.parametrize("name", NAMES)
def test_every_link_leads_somewhere(name):
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)[^)]*\)", READMES[name])
    assert links
    assert [link for link in links if not (PROJECT / name).parent.joinpath(link).exists()] == []


@pytest.mark.parametrize("text", (READMES | CELLS).values(), ids=(READMES | CELLS).keys())
def test_every_command_that_is_named_exists(text):
    makefile, known = (PROJECT / "Makefile").read_text(), {"helpers", *programs(), *INTERNAL}
    targets = re.findall(r"(?:^|`)make ([a-z]+)", text, re.M)
    assert [name for name in targets if not re.search(rf"^{name}:", makefile, re.M)] == []
    assert set(re.findall(r"python -m (helpers[\w.]*\w)", text)) <= known


def test_the_readme_names_the_commands():
    assert {"run", "test", "lab"} <= set(re.findall(r"(?:^|`)make ([a-z]+)", README, re.M))
