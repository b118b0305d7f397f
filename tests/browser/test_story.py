"""Run the stories in Debian's Chromium."""

import json
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.needed import program

STORIES = Path(__file__).with_name("stories.py")
LIMIT_S = 500
"""Seconds for one story: less than the `faulthandler_timeout` of pytest, which ends the whole run."""


class Player:
    """A process that plays stories in one browser, and another one after a story that failed."""

    process: "subprocess.Popen[str] | None" = None

    def play(self, name: str, folder: Path) -> str:
        """Play a story. Return its error, empty without one."""
        if self.process is None or self.process.poll() is not None:
            self.process = subprocess.Popen(
                [sys.executable, STORIES], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps([name, str(folder)]), file=self.process.stdin, flush=True)
        error = f"it took longer than {LIMIT_S} s"
        if select.select([self.process.stdout], [], [], LIMIT_S)[0]:
            line = self.process.stdout.readline()
            error = json.loads(line) if line else "the process that plays the stories has ended"
        if error:
            self.stop()
        return error

    def stop(self) -> None:
        """End the process and its browser."""
        if self.process is not None:
            try:
                self.process.communicate(timeout=10)  # it ends with its input
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.communicate()
            self.process = None


@pytest.fixture(scope="module")
def player() -> Iterator[Player]:
    """Yield the player of all stories of the module."""
    program("chromium", "chromium")
    player = Player()
    yield player
    player.stop()


@pytest.mark.promise("wire.endpoint-page")
@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "story",
        "turns_story",
        "stream_story",
        "found_story",
        "furniture_story",
        "visit_story",
        "observer_story",
        "cross_origin_story",
        "http2_story",
        "session_story",
        "past_story",
        "sleep_story",
        "forms_story",
        "artefacts_story",
        "widgets_story",
        "sign_in_story",
        "inbox_story",
        "long_runs_story",
        "react_story",
        "firefox_story",
        "shell_story",
        "views_story",
        "views_furniture_story",
        "views_firefox_story",
        "offline_story",
        "update_story",
    ],
)
def test_a_story_in_a_real_browser(player: Player, name: str, tmp_path: Path) -> None:
    """The story ends without an error; each story's module describes its steps."""
    if name == "react_story":
        program("npm", "npm")
    if name in ("firefox_story", "shell_story", "views_firefox_story", "offline_story"):
        program("firefox-esr", "firefox-esr")
    error = player.play(name, tmp_path)
    assert not error, error


def test_a_story_that_hangs_does_not_end_the_run(request: pytest.FixtureRequest) -> None:
    assert float(request.config.getini("faulthandler_timeout")) > LIMIT_S
