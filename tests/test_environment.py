"""The lock, pyproject.toml, environment.yml and the Makefile agree."""

import ast
import re
import subprocess
import sys
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from helpers import PROJECT

LOCK = (PROJECT / "requirements.txt").read_text()
ENTRIES = re.findall(r"^([a-z].*?)((?: \\\n    --hash=sha256:[0-9a-f]{64})*)$", LOCK, flags=re.MULTILINE)
LOCKED = {Requirement(entry).name: Requirement(entry) for entry, _ in ENTRIES}
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text())
EXTRAS = PYPROJECT["project"]["optional-dependencies"]
PLAIN = PYPROJECT["project"]["dependencies"]
ALL = [*PLAIN, *(each for extra in EXTRAS.values() for each in extra)]
DIRECT = {r.name: r for r in map(Requirement, ALL)}
PYTHONS = {
    minor for minor in range(9, 20) if f"3.{minor}.5" in SpecifierSet(PYPROJECT["project"]["requires-python"])
}
# Modules whose package has another name.
PACKAGE = {
    "sklearn": "scikit-learn",
    "IPython": "ipython",
    "yaml": "pyyaml",
    "PIL": "pillow",
    "tensorflow": "tensorflow",
}


def test_every_entry_of_the_lock_is_pinned_once_with_hashes():
    assert len(ENTRIES) > 100
    assert len(LOCKED) == len(ENTRIES)
    for entry, hashes in ENTRIES:
        assert re.fullmatch(r"==[\w.+]+", str(Requirement(entry).specifier)), entry
        assert hashes, f"{entry} has no hash"
    lines = [line for line in LOCK.splitlines() if not line.startswith(("    --hash=", "    #"))]
    assert len(lines) == len(ENTRIES)


def test_no_file_names_a_package_index():
    for name in ("requirements.txt", "pyproject.toml", "environment.yml", "Makefile", "postBuild", ".ci/run"):
        text = (PROJECT / name).read_text()
        assert not re.search(r"https?://|index-url|find-links|--index|\[\[tool\.uv\.index", text), name


@pytest.mark.parametrize("requirement", DIRECT.values(), ids=str)
def test_every_direct_dependency_is_locked(requirement):
    locked = LOCKED[canonicalize_name(requirement.name)]
    assert next(iter(locked.specifier)).version in requirement.specifier
    assert locked.marker is None


PRETRAINED = ["torch", "speakerlab", "kaldi-native-fbank"]  # outside the lock; `research.pretrained` alone
SOURCES = {  # and what they may import beside the dependencies of a plain install
    "pretrained": ([PROJECT / "helpers" / "research" / "pretrained.py"], PRETRAINED),
    "helpers": (
        [
            path
            for path in PROJECT.glob("helpers/**/*.py")
            if path.parent.name not in EXTRAS and path.name != "pretrained.py"
        ],
        [],
    ),
    "app": (PROJECT.glob("helpers/app/*.py"), EXTRAS["app"]),
    "export": (PROJECT.glob("helpers/export/*.py"), EXTRAS["export"]),
    "tests": ([PROJECT / "conftest.py", *PROJECT.glob("tests/**/*.py")], ALL),
}


@pytest.mark.parametrize("part", SOURCES)
def test_every_import_is_a_direct_dependency(part):
    paths, extra = SOURCES[part]
    imported = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add(node.module)
    imported = {name.partition(".")[0] for name in imported} - sys.stdlib_module_names
    imported -= {"helpers", *(path.stem for path in PROJECT.glob("tests/*.py"))}
    known = {Requirement(each).name for each in [*PLAIN, *extra]}
    assert {canonicalize_name(PACKAGE.get(name, name)) for name in imported} <= known


def test_what_is_installed_is_what_is_locked():
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "list", "--format=freeze"], capture_output=True, text=True, check=True
    ).stdout
    installed = {}
    for line in listed.split():
        name, _, version = line.partition("==")
        installed[canonicalize_name(name)] = version
    for name, requirement in LOCKED.items():
        if requirement.marker is None or requirement.marker.evaluate():
            assert installed.get(name) in requirement.specifier, name


def test_environment_lists_python_pip_and_the_lock():
    environment = yaml.safe_load((PROJECT / "environment.yml").read_text())
    assert environment["name"] == PYPROJECT["project"]["name"]
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    python, pip, packages = environment["dependencies"]
    assert (pip, packages) == ("pip", {"pip": ["-r requirements.txt"]})
    name, _, bounds = python.partition(" ")
    assert name == "python"
    assert SpecifierSet(bounds) == SpecifierSet(PYPROJECT["project"]["requires-python"])


def test_the_install_command_and_the_gpu_line():
    environment = (PROJECT / "environment.yml").read_text()
    install = "pip install --quiet --no-deps --no-build-isolation -e ."
    assert install in (PROJECT / "postBuild").read_text()
    assert install in (PROJECT / "Makefile").read_text()
    assert install.replace(" --quiet", "") in environment
    (gpu,) = re.findall(r'pip install "tensorflow\[and-cuda\]==(.*?)"', environment)
    assert gpu in LOCKED["tensorflow"].specifier


def test_the_makefile_takes_the_pythons_that_pyproject_takes():
    makefile = (PROJECT / "Makefile").read_text()
    low, high = map(
        int, re.search(r"\(3, (\d+)\) <= sys.version_info\[:2\] <= \(3, (\d+)\)", makefile).groups()
    )
    assert set(range(low, high + 1)) == PYTHONS
    names = re.search(r"\$\(or \$\(PYTHON\),(.*?)\)", makefile)[1].split()
    assert set(names) == {"python3", *(f"python3.{minor}" for minor in PYTHONS)}


def test_scripts_can_be_executed():
    for name in ("postBuild", ".ci/run"):
        assert (PROJECT / name).stat().st_mode & 0o111
        subprocess.run(["bash", "-n", PROJECT / name], check=True)
