"""The README says what the project is: its map, its files and its commands."""

import re

from helpers import PROJECT
from helpers.batch.chapters import notebook_map, notebooks, with_map

README = (PROJECT / "README.md").read_text(encoding="utf-8")


def test_the_map_is_that_of_the_notebooks():
    assert with_map(README, notebook_map(notebooks())) == README, "make readme brings the map up to date"


def test_every_link_leads_somewhere():
    links = re.findall(r"\]\((?!https?:|#)([^)]+)\)", README)
    assert links
    assert [link for link in links if not (PROJECT / link).exists()] == []


def test_every_make_target_it_names_exists():
    makefile = (PROJECT / "Makefile").read_text()
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", README, re.M))
    assert {"run", "test", "lab"} <= named
    assert [name for name in named if not re.search(rf"^{name}:", makefile, re.M)] == []
