"""Snapshots of the live tree, and the tree as a stream: a snapshot, then each change.

A reader that falls behind by more than the stream's capacity gets a new snapshot instead of the changes it missed, so
memory is bounded and the reader is correct again afterwards.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

import trio
from attrs import field, frozen

from .lifecycle import State


@frozen
class TreeNode:
    """One actor and the actors below it, at the moment of the snapshot.

    `type` names its class, `depth` counts the messages in each lane in use, `age_s` the seconds since its incarnation
    started (or, if it does not run, since it last did), `last_error` is type and text of its last crash. `state` is
    `STOPPED` for a dead child of a supervisor's own spec.
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
        pending = [self]
        while pending:
            node = pending.pop()
            yield node
            pending.extend(reversed(node.children))

    def text(self) -> str:
        """Return the tree as text, one line for each actor."""
        lines = []
        pending = [(self, "", "")]
        while pending:
            node, head, indent = pending.pop()
            lines.append(f"{head}{node._line()}")
            branches = [(child, f"{indent}├── ", f"{indent}│   ") for child in node.children[:-1]]
            branches += [(child, f"{indent}└── ", f"{indent}    ") for child in node.children[-1:]]
            pending.extend(reversed(branches))
        return "\n".join(lines)

    def _line(self) -> str:
        waiting = sum(self.depth.values())
        notes = [self.state.value, f"{self.age_s:.0f} s"]
        notes += [f"{waiting} queued"] if waiting else []
        notes += [f"{self.restarts} restarts"] if self.restarts else []
        notes += [self.last_error.splitlines()[0]] if self.last_error else []
        return f"{self.path.rsplit('/', 1)[-1]} ({self.type}) {', '.join(notes)}"


@frozen
class TreeChange:
    """An actor changed its state at `at_s` on trio's clock. `gone`: it ended for good, and its path is free."""

    path: str
    type: str
    state: State
    incarnation: int
    at_s: float
    gone: bool = False


class TreeStream:
    """An async iterator: first a `TreeNode`, the whole tree; then each `TreeChange` after that.

    If more than `capacity` changes wait, they are dropped and another `TreeNode` comes instead. Only one task may read
    at a time; a second one gets `trio.BusyResourceError`. Ends when its block or its system does.
    """

    def __init__(self, snapshot: Callable[[], TreeNode], capacity: int) -> None:
        self._snapshot = snapshot
        self._capacity = capacity
        self._waiting: deque[TreeChange] = deque()
        self._needs_snapshot = True
        self._closed = False
        self._reader: trio.lowlevel.Task | None = None
        self._reading = False
        self.missed: int = 0
        """Number of changes that were dropped in favour of a snapshot."""

    def __aiter__(self) -> TreeStream:
        return self

    async def __anext__(self) -> TreeNode | TreeChange:
        if self._reading:
            raise trio.BusyResourceError("another task reads these changes")
        self._reading = True
        try:
            await trio.lowlevel.checkpoint()
            while not (self._needs_snapshot or self._waiting or self._closed):
                self._reader = trio.lowlevel.current_task()
                await trio.lowlevel.wait_task_rescheduled(self._unpark)
        finally:
            self._reading = False
        if self._needs_snapshot:
            self._needs_snapshot = False
            return self._snapshot()
        if self._waiting:
            return self._waiting.popleft()
        raise StopAsyncIteration

    def add(self, change: TreeChange) -> None:
        """Queue a change for the reader."""
        if self._needs_snapshot:
            return
        if len(self._waiting) >= self._capacity:
            self.missed += len(self._waiting) + 1
            self._waiting.clear()
            self._needs_snapshot = True
        else:
            self._waiting.append(change)
        self._wake()

    def close(self) -> None:
        """End the stream after the waiting changes."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None:
            task, self._reader = self._reader, None
            trio.lowlevel.reschedule(task)

    def _unpark(self, _: object) -> trio.lowlevel.Abort:
        self._reader = None
        return trio.lowlevel.Abort.SUCCEEDED
