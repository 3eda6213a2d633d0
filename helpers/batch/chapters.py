"""The notebooks: titles, parameters; and the READMEs' maps, which the command brings up to date."""

import ast
import re
import sys
from contextlib import suppress

from IPython.core.inputtransformer2 import TransformerManager

from helpers import PROJECT, InputError, check_values
from helpers.batch.execute import read_notebook
from helpers.batch.report import markdown_table
from helpers.command_line import new_parser, run_program
from helpers.files import atomic_write, imported_files
from helpers.notebook import assigned_values

HELPERS = PROJECT / "helpers"
OWN = ("data", "out")  # parameters that have options of their own
START, END = "<!-- map: python -m helpers.batch.chapters -->", "<!-- end of the map -->"


class Chapter:
    """One notebook: its number, its words for the index, and its parameters, with what has to hold of them.

    Raises
    ------
    InputError
        If the file is no notebook, or no cell of it is tagged ``parameters``.
    """

    def __init__(self, path):
        self.path, self.number = path, path.name[:2]
        cells = read_notebook(path).cells
        tagged = [cell.source for cell in cells if "parameters" in cell.metadata.get("tags", [])]
        if len(tagged) != 1:
            found = f"{len(tagged)} cells are tagged 'parameters'"
            raise InputError(found, file=f"{path.name}:", expected="one")
        self.parameters = assigned_values(tagged[0])
        self.source = [[cell.cell_type, cell.source, cell.metadata.get("tags", [])] for cell in cells]
        code = [cell.source for cell in cells if cell.cell_type == "code"]
        self.code = "\n".join(map(TransformerManager().transform_cell, code))  # magics as plain Python
        self.conditions = []
        with suppress(SyntaxError):  # which is reported where the notebook runs
            calls = [node for node in ast.walk(ast.parse(self.code)) if isinstance(node, ast.Call)]
            checks = [node.args for node in calls if ast.unparse(node.func) == "check_parameters"]
            self.conditions = [ast.literal_eval(each) for arguments in checks for each in arguments]
        self.opening = cells[0].source
        heading, _, text = self.opening.strip().partition("\n")
        self.title = re.sub(r"^#*\s*(\d\d)?\W*", "", heading) or path.stem
        paragraph = re.sub(r"\[(.*?)\]\(.*?\)", r"\1", " ".join(text.strip().split("\n\n")[0].split()))
        paragraph = re.sub("[*_`]", "", paragraph)
        self.sentence = re.split(r"(?<=[.!?])\s", paragraph)[0]


def value(text):
    """A value given on the command line as papermill's own command reads it: True, None, 3, 0.1 or text."""
    words = {"True": True, "False": False, "None": None}
    if text in words:
        return words[text]
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
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
    known = {path.name[:2]: path for path in notebooks()}
    if not known:
        raise InputError("has no notebooks", file=PROJECT / "notebooks")
    numbers = [number.strip().zfill(2) for number in wanted.split(",")] if wanted else list(known)
    missing = [number for number in numbers if number not in known]
    if missing:
        found = ", ".join(known)
        raise InputError(f"--notebooks {wanted}: no notebook {', '.join(missing)}; there are {found}")
    return [Chapter(path) for number, path in known.items() if number in numbers]


def given_parameters(chapters, data, out, pairs):
    """The parameters of each notebook: those of the call that it declares.

    Raises
    ------
    InputError
        If no notebook declares one of them, and as `helpers.check_values`.
    """
    known = dict.fromkeys(name for chapter in chapters for name in chapter.parameters if name not in OWN)
    for name, _ in pairs:
        if name in OWN:
            raise InputError(f"-p {name}: use --{name}")
        if name not in known:
            raise InputError(f"-p {name}: no such parameter; the notebooks have {', '.join(known) or 'none'}")
    texts, given = dict(pairs) | {"data": data, "out": str(out)}, {}
    for chapter in chapters:
        known = chapter.parameters
        found = {n: t if isinstance(known[n], str) else value(t) for n, t in texts.items() if n in known}
        check_values(known | found, known, chapter.conditions)
        given[chapter.number] = found
    return given


def notebook_map():
    """A Markdown table of the notebooks: number and title as a link, what it is about, and its minutes."""
    rows = [("notebook", "in one sentence", "time")]
    for chapter in select(""):
        time = re.search(r"\*\*Time:\*\*\s*(.+?)\.?\n", chapter.opening + "\n")[1]
        title = f"[{chapter.number} {chapter.title}](notebooks/{chapter.path.name})"
        rows.append((title, chapter.sentence, time))
    return markdown_table(rows)


def first_sentence(path):
    """The first line of a module's docstring."""
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))).splitlines()[0]


def helpers_map():
    """A heading for each room, and a table of its files, as Markdown.

    Of each file its docstring's first line, the notebooks that import it, and the files it imports.
    """
    modules = {p: p.relative_to(HELPERS).with_suffix("").as_posix() for p in sorted(HELPERS.rglob("*.py"))}
    imported = {chapter.number: imported_files(chapter.code) for chapter in select("")}
    parts = []
    for init in sorted(HELPERS.rglob("__init__.py"), key=lambda path: path.parent):
        rows = [("file", "what it holds", "notebooks", "imports")]
        for path in sorted(set(init.parent.glob("*.py")) - {init}):
            users = ", ".join(number for number, files in imported.items() if path in files)
            files = imported_files(path.read_text(encoding="utf-8"))
            imports = ", ".join(sorted(modules[file] for file in files if file.name != init.name))
            what = first_sentence(path).replace("|", r"\|")
            rows.append((f"[{path.name}]({modules[path]}.py)", what, users, imports))
        name = "The core" if init.parent == HELPERS else init.parent.relative_to(HELPERS).as_posix()
        parts += [f"## {name}", first_sentence(init), markdown_table(rows)]
    return "\n" + "\n\n".join(parts) + "\n"


def with_map(text, new):
    """A README's text in which its map, from the line `START` to the line `END`, is replaced by a new one."""
    before, rest = text.split(START)
    return f"{before}{START}\n{new}\n{rest[rest.index(END) :]}"


def update_maps(_):
    """Replace the map in each README, whole or not at all."""
    for readme, new in ((PROJECT / "README.md", notebook_map()), (HELPERS / "README.md", helpers_map())):
        text = with_map(readme.read_text(encoding="utf-8"), new)
        with atomic_write(readme) as part:
            part.write_text(text, encoding="utf-8")


def main(arguments=None):
    """The command line; returns the exit status."""
    return run_program(update_maps, new_parser("batch.chapters", __doc__).parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
