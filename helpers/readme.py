"""The README's map of the notebooks, generated from the notebooks: ``python -m helpers.readme``."""

import re

from helpers import PROJECT, replacing
from helpers.batch import Chapter, notebooks

START, END = "<!-- map of the notebooks: make readme -->", "<!-- end of the map -->"


def notebook_map(paths):
    """A Markdown table of notebooks: number and title as a link, what it is about, and its minutes.

    Parameters
    ----------
    paths : list of Path

    Returns
    -------
    str
    """
    rows = ["| notebook | in one sentence | time |", "| --- | --- | --- |"]
    for path in paths:
        chapter = Chapter(path)
        time = re.search(r"\*\*Time:\*\*\s*(.+?)\.?\n", chapter.opening + "\n")[1]
        title = f"[{chapter.number} {chapter.title}](notebooks/{path.name})"
        rows.append(f"| {title} | {chapter.sentence} | {time} |")
    return "\n".join(rows)


def with_map(text, table):
    """A README's text with its map replaced."""
    before, rest = text.split(START)
    return f"{before}{START}\n{table}\n{rest[rest.index(END) :]}"


if __name__ == "__main__":
    readme = PROJECT / "README.md"
    text = with_map(readme.read_text(encoding="utf-8"), notebook_map(notebooks()))
    with replacing(readme) as part:
        part.write_text(text, encoding="utf-8")
