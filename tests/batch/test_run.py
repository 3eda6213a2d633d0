"""The batch run, and what every notebook imports, on stand-in notebooks."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import numpy as np
import papermill
import pytest

from samples import without_zeromq

from helpers import PROJECT, InputError, files, first_line, notebook
from helpers.batch import __main__, chapters, execute, run as batch_run
from helpers.batch.report import results_table
from helpers.notebook import assigned_values, is_interactive, output_folder, save_figure, show_figure

START = "from helpers.notebook import check_parameters, output_folder\n\ncheck_parameters()"
TRACE = "print('{0}', file=open('../trace.txt', 'a'))"
FIRST = """folder = output_folder(out)
(folder / "handed_on.txt").write_text(f"{data} {seed!r}")"""
SECOND = """handed_on = (output_folder(out) / "handed_on.txt").read_text()
if fail:
    raise ValueError("the first line\\nand another")"""
ROW = {
    "corpus": "stand-in speech",
    "accuracy": 0.912,
    "accuracy_ci": [0.88, 0.94],
    "eer": 0.1,
    "roc_auc": 0.95,
    "train_seconds": 31.4,
    "parameters": 494000,
    "speakers_test": 20,
}


def write_notebook(path, parameters, *cells):
    """A stand-in with a title, a parameters cell, the check of parameters and more cells."""
    new = nbformat.v4.new_code_cell
    title = nbformat.v4.new_markdown_cell(
        f"# {path.stem[:2]} · Stand-in <{path.stem[3:]}>\n\nA *short* one. More."
    )
    tagged = [new(parameters, metadata={"tags": ["parameters"]})] if parameters else []
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [title, *tagged, new(START), new(TRACE.format(path.stem)), *map(new, cells)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


class Project:
    """A stand-in for the project's folder: two notebooks, a helper and a corpus."""

    def __init__(self, root):
        self.root, self.out, self.data = root, root / "out", root / "voices"
        for folder in ("notebooks", "helpers", "voices"):
            (root / folder).mkdir()
        (root / "helpers" / "notebook.py").write_text("from helpers.data import audio")
        (root / "helpers" / "data").mkdir()
        for name in ("features.py", "data/__init__.py", "data/audio.py"):
            (root / "helpers" / name).write_text("")
        (self.data / "trs.pkl").write_bytes(b"one")
        self.first = write_notebook(
            root / "notebooks" / "01_first.ipynb", "data = ''\nout = ''\nseed = 1", FIRST
        )
        self.second = write_notebook(
            root / "notebooks" / "02_second.ipynb", "out = ''\nfail = False\nrate = 0.1", SECOND
        )

    def run(self, *arguments):
        return __main__.main(["--data", str(self.data), "--out", str(self.out), *arguments])

    def ran(self):
        """Which notebooks have run since the last call."""
        trace = self.root / "trace.txt"
        names = trace.read_text().split() if trace.exists() else []
        trace.unlink(missing_ok=True)
        return [name[:2] for name in names]

    def start(self, *arguments):
        """The same in a process of its own."""
        code = (
            "import sys; from pathlib import Path;"
            "from helpers import files; from helpers.batch import __main__ as program, chapters, run;"
            "run.PROJECT = chapters.PROJECT = files.PROJECT = Path(sys.argv[1]);"
            "sys.exit(program.main(sys.argv[2:]))"
        )
        command = [sys.executable, "-c", code, str(self.root), "--out", str(self.out), *arguments]
        return subprocess.Popen(
            command,
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # A shell's background job, which these tests may be, has Ctrl-C ignored and hands that on.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )


@pytest.fixture
def project(tmp_path, monkeypatch):
    for module in (batch_run, chapters, files):
        monkeypatch.setattr(module, "PROJECT", tmp_path)
    # The stand-ins' kernels need no network: an empty module spares each of them the import of TensorFlow.
    (tmp_path / "stubs").mkdir()
    (tmp_path / "stubs" / "keras.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "stubs"), str(PROJECT)]))
    return Project(tmp_path)


def one_line(text):
    assert text.startswith("batch: ")
    assert text.endswith("\n")
    assert text.count("\n") == 1
    return text.strip()


@pytest.mark.slow
def test_notebooks_run_in_order_with_their_parameters(project, monkeypatch, capfd):
    # Another Python's kernelspec, which Jupyter would prefer, must not be used.
    kernel = project.root / "jupyter" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    kernel.joinpath("kernel.json").write_text(
        json.dumps({"argv": ["false"], "display_name": "", "language": "python"})
    )
    monkeypatch.setenv("JUPYTER_PATH", str(kernel.parents[1]))
    metrics = f"import json\n(output_folder(out) / 'metrics.json').write_text(json.dumps({{'net': {ROW}}}))"
    write_notebook(project.root / "notebooks" / "03_third.ipynb", "out = ''", metrics)
    sources = [path.read_bytes() for path in sorted(project.first.parent.iterdir())]
    project.out = project.root / "results {of} one run"

    assert project.run("-p", "seed", "7", "-p", "rate", "1e-3") == 0
    shown, errors = capfd.readouterr()
    errors = without_zeromq(errors)

    assert errors == ""
    assert project.ran() == ["01", "02", "03"]
    assert (project.out / "handed_on.txt").read_text() == f"{project.data} 7"
    assert [path.read_bytes() for path in sorted(project.first.parent.iterdir())] == sources
    injected = nbformat.read(project.out / "02_second.ipynb", 4).cells[2].source
    assert sorted(injected.splitlines()) == ["# Parameters", f'out = "{project.out}"', "rate = 0.001"]

    lines = shown.splitlines()
    for line, name in zip(
        lines, ["01 Stand-in <first>", "02 Stand-in <second>", "03 Stand-in <third>"], strict=False
    ):
        assert re.fullmatch(rf"{name} \.\.\. \d+ s", line)
    assert "stand-in speech, 20 test speakers" in lines
    row = next(line for line in lines if line.startswith("net"))
    assert re.split(r"  +", row) == [
        *("net", "91.2% [88.0%, 94.0%]", "10.0%", "0.950", "-", "-", "31 s", "494,000")
    ]
    assert f"executed notebooks: {project.out}" in lines
    assert f"to read them: {project.out / 'index.html'}" in lines

    index = (project.out / "index.html").read_text()
    links = re.findall(r'href="([^"]+)"', index)
    assert links[:2] == ["html/01_first.html", "01_first.ipynb"]
    assert len(links) == 6
    assert all((project.out / link).is_file() for link in links)
    assert "02 Stand-in &lt;second&gt;" in index
    assert "<td>A short one.</td>" in index
    assert index.count("<td>done</td>") == 3
    assert "net     91.2%" in index


@pytest.mark.slow
def test_only_what_changed_runs_again(project, capsys):
    assert project.run() == 0
    assert project.ran() == ["01", "02"]
    capsys.readouterr()
    assert project.run() == 0
    assert project.ran() == []
    assert "02 Stand-in <second> ... kept from before" in capsys.readouterr().out.splitlines()

    assert project.run("-p", "rate", "0.2") == 0
    assert project.ran() == ["02"]
    assert project.run("--notebooks", "1", "-p", "seed", "5") == 0
    assert project.ran() == ["01"]
    assert "from an earlier run, out of date" in (project.out / "index.html").read_text()
    assert project.run("-p", "seed", "5") == 0
    assert project.ran() == ["02"]

    (project.out / "handed_on.txt").unlink()
    assert project.run("-p", "seed", "5") == 0
    assert project.ran() == ["01"]
    (project.data / "trs.pkl").write_bytes(b"two")
    assert project.run("-p", "seed", "5") == 0
    assert project.ran() == ["01", "02"]
    write_notebook(project.second, "out = ''\nfail = False\nrate = 0.1", SECOND + "\nprint(rate)")
    assert project.run("-p", "seed", "5") == 0
    assert project.ran() == ["02"]
    (project.root / "helpers" / "features.py").write_text("changed = True")  # no notebook imports it
    assert project.run("-p", "seed", "5") == 0
    assert project.ran() == []
    for name in ("notebook.py", "data/audio.py", "data/__init__.py"):
        with (project.root / "helpers" / name).open("a") as file:
            file.write("\nchanged = True")
        assert project.run("-p", "seed", "5") == 0
        assert project.ran() == ["01", "02"]


def test_a_result_depends_on_the_helpers_that_its_notebook_imports():
    found = {}
    for path in chapters.notebooks():
        closure = files.import_closure(chapters.Chapter(path).code)
        found[path.name[:2]] = {each.relative_to(PROJECT / "helpers").as_posix() for each in closure}
    assert {"__init__.py", "data/pickles.py"} <= found["01"]
    assert "training.py" not in found["01"]
    assert "training.py" in found["04"]
    assert [number for number, closure in found.items() if "research/bench.py" in closure] == []


def test_magics_do_not_hide_what_a_cell_imports(project):
    write_notebook(
        project.first, "data = ''", "%matplotlib inline\nfrom helpers import features", "%%time\nx = 1"
    )
    code = chapters.Chapter(project.first).code
    assert project.root / "helpers" / "features.py" in files.import_closure(code)


@pytest.mark.slow
def test_the_order_of_parameters_does_not_count(project):
    """batch.json keeps them sorted, as the index of a later run reads them."""
    assert project.run("-p", "seed", "5") == 0
    assert project.run("--notebooks", "2") == 0
    index = (project.out / "index.html").read_text()
    assert "<td>from an earlier run</td>" in index
    assert "out of date" not in index


@pytest.mark.slow
def test_recordings_and_named_folders_count(project, tmp_path_factory):
    write_notebook(project.second, "out = ''\nwords = ''")
    voices = tmp_path_factory.mktemp("words")
    (voices / "anna1.wav").write_bytes(b"one")
    sub = project.data / "S01"
    sub.mkdir()
    (sub / "one.wav").write_bytes(b"one")
    call = ("-p", "words", str(voices))
    assert project.run(*call) == 0
    assert project.ran() == ["01", "02"]
    (sub / "one.wav").write_bytes(b"other")  # what the helpers make does not count
    assert project.run(*call) == 0
    assert project.ran() == []
    (project.data / "utterances.csv").write_text("path,speaker\n")
    assert project.run(*call) == 0
    assert project.ran() == ["01", "02"]
    (sub / "one.wav").write_bytes(b"another one")
    assert project.run(*call) == 0
    assert project.ran() == ["01", "02"]
    (voices / "anna2.wav").write_bytes(b"two")
    assert project.run(*call) == 0
    assert project.ran() == ["02"]


@pytest.mark.slow
def test_a_failure_is_named_and_the_rerun_continues_there(project, capsys):
    write_notebook(project.root / "notebooks" / "03_third.ipynb", "out = ''")
    assert project.run() == 0
    assert project.ran() == ["01", "02", "03"]
    good = {path: path.read_bytes() for path in project.out.rglob("0*.*")}
    capsys.readouterr()

    assert project.run("-p", "fail", "True") == 1
    shown, errors = capsys.readouterr()
    assert one_line(errors) == "batch: 02_second.ipynb, In [5]: ValueError: the first line"
    assert shown.splitlines() == [
        "01 Stand-in <first> ... kept from before",
        "02 Stand-in <second> ... failed",
    ]
    assert project.ran() == ["02"]
    assert {path: path.read_bytes() for path in good} == good
    failed = project.out / "failed" / "02_second.ipynb"
    assert "the first line" in failed.read_text()
    assert not (project.out / ".running").exists()
    assert "<td>failed</td>" in (project.out / "index.html").read_text()

    assert project.run() == 0
    assert project.ran() == ["02"]
    assert not failed.exists()


@pytest.mark.slow
def test_a_kernel_that_dies_is_named(project, capsys):
    write_notebook(project.second, "out = ''", "import os\nos._exit(9)")
    assert project.run() == 1
    assert one_line(capsys.readouterr().err).startswith("batch: 02_second.ipynb, In [5]: DeadKernelError: ")
    assert (project.out / "01_first.ipynb").exists()
    assert not (project.out / "02_second.ipynb").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-p", "tpyo", "1"], "-p tpyo: no such parameter; the notebooks have seed, fail, rate"),
        (
            ["-p", "seed", "1", "--notebooks", "02"],
            "-p seed: no such parameter; the notebooks have fail, rate",
        ),
        (["-p", "data", "x"], "-p data: use --data"),
        (["--notebooks", "02,07"], "--notebooks 02,07: no notebook 07; there are 01, 02"),
        (
            ["--data", "no/such"],
            "--data no/such does not exist; expected trs.pkl and tes.pkl in it, or a corpus",
        ),
        (
            ["--out", str(PROJECT / "Makefile")],
            f"{PROJECT / 'Makefile'}: File exists; a folder to write to is expected",
        ),
        (["--out", "/proc"], "--out /proc: No such file or directory; a folder to write to is expected"),
    ],
)
def test_a_bad_call_is_refused_before_anything_runs(project, capsys, arguments, message):
    assert project.run(*arguments) == 2
    assert one_line(capsys.readouterr().err) == f"batch: {message}"
    assert project.ran() == []


