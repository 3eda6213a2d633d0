"""Where the course runs: another user, a read-only project, old settings, other paths; and bad parameters."""

import gzip
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
from scipy.io import wavfile

from samples import without_zeromq

from helpers import PROJECT, SAMPLE_RATE, InputError, check_values, is_writable, notebook
from helpers.batch import execute
from helpers.batch.chapters import Chapter, given_parameters, notebooks, select
from helpers.batches import TrainingConfig
from helpers.data.synthesis import embedded_corpus
from helpers.notebook import check_parameters, output_folder

USER = 65534
# Where python itself lies in a home folder of root's, the other user may search it, and write nothing still.
SEARCH = ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]
AS_USER = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", *SEARCH]
PRINT = "import os, sys, helpers; print(eval(sys.argv[1]))"


def environment(**changes):
    """The environment without what pytest and `helpers` have set in it; None removes a variable."""
    settled = ("KERAS", "JUPYTER", "NUMBA", "MPL", "IPYTHON", "SIAMESE", "PYTHONPATH", "TF_", "XDG", "COV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(settled)}
    return {name: value for name, value in (kept | changes).items() if value is not None}


def run(*command, cwd=PROJECT, **changes):
    return subprocess.run(command, cwd=cwd, env=environment(**changes), capture_output=True, text=True)


def told(expression, cwd=PROJECT, **changes):
    """What an expression is in a new process, after `import helpers`."""
    result = run(sys.executable, "-c", PRINT, expression, cwd=cwd, **changes)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def one_line(result, status=2):
    assert result.returncode == status, result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr.strip()


# ---- 16: another user, who can write neither the project nor the home folder -------------------------------


@pytest.fixture
def temporary():
    """A folder for temporary files that everybody can write, as /tmp is.

    Not below `tmp_path`, which another run of pytest may close to other users at any time.
    """
    if not shutil.which("setpriv") or os.getuid() or run(*AS_USER, sys.executable, "-c", "").returncode:
        pytest.skip("only root can run python as another user")
    if run(*AS_USER, sys.executable, "-c", "import os; os.remove('Makefile')").returncode == 0:
        pytest.fail("the other user can write the project")
    with tempfile.TemporaryDirectory() as parent:
        Path(parent).chmod(0o755)
        folder = Path(parent, "temporary")
        folder.mkdir()
        folder.chmod(0o1777)
        yield folder


def as_user(temporary, *arguments, **changes):
    changes = {"HOME": "/", "TMPDIR": str(temporary), "PYTHONDONTWRITEBYTECODE": "1"} | changes
    return run(*AS_USER, sys.executable, *arguments, **changes)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "{temporary}/siamese-voices-65534"),
        ({"HOME": None}, "{temporary}/siamese-voices-65534"),
        ({"HOME": "/no/such"}, "{temporary}/siamese-voices-65534"),
        ({"XDG_CACHE_HOME": "{temporary}/c"}, "{temporary}/c/siamese-voices"),
        ({"HOME": "{temporary}"}, "{temporary}/.cache/siamese-voices"),
    ],
    ids=["16-home-is-root", "16-no-home", "16-home-is-missing", "16-cache-can-be-written", "16-home-can"],
)
def test_a_user_has_a_folder(temporary, changes, expected):
    changes = {name: value and value.format(temporary=temporary) for name, value in changes.items()}
    result = as_user(temporary, "-c", PRINT, "helpers.user_folder()", **changes)
    assert result.stdout.strip() == expected.format(temporary=temporary), result.stderr
    assert result.stderr == ""


@pytest.mark.parametrize("trap", ["folder", "link", "open"])
def test_16_a_folder_of_somebody_else_is_not_trusted(temporary, trap):
    place = temporary / f"siamese-voices-{USER}"
    (temporary / "theirs").mkdir(mode=0o777)
    if trap == "link":
        place.symlink_to(temporary / "theirs")
    else:
        place.mkdir()
    if trap == "open":
        place.chmod(0o777)
        os.chown(place, USER, USER)
    found = Path(as_user(temporary, "-c", PRINT, "helpers.user_folder()").stdout.strip())
    assert found != place
    assert found.parent == temporary
    assert found.stat().st_uid == USER


