"""`python -m tests.docs.walked`: prints what one plain message passes, as JSON, for tests of the architecture page.

`order` are our functions by their first call, as `FILE NAME`, without those that only some of the messages pass: a
server does its housekeeping beside them. `calls` are pairs of one and what it called or awaited.
"""

import json
from pathlib import Path
from types import CodeType

from benchmarks import path
from benchmarks.path_kinds import PLAIN


def main() -> None:
    """Send the messages of the benchmark, and print what each of them passed, in the order of the last one."""
    ((_, recorder),) = path.record([PLAIN], traced=0)
    passed = [calls for calls, *_ in recorder.counted]
    order = [code for code in passed[-1] if path.is_ours(code) and all(code in calls for calls in passed)]
    pairs = {(named(a), named(b)) for a, b in recorder.edges if path.is_ours(a) and path.is_ours(b)}
    print(json.dumps({"order": [named(code) for code in order], "calls": sorted(pairs)}))


def named(code: CodeType) -> str:
    """Return a function's file in the repository, and its qualified name."""
    return f"{Path(code.co_filename).relative_to(path.ROOT)} {code.co_qualname}"


if __name__ == "__main__":
    main()
