"""The operators' view of a running server: its tree, changes of the tree, incidents, and some counts."""

import logging
from collections.abc import Callable, Mapping
from typing import Final

from attrs import define, field

from actors import ActorSystem
from actors import Event as ActorEvent
from transport.wire.errors import CommandRejected
from understudy.observe.backoffs import Backoffs
from understudy.observe.incidents import Incidents
from understudy.observe.paths import CONVERSATIONS, WRITER
from understudy.observe.tree_events import TreeEventStream
from understudy.observe.tree_view import TreeView

log = logging.getLogger(__name__)

MAX_STREAMS: Final = 16
"""Concurrent streams of changes. Each reads the changed actors, four times a second at most."""
SUBSYSTEM_DEPTH: Final = 2
"""Slashes in the path of a subsystem, such as /system/storage."""


@define(eq=False)
class TreeApi:
    """Follows the tree of `system` for the streams of operators. `counts` returns numbers to show.

    `may_kill`: whether operators may kill actors, to observe recovery.
    """

    system: ActorSystem
    incidents: Incidents
    counts: Callable[[], Mapping[str, int]]
    may_kill: bool = False
    tree: TreeView = field(init=False)
    _backoffs: Backoffs = field(factory=Backoffs, init=False)
    _streams: set[TreeEventStream] = field(factory=set, init=False)

    def __attrs_post_init__(self) -> None:
        self.tree = TreeView(self.system, self._backoffs)
        self.system.listen(self._record_event)

    def open_stream(self, ended: Callable[[], str | None], beat_s: float) -> TreeEventStream:
        """Open a stream of changes. `ended()` returns the reason to end it, or None; `beat_s` as in `TreeEventStream`.

        Raises:
            CommandRejected: `MAX_STREAMS` are open already (`busy`).
        """
        if len(self._streams) >= MAX_STREAMS:
            raise CommandRejected("busy", f"{MAX_STREAMS} watch already; close one of them first.", 5.0)
        leave = self._streams.discard
        return TreeEventStream(self.tree, self.incidents, self.numbers, self.may_kill, ended, self._join, leave, beat_s)

    def _join(self, watch: TreeEventStream) -> bool:
        """Count a stream in when it is first read: a client that leaves before that leaves nothing behind."""
        if len(self._streams) >= MAX_STREAMS:
            return False
        self._streams.add(watch)
        return True

    def numbers(self) -> dict[str, int]:
        """Return the counts, with those of the tree itself."""
        conversations = self.system.find(CONVERSATIONS)
        writer = self.system.find(WRITER)
        return {
            **self.counts(),
            "conversations": 0 if conversations is None else len(conversations.children()),
            "writes_waiting": 0 if writer is None else sum(each.depth for each in writer.statistics().values()),
            "dead_letters": self.system.dead_letters.count,
            "incidents": self.incidents.count,
            "watchers": len(self._streams),
        }

    def kill(self, path: str, *, part: bool = False) -> str:
        """Kill the actor at this path with all below it. Return its path. Its supervisor decides about a restart.

        Raises:
            CommandRejected: `forbidden` if the settings do not allow it, for the root, and for a subsystem unless
                `part` is true; `not_found` without such an actor.
        """
        if not self.may_kill:
            raise CommandRejected("forbidden", "This server lets nobody kill actors: observer_kill is off.")
        ref = self.system.find(path)
        if ref is None:
            raise CommandRejected("not_found", "There is no actor at that path.")
        if ref.path.count("/") < SUBSYSTEM_DEPTH:
            raise CommandRejected("forbidden", "The root cannot be killed: that would be the end of the server.")
        if ref.path.count("/") == SUBSYSTEM_DEPTH and not part:
            raise CommandRejected("forbidden", 'That is a whole part of the house; add "part": true if you mean it.')
        log.warning("observer.kill", extra={"path": ref.path})
        ref.kill()
        return ref.path

    def _record_event(self, event: ActorEvent) -> None:
        self._backoffs.record(event)
        path = getattr(event, "path", None)
        if path is not None:
            for watch in self._streams:
                watch.mark_changed(path)
