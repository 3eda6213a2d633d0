"""The form of every notebook: its cells, and stored outputs that are whole, clean and comparable."""

import ast
import json
import re
import statistics

import nbformat
import pytest

import helpers
from helpers import PROJECT
from helpers.notebook import assigned_values

PATHS = sorted(PROJECT.glob("notebooks/**/*.ipynb"))
PATHS = [path for path in PATHS if ".ipynb_checkpoints" not in path.parts]
CELL_KEYS = {"tags", "jupyter"}
TEXT_OUTPUTS = ("text/plain", "text/html", "text/markdown", "text/latex")

# What no stored output may show, as it differs from machine to machine or from run to run.
UNSTABLE = {
    "a machine's path": r"(?<![\w.])/(home|root|tmp|Users|work|var|usr|opt)/|\b[A-Za-z]:\\",
    "a memory address": r"\b0x[0-9a-fA-F]{6,}",
    "a timing": r"\d\s*(ms|us|µs|s)/(step|epoch|it)\b|\d\s*it/s|\bETA\b|Wall time|CPU times|\bper loop\b",
    "a framework's log line": r"^[IWEF]\d{4} \d|^\d{4}-\d\d-\d\d \d\d:|WARNING:|cuda_|oneDNN|TF-TRT|absl::",
    "a package host": r"pypi\.org|pythonhosted|conda\.anaconda|download\.pytorch|piwheels|file:///",
}


def read(path):
    return nbformat.read(path, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags(cell):
    return cell.metadata.get("tags", [])


def lines(cell):
    """Lines of code: blank lines and comments do not count."""
    return [line for line in cell.source.splitlines() if line.strip() and not line.strip().startswith("#")]


def text_of(output):
    """What an output shows as text; pictures and sounds left out."""
    if output.output_type == "stream":
        return output.text
    data = output.get("data", {})
    text = "\n".join("".join(data[kind]) for kind in TEXT_OUTPUTS if kind in data)
    return re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)


def sections(notebook):
    """Runs of cells between headings of the second level."""
    found = [[]]
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and re.match(r"##\s", cell.source):
            found.append([])
        found[-1].append(cell)
    return found


def ignored(cell):
    """Whether nbval is told not to compare the cell's output."""
    marks = " ".join(tags(cell)) + " " + cell.source
    return bool(
        re.search(r"nbval[-_](ignore[-_]output|skip)|PYTEST_VALIDATE_IGNORE_OUTPUT", marks, re.IGNORECASE)
    )


def check_names(path, notebook):
    assert re.fullmatch(r"\d\d_[a-z0-9_]+\.ipynb", path.name)
    assert notebook.cells[0].source.startswith(f"# {path.name[:2]} ")


def check_size_and_format(path, notebook):
    nbformat.validate(json.loads(path.read_text()))
    assert notebook.nbformat == 4
    assert path.stat().st_size < 1_000_000
    assert path.read_text().endswith("}\n")


def check_opening(path, notebook):
    opening = notebook.cells[0]
    assert opening.cell_type == "markdown"
    title, _, rest = opening.source.partition("\n")
    assert re.match(r"# \d\d \W*\w", title), "a title with its number"
    assert re.match(r"\w[^.!?]*[.!?]", rest.strip().replace("*", "").replace("`", "")), "one sentence"
    for promise in ("do", "learn", "need"):
        assert re.search(rf"(^#+ |\*\*)[^*\n]*\b{promise}\b", rest, flags=re.MULTILINE), (
            f"what you will {promise}"
        )
    assert re.search(r"\d+\s+(minutes|min)\b", opening.source), "the minutes that it takes"


def check_closing(path, notebook):
    text = "\n".join(cell.source for cell in notebook.cells[-6:] if cell.cell_type == "markdown")
    assert re.search(r"What you have now", text, re.IGNORECASE)
    assert re.search(r"^#+ Exercises?\b|\*\*Exercises?\b", text, flags=re.MULTILINE)
    assert text.count("<details>") == text.count("</details>") >= 1, "solutions folded away"
    following = [other for other in PATHS if other.name > path.name]
    if following:
        assert f"({following[0].name})" in notebook.cells[-1].source, "a link to the next notebook"
    for link in re.findall(r"\]\(([\w./-]+\.\w+)\)", "\n".join(cell.source for cell in notebook.cells)):
        assert (path.parent / link).exists(), f"{link} leads nowhere"


