"""What the tests and nbval's kernels find: the embedded corpus, and an output folder for each notebook."""

import os
import tempfile
from pathlib import Path

import pytest

from helpers.batch.execute import use_embedded_corpus


@pytest.hookimpl(tryfirst=True)  # once, before workers of pytest-xdist begin
def pytest_sessionstart(session):
    session.outputs = tempfile.TemporaryDirectory()
    use_embedded_corpus(session.outputs.name)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    # Before nbval starts the notebook's kernel, which inherits it: no notebook finds what another has made.
    if item.path.suffix == ".ipynb":
        os.environ["SIAMESE_VOICES_OUT"] = str(Path(item.session.outputs.name) / item.path.stem)


def pytest_sessionfinish(session):
    session.outputs.cleanup()
