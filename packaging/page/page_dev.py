"""Serves the chat page as its modules, and starts the server anew when one of its files has changed: `make page-dev`.

The page itself stays open: it is connected again, and says that it has a newer version.
"""

import os
import runpy
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "understudy" / "page"
PACKAGING = Path(__file__).parent
MADE = {PAGE / "bundle", PAGE / "lib"}
LOOK_S = 0.5
END_S = 10


def main() -> None:
    """Serve until the user ends it."""
    seen = _times()
    while True:
        shutil.rmtree(PAGE / "bundle", ignore_errors=True)
        server = subprocess.Popen([str(Path(sys.executable).with_name("understudy")), "serve", *sys.argv[1:]])  # noqa: S603
        try:
            while _times() == seen and server.poll() is None:
                time.sleep(LOOK_S)
        finally:
            server.terminate()
            server.wait(END_S)
        if (now := _times()) == seen:
            sys.exit(server.returncode)  # it has ended by itself
        if _libraries(now) != _libraries(seen):
            runpy.run_path(str(PACKAGING / "bundle_page.py"), run_name="__main__")
        seen = now


def _times() -> dict[str, int]:
    """Return when each source of the page was changed."""
    found = {}
    for folder in (PAGE, PACKAGING):
        for here, folders, names in os.walk(folder):
            folders[:] = [name for name in folders if name != "node_modules" and Path(here, name) not in MADE]
            found |= {str(Path(here, name)): Path(here, name).stat().st_mtime_ns for name in names}
    return found


def _libraries(times: dict[str, int]) -> dict[str, int]:
    return {name: at for name, at in times.items() if name.startswith(str(PACKAGING))}


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