def check_parameters_cell(path, notebook):
    code = code_cells(notebook)
    tagged = [cell for cell in code if "parameters" in tags(cell)]
    assert len(tagged) == 1
    (parameters,) = tagged
    position = code.index(parameters)
    assert position <= 1
    assert not any(assigned_values(cell.source) for cell in code[:position]), (
        "check_parameters takes them for parameters"
    )
    defaults = assigned_values(parameters.source)
    for line in parameters.source.splitlines():
        assert re.fullmatch(r"\w+(: *\w+)? = [^=#]+  # \w[^=]*", line), (
            f"one parameter and its effect: {line}"
        )
    assert len(defaults) == len(parameters.source.splitlines())
    calls = [node for node in ast.walk(ast.parse(code[position + 1].source)) if isinstance(node, ast.Call)]
    (call,) = [node for node in calls if ast.unparse(node.func) == "check_parameters"]
    conditions = [ast.literal_eval(argument) for argument in call.args]
    helpers.check_values(defaults, defaults, conditions)
    checked = {name for each in conditions for name in compile(each, "", "eval").co_names}
    numbers = {name for name, value in defaults.items() if not isinstance(value, str)}
    assert numbers <= checked <= set(defaults), "a number has a range"


def check_cells(path, notebook):
    for cell in notebook.cells:
        assert cell.source.strip(), "an empty cell"
    counts = []
    for cell in code_cells(notebook):
        assert not cell.source.rstrip().endswith(";"), cell.source
        assert len(lines(cell)) <= 25, cell.source
        assert "raises-exception" not in tags(cell), "it passes nbval and fails papermill"
        assert not re.search(
            r"^\s*(import tensorflow|from tensorflow)|^\s*[!%]", cell.source, re.MULTILINE
        ), cell.source
        ast.parse(cell.source)
        counts.append(len(lines(cell)))
    assert statistics.median(counts) <= 8


def check_metadata(path, notebook):
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.metadata.language_info == {"name": "python"}
    for cell in notebook.cells:
        assert set(cell.metadata) <= CELL_KEYS, cell.metadata
        assert "injected-parameters" not in tags(cell)


def check_executed(path, notebook):
    code = code_cells(notebook)
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    for cell in code:
        for output in cell.outputs:
            assert output.output_type != "error", cell.source
            assert output.get("name") != "stderr", cell.source
            assert "application/vnd.jupyter.widget-view+json" not in output.get("data", {}) or text_of(output)


def check_stable(path, notebook):
    for cell in code_cells(notebook):
        for output in cell.outputs:
            for what, pattern in UNSTABLE.items():
                found = re.search(pattern, text_of(output), flags=re.MULTILINE)
                assert not found, f"{what}: {found[0]!r} after {cell.source!r}"
    for cell in notebook.cells:
        for what in ("a machine's path", "a package host"):
            found = re.search(UNSTABLE[what], cell.source)
            assert not found, f"{what}: {found[0]!r} in {cell.source!r}"


def check_compared(path, notebook):
    code = code_cells(notebook)
    unchecked = [
        cell for cell in code if ignored(cell) and not re.search(r"^\s*assert ", cell.source, re.MULTILINE)
    ]
    assert len(unchecked) <= len(code) / 5
    assert not any("nbval-skip" in tags(cell) or "NBVAL_SKIP" in cell.source for cell in code)


def check_something_to_see(path, notebook):
    for cells in sections(notebook):
        code = [cell for cell in cells if cell.cell_type == "code"]
        if code and "parameters" not in [tag for cell in code for tag in tags(cell)]:
            shown = [output for cell in code for output in cell.outputs]
            assert shown, f"nothing to see or hear in {cells[0].source.splitlines()[0]!r}"


def check_length(path, notebook):
    assert len(notebook.cells) <= 50


def check_alternative_text(path, notebook):
    for output in (output for cell in code_cells(notebook) for output in cell.outputs):
        data = output.get("data", {})
        assert "image/png" not in data, "shown without notebook.show_figure"
        for image in re.findall(r"<img[^>]*>", "".join(data.get("text/html", ""))):
            assert re.search(r'alt="[^"]{20,}"', image), "a picture without alternative text"


