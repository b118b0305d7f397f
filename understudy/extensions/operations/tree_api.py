"""The operators' view of the actor tree: parts of it, searches in it, a stream of its changes, and counts.

The whole tree is never read in one step, which would block the loop for a tenth of a second with ten thousand
connections. A checkpoint follows every few actors, so earlier parts of an answer may be outdated.
"""

import logging
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Annotated, Any, Final, TypeAlias, TypedDict

import trio
from attrs import asdict, define, field
from msgspec import Meta

from actors import ActorRef, ActorSystem, State
from transport.server.eventstream import RETRY_S, encode_block, encode_comment, encode_json
from transport.wire.errors import CommandRejected
from understudy.observe.actor_events import ActorEventRecorder, ancestors
from understudy.observe.paths import CONVERSATIONS, WRITER

log = logging.getLogger(__name__)

Count: TypeAlias = Annotated[int, Meta(ge=0)]


class ShownActor(TypedDict):
    """An actor with some of the actors below it; `depth` is the number of messages in its mailbox, by lane."""

    path: str
    type: str
    state: Annotated[str, Meta(extra_json_schema={"enum": [choice.value for choice in State]})]
    incarnation: Count
    restarts: Count
    age_s: float
    depth: dict[str, Count]
    child_count: Count
    resting_below: Count
    children: "list[ShownActor]"


MAX_NODES: Final = 1000
"""Limit of actors in one answer, of some 250 bytes each; deeper ones are left out."""
NODES_PER_STEP: Final = 50
"""Actors that are read between two checkpoints, in about half a millisecond."""
PATHS_PER_STEP: Final = 200
"""Actors between two checkpoints if only their paths are compared."""
SUBSYSTEM_DEPTH: Final = 2
"""Slashes in the path of a subsystem, such as /system/storage."""
MAX_STREAMS: Final = 16
"""Limit of concurrent streams of changes; more are refused. Each reads the changed actors up to four times a second."""
MAX_PENDING: Final = 1000
"""Limit of changed actors pending for a reader; beyond it the reader is sent `resync` and must reload the tree."""
MAX_CHANGES: Final = 50
"""Limit of changes in one event. Reading them takes about half a millisecond."""
GATHER_S: Final = 0.25
"""Seconds between two events of changes; changes in between are sent together."""
COUNTS_S: Final = 1.0
"""Seconds between two reads of the counts."""
_SHOWN: Final = ("path", "type", "state", "incarnation", "restarts", "child_count")