def test_16_libraries_keep_their_files_where_they_can_be_written(temporary):
    names = ["NUMBA_CACHE_DIR", "MPLCONFIGDIR", "IPYTHONDIR", "JUPYTER_DATA_DIR", "KERAS_HOME"]
    expression = f"[os.environ.get(name) for name in {names}]"
    places = eval(as_user(temporary, "-c", PRINT, expression).stdout)
    assert all(place.startswith(str(temporary)) for place in places)
    mine = as_user(temporary, "-c", PRINT, expression, NUMBA_CACHE_DIR="/mine")
    assert eval(mine.stdout)[0] == "/mine"
    with_home = eval(as_user(temporary, "-c", PRINT, expression, HOME=str(temporary)).stdout)
    assert with_home[:4] == [None] * 4


MADE = """
import sys
from pathlib import Path
from helpers.data import phrases, synthesis
synthesis.PROJECT = phrases.PROJECT = Path(sys.argv[1])
synthesis.make_corpus = lambda folder: print(folder)
phrases.make_phrases = lambda folder, *texts, more: print(folder)
synthesis.embedded_corpus()
phrases.embedded_phrases("words")
phrases.embedded_phrases("phrase", 3)
"""


@pytest.mark.slow
def test_16_what_is_made_goes_to_the_user_and_one_line_says_so(temporary):
    project = temporary.parent
    result = as_user(temporary, "-c", MADE, project)
    place = temporary / f"siamese-voices-{USER}"
    assert result.stdout.split() == [str(place / name) for name in ("synthesised", "words", "phrase_3_more")]
    assert result.stderr == f"{PROJECT} cannot be written: what is made here goes to {place}\n"
    own = project / "data"
    own.mkdir()
    own.chmod(0o777)
    result = as_user(temporary, "-c", MADE, project)
    assert result.stdout.split() == [str(own / name) for name in ("synthesised", "words", "phrase_3_more")]
    assert result.stderr == ""


@pytest.mark.slow
def test_16_another_user_verifies_converts_and_runs_a_notebook(temporary):
    rows = pickle.loads((embedded_corpus() / "tes.pkl").read_bytes())[:50]
    for number, row in enumerate(rows):
        folder = temporary / "corpus" / f"speaker{number // 10}"
        folder.mkdir(exist_ok=True, parents=True)
        wavfile.write(folder / f"{number}.wav", SAMPLE_RATE, row)
    paths = [temporary / "corpus" / "speaker0" / f"{number}.wav" for number in range(3)]

    result = as_user(temporary, "-m", "helpers.verify", *paths)
    assert result.returncode in (0, 1), result.stderr
    assert "Score" in result.stdout
    small = ["--train-speakers", "2", "--test-speakers", "2", "--utterances", "4", "--seconds", "1", "1"]
    result = as_user(
        temporary, "-m", "helpers.convert", temporary / "corpus", "--out", temporary / "out", *small
    )
    assert result.returncode == 0, result.stderr
    assert (temporary / "out" / "trs.pkl").exists()
    result = as_user(temporary, "-m", "helpers.batch", "--notebooks", "01")
    assert result.returncode == 0, result.stderr
    assert (temporary / f"siamese-voices-{USER}" / "results" / "01_explore.ipynb").exists()


@pytest.mark.slow
def test_16_another_user_opens_the_page(temporary):
    changes = {"HOME": "/", "TMPDIR": str(temporary), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [*AS_USER, sys.executable, "-m", "helpers.app", "--no-browser", "--port", "0"]
    settings = {"cwd": PROJECT, "env": environment(**changes), "text": True, "stderr": subprocess.STDOUT}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, **settings)
    try:
        address = re.search(r"http://\S+", process.stdout.readline())[0]
        page = urllib.request.urlopen(address, timeout=120).read().decode()
    finally:
        process.terminate()  # SIGINT is ignored by what a shell has started in its background
        process.communicate(timeout=60)
    assert "voices-page" in page
    assert "Traceback" not in page