def test_a_project_without_notebooks_is_refused(project, capsys):
    for path in project.second.parent.glob("*.ipynb"):
        path.unlink()
    assert project.run() == 2
    assert one_line(capsys.readouterr().err).endswith("notebooks has no notebooks")


@pytest.mark.parametrize("broken", ["no parameters cell", "no notebook"])
def test_a_notebook_that_cannot_be_run_is_refused(project, capsys, broken):
    if broken == "no notebook":
        project.second.write_text("{")
    else:
        write_notebook(project.second, "")
    assert project.run() == 2
    assert one_line(capsys.readouterr().err).startswith("batch: 02_second.ipynb: ")
    assert project.ran() == []


def wait_for(condition, process):
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def alive(pid):
    state = Path(f"/proc/{pid}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.slow
def test_two_runs_do_not_share_a_folder_and_ctrl_c_keeps_what_is_finished(project, capsys):
    pid = project.root / "pid.txt"
    write_notebook(
        project.second,
        "out = ''",
        f"import os, time\nopen({str(pid)!r}, 'w').write(f'{{os.getpid()}} ')\ntime.sleep(60)",
    )
    process = project.start()
    try:
        wait_for(lambda: pid.exists() and pid.read_text().endswith(" "), process)
        assert project.run() == 2
        assert "another run is writing there" in one_line(capsys.readouterr().err)
        process.send_signal(signal.SIGINT)
        shown, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert one_line(without_zeromq(errors)) == "batch: interrupted; what was finished is kept"
    assert shown.splitlines()[1] == "02 Stand-in <second> ... interrupted"
    assert not alive(int(pid.read_text()))
    assert (project.out / "01_first.ipynb").exists()
    assert not (project.out / "02_second.ipynb").exists()
    assert not (project.out / ".running").exists()
    assert project.ran() == ["01", "02"]

    write_notebook(project.second, "out = ''")
    process = project.start()
    assert process.wait(timeout=60) == 0, process.communicate()
    assert project.ran() == ["02"]


@pytest.mark.slow
def test_a_bare_papermill_call_refuses_an_unknown_parameter(project, tmp_path, monkeypatch):
    (tmp_path / "any").mkdir()
    monkeypatch.chdir(tmp_path / "any")
    command = [
        sys.executable,
        "-m",
        "papermill",
        str(project.first),
        "executed.ipynb",
        "--no-progress-bar",
        "-p",
    ]
    result = subprocess.run([*command, "tpyo", "1"], capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.rstrip().endswith(
        "InputError: no parameter tpyo in this notebook; it has data, out, seed"
    )
    result = subprocess.run(
        [*command, "seed", "2", "-p", "out", str(tmp_path / "o")], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "o" / "handed_on.txt").read_text() == " 2"
    # An executed copy has the injected cell; it runs again as it is.
    papermill.execute_notebook("executed.ipynb", None, cwd=project.first.parent, progress_bar=False)


def test_check_parameters_looks_at_the_cells_that_ran(monkeypatch):
    class Shell:
        class history_manager:
            input_hist_parsed = ("", "%matplotlib inline", "seed = 1  # a seed\nout: str = ''")

    Shell.user_ns = {"seed": 2, "out": "here", "x": 1}
    monkeypatch.setattr(notebook, "get_ipython", lambda: Shell)
    notebook.check_parameters()
    Shell.history_manager.input_hist_parsed += ("# Parameters\nseed = 2\nout = 'here'", "x = 1", "seed = 3")
    notebook.check_parameters()
    Shell.history_manager.input_hist_parsed += ("# Parameters\nseeds = 2\n",)
    with pytest.raises(InputError, match="no parameter seeds in this notebook; it has seed, out, x"):
        notebook.check_parameters()


def test_an_error_is_told_in_one_line():
    assert first_line("ValueError", "one\ntwo") == "ValueError: one"
    assert first_line("AssertionError", "") == "AssertionError"


def test_assigned_values():
    source = "a = 1  # one\nb: int = -2\na = h = 'three'\nfor c in d: e = 1\nf.g = 1\ni = len(a)\nj: int"
    found = assigned_values(source)
    assert list(found.items()) == [("a", "three"), ("b", -2), ("h", "three"), ("i", None), ("j", None)]
    assert assigned_values("%matplotlib inline") == {}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-0.5", -0.5),
        ("1e-3", 1e-3),
        ("True", True),
        ("None", None),
        ("yes", "yes"),
        ("04", 4),
        ("", ""),
    ],
)
def test_values_are_read_as_papermill_reads_them(text, value):
    from papermill.cli import _resolve_type

    assert chapters.value(text) == value == _resolve_type(text)
    assert type(chapters.value(text)) is type(value)


