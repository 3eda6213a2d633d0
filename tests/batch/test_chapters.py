"""The READMEs say what the project is: their maps, files and commands."""

import re

import pytest

from helpers import PROJECT
from helpers.__main__ import programs
from helpers.batch.chapters import Chapter, helpers_map, notebook_map, notebooks, with_map

NAMES = ("README.md", "helpers/README.md", "data/README.md", "notebooks/results/README.md")
READMES = {name: (PROJECT / name).read_text(encoding="utf-8") for name in NAMES}
README = READMES["README.md"]
WRITTEN = {  # the Markdown of each notebook
    path.name: "\n".join(text for kind, text, _ in Chapter(path).source if kind == "markdown")
    for path in notebooks()
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


@pytest.mark.parametrize("text", (READMES | WRITTEN).values(), ids=READMES | WRITTEN)
def test_every_command_that_is_named_exists(text):
    makefile = (PROJECT / "Makefile").read_text()
    targets = re.findall(r"(?:^|`)make ([a-z]+)", text, re.M)
    assert [name for name in targets if not re.search(rf"^{name}:", makefile, re.M)] == []
    assert set(re.findall(r"python -m (helpers[\w.]*\w)", text)) <= {"helpers", *programs()}


def test_the_readme_names_the_commands():
    assert {"run", "test", "lab"} <= set(re.findall(r"(?:^|`)make ([a-z]+)", README, re.M))
