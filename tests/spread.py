"""How the tests are spread over the processes of `--numprocesses`: by whole files, those that take longest first.

A file stays in one process, so that its module's fixtures are made once. The files of `SPREAD` hold long tests which
share little: each of their tests goes to the next free process.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Protocol, TypeVar

from xdist.scheduler import LoadFileScheduling

from tests.durations import KEPT, UNKNOWN_S

SPREAD = (
    "tests/browser/test_story.py",
    "tests/cluster/test_chaos.py",
    "tests/network/test_soak.py",
    "tests/packaging/test_stories.py",
)
"""Modules whose tests are given to processes one by one."""


def processes(cores: int) -> int:
    """Return how many processes run the tests: half of their time is waiting for servers, browsers and backoffs."""
    return (cores * 3 + 1) // 2


def unit(nodeid: str) -> str:
    """Return what is given to a process as a whole: the test's file, or the test itself if its file is in `SPREAD`."""
    file = nodeid.partition("::")[0]
    return nodeid if file in SPREAD else file


class Named(Protocol):
    """A test, known by its id."""

    @property
    def nodeid(self) -> str: ...


T = TypeVar("T", bound=Named)


def recorded() -> dict[str, float]:
    """Return the seconds of each file in `tests/durations.json`."""
    seconds: dict[str, float] = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
    return seconds


def longest_first(items: Iterable[T], seconds: Mapping[str, float]) -> list[T]:
    """Return the items by the seconds of their files, most first: a run ends with short ones, which no process waits
    for. Those of one file, and of files that take the same time, stay in order.
    """
    return sorted(items, key=lambda item: -seconds.get(item.nodeid.partition("::")[0], UNKNOWN_S))


class Spread(LoadFileScheduling):
    """The scheduler of `--dist=loadfile`, which gives a process one `unit` after the other."""

    def _split_scope(self, nodeid: str) -> str:
        return unit(nodeid)