# ---- 17: settings of Keras ---------------------------------------------------------------------------------


@pytest.fixture
def elsewhere(tmp_path):
    """A folder for the path, with another `helpers`."""
    (tmp_path / "other" / "helpers").mkdir(parents=True)
    (tmp_path / "other" / "helpers" / "__init__.py").write_text("what = 'another'\n")
    return str(tmp_path / "other")


@pytest.mark.parametrize("given", [None, "", "tensorflow", "jax", "torch"], ids=lambda given: f"17-{given}")
def test_the_backend_is_tensorflow_unless_the_variable_says_otherwise(tmp_path, given):
    for name in ("jax", "torch"):
        (tmp_path / f"{name}.py").touch()
    found = told("os.environ['KERAS_BACKEND']", PYTHONPATH=str(tmp_path), KERAS_BACKEND=given)
    assert found == (given or "tensorflow")


@pytest.mark.parametrize(
    "given",
    ["theano", "Tensorflow", "two\nlines", "jax"],
    ids=["17-theano", "17-case", "17-lines", "17-missing"],
)
@pytest.mark.parametrize("program", ["verify", "batch"])
def test_a_wrong_backend_is_one_line(given, program):
    if given == "jax" and not run(sys.executable, "-c", "import jax").returncode:
        pytest.skip("jax is installed")
    line = one_line(run(sys.executable, "-m", f"helpers.{program}", "x", KERAS_BACKEND=given))
    given = given.replace("\n", "\\n")
    assert line == f"KERAS_BACKEND is {given}; expected one of tensorflow, jax, torch that is installed"


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    ['{"backend": "theano", "image_dim_ordering": "th"}', '{"floatx": "float16", "epsilon": 1}', "{", "[]"],
    ids=["17-old-backend", "17-other-settings", "17-broken", "17-list"],
)
def test_a_keras_json_does_not_count(tmp_path, text):
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras" / "keras.json").write_text(text)
    code = "import helpers, keras; print(keras.config.backend(), keras.config.floatx())"
    result = run(sys.executable, "-c", code, HOME=str(tmp_path))
    assert result.stdout.split() == ["tensorflow", "float32"], result.stderr


# ---- 18, 19: other working directories, another `helpers` --------------------------------------------------


def test_19_children_import_the_projects_own_helpers(elsewhere, tmp_path):
    path = told("os.environ['PYTHONPATH']", PYTHONPATH=elsewhere)
    assert path.split(os.pathsep) == [str(PROJECT), elsewhere]
    found = told("helpers.__file__", cwd=tmp_path, PYTHONPATH=path)
    assert Path(found) == PROJECT / "helpers" / "__init__.py"
    again = told("os.environ['PYTHONPATH']", cwd=tmp_path, PYTHONPATH=path)
    assert again == path


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["notebooks", "elsewhere"], ids=["18-notebooks", "18-elsewhere"])
def test_nbval_runs_from_any_folder_beside_another_helpers(elsewhere, tmp_path, folder):
    cwd, name = (PROJECT / "notebooks", "") if folder == "notebooks" else (tmp_path, f"{PROJECT}/notebooks/")
    cells = [f"{name}03_pairs.ipynb::Cell {number}" for number in (0, 1)]
    command = [sys.executable, "-m", "pytest", "--nbval", "-q", "-p", "no:cacheprovider", *cells]
    result = run(*command, cwd=cwd, PYTHONPATH=elsewhere)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "2 passed" in result.stdout


# ---- 20: parameters of a wrong kind or range ---------------------------------------------------------------

