"""Every view of the chat page in Firefox under axe. Run by `test_story.py` in its own process.

python tests/browser/views_firefox_story.py FOLDER [SCREENSHOTS]
"""

import signal
import sys
from pathlib import Path

from look import PHONE, WIDE, Look, Mode
from served import firefox, watched
from views_story import chat_views, serve


def main(folder: Path, shots: Path | None) -> None:
    """Look at every view, wide and on a phone: Firefox has no other modes, see `served.firefox`."""
    server = serve(folder)
    try:
        with firefox({"ui.prefersReducedMotion": 1}) as browser:
            # Its notes of the policy are not looked at: axe itself adds a style there, which the policy refuses.
            page = watched(browser.new_page(viewport=WIDE), [])
            look = Look(page, shots, (Mode("light", WIDE, {}), Mode("phone", PHONE, {})), "firefox-")
            chat_views(page, server, look)
            look.end([])
    finally:
        server.stop(signal.SIGTERM)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
