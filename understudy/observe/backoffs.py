"""Counts actors that back off before a restart, for each of their ancestors. Pure."""

from collections import Counter
from collections.abc import Iterator

from attrs import define, field

from actors.events import ActorRestarting, ActorStarted, ActorStopped


@define
class Backoffs:
    """Follows the events of a tree. A query costs the same for ten actors and for ten thousand."""

    _paths: set[str] = field(factory=set, init=False)
    _below: Counter[str] = field(factory=Counter, init=False)

    def record(self, event: object) -> None:
        """Apply an event of the tree."""
        match event:
            case ActorRestarting(path=path, delay_s=delay_s) if delay_s > 0:
                self._add(path)
            case ActorStarted(path=path) | ActorStopped(path=path) if path in self._paths:
                self._remove(path)

    def count_below(self, path: str) -> int:
        """Return the number of actors below this path that are backing off."""
        return self._below[path]

    def _add(self, path: str) -> None:
        if path not in self._paths:
            self._paths.add(path)
            self._below.update(ancestors(path))

    def _remove(self, path: str) -> None:
        self._paths.discard(path)
        for above in ancestors(path):
            self._below[above] -= 1
            if not self._below[above]:
                del self._below[above]


def ancestors(path: str) -> Iterator[str]:
    """Yield the paths of the parent, of its parent, and so on."""
    while path := path.rpartition("/")[0]:
        yield path
