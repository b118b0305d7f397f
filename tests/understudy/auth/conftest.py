"""A fixture for tests with a database."""

import shutil
from pathlib import Path

import pytest

from tests.clock import Clock


@pytest.fixture
def migrated_before(migrated: Path, tmp_path: Path) -> None:
    """The database is there before the loop runs: to migrate one holds the loop for longer than tests may."""
    shutil.copytree(migrated, tmp_path, dirs_exist_ok=True)


@pytest.fixture
def clock() -> Clock:
    return Clock()
