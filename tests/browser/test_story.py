"""The story of the README in Debian's Chromium."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHROMIUM = Path("/usr/bin/chromium")


@pytest.mark.slow
def test_the_story_of_the_readme_in_a_real_browser(tmp_path: Path) -> None:
    """Attach, ask, watch, kill the server, start it again: the conversation is there, nothing twice, nothing runs."""
    if not CHROMIUM.exists() and not os.environ.get("CI"):
        pytest.skip("needs Debian's chromium: apt-get install chromium")
    story = Path(__file__).with_name("story.py")
    ended = subprocess.run([sys.executable, story, tmp_path], capture_output=True, text=True, timeout=150, check=False)
    assert ended.returncode == 0, ended.stderr
