"""Snapshots of the live tree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from attrs import field, frozen

from .lifecycle import State

if TYPE_CHECKING:
    from .cell import Cell


@frozen
class TreeNode:
    """One actor and the actors below it, at the moment of the snapshot.

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
    children: tuple[TreeNode, ...] = field(factory=tuple, repr=lambda children: f"<{len(children)} children>")

    def walk(self) -> Iterator[TreeNode]:
        """Iterate over this node and all below, parents first, in start order."""
        rest = [self]
        while rest:
            node = rest.pop()
            yield node
            rest.extend(reversed(node.children))

    def text(self) -> str:
        """Return the tree as text, one line for each actor."""
        lines = []
        rest = [(self, "", "")]
        while rest:
            node, head, indent = rest.pop()
            lines.append(f"{head}{node._line()}")
            branches = [(child, f"{indent}├── ", f"{indent}│   ") for child in node.children[:-1]]
            branches += [(child, f"{indent}└── ", f"{indent}    ") for child in node.children[-1:]]
            rest.extend(reversed(branches))
        return "\n".join(lines)

    def _line(self) -> str:
        waiting = sum(self.depth.values())
        notes = [self.state.value, f"{self.age_s:.0f} s"]
        notes += [f"{waiting} queued"] if waiting else []
        notes += [f"{self.restarts} restarts"] if self.restarts else []
        notes += [self.last_error.splitlines()[0]] if self.last_error else []
        return f"{self.path.rsplit('/', 1)[-1]} ({self.type}) {', '.join(notes)}"


def snapshot(cell: Cell, now: float) -> TreeNode:
    """Return a snapshot of the cell and all below. No recursion: a tree may be deeper than Python's stack."""
    nodes: dict[Cell, TreeNode] = {}
    for each in reversed(list(cell.walk())):
        family = each.children
        nodes[each] = TreeNode(
            path=each.path,
            type=each.kind.__name__,
            state=each.state,
            depth=each.mailbox.depths(),
            restarts=each.restarts,
            age_s=max(0.0, now - each.since),
            last_error=each.last_error,
            children=() if family is None else tuple([nodes.pop(child) for child in family.by_id.values()]),
        )
    return nodes[cell]