def test_a_person_is_looking_only_where_jupyter_says_so(monkeypatch):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    assert not is_interactive()
    monkeypatch.setenv("JPY_SESSION_NAME", "/somewhere/01_explore.ipynb")
    assert is_interactive()


def test_output_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("SIAMESE_VOICES_OUT")
    monkeypatch.setattr(notebook, "PROJECT", tmp_path)
    assert output_folder() == tmp_path / "results"
    monkeypatch.setenv("SIAMESE_VOICES_OUT", str(tmp_path / "elsewhere"))
    assert output_folder() == tmp_path / "elsewhere"
    assert output_folder(tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file: File exists; a folder to write to is expected"):
        output_folder(tmp_path / "file")


def test_a_figure_is_saved_with_the_same_bytes(tmp_path):
    from matplotlib.figure import Figure

    def draw():
        figure = Figure()
        figure.subplots().plot(np.arange(3))
        return save_figure(figure, tmp_path, "line")

    first = draw().read_bytes()
    assert draw().read_bytes() == first
    assert b"Matplotlib" not in first
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["line.png"]


@pytest.mark.slow
def test_tensorflow_is_imported_without_log_lines(tmp_path):
    notebook = "from IPython.core.interactiveshell import InteractiveShell; InteractiveShell.instance(); "
    code = notebook + "import sys, helpers.notebook, keras; sys.stderr.write('own'); import tensorflow"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("TF_", "KERAS"))}
    environment["IPYTHONDIR"] = str(tmp_path / "ipython")
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert (result.returncode, result.stderr) == (0, "own")
    plain = "import sys, helpers.notebook; assert not {'keras', 'tensorflow'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", plain], env=environment).returncode == 0
    (tmp_path / "tensorflow.py").write_text("raise ImportError('broken build')")
    environment["PYTHONPATH"] = str(tmp_path)
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert result.stderr.rstrip().endswith("ImportError: broken build")