def check_guards(path, notebook):
    """What only guards the notebook is folded away, in JupyterLab and on a site."""
    for cell in code_cells(notebook):
        folded = "hide-input" in tags(cell)
        assert folded == bool(cell.metadata.get("jupyter", {}).get("source_hidden"))
        guards = re.search(r"^\s*assert ", cell.source, re.MULTILINE)
        assert folded or not guards, f"a visible guard: {cell.source}"


def check_questions(path, notebook):
    """Questions whose choices unfold to what is right or wrong about them."""
    text = "\n".join(cell.source for cell in notebook.cells[-6:] if cell.cell_type == "markdown")
    choices = re.findall(r"<details><summary>.*?</summary>\s*(Right|Wrong)\b", text, re.DOTALL)
    assert {"Right", "Wrong"} <= set(choices)


CHECKS = [value for name, value in list(globals().items()) if name.startswith("check_")]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__[6:])
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_form(path, check):
    check(path, read(path))


def test_numbers_are_not_taken_twice():
    assert len({path.name[:2] for path in PATHS}) == len(PATHS)


# A model of the form, and the ways to break it that each check must notice.

OPENING = """# 42 A model

One sentence about it. It takes 5 minutes.

**What you will do**: little. **What you will learn**: less. **What you need**: nothing."""
CLOSING = """## What you have now
Nothing.

## Exercises
1. Why?
<details><summary>Solution</summary>Because.</details>

## Questions
<details><summary>Yes</summary>Right: it is.</details>
<details><summary>No</summary>Wrong: it is.</details>"""


@pytest.fixture
def model():
    new, text = nbformat.v4.new_code_cell, nbformat.v4.new_markdown_cell
    cells = [
        text(OPENING),
        new(
            "data = ''  # a folder\nout = ''  # another\nseed = 1  # of everything",
            metadata={"tags": ["parameters"]},
        ),
        new("from helpers.notebook import check_parameters\n\ncheck_parameters('seed >= 0')"),
        text("## A section"),
        *(new(f"print({n})", outputs=[nbformat.v4.new_output("stream", text=f"{n}\n")]) for n in range(8)),
        text(CLOSING),
    ]
    for count, cell in enumerate((cell for cell in cells if cell.cell_type == "code"), 1):
        cell.execution_count = count
    metadata = {"kernelspec": {"name": "python3", "display_name": "P"}, "language_info": {"name": "python"}}
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def verdict(model, folder, name="42_model.ipynb"):
    """The checks that refuse the notebook."""
    path = folder / name
    nbformat.write(model, path)
    refused = set()
    for check in CHECKS:
        try:
            check(path, read(path))
        except (AssertionError, SyntaxError, ValueError, nbformat.ValidationError):
            refused.add(check.__name__[6:])
    return refused


def test_the_model_passes(model, tmp_path):
    assert verdict(model, tmp_path) == set()


def set_source(index, source):
    return lambda model: model.cells[index].update(source=source)


def set_output(kind, **content):
    return lambda model: model.cells[5].update(outputs=[nbformat.v4.new_output(kind, **content)])


def insert(source):
    return lambda model: model.cells.insert(1, nbformat.v4.new_code_cell(source))


def ignore(index):
    return set_source(index, "# NBVAL_IGNORE_OUTPUT\nx = 1")


def set_text(text):
    return lambda model: model.cells[5].outputs[0].update(text=text)


def set_tags(*names, cells=(5,)):
    return lambda model: [model.cells[index].metadata.update(tags=list(names)) for index in cells]


