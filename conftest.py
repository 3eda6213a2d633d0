"""What tests and nbval kernels find: the embedded corpus, an output folder a notebook, finished trainings."""

import hashlib
import json
import os
import tempfile
from pathlib import Path

import pytest

from helpers.batch.execute import use_embedded_corpus

# The longest first, so that no worker of pytest-xdist has long work left when the other has none.
FIRST = (
    "small_corpus",
    "06_",
    "04_",
    "07_",
    "08_",
    "batch/test_run",
    "10_",
    "test_browser",
    "09_",
    "11_",
    "05_",
)


@pytest.hookimpl(tryfirst=True)  # once, before workers of pytest-xdist begin
def pytest_sessionstart(session):
    session.outputs = tempfile.TemporaryDirectory()
    use_embedded_corpus(session.outputs.name)


def pytest_collection_modifyitems(items):
    def place(item):
        name = item.path.as_posix()
        return next((number for number, part in enumerate(FIRST) if part in name), len(FIRST))

    items.sort(key=place)  # stable


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    # Before nbval starts the notebook's kernel, which inherits it: no notebook finds what another has made.
    if item.path.suffix == ".ipynb":
        os.environ["SIAMESE_VOICES_OUT"] = str(Path(item.session.outputs.name) / item.path.stem)
        # A training that has been run with these very cells, this code and this corpus is not run again.
        cells = [cell["source"] for cell in json.loads(item.path.read_text(encoding="utf-8"))["cells"]]
        key = hashlib.sha256(json.dumps(cells).encode()).hexdigest()[:16]
        kept = item.config.cache.mkdir("trainings") / f"{item.path.stem}-{key}"
        os.environ["SIAMESE_VOICES_CHECKPOINTS"] = str(kept)
    else:
        os.environ.pop("SIAMESE_VOICES_CHECKPOINTS", None)


def pytest_sessionfinish(session):
    session.outputs.cleanup()
