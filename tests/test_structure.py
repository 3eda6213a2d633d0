"""The structure of `helpers`: its size, floors, programs, and the systems that it runs on."""

import ast
import importlib
import re
import shutil
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter

import grimp
import pytest

from helpers import PROJECT
from helpers.__main__ import programs

HELPERS = PROJECT / "helpers"
FILES = {path: path.read_text(encoding="utf-8") for path in sorted(HELPERS.rglob("*.py"))}
POSIX = {"fcntl", "resource", "pwd", "grp", "termios"}


def python(*arguments, cwd=PROJECT):
    return subprocess.run([sys.executable, *arguments], cwd=cwd, capture_output=True, text=True)


# ---- size --------------------------------------------------------------------------------------------------


def test_at_most_twenty_files_are_flat():
    flat = [path.name for path in FILES if path.parent == HELPERS and path.name != "__init__.py"]
    assert len(flat) <= 20, flat


def test_no_file_is_long():
    lines = {path.relative_to(HELPERS).as_posix(): text.count("\n") for path, text in FILES.items()}
    assert {name: count for name, count in lines.items() if count >= 350} == {}
    assert {name: count for name, count in lines.items() if "/" not in name and count >= 300} == {}
    assert sum(lines.values()) < 14_000


# ---- floors ------------------------------------------------------------------------------------------------


def lint_imports(folder):
    """The contracts of pyproject.toml, checked on the package in a folder."""
    return python(
        "-c", "import importlinter.cli as cli; cli.lint_imports_command()", "--no-cache", cwd=folder
    )


def test_the_contracts_are_kept():
    result = lint_imports(PROJECT)
    assert result.returncode == 0, result.stdout
    assert "Contracts: 2 kept, 0 broken." in result.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "line", "contract"),
    [
        ("metrics.py", "from helpers import training", "A file imports from the floors below"),
        ("search/voice_index.py", "from helpers.evaluation import results", "A file imports from the floors"),
        ("batch/report.py", "from helpers.batch import chapters", "No circle"),
    ],
    ids=["a floor above", "a sibling", "a circle within a room"],
)
def test_a_contract_that_is_broken_fails(tmp_path, name, line, contract):
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    shutil.copytree(HELPERS, tmp_path / "helpers", ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "helpers" / name).open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    result = lint_imports(tmp_path)
    assert result.returncode == 1
    assert re.search(rf"^{contract}.* BROKEN$", result.stdout, re.MULTILINE), result.stdout


@pytest.fixture(scope="module")
def imports():
    """Each module of `helpers` with those that it imports, `helpers` itself, the ground, left out."""
    graph = grimp.build_graph("helpers", cache_dir=None)
    found = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules - {"helpers"}}
    return {name: modules - {"helpers"} for name, modules in found.items()}


def test_no_module_imports_itself_through_others(imports):
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_there_are_six_floors_at_most(imports):
    """A room counts as one."""
    rooms = {}
    for name, modules in imports.items():
        room = name.split(".")[1]
        rooms.setdefault(room, set()).update({each.split(".")[1] for each in modules} - {room})
    floors = {}
    for room in TopologicalSorter(rooms).static_order():
        floors[room] = 1 + max((floors[below] for below in rooms[room]), default=0)
    assert len(rooms) >= 25
    assert {room: floor for room, floor in floors.items() if floor > 6} == {}


# ---- programs ----------------------------------------------------------------------------------------------


def modules_with_a_main():
    names = [
        ".".join(path.relative_to(PROJECT).with_suffix("").parts)
        for path, text in FILES.items()
        if re.search(r"^if __name__ == ", text, re.MULTILINE)
    ]
    return {name.removesuffix(".__main__"): name for name in names}


def test_every_program_is_listed():
    assert set(programs()) == set(modules_with_a_main()) - {"helpers"}
    assert {"helpers.app", "helpers.batch", "helpers.convert", "helpers.verify"} <= set(programs())
    shown = python("-m", "helpers").stdout
    for name, line in programs().items():
        assert re.search(rf"^{re.escape(name)} +{re.escape(line)}$", shown, re.MULTILINE), name


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(modules_with_a_main().keys() - {"helpers"}))
def test_every_program_says_how_it_is_called(name, capsys):
    main = importlib.import_module(modules_with_a_main()[name]).main
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: python -m {name} ")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["helpers.batch", "helpers.convert", "helpers.research.bench"])
def test_a_program_of_its_own_says_how_it_is_called(name):
    result = python("-m", name, "--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(f"usage: python -m {name} ")


# ---- Windows and macOS -------------------------------------------------------------------------------------

WITHOUT_POSIX = f"""
import builtins, importlib, pkgutil
real = builtins.__import__

def guarded(name, globals=None, *more, **named):
    asking = (globals or {{}}).get("__name__") or ""
    if asking.partition(".")[0] == "helpers" and name.partition(".")[0] in {POSIX}:
        raise ImportError(f"{{asking}} imports {{name}}")
    return real(name, globals, *more, **named)

builtins.__import__ = guarded
import helpers
for module in pkgutil.walk_packages(helpers.__path__, "helpers."):
    importlib.import_module(module.name)
    print(module.name)
"""


@pytest.mark.slow
def test_every_module_is_imported_without_what_only_posix_has():
    """psutil and pexpect use those modules on Linux: only for `helpers` are they missing."""
    result = python("-c", WITHOUT_POSIX)
    assert result.returncode == 0, result.stderr
    expected = {path for path in FILES if path != HELPERS / "__init__.py"}
    assert len(result.stdout.split()) == len(expected)


def test_no_function_needs_posix():
    for path, text in FILES.items():
        found = set()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                found |= {each.name.partition(".")[0] for each in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add((node.module or "").partition(".")[0])
        assert not found & POSIX, path
        assert not re.search(r"\bos\.(O_|fork|setsid|killpg)|preexec_fn|[\"']fork[\"']", text), path