def test_results_of_two_corpora_are_in_two_tables(tmp_path):
    path = tmp_path / "metrics.json"
    assert results_table(path) == ""
    path.write_text(
        json.dumps({"a": ROW, "b": ROW | {"corpus": "real speech"}, "c": ROW | {"eer_ci": [0.05, 0.2]}})
    )
    real, standin = results_table(path).split("\n\n")
    assert [line.split()[0] for line in real.splitlines()] == ["real", "system", "b"]
    assert [line.split()[0] for line in standin.splitlines()] == ["stand-in", "system", "a", "c"]
    assert "10.0% [5.0%, 20.0%]" in standin
    assert "identified" not in standin
    found = {"top1": 0.75}, {"identification_accuracy": 0.9, "corpus": ROW["corpus"]}
    path.write_text(json.dumps({"cnn": ROW | found[0], "nearest": found[1], "pairs": ROW}))
    heading, *rows = results_table(path).splitlines()[1:]
    assert heading.split()[-1] == "identified"
    assert [row.split()[-1] for row in rows] == ["75.0%", "90.0%", "-"]
    for broken in ("{", "[]", '{"a": {}}', '{"a": {"corpus": "x", "eer": "high"}}'):
        path.write_text(broken)
        assert results_table(path).startswith("metrics.json cannot be read")