BREAKAGES = {
    "no title": ("names", set_source(0, "Hello")),
    "no minutes": ("opening", set_source(0, OPENING.replace("5 minutes", "long"))),
    "no promise": ("opening", set_source(0, OPENING.replace("learn", "see"))),
    "no sentence": ("opening", set_source(0, OPENING.replace("One sentence about it. It takes", "-"))),
    "no exercises": ("closing", set_source(-1, CLOSING.replace("Exercises", "More"))),
    "solution in the open": ("closing", set_source(-1, re.sub("</?details>", "", CLOSING))),
    "dead link": ("closing", set_source(-1, CLOSING + "[next](43_none.ipynb)")),
    "no parameters": ("parameters_cell", set_tags(cells=[1])),
    "two parameter cells": ("parameters_cell", set_tags("parameters")),
    "parameter without comment": ("parameters_cell", set_source(1, "data = ''  # a\nout = ''")),
    "two '=' in a line": ("parameters_cell", set_source(1, "data = ''  # a\nout = ''  # a=b")),
    "not checked": ("parameters_cell", set_source(2, "import helpers")),
    "a number without a range": ("parameters_cell", set_source(2, "check_parameters()")),
    "a default out of range": ("parameters_cell", set_source(2, "check_parameters('seed >= 2')")),
    "a range of nothing": ("parameters_cell", set_source(2, "check_parameters('seed >= 0', 'x > 0')")),
    "assigned before": ("parameters_cell", insert("fs = 1")),
    "semicolon": ("cells", set_source(5, "print(1);")),
    "empty": ("cells", set_source(5, "")),
    "long": ("cells", set_source(5, "\n".join(["x = 1"] * 26))),
    "all rather long": ("cells", lambda model: [set_source(i, "x = 1\n" * 9)(model) for i in range(4, 12)]),
    "tensorflow": ("cells", set_source(5, "import tensorflow as tf")),
    "magic": ("cells", set_source(5, "%matplotlib inline")),
    "error expected": ("cells", set_tags("raises-exception")),
    "papermill's metadata": ("metadata", lambda model: model.metadata.update(papermill={})),
    "timings": ("metadata", lambda model: model.cells[5].metadata.update(execution={})),
    "another kernel": ("metadata", lambda model: model.metadata.kernelspec.update(name="venv")),
    "injected": ("metadata", set_tags("injected-parameters")),
    "not executed": ("executed", lambda model: model.cells[5].update(execution_count=None)),
    "executed out of order": ("executed", lambda model: model.cells[5].update(execution_count=2)),
    "stderr": ("executed", lambda model: model.cells[5].outputs[0].update(name="stderr")),
    "error": ("executed", set_output("error", ename="E", evalue="", traceback=[])),
    "path": ("stable", set_text("/home/someone/trs.pkl")),
    "Windows path": ("stable", set_text("C:\\trs.pkl")),
    "path in the source": ("stable", set_source(5, "open('/tmp/x')")),
    "address": ("stable", set_text("<Figure at 0x7f91fa07f850>")),
    "step time": ("stable", set_text("8/8 - 1s - 90ms/step - loss: 0.69")),
    "progress": ("stable", set_text("100%| 3/3 [00:01<00:00, 2.75it/s]")),
    "log line": ("stable", set_text("I0000 00:00:1795178176.870821 10447 stub.cc:31] Could not")),
    "address in a table": ("stable", set_output("display_data", data={"text/html": "<p>0x7f91fa07f850"})),
    "three of eleven ignored": ("compared", set_tags("nbval-ignore-output", cells=[4, 5, 6])),
    "ignored by comment": ("compared", lambda model: [ignore(index)(model) for index in (4, 5, 6)]),
    "skipped": ("compared", set_tags("nbval-skip")),
    "nothing to see": ("something_to_see", lambda model: [c.update(outputs=[]) for c in code_cells(model)]),
    "fifty-one cells": ("length", lambda model: [insert("x = 1")(model) for _ in range(39)]),
    "a plain picture": ("alternative_text", set_output("display_data", data={"image/png": "iVBO"})),
    "no description": ("alternative_text", set_output("display_data", data={"text/html": "<img src=''>"})),
    "a guard": ("guards", set_source(5, "assert True")),
    "folded in one place only": ("guards", set_tags("hide-input")),
    "no questions": ("questions", set_source(-1, CLOSING.replace("Wrong", "No"))),
    "a megabyte": ("size_and_format", set_text("a" * 1_000_000)),
}  # fmt: skip


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_each_breakage_is_noticed(model, tmp_path, breakage):
    check, change = BREAKAGES[breakage]
    change(model)
    assert check in verdict(model, tmp_path)


def test_ignored_cells_may_assert_instead(model, tmp_path):
    set_tags("nbval-ignore-output", "hide-input", cells=range(4, 12))(model)
    for cell in model.cells[4:12]:
        cell.metadata["jupyter"] = {"source_hidden": True}
        cell.source = "accuracy = 0.9\nassert accuracy > 0.85"
    assert verdict(model, tmp_path) == set()


def test_a_file_needs_its_number(model, tmp_path):
    assert verdict(model, tmp_path, "model.ipynb") == {"names"}
