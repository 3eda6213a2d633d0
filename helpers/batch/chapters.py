"""The notebooks as a course: their titles, parameters, and the README's map of them."""

import re

import nbformat

from helpers import PROJECT, InputError, first_line
from helpers.files import atomic_write
from helpers.notebook import assigned_names

OWN = ("data", "out")  # parameters that have options of their own


class Chapter:
    """One notebook: its number, its words for the index, and its parameters.

    Raises
    ------
    InputError
        If the file is no notebook, or no cell of it is tagged ``parameters``.
    """

    def __init__(self, path):
        self.path, self.number = path, path.name[:2]
        try:
            cells = nbformat.read(path, as_version=4).cells
        except (ValueError, AttributeError, nbformat.ValidationError) as error:
            raise InputError(
                f"{path.name}: no valid notebook ({first_line(type(error).__name__, error)})"
            ) from None
        tagged = [cell.source for cell in cells if "parameters" in cell.metadata.get("tags", [])]
        if len(tagged) != 1:
            raise InputError(f"{path.name}: {len(tagged)} cells are tagged 'parameters'; expected one")
        self.parameters = assigned_names(tagged[0])
        self.source = [[cell.cell_type, cell.source, cell.metadata.get("tags", [])] for cell in cells]
        self.code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
        heading, _, text = cells[0].source.strip().partition("\n")
        self.opening = cells[0].source
        self.title = re.sub(r"^#*\s*(\d\d)?\W*", "", heading) or path.stem
        paragraph = re.sub("[*_`]", "", " ".join(text.strip().split("\n\n")[0].split()))
        self.sentence = re.split(r"(?<=[.!?])\s", paragraph)[0]


def value(text):
    """A value given on the command line as papermill's own command reads it: True, None, 3, 0.1 or text."""
    if text in ("True", "False", "None"):
        return {"True": True, "False": False, "None": None}[text]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def notebooks():
    return sorted((PROJECT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def select(wanted):
    """The notebooks that ``--notebooks`` names ("" for all), in order.

    Raises
    ------
    InputError
        If a number has no notebook, or a notebook cannot be run.
    """
    known = [path.name[:2] for path in notebooks()]
    numbers = [number.strip().zfill(2) for number in wanted.split(",")] if wanted else known
    missing = [number for number in numbers if number not in known]
    if missing:
        found = ", ".join(known) or "none"
        raise InputError(f"--notebooks {wanted}: no notebook {', '.join(missing)}; there are {found}")
    if not known:
        raise InputError(f"{PROJECT / 'notebooks'}: no notebooks there")
    return [Chapter(path) for path in notebooks() if path.name[:2] in numbers]


def given_parameters(chapters, data, out, pairs):
    """The parameters of each notebook: those of the call that it declares.

    Raises
    ------
    InputError
        If no notebook declares one of them.
    """
    known = dict.fromkeys(name for chapter in chapters for name in chapter.parameters if name not in OWN)
    for name, _ in pairs:
        if name in OWN:
            raise InputError(f"-p {name}: use --{name}")
        if name not in known:
            raise InputError(f"-p {name}: no such parameter; the notebooks have {', '.join(known) or 'none'}")
    values = {name: value(text) for name, text in pairs} | {"data": data, "out": str(out)}
    return {c.number: {n: v for n, v in values.items() if n in c.parameters} for c in chapters}


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
    with atomic_write(readme) as part:
        part.write_text(text, encoding="utf-8")
