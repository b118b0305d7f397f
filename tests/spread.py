"""How the tests are spread over the processes of `--numprocesses`: by whole files, except those of `SPREAD`.

A file stays in one process, so that its module's fixtures are made once. The files of `SPREAD` hold long tests which
share little: each of their tests goes to the next free process. They are started before all others, as the end of a run
waits for the long test that was started last.
"""

from collections.abc import Iterable
from typing import Protocol, TypeVar

from xdist.scheduler import LoadFileScheduling

SPREAD = ("tests/cluster/test_chaos.py", "tests/network/test_soak.py", "tests/browser/test_story.py")
"""Modules whose tests are started first and one by one, in this order."""


def unit(nodeid: str) -> str:
    """Return what is given to a process as a whole: the test's file, or the test itself if its file is in `SPREAD`."""
    file = nodeid.partition("::")[0]
    return nodeid if file in SPREAD else file


class Named(Protocol):
    """A test, known by its id."""

    @property
    def nodeid(self) -> str: ...


T = TypeVar("T", bound=Named)


def longest_first(items: Iterable[T]) -> list[T]:
    """Return the items with those of `SPREAD` first. The others stay in order."""
    places = {file: place for place, file in enumerate(SPREAD)}
    return sorted(items, key=lambda item: places.get(item.nodeid.partition("::")[0], len(places)))


class Spread(LoadFileScheduling):
    """The scheduler of `--dist=loadfile`, which gives a process one `unit` after the other."""

    def _split_scope(self, nodeid: str) -> str:
        return unit(nodeid)
