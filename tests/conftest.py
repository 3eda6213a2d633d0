"""Fixtures that several test files use."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_speech():
    """Folder with `course-format`, real speech as trs.pkl and tes.pkl; REAL_SPEECH names it."""
    folder = os.environ.get("REAL_SPEECH")
    if not folder:
        pytest.skip("REAL_SPEECH names no folder of real speech")
    assert (Path(folder) / "course-format" / "trs.pkl").exists(), f"REAL_SPEECH={folder} has no course-format"
    return Path(folder)
