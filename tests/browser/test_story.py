"""Run the stories in Debian's Chromium and, where browsers differ, in its Firefox."""

import json
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.servers.needed import INSTALLED, program
from tests.servers.page import bundle_page, page_modules

STORIES = Path(__file__).with_name("stories.py")
OF_EXTENSIONS = {path.stem: path for path in sorted((STORIES.parents[1] / "extensions").glob("*/*_story.py"))}
"""Stories that stand with the other tests of an extension: they are played in both browsers."""
LIMIT_S = 500
"""Seconds for one story: less than the `faulthandler_timeout` of pytest, which ends the whole run."""


BOTH = frozenset(
    {
        "accounts_story",
        "artefacts_story",
        "cross_origin_story",
        "embedded_story",
        "field_story",
        "forms_story",
        "found_story",
        "furniture_story",
        "inbox_story",
        "long_runs_story",
        "observer_story",
        "offline_story",
        "past_story",
        "session_story",
        "shell_story",
        "sign_in_story",
        "story",
        "stream_story",
        "tls_story",
        "turns_story",
        "update_story",
        "visit_story",
        "widgets_story",
    }
)
"""Stories that are played in both browsers."""
CHROMIUM_ALONE = {
    "left_out_story": "it tests what the page asks the server for, and offers",
    "admin_story": "it tests what the server does and says; `accounts_story` opens the same pages in Firefox",
    "passkeys_story": "it adds virtual authenticators by CDP, which Firefox does not have",
    "react_story": "its pages are React's; `cross_origin_story` tests the origins and a streamed answer in Firefox",
    "sleep_story": "it tests what the page asks the server for; `past_story` tests in Firefox that nothing read moves",
    "views_furniture_story": "it emulates media, which Playwright cannot in Firefox",
    "views_story": "it emulates media, which Playwright cannot in Firefox; see `views_firefox_story`",
}
"""Stories that are played in Chromium alone, and why."""
FIREFOX_ALONE = frozenset({"views_firefox_story"})
MODULES = frozenset({"story", "widgets_story"})
"""Stories that load the modules, as who changes the page. The others load the bundle, which takes a third of the
processor time."""
WAY = ("offline_story", "past_story", "session_story", "story", "turns_story")
"""Stories of `make test`, played in Chromium: a user's way from the first message on. The proof plays all others."""
PLAYED = [
    *(
        pytest.param("chromium", name, marks=pytest.mark.proof("chromium"))
        for name in sorted((BOTH | CHROMIUM_ALONE.keys()) - set(WAY))
    ),
    *(pytest.param("firefox", name, marks=pytest.mark.proof("firefox")) for name in sorted(BOTH | FIREFOX_ALONE)),
    *(
        pytest.param(browser, name, marks=pytest.mark.proof(browser))
        for browser in ("chromium", "firefox")
        for name in OF_EXTENSIONS
    ),
    *(("chromium", name) for name in WAY),
]


class Player:
    """A process that plays stories in one browser; another one after a story that failed, and for another browser."""

    process: "subprocess.Popen[str] | None" = None
    browser = ""

    def play(self, browser: str, name: str, folder: Path, page: Path | None) -> str:
        """Play a story with this page, None for that of the installed product. Return its error, empty without one."""
        if browser != self.browser:
            self.stop()
        if self.process is None or self.process.poll() is not None:
            self.browser = browser
            self.process = subprocess.Popen(
                [sys.executable, STORIES, browser], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        path = OF_EXTENSIONS.get(name, STORIES.with_name(f"{name}.py"))
        arguments = [str(path), str(folder), None if page is None else str(page)]
        print(json.dumps(arguments), file=self.process.stdin, flush=True)
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
    player = Player()
    yield player
    player.stop()


@pytest.mark.promise("wire.endpoint-page")
@pytest.mark.parametrize(("browser", "name"), PLAYED)
def test_a_story_in_a_real_browser(
    player: Player, browser: str, name: str, tmp_path: Path, filled_once: Callable[[Callable[[Path], None]], Path]
) -> None:
    """The story ends without an error; each story's module describes its steps."""
    program(browser)
    if name in ("openid_story", "react_story"):
        program("npm")
    if name == "field_story":
        program("nginx")
    page = None if INSTALLED else filled_once(page_modules if name in MODULES else bundle_page)
    error = player.play(browser, name, tmp_path, page)
    assert not error, error


def test_every_story_is_played_and_says_where() -> None:
    stories = {path.stem for path in STORIES.parent.glob("*story.py")} - {Path(__file__).stem}
    assert BOTH | CHROMIUM_ALONE.keys() | FIREFOX_ALONE == stories
    assert MODULES <= BOTH
    assert BOTH | CHROMIUM_ALONE.keys() >= set(WAY)
    assert not BOTH & (CHROMIUM_ALONE.keys() | FIREFOX_ALONE)


def test_a_story_that_hangs_does_not_end_the_run(request: pytest.FixtureRequest) -> None:
    assert float(request.config.getini("faulthandler_timeout")) > LIMIT_S
