"""`python -m tests.docs.walked`: prints what one plain message passes, as JSON, for tests of the architecture page.

`order` are our functions by their first call, as `FILE NAME`; `calls` are pairs of one and what it called or awaited.
"""

import json
from pathlib import Path
from types import CodeType

from benchmarks import path
from benchmarks.path_kinds import PLAIN


def main() -> None:
    """Send the messages of the benchmark, and print what the last one passed."""
    ((_, recorder),) = path.record([PLAIN])
    calls, *_ = recorder.counted[-1]
    pairs = {(named(a), named(b)) for a, b in recorder.edges if path.is_ours(a) and path.is_ours(b)}
    print(json.dumps({"order": [named(code) for code in calls if path.is_ours(code)], "calls": sorted(pairs)}))


def named(code: CodeType) -> str:
    """Return a function's file in the repository, and its qualified name."""
    return f"{Path(code.co_filename).relative_to(path.ROOT)} {code.co_qualname}"


if __name__ == "__main__":
    main()
