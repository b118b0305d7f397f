"""What is alive right now, as data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from attrs import field, frozen

from .lifecycle import State

if TYPE_CHECKING:
    from .cell import Cell


@frozen
class TreeNode:
    """One actor and what is below it, at the moment of the snapshot.

    `type` names its class, `depth` counts the messages in each lane in use, `age_s` the seconds since its incarnation
    started (or, if it does not run, since it last did), `last_error` is type and text of its last crash.
    """

    path: str
    type: str
    state: State
    depth: dict[str, int]
    restarts: int
    age_s: float
    last_error: str | None
    children: tuple[TreeNode, ...] = field(factory=tuple)

    def walk(self) -> Iterator[TreeNode]:
        """This node and all below, parents first, in start order."""
        yield self
        for child in self.children:
            yield from child.walk()

    def text(self) -> str:
        """The tree as lines to read, one for each actor."""
        return "\n".join(self._lines("", ""))

    def _lines(self, head: str, rest: str) -> Iterator[str]:
        waiting = sum(self.depth.values())
        notes = [self.state.value, f"{self.age_s:.0f} s"]
        notes += [f"{waiting} queued"] if waiting else []
        notes += [f"{self.restarts} restarts"] if self.restarts else []
        notes += [self.last_error.splitlines()[0]] if self.last_error else []
        yield f"{head}{self.path.rsplit('/', 1)[-1]} ({self.type}) {', '.join(notes)}"
        for child in self.children:
            last = child is self.children[-1]
            yield from child._lines(f"{rest}{'└── ' if last else '├── '}", f"{rest}{'    ' if last else '│   '}")


def snapshot(cell: Cell, now: float) -> TreeNode:
    """Read the cell and all below."""
    family = cell.family
    return TreeNode(
        path=cell.path,
        type=cell.kind.__name__,
        state=cell.state,
        depth=cell.mailbox.depths(),
        restarts=cell.restarts,
        age_s=max(0.0, now - cell.since),
        last_error=cell.last_error,
        children=() if family is None else tuple(snapshot(child, now) for child in family.children.values()),
    )
