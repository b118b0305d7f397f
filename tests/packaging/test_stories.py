"""Stories against the installed wheels: one of each kind of server, and a checkout on the path that is noticed."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.packaging import stories
from tests.packaging.wheels import ROOT, build_wheels

pytestmark = pytest.mark.proof("packaging")

STOP = "tests/extensions/operations/test_stops.py::test_a_stop_needs_a_known_kind_a_reason_and_a_run_that_is_there"
DRAIN = "tests/end_to_end/test_process.py::test_sigterm_tells_clients_first_and_ends_the_server"


@pytest.fixture(scope="module")
def wheels(filled_once: Callable[[Callable[[Path], None]], Path]) -> Path:
    return filled_once(build_wheels)


def test_stories_are_played_with_what_the_wheels_install(wheels: Path, tmp_path: Path) -> None:
    """A server in the process of the test, one that is forked, and one that is started."""
    assert stories.play(tmp_path, wheels, (STOP, DRAIN)) == 0
    for name in ("servers", "runner"):
        loaded = (tmp_path / name / stories.LOADED).read_text().splitlines()
        site = next((tmp_path / name).glob("lib/python3*/site-packages"))
        paths = {Path(line.partition(" ")[2]) for line in loaded}
        assert paths == {site / package / "__init__.py" for package in stories.SOURCES}


def test_a_package_that_is_not_of_the_wheels_is_refused(wheels: Path, tmp_path: Path) -> None:
    """A folder on the path before the installed packages, as a checkout is for a process that is started in it."""
    environment = stories.make(tmp_path, "servers", wheels, ())
    shutil.copytree(ROOT / "actors", tmp_path / "checkout" / "actors")
    program = f"import sys; sys.path.insert(0, {str(tmp_path / 'checkout')!r}); import actors"
    done = environment.run("-c", program)
    assert done.returncode == 1
    assert f"actors is not that of the wheel, but {tmp_path / 'checkout'}{os.sep}" in done.stderr
    assert environment.run("-c", "import understudy").returncode == 0


def test_every_story_is_there() -> None:
    assert [story for story in stories.STORIES if not (ROOT / story.partition("::")[0]).exists()] == []
