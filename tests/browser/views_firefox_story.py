"""Every view of the chat page in Firefox under axe: in light, in the dark on a phone, and in forced colours. Run by
`test_story.py` in its own process.

python tests/browser/views_firefox_story.py FOLDER [SCREENSHOTS]
"""

import signal
import sys
from pathlib import Path
from typing import Final

from look import PHONE, WIDE, Look, Mode
from served import Server, firefox, watched
from views_story import chat_views, serve

LIGHT: Final = {"layout.css.prefers-color-scheme.content-override": 1}
DARK: Final = {"layout.css.prefers-color-scheme.content-override": 0}
FORCED: Final = {"browser.display.document_color_use": 2}
MODES: Final = (
    (Mode("light", WIDE, {}), LIGHT, "(prefers-color-scheme: light)"),
    (Mode("phone-dark", PHONE, {}), DARK, "(prefers-color-scheme: dark)"),
    (Mode("forced", WIDE, {}), DARK | FORCED, "(forced-colors: active)"),
)
"""The ways to look at each view, each with the preferences that bring it about, and what the page then knows of it."""


def look_at_all(mode: Mode, preferences: dict[str, int], known: str, server: Server, shots: Path | None) -> None:
    """Look at every view in a Firefox of its own: its preferences stand before it starts, see `served.firefox`."""
    with firefox({"ui.prefersReducedMotion": 1, **preferences}) as browser:
        # Its notes of the policy are not looked at: axe itself adds a style there, which the policy refuses.
        page = watched(browser.new_page(viewport=WIDE), [])
        look = Look(page, shots, (mode,), "firefox-")
        look.user = f"firefox-{mode.name}"
        chat_views(page, server, look)
        assert page.evaluate("query => matchMedia(query).matches", known), f"the page does not know of {known}"
        look.end([])


def main(folder: Path, shots: Path | None) -> None:
    """Look at every view in every mode."""
    server = serve(folder)
    try:
        for mode, preferences, known in MODES:
            look_at_all(mode, preferences, known, server, shots)
    finally:
        server.stop(signal.SIGTERM)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