@pytest.mark.slow
def test_committed_notebooks_are_executed_in_place_and_cleaned(project, capsys):
    path = write_notebook(
        project.first, "seed = 1  # a seed", "import os\nos.environ['SIAMESE_VOICES_DATA'] != ''"
    )
    assert execute.main([str(path)]) == 0
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert [cell.execution_count for cell in notebook.cells[1:]] == [1, 2, 3, 4]
    assert notebook.cells[-1].outputs[0].data["text/plain"] == "True"
    assert [dict(cell.metadata) for cell in notebook.cells[:3]] == [{}, {"tags": ["parameters"]}, {}]
    assert str(project.root) not in path.read_text()

    before = write_notebook(path, "seed = 1  # a seed", "1 / 0").read_bytes()
    assert execute.main([str(path)]) == 1
    assert "In [4]: ZeroDivisionError" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_pictures_are_made_smaller_and_look_the_same(tmp_path):
    import base64
    import io

    import matplotlib.pyplot as plt
    from matplotlib.figure import Figure

    figure = Figure()
    figure.subplots().imshow(np.random.default_rng(0).normal(size=(50, 50)), cmap="RdBu")
    figure.savefig(tmp_path / "picture.png")
    png = base64.b64encode((tmp_path / "picture.png").read_bytes()).decode()
    smaller = execute.compress_png(png)
    assert len(smaller) < 0.6 * len(png)
    before, after = (plt.imread(io.BytesIO(base64.b64decode(each)))[..., :3] for each in (png, smaller))
    assert before.shape == after.shape
    assert np.abs(before - after).mean() < 0.01
    assert execute.compress_png(smaller) == smaller
    new = nbformat.v4.new_output("display_data", data={"image/png": png, "text/plain": "<Figure>"})
    cell = nbformat.v4.new_code_cell(outputs=[new])
    cleaned = execute.clean_notebook(nbformat.v4.new_notebook(cells=[cell])).cells[0].outputs[0].data
    assert cleaned == {"image/png": smaller, "text/plain": "<Figure>"}


def test_figures_carry_their_description(monkeypatch):
    from matplotlib.figure import Figure

    shown = {}
    monkeypatch.setattr("helpers.notebook.display", lambda data, raw: shown.update(data))
    show_figure(Figure(), 'a "line" & a dot')
    assert shown["text/plain"] == 'a "line" & a dot'
    assert 'alt="a &quot;line&quot; &amp; a dot"' in shown["text/html"]
    output = nbformat.v4.new_output("display_data", data=dict(shown))
    cell = nbformat.v4.new_code_cell(outputs=[output], metadata={"tags": ["hide-input"]})
    cell = execute.clean_notebook(nbformat.v4.new_notebook(cells=[cell])).cells[0]
    assert cell.metadata == {"tags": ["hide-input"], "jupyter": {"source_hidden": True}}
    pictures = [
        re.search(execute.PICTURE, html)[2]
        for html in (shown["text/html"], cell.outputs[0].data["text/html"])
    ]
    assert execute.compress_png(pictures[0]) == pictures[1]
