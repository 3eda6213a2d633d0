"""The glossary: a line for each term, in alphabetical order, and the anchors that notebooks link to."""

import re

import nbformat
import pytest

from helpers import PROJECT

GLOSSARY = PROJECT / "notebooks" / "glossary.md"
LINE = r'- <a id="([a-z0-9-]+)"></a>\*\*([^*]+)\*\*( \([^()]+\))?: \S.{20,300}[.]'
PATHS = sorted((PROJECT / "notebooks").glob("*.ipynb"))


def entries():
    """Anchors and terms, in the order of the file."""
    lines = GLOSSARY.read_text(encoding="utf-8").split("\n\n", 2)[2].splitlines()
    found = [(line, re.fullmatch(LINE, line)) for line in lines]
    assert [line for line, match in found if match is None] == [], "not of the form of a line"
    return [match.group(1, 2) for _, match in found]


def linked(text):
    """The anchors of the glossary that a text links to."""
    return set(re.findall(r"\(glossary\.md#([^)]*)\)", text))


def test_a_line_for_each_term_in_alphabetical_order():
    anchors = [anchor for anchor, _ in entries()]
    assert len(anchors) >= 100
    assert len(set(anchors)) == len(anchors)
    assert anchors == sorted(anchors)


def test_an_anchor_is_the_term_in_small_letters():
    for anchor, term in entries():
        assert anchor == re.sub(r"[^a-z0-9]+", "-", term.lower()).strip("-"), term


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_links_have_their_anchors(path):
    notebook = nbformat.read(path, as_version=4)
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert linked(text) <= {anchor for anchor, _ in entries()}
    assert text.count("glossary.md#") == len(re.findall(r"\]\(glossary\.md#[a-z0-9-]+\)", text))


def test_a_link_is_seen():
    assert linked("An [EER](glossary.md#eer) and a [fold](glossary.md#fold).") == {"eer", "fold"}
