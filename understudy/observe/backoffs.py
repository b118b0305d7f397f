"""Which actors wait for their next incarnation, counted for everybody above them. Pure."""

from collections import Counter
from collections.abc import Iterator

from attrs import define, field

from actors.events import ActorRestarting, ActorStarted, ActorStopped


@define
class Resting:
    """Follows the events of a tree; asking it costs the same for ten actors and for ten thousand."""

    _paths: set[str] = field(factory=set, init=False)
    _below: Counter[str] = field(factory=Counter, init=False)

    def record(self, event: object) -> None:
        """Something happened in the tree."""
        match event:
            case ActorRestarting(path=path, delay_s=delay_s) if delay_s > 0:
                self._put(path)
            case ActorStarted(path=path) | ActorStopped(path=path) if path in self._paths:
                self._take(path)

    def below(self, path: str) -> int:
        """How many rest below the actor at this path."""
        return self._below[path]

    def _put(self, path: str) -> None:
        if path not in self._paths:
            self._paths.add(path)
            self._below.update(above_of(path))

    def _take(self, path: str) -> None:
        self._paths.discard(path)
        for above in above_of(path):
            self._below[above] -= 1
            if not self._below[above]:
                del self._below[above]


def above_of(path: str) -> Iterator[str]:
    """The paths of its parent, of that one's parent, and so on."""
    while path := path.rpartition("/")[0]:
        yield path
