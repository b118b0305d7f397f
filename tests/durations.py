"""Record how long each test and fixture took, tell what the time went into, and start long files first.

    pytest --durations-to=FILE       writes a JSON object a line: tests, and fixtures that were set up
    python -m tests.durations FILE   prints the table of kinds, and the longest files and tests
    python -m tests.durations FILE --keep   also keeps the seconds of each file in `tests/durations.json`
    python -m tests.durations FILE --asked  prints the files whose tests asked for programs of the machine

Several processes write to one file: each line is one write that appends.
"""

import argparse
import json
import resource
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.proof import part_of
from tests.servers.needed import ASKED

KEPT: Final = Path(__file__).with_suffix(".json")
"""Seconds of each test file in the last run that was kept. A file without an entry counts as `UNKNOWN_S`."""
UNKNOWN_S: Final = 5.0
SHORTEST_S: Final = 1.0
"""Files below this are not kept: their order makes no difference."""
SHORT_S: Final = 0.001
"""Setups of fixtures below this are not recorded."""
SERVERS: Final = frozenset(
    {"postgres", "own_postgres", "postgres_pair", "pgbouncer", "redis", "own_redis", "migrated", "template"}
)
"""Fixtures whose time is that of the start of a server or of its database."""


def _spent() -> tuple[float, float, float]:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter(), time.process_time(), children.ru_utime + children.ru_stime


class Recorder:
    """The plugin of `--durations-to`."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", buffering=1, encoding="utf-8")
        self._outcome = ""

    @contextmanager
    def _measure(self, what: dict[str, object]) -> Iterator[None]:
        begun = _spent()
        try:
            yield
        finally:
            wall_s, cpu_s, children_s = (round(now - then, 4) for now, then in zip(_spent(), begun, strict=True))
            if "test" in what or wall_s >= SHORT_S:
                spent = {"wall_s": wall_s, "cpu_s": cpu_s, "children_s": children_s}
                self._file.write(json.dumps(what | spent) + "\n")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[Any]:
        """Measure a test with all that is set up and ended for it."""
        self._outcome = "passed"
        what: dict[str, object] = {"test": item.nodeid, "proof": part_of(item)}
        what["hypothesis"] = hasattr(getattr(item, "obj", None), "hypothesis")
        with self._measure(what):
            done = yield
            what["outcome"] = self._outcome
        return done

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the worst outcome of a test's phases."""
        if report.failed or (report.skipped and self._outcome == "passed"):
            self._outcome = report.outcome

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Iterator[Any]:
        """Measure the setup of a fixture; it includes those that it asks for."""
        with self._measure({"fixture": fixturedef.argname, "scope": fixturedef.scope, "by": request.node.nodeid}):
            return (yield)

    def pytest_unconfigure(self) -> None:
        """Write which programs the tests of each file asked for, and close the file."""
        for program, file in sorted(ASKED):
            self._file.write(json.dumps({"program": program, "file": file}) + "\n")
        self._file.close()


def kind(test: Mapping[str, Any]) -> str:
    """Return what a test waits for when it does not use its own processor: by its folder, as no call tells."""
    path: str = test["test"]
    if "browser" in path:
        return "browser"
    return "programs and servers in other processes" if test["children_s"] > test["cpu_s"] else "waiting by the clock"


def by_kind(lines: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """Return the seconds of wall time by kind. Fixtures that start servers are taken out of the tests that ask."""
    spent: Counter[str] = Counter()
    for line in lines:
        if "fixture" in line:
            if line["fixture"] in SERVERS:
                spent["start of databases (fixtures)"] += line["wall_s"]
                spent["waiting by the clock"] -= line["wall_s"]
        elif line.get("hypothesis"):
            spent["hypothesis"] += line["wall_s"]
        elif "test" in line:
            busy_s = min(line["cpu_s"], line["wall_s"])
            spent["processor time of the test's process"] += busy_s
            spent[kind(line)] += line["wall_s"] - busy_s
    return spent


def by_file(lines: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Return the seconds of each test file."""
    spent: defaultdict[str, float] = defaultdict(float)
    for line in lines:
        if "test" in line:
            spent[line["test"].partition("::")[0]] += line["wall_s"]
    return dict(spent)


def main() -> None:
    """Print where the time of a run went."""
    parser = argparse.ArgumentParser(prog="python -m tests.durations", description=main.__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--keep", action="store_true", help=f"keep the seconds of each file in {KEPT.name}")
    parser.add_argument("--top", type=int, default=40)
    parser.add_argument("--asked", action="store_true", help="print the files that asked for programs, and no table")
    args = parser.parse_args()
    lines = [json.loads(line) for line in args.file.read_text().splitlines()]
    if args.asked:
        print(*sorted({line["file"] for line in lines if "program" in line and line["file"]}), sep="\n")
        return
    tests = [line for line in lines if "test" in line]
    total = sum(line["wall_s"] for line in tests)
    print(f"{len(tests)} tests, {total:.0f} s in all processes")
    for name, seconds in by_kind(lines).most_common():
        print(f"{seconds:8.0f} s  {seconds / total:4.0%}  {name}")
    files = by_file(lines)
    for title, spent in ("files", files), ("tests", {line["test"]: line["wall_s"] for line in tests}):
        print(f"\nlongest {title}")
        for name, seconds in Counter(spent).most_common(args.top):
            print(f"{seconds:8.1f} s  {name}")
    if args.keep:
        kept = {name: round(seconds) for name, seconds in sorted(files.items()) if seconds >= SHORTEST_S}
        KEPT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