@define(eq=False)
class TreeApi:
    """Reads the tree of `system`, whose events `recorder` records. `count_server` returns further counts.

    `may_kill`: operators may kill actors, to observe recovery.
    """

    system: ActorSystem
    recorder: ActorEventRecorder
    count_server: Callable[[], Mapping[str, int]]
    may_kill: bool = False

    def node(self, path: str) -> ShownActor | None:
        """Return the actor at a path without its children, None if there is none."""
        ref, actor = self.system.find(path), self.system.explain(path)
        if ref is None or actor is None:
            return None
        return {
            "path": ref.path,
            "type": actor.type,
            "state": actor.state.value,
            "incarnation": actor.incarnation,
            "restarts": actor.restarts,
            "age_s": round(actor.for_s, 3),
            "depth": {lane.name.lower(): queue.depth for lane, queue in ref.statistics().items()},
            "child_count": len(ref.children()),
            "resting_below": self.recorder.backing_off_below(ref.path),
            "children": [],
        }

    async def page(self, path: str, levels: int, limit: int, offset: int = 0) -> ShownActor | None:
        """Return the actor at `path` with `levels` levels below it, at most `limit` children of each; None without it.

        `offset` skips children of the actor at `path`. Reads level by level, so at `MAX_NODES` the deepest are missing.
        """
        top = self.node(path)
        if top is None:
            return None
        level, room = [top], MAX_NODES - 1
        for _ in range(levels):
            following: list[ShownActor] = []
            for parent in level:
                refs = self._children(parent["path"])[offset : offset + min(limit, room)]
                offset = 0
                for number, ref in enumerate(refs):
                    if number % NODES_PER_STEP == 0:
                        await trio.lowlevel.checkpoint()
                    if (node := self.node(ref.path)) is not None:
                        parent["children"].append(node)
                room -= len(parent["children"])
                following += parent["children"]
            level = following
        return top

    async def search(
        self, path: str, text: str, state: State | None, limit: int
    ) -> tuple[ShownActor | None, int, bool]:
        """Return the subtree of `path` reduced to the actors that match, with their ancestors; their number, at most
        `limit`; and whether there are more.

        An actor matches if its path below `path` contains `text` and it is in `state`.
        """
        top, text = self.node(path), text.lower()
        if top is None:
            return None, 0, False
        shown, matched, compared = {top["path"]: top}, 0, 0
        waiting = self._children(path)[::-1]
        while waiting:
            compared += 1
            if compared % (PATHS_PER_STEP if state is None else NODES_PER_STEP) == 0:
                await trio.lowlevel.checkpoint()
            ref = waiting.pop()
            if text in ref.path[len(top["path"]) :].lower() and self._in_state(ref.path, state):
                if matched == limit:
                    return top, matched, True
                matched += self._attach(ref.path, shown)
            waiting += ref.children()[::-1]
        await trio.lowlevel.checkpoint()
        return top, matched, False

    def open_stream(self, end_reason: Callable[[], str | None], beat_s: float) -> "TreeEventStream":
        """Open a stream of changes. `end_reason()` returns the reason to end it, or None.

        Raises:
            CommandRejected: `MAX_STREAMS` are open already (`busy`).
        """
        if len(self.recorder.watchers) >= MAX_STREAMS:
            raise CommandRejected("busy", f"{MAX_STREAMS} watch already; close one of them first.", 5.0)
        return TreeEventStream(self, end_reason, beat_s)

    def counts(self) -> dict[str, int]:
        """Return the counts of `count_server` and those of the tree itself."""
        conversations = self.system.find(CONVERSATIONS)
        writer = self.system.find(WRITER)
        return {
            **self.count_server(),
            "conversations": 0 if conversations is None else len(conversations.children()),
            "writes_waiting": 0 if writer is None else sum(lane.depth for lane in writer.statistics().values()),
            "dead_letters": self.system.dead_letters.count,
            "incidents": self.recorder.incident_count,
            "watchers": len(self.recorder.watchers),
        }

    def kill(self, path: str, *, part: bool = False) -> str:
        """Kill the actor at this path with all below it. Return its path. Its supervisor decides about a restart.

        Raises as `killable`.
        """
        ref = self.killable(path, part=part)
        log.warning("observer.kill", extra={"path": ref.path})
        ref.kill()
        return ref.path

    def killable(self, path: str, *, part: bool = False) -> ActorRef:
        """Return the actor at this path, if it may be killed.

        Raises:
            CommandRejected: `forbidden` if the settings do not allow it, for the root, and for a subsystem unless
                `part` is true; `not_found` without such an actor.
        """
        if not self.may_kill:
            raise CommandRejected("forbidden", "Nobody may kill actors here: the setting observer.kill is off.")
        ref = self.system.find(path)
        if ref is None:
            raise CommandRejected("not_found", "There is no actor at that path.")
        if ref.path.count("/") < SUBSYSTEM_DEPTH:
            raise CommandRejected("forbidden", "The root cannot be killed: that would be the end of the server.")
        if ref.path.count("/") == SUBSYSTEM_DEPTH and not part:
            raise CommandRejected("forbidden", 'That is a whole part of the server; add "part": true to kill it.')
        return ref

    def _in_state(self, path: str, state: State | None) -> bool:
        if state is None:
            return True
        actor = self.system.explain(path)
        return actor is not None and actor.state is state

    def _attach(self, path: str, shown: dict[str, ShownActor]) -> bool:
        """Add an actor and its ancestors to the result. Return False if one of them no longer exists."""
        if path in shown:
            return True
        above = path.rpartition("/")[0]
        if not self._attach(above, shown) or (node := self.node(path)) is None:
            return False
        shown[path] = node
        shown[above]["children"].append(node)
        return True

    def _children(self, path: str) -> list[ActorRef]:
        ref = self.system.find(path)
        return [] if ref is None else ref.children()