PARAMETERS = [
    ("epochs", "ten", "epochs is 'ten'; expected a whole number, epochs >= 1"),
    ("epochs", "0", "epochs is 0; expected a whole number, epochs >= 1"),
    ("epochs", "True", "epochs is True; expected a whole number, epochs >= 1"),
    ("epochs", "None", "epochs is None; expected a whole number, epochs >= 1"),
    ("epochs", "1e3", "epochs is 1000.0; expected a whole number, epochs >= 1"),
    ("seed", "-1", r"seed is -1; expected a whole number, 0 <= seed < 2\*\*32"),
    ("seed", "1.5", r"seed is 1.5; expected a whole number, 0 <= seed < 2\*\*32"),
    ("seed", "4294967296", r"seed is 4294967296; expected a whole number, 0 <= seed < 2\*\*32"),
    ("draws", "0", "draws is 0; expected a whole number, draws >= 1"),
    ("prior", "50%", "prior is '50%'; expected a number, 0 < prior < 1"),
    ("prior", "1", "prior is 1; expected a number, 0 < prior < 1"),
    ("prior", "nan", "prior is nan; expected a number, 0 < prior < 1"),
    ("cost_miss", "1e999", "cost_miss is inf; expected a number, cost_miss > 0"),
    ("window", "0", "window is 0; expected a number, window >= 0.5"),
    ("margin", "2.1", "margin is 2.1; expected a number, 0 < margin <= 2"),
    ("unseen", "1", "unseen is 1; expected a whole number, unseen == 0 or unseen >= 2"),
    ("batch_speakers", "1", "batch_speakers is 1; expected a whole number, batch_speakers >= 2"),
]
IDS = [f"20-{name}-{text}" for name, text, _ in PARAMETERS]


@pytest.fixture(scope="module")
def chapters():
    return select("")


@pytest.mark.parametrize(("name", "text", "message"), PARAMETERS, ids=IDS)
def test_the_batch_refuses_a_parameter_before_it_runs(chapters, name, text, message):
    with pytest.raises(InputError, match=f"^{message}$"):
        given_parameters(chapters, "", "out", [(name, text)])


@pytest.mark.parametrize(("name", "text", "message"), PARAMETERS, ids=IDS)
def test_the_notebook_refuses_a_parameter(chapters, monkeypatch, name, text, message):
    """papermill's cell as papermill writes it, and the cells that the kernel keeps."""
    from papermill.cli import _resolve_type
    from papermill.translators import PythonTranslator

    chapter = next(each for each in chapters if name in each.parameters)
    written = PythonTranslator.codify({name: _resolve_type(text)})
    (first, *_) = [cell.source for cell in nbformat.read(chapter.path, 4).cells if cell.cell_type == "code"]

    class Shell:
        class history_manager:
            input_hist_parsed = ("", first, written)

    Shell.user_ns = {}
    exec(first + "\n" + written, Shell.user_ns)
    monkeypatch.setattr(notebook, "get_ipython", lambda: Shell)
    with pytest.raises(InputError, match=f"^{message}$"):
        check_parameters(*chapter.conditions)


@pytest.mark.parametrize("value", ["ten", 0, None], ids=lambda value: f"20-{value}")
def test_a_parameter_that_a_person_edits_is_checked_too(monkeypatch, value):
    class Shell:
        class history_manager:
            input_hist_parsed = ("", f"epochs = {value!r}")

    Shell.user_ns = {"epochs": value}
    monkeypatch.setattr(notebook, "get_ipython", lambda: Shell)
    with pytest.raises(InputError, match=f"^epochs is {value!r}; expected epochs >= 1$"):
        check_parameters("epochs >= 1")


def test_20_text_stays_text(chapters):
    found = given_parameters(chapters, "7", "8", [("model", "2024"), ("speeds", "1.1"), ("window", "5")])
    assert found["05"] == {"data": "7", "out": "8", "model": "2024"}
    assert found["09"] == {"data": "7", "out": "8", "speeds": "1.1", "window": 5}
    with pytest.raises(InputError, match=r"^model is 2024; expected text$"):
        check_values({"model": 2024}, {"model": ""}, [])


