"""What tests and nbval kernels find: the embedded corpus, an output folder a notebook, finished trainings."""

import contextlib
import os
import tempfile
import time
from pathlib import Path

import pytest

from helpers.batch.execute import use_embedded_corpus

SANITISE = Path(__file__).parent / "tests" / "nbval.cfg"
DAYS = 14  # that a finished training is kept
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
    "12_",
    "05_",
    "test_verify.py",
    "test_models",
    "test_experiments",
    "test_training.py",
)


@pytest.hookimpl(tryfirst=True)  # once, before workers of pytest-xdist begin
def pytest_sessionstart(session):
    session.outputs = tempfile.TemporaryDirectory()
    use_embedded_corpus(session.outputs.name)


def pytest_configure(config):
    # Not among addopts, whose paths are relative to where pytest is called.
    config.option.nbval_sanitize_with = config.option.nbval_sanitize_with or str(SANITISE)
    # A training with equal data, settings, code and libraries as one that has finished is not run again.
    cache = getattr(config, "cache", None)  # none with -p no:cacheprovider
    config.trainings = None
    with contextlib.suppress(OSError):  # in a project that cannot be written
        config.trainings = cache and cache.mkdir("trainings")
    for path in config.trainings.glob("*.npz*") if config.trainings else ():
        if time.time() - path.stat().st_mtime > DAYS * 86_400:
            path.unlink(missing_ok=True)


def pytest_collection_modifyitems(config, items):
    def place(item):
        name = item.path.relative_to(config.rootpath).as_posix()
        return next((number for number, part in enumerate(FIRST) if part in name), len(FIRST))

    items.sort(key=place)  # stable


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    # Before nbval starts the notebook's kernel, which inherits it: no notebook finds what another has made.
    if item.path.suffix == ".ipynb":
        os.environ["SIAMESE_VOICES_OUT"] = str(Path(item.session.outputs.name) / item.path.stem)
        os.environ["SIAMESE_VOICES_CHECKPOINTS"] = str(item.config.trainings or "")
    else:
        os.environ.pop("SIAMESE_VOICES_CHECKPOINTS", None)


def pytest_sessionfinish(session):
    session.outputs.cleanup()