@define(eq=False)
class TreeEventStream:
    """One reader's stream of changes: an iterator over the bytes of server-sent events; `aclose` ends it.

    The events are `hello`, `changes`, `resync`, `incident`, `counts` and finally `end`. A comment is sent after
    `beat_s` seconds without an event. `end_reason()` returns the reason to end the stream, or None.

    Of a change only the path is kept, and the actor is read when the reader takes the event: an actor that restarted
    ten times since is sent once, in its current state, so a slow reader gets fewer events, not later ones. If too many
    paths are pending, the reader must reload the tree.
    """

    api: TreeApi
    end_reason: Callable[[], str | None]
    beat_s: float
    _changed_paths: dict[str, None] = field(factory=dict, init=False)
    _changed: trio.Event = field(factory=trio.Event, init=False)
    _behind: bool = field(default=False, init=False)
    _started: bool = field(default=False, init=False)
    _over: bool = field(default=False, init=False)
    _last_incident: int = field(default=0, init=False)
    _counts: Mapping[str, int] = field(factory=dict, init=False)
    _counted_at: float = field(default=0.0, init=False)

    def mark_changed(self, path: str) -> None:
        """Record that the actor at this path changed. Costs little, and a bounded amount of memory."""
        if self._behind or path in self._changed_paths:
            return
        if len(self._changed_paths) >= MAX_PENDING:
            self._changed_paths.clear()
            self._behind = True
        else:
            self._changed_paths[path] = None
        self._changed.set()

    def __aiter__(self) -> "TreeEventStream":
        return self

    async def __anext__(self) -> bytes:
        await trio.lowlevel.checkpoint()
        if self._over:
            raise StopAsyncIteration
        if not self._started:
            self._started = True
            return self._start()
        beat_at = trio.current_time() + self.beat_s
        while True:
            with trio.move_on_after(COUNTS_S):
                await self._changed.wait()
            await trio.sleep(GATHER_S)
            if (reason := self.end_reason()) is not None:
                return self._end(reason)
            if piece := self._pending_blocks():
                return piece
            if trio.current_time() >= beat_at:
                return encode_comment("ping")

    async def aclose(self) -> None:
        """End the stream without waiting."""
        self._over = True
        self.api.recorder.watchers.discard(self.mark_changed)

    def _end(self, reason: str) -> bytes:
        self._over = True
        return encode_block(encode_json({"reason": reason}), event="end")

    def _start(self) -> bytes:
        """Register the stream, and return its `hello`. It is registered at the first read only, because a client that
        leaves before it would never be removed."""
        recorder = self.api.recorder
        if len(recorder.watchers) >= MAX_STREAMS:
            return self._end("busy")
        recorder.watchers.add(self.mark_changed)
        self._counts, self._counted_at = self.api.counts(), trio.current_time()
        incidents = [asdict(incident) for incident in recorder.incidents_after()]
        self._last_incident = recorder.incident_count
        shown = {"may_kill": self.api.may_kill, "counts": self._counts, "incidents": incidents}
        return encode_block(encode_json(shown), event="hello", retry_s=RETRY_S)

    def _pending_blocks(self) -> bytes:
        """Return all events due now, empty if none. Changes beyond MAX_CHANGES stay for the next call."""
        blocks: list[bytes] = []
        if self._behind:
            self._behind = False
            blocks.append(encode_block(b"{}", event="resync"))
        elif self._changed_paths:
            blocks.append(encode_block(encode_json(self._changes()), event="changes"))
        if not self._changed_paths:
            self._changed = trio.Event()
        for incident in self.api.recorder.incidents_after(self._last_incident):
            self._last_incident = incident.number
            blocks.append(encode_block(encode_json(asdict(incident)), event="incident"))
        if trio.current_time() >= self._counted_at + COUNTS_S:
            self._counted_at = trio.current_time()
            counts = self.api.counts()
            if counts != self._counts:
                self._counts = counts
                blocks.append(encode_block(encode_json(counts), event="counts"))
        return b"".join(blocks)

    def _changes(self) -> dict[str, Any]:
        shown = []
        parents: dict[str, int] = {}
        backing_off: dict[str, int] = {}
        for path in list(islice(self._changed_paths, MAX_CHANGES)):
            del self._changed_paths[path]
            node = self.api.node(path)
            shown.append({"path": path, "gone": True} if node is None else {name: node[name] for name in _SHOWN})
            parent = path.rpartition("/")[0]
            if parent not in parents and (ref := self.api.system.find(parent)) is not None:
                parents[parent] = len(ref.children())
            for above in ancestors(path):
                backing_off[above] = self.api.recorder.backing_off_below(above)
        return {"changes": shown, "child_counts": parents, "resting_below": backing_off}