def test_20_what_is_allowed_stays_allowed(chapters):
    allowed = "cost_miss=2 prior=0.25 margin=2 wanted=0.3 phrase_more=150 window=1 enrolled=3 seed=0"
    for each in allowed.split():
        given = [(chapter, [tuple(each.split("="))]) for chapter in chapters]
        name = each.split("=")[0]
        for chapter, pairs in given:
            kinds = {type(value) for key, value in chapter.parameters.items() if key == name}
            if kinds and str not in kinds:
                assert name in given_parameters([chapter], "", "", pairs)[chapter.number]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1.5}, r"seed is 1.5; expected a whole number, 0 <= seed < 2\*\*32"),
        ({"seed": -1}, r"seed is -1; expected a whole number, 0 <= seed < 2\*\*32"),
        ({"epochs": "ten"}, "epochs is 'ten'; expected a whole number, epochs >= 1"),
        (
            {"held_out_folds": True},
            "held_out_folds is True; expected a whole number, 1 <= held_out_folds <= folds",
        ),
        ({"batch_speakers": 1}, "batch_speakers is 1; expected a whole number, batch_speakers >= 2"),
        ({"learning_rate": -1}, "learning_rate is -1; expected a number, learning_rate >= 0"),
        ({"learning_rate": float("inf")}, "learning_rate is inf; expected a number, learning_rate >= 0"),
        ({"crop": 1.5}, "crop is 1.5; expected a number, 0 < crop <= 1"),
        ({"widest_mask": None}, "widest_mask is None; expected a number, 0 <= widest_mask <= 1"),
        ({"speeds": (0.9, "fast")}, r"speeds is \(0.9, 'fast'\); expected all\(0.5 <= speed <= 2 .*"),
        ({"speeds": 0.9}, r"speeds is 0.9; expected all\(0.5 <= speed <= 2 .*"),
    ],
    ids=lambda value: "20-" + "-".join(value) if isinstance(value, dict) else "",
)
def test_a_setting_of_a_training_is_checked(change, message):
    with pytest.raises(InputError, match=f"^{message}$"):
        replace(TrainingConfig(), **change)


# ---- 22: a notebook that is none ---------------------------------------------------------------------------

BROKEN = {
    "22-text": b"not a notebook",
    "22-empty": b"",
    "22-list": b"[]",
    "22-object": b"{}",
    "22-utf-16": json.dumps({"cells": []}).encode("utf-16"),
    "22-gzip": gzip.compress(b"{}"),
    "22-folder": None,
    "22-missing": None,
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_notebook_that_is_none_is_one_line(tmp_path, capsys, kind):
    path = tmp_path / "01_none.ipynb"
    if kind == "22-folder":
        path.mkdir()
    elif kind != "22-missing":
        path.write_bytes(BROKEN[kind])
    assert execute.main([str(notebooks()[0]), str(path)]) == 1
    line = capsys.readouterr().err
    assert re.fullmatch(r"01_none\.ipynb: not a valid notebook \(.+\)\n", line)
    with pytest.raises(InputError, match="not a valid notebook"):
        Chapter(path)


# ---- 26: the home folder -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_26_the_home_folder_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert output_folder("~/out") == tmp_path / "out"
    assert is_writable("~/new/folder")
    found = run(sys.executable, "-m", "helpers.batch", "--data", "~/none", HOME=str(tmp_path))
    assert "--data ~/none does not exist" in one_line(found)


@pytest.mark.slow
def test_26_the_batch_expands_what_it_is_given_and_19_its_kernels_import_our_helpers(elsewhere, tmp_path):
    (tmp_path / "voices").symlink_to(embedded_corpus())
    command = [sys.executable, "-m", "helpers.batch", "--notebooks", "02", "--data", "~/voices"]
    result = run(*command, "--out", "~/out", HOME=str(tmp_path), PYTHONPATH=elsewhere)
    assert (result.returncode, without_zeromq(result.stderr)) == (0, "")
    assert (tmp_path / "out" / "02_stft.ipynb").exists()
