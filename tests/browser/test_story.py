"""Run the stories in Debian's Chromium."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.needed import program

HERE = Path(__file__).parent


@pytest.mark.promise("wire.endpoint-page")
@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "story",
        "turns_story",
        "stream_story",
        "found_story",
        "observer_story",
        "cross_origin_story",
        "session_story",
        "forms_story",
        "long_runs_story",
    ],
)
def test_a_story_in_a_real_browser(name: str, tmp_path: Path) -> None:
    """The story exits with success; each story's module describes its steps."""
    program("chromium", "chromium")
    story = HERE / f"{name}.py"
    ended = subprocess.run([sys.executable, story, tmp_path], capture_output=True, text=True, timeout=150, check=False)
    assert ended.returncode == 0, ended.stderr
