"""Play stories one after the other in one browser, whose start takes as long as a short story. Run by `test_story.py`.

python tests/browser/stories.py BROWSER

Each line of input is a JSON list of a story's path, its folder, and the folder from which its servers serve the pages,
null for those of the checkout; each line of output is its error, empty without one.
"""

import json
import runpy
import sys
import traceback
from contextlib import redirect_stdout
from pathlib import Path

import served


def main() -> None:
    """Play the stories that the input names, each as its own program would."""
    browser = sys.argv[1]
    with served.started(browser) as served.shared:
        if served.plays_common_parts() is not (browser == "chromium"):  # else no browser might play them, unnoticed
            raise RuntimeError(f"plays_common_parts() is wrong in {browser}")
        for line in sys.stdin:
            path, folder, page = json.loads(line)
            served.page = None if page is None else Path(page)
            sys.argv, error = [path, folder], ""
            try:
                with redirect_stdout(sys.stderr):
                    runpy.run_path(path, run_name="__main__")
            except Exception:
                error = traceback.format_exc()
            print(json.dumps(error), flush=True)


if __name__ == "__main__":
    main()
