"""The READMEs say what the project is: their maps, files and commands."""

import re

from helpers import PROJECT
from helpers.batch.chapters import helpers_map, notebook_map, with_map

README = (PROJECT / "README.md").read_text(encoding="utf-8")


def test_the_map_is_that_of_the_notebooks():
    current = with_map(README, notebook_map())
    assert current == README, "python -m helpers.batch.chapters brings the map up to date"


def test_the_map_of_helpers_is_that_of_its_files():
    text = (PROJECT / "helpers" / "README.md").read_text(encoding="utf-8")
    current = with_map(text, helpers_map())
    assert current == text, "python -m helpers.batch.chapters brings the map up to date"


def test_every_link_leads_somewhere():
    links = re.findall(r"\]\((?!https?:|#)([^)]+)\)", README)
    assert links
    assert [link for link in links if not (PROJECT / link).exists()] == []


def test_every_make_target_it_names_exists():
    makefile = (PROJECT / "Makefile").read_text()
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", README, re.M))
    assert {"run", "test", "lab"} <= named
    assert [name for name in named if not re.search(rf"^{name}:", makefile, re.M)] == []
