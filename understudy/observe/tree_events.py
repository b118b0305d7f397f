"""One reader's stream of changes in the tree, as server-sent events. A slow reader gets fewer events, not later ones.

Of a change only the path is kept, and the actor is read when the reader takes the event: an actor that restarted ten
times since is sent once, in its current state. If too many paths are pending, the reader is told to reload the tree.
"""

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, Final

import trio
from attrs import asdict

from transport.server.eventstream import RETRY_S, encode_block, encode_comment, encode_json
from understudy.observe.backoffs import ancestors
from understudy.observe.incidents import Incidents
from understudy.observe.tree_view import TreeView

MAX_PENDING: Final = 1000
"""Changed actors pending for a reader; beyond, it is sent `resync` and must reload the tree."""
MAX_CHANGES: Final = 50
"""Changes in one event. Reading them takes about half a millisecond."""
GATHER_S: Final = 0.25
"""Seconds between two events of changes; changes within them are sent together."""
COUNTS_S: Final = 1.0
"""Seconds between two reads of the counts."""
_SHOWN: Final = ("path", "type", "state", "incarnation", "restarts", "child_count")


class TreeEventStream:
    """An iterator over the bytes of the stream; `aclose` ends it. `ended()` returns the reason to end it, or None.

    The events are `hello`, `changes`, `resync`, `incident`, `counts` and finally `end`. A comment is sent after
    `beat_s` seconds without an event.
    """

    def __init__(
        self,
        tree: TreeView,
        incidents: Incidents,
        numbers: Callable[[], Mapping[str, int]],
        may_kill: bool,
        ended: Callable[[], str | None],
        join: Callable[["TreeEventStream"], bool],
        leave: Callable[["TreeEventStream"], object],
        beat_s: float,
    ) -> None:
        self._tree = tree
        self._incidents = incidents
        self._numbers = numbers
        self._may_kill = may_kill
        self._ended = ended
        self._join = join
        self._leave = leave
        self._beat_s = beat_s
        self._changed_paths: dict[str, None] = {}
        self._news = trio.Event()
        self._behind = self._begun = self._over = False
        self._last_incident = 0  # the number of the last incident that was told
        self._counts: Mapping[str, int] = {}
        self._counted_at = 0.0

    def mark_changed(self, path: str) -> None:
        """Record that the actor at this path changed. Costs little, and a bounded amount of memory."""
        if self._behind or path in self._changed_paths:
            return
        if len(self._changed_paths) >= MAX_PENDING:
            self._changed_paths.clear()
            self._behind = True
        else:
            self._changed_paths[path] = None
        self._news.set()

    def __aiter__(self) -> "TreeEventStream":
        return self

    async def __anext__(self) -> bytes:
        await trio.lowlevel.checkpoint()
        if self._over:
            raise StopAsyncIteration
        if not self._begun:
            self._begun = True
            return self._hello() if self._join(self) else self._end("busy")
        beat_at = trio.current_time() + self._beat_s
        while True:
            with trio.move_on_after(COUNTS_S):
                await self._news.wait()
            await trio.sleep(GATHER_S)
            if (reason := self._ended()) is not None:
                return self._end(reason)
            if piece := self._pending_blocks():
                return piece
            if trio.current_time() >= beat_at:
                return encode_comment("ping")

    async def aclose(self) -> None:
        """End the stream without waiting."""
        self._over = True
        self._leave(self)

    def _end(self, reason: str) -> bytes:
        self._over = True
        return encode_block(encode_json({"reason": reason}), event="end")

    def _hello(self) -> bytes:
        self._counts, self._counted_at = self._numbers(), trio.current_time()
        incidents = self._incidents.after()
        self._last_incident = self._incidents.count
        shown = {
            "may_kill": self._may_kill,
            "counts": self._counts,
            "incidents": [asdict(incident) for incident in incidents],
        }
        return encode_block(encode_json(shown), event="hello", retry_s=RETRY_S)

    def _pending_blocks(self) -> bytes:
        """Return all events due now, empty if none. Changes beyond MAX_CHANGES stay for the next call."""
        found: list[bytes] = []
        if self._behind:
            self._behind = False
            found.append(encode_block(b"{}", event="resync"))
        elif self._changed_paths:
            found.append(encode_block(encode_json(self._changes()), event="changes"))
        if not self._changed_paths:
            self._news = trio.Event()
        for incident in self._incidents.after(self._last_incident):
            self._last_incident = incident.number
            found.append(encode_block(encode_json(asdict(incident)), event="incident"))
        if trio.current_time() >= self._counted_at + COUNTS_S:
            self._counted_at = trio.current_time()
            counts = self._numbers()
            if counts != self._counts:
                self._counts = counts
                found.append(encode_block(encode_json(counts), event="counts"))
        return b"".join(found)

    def _changes(self) -> dict[str, Any]:
        shown = []
        parents: dict[str, int] = {}
        rests: dict[str, int] = {}
        for path in list(islice(self._changed_paths, MAX_CHANGES)):
            del self._changed_paths[path]
            node = self._tree.node(path)
            shown.append({"path": path, "gone": True} if node is None else {name: node[name] for name in _SHOWN})
            parent = path.rpartition("/")[0]
            if parent not in parents and (ref := self._tree.system.find(parent)) is not None:
                parents[parent] = len(ref.children())
            rests |= {above: self._tree.backoffs.count_below(above) for above in ancestors(path) if above not in rests}
        return {"changes": shown, "child_counts": parents, "resting_below": rests}
