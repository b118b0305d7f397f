"""One scripted person: a schedule of messages, a socket for each tab, and what they do besides typing."""

import enum
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final

import trio
from attrs import define, field, frozen

from tests.load.promises import Arc, Cursor
from tests.load.tally import LoadTally
from tests.load.websocket import LoadEvent, LoadSocket, SocketEnded, open_socket
from transport.client.dial import SocketUrl

TYPING_S: Final = 2.0
"""Seconds before a message is due at which its person begins to type, at most half the wait between two messages."""
RETRY_S: Final = 0.5
"""Seconds between attempts to connect again."""
THREADS: Final = 3
"""Threads between which a switcher changes."""
RELOAD_S: Final = (0.1, 0.5)
"""Seconds, least and most, for which a reloader has no socket."""
OUTAGE_S: Final = (1.0, 4.0)
"""Seconds, least and most, for which a bad network carries nothing, before the connection is given up."""
OUTAGES: Final = 1 / 3
"""Share of the messages on a bad network in whose answers it fails."""


IDLE: Final = frozenset({"agent_progress", "typing"})
"""Events that come also while no answer moves on."""


class Behaviour(enum.Enum):
    """What a person does besides typing and waiting."""

    TYPIST = "typist"
    STOPPER = "stopper"
    RELOADER = "reloader"
    SWITCHER = "switcher"
    TWO_TABS = "two-tabs"
    BAD_NETWORK = "bad-network"


TABS: Final = {Behaviour.TWO_TABS: 2}
"""Sockets of a person, where it is not one."""


@frozen
class Script:
    """What all persons of a run share."""

    url: SocketUrl
    every_s: float
    texts: Sequence[str]
    agent: str | None
    tally: LoadTally
    at_once: bool = False


@define(eq=False)
class Tab:
    """One socket of a person at a time, and what it has shown of each thread."""

    socket: LoadSocket | None = None
    opened_at: float = 0.0
    """Unix seconds: earlier events that arrive are replayed, which says nothing about delivery."""
    away_s: float | None = None
    """Seconds for which the person leaves now; None: they stay."""
    cursors: dict[str, Cursor] = field(factory=dict)


@define(eq=False)
class Person:
    """A user of the server. `connect` first, then `run` until it is cancelled, then `finish`."""

    number: int
    name: str
    """Begins the ids of threads and messages; no two runs of a load against one server may share it."""
    behaviour: Behaviour
    token: str
    script: Script
    chance: random.Random
    tabs: list[Tab] = field(init=False)
    _arcs: dict[str, Arc] = field(factory=dict, init=False)
    _unsettled: dict[str, Arc] = field(factory=dict, init=False)
    _heads: dict[str, int] = field(factory=dict, init=False)
    """The last number of each thread that any tab has shown."""

    def __attrs_post_init__(self) -> None:
        self.tabs = [Tab() for _ in range(TABS.get(self.behaviour, 1))]

    async def connect(self) -> None:
        """Open the socket of each tab. Raises SocketEnded."""
        for tab in self.tabs:
            tab.socket = await open_socket(self.script.url, self.token)
            tab.opened_at = time.time()

    async def run(self, started_at: float, ends_at: float) -> None:
        """Send messages from `started_at` to `ends_at`, and receive events until this is cancelled."""
        async with trio.open_nursery() as nursery:
            for tab in self.tabs:
                nursery.start_soon(self._follow, tab, nursery)
            nursery.start_soon(self._type, started_at, ends_at)

    @property
    def connected(self) -> bool:
        """Whether every tab has a socket."""
        return all(tab.socket is not None for tab in self.tabs)

    @property
    def done(self) -> bool:
        """Whether every message has its end, and every tab has shown every event."""
        return not self._unsettled and not any(self._behind())

    def finish(self) -> None:
        """Count what is still missing as broken promises."""
        tally = self.script.tally
        for arc in self._unsettled.values():
            if arc.sent:
                tally.add_violation("unanswered", f"message {arc.message_id} has no end")
            else:
                tally.errors["not sent"] += 1
        for thread_id, last, head in self._behind():
            tally.add_violation("missed", f"a socket ended at {last} of {head} in thread {thread_id}")

    async def aclose(self) -> None:
        """Close the sockets."""
        for tab in self.tabs:
            if tab.socket is not None:
                await tab.socket.aclose()

    def _behind(self) -> Iterator[tuple[str, int, int]]:
        for tab in self.tabs:
            for thread_id, seq in self._heads.items():
                cursor = tab.cursors.get(thread_id) or Cursor()
                head = max(seq, cursor.head)
                if cursor.last < head:
                    yield thread_id, cursor.last, head

    # Sending

    async def _type(self, started_at: float, ends_at: float) -> None:
        """Send each message when it is due, whatever became of those before."""
        every_s, texts = self.script.every_s, self.script.texts
        due_at = started_at + (0.0 if self.script.at_once else self.chance.uniform(0, every_s))
        count = 0
        while due_at < ends_at:
            index = count % len(self.tabs)
            part = count % THREADS if self.behaviour is Behaviour.SWITCHER else 0
            arc = Arc(f"{self.name}-{count}", f"{self.name}-t{part}", texts[count % len(texts)], due_at, index)
            tab = self.tabs[index]
            await trio.sleep_until(due_at - min(TYPING_S, every_s / 2))
            if tab.socket is not None:
                with suppress(SocketEnded):  # the reader sees it too, and connects again
                    await tab.socket.send("typing", {"thread_id": arc.thread_id})
            await trio.sleep_until(due_at)
            arc.measured = tab.away_s is None
            self._arcs[arc.message_id] = self._unsettled[arc.message_id] = arc
            self.script.tally.messages["due"] += 1
            if tab.socket is not None:
                with suppress(SocketEnded):
                    await self._say(tab.socket, arc)
            count += 1
            due_at += every_s

    async def _say(self, socket: LoadSocket, arc: Arc) -> None:
        arc.resent = arc.sent
        if not arc.sent:
            arc.sent = True
            self.script.tally.messages["sent"] += 1
        payload = {"content": arc.content, "thread_id": arc.thread_id, "message_id": arc.message_id}
        if self.script.agent is not None:
            payload["agent_type"] = self.script.agent
        await socket.send("user_message", payload)
        if arc.measured and not arc.resent:
            self.script.tally.add_latency("sent", trio.current_time() - arc.due_at)

    async def _stop(self, socket: LoadSocket, run_id: str) -> None:
        with suppress(SocketEnded):
            await socket.send("cancel", {"run_id": run_id})

    # Receiving

    async def _follow(self, tab: Tab, nursery: trio.Nursery) -> None:
        """Read a tab's events, connecting again whenever the socket has ended."""
        while True:
            try:
                while tab.socket is not None:
                    events = await tab.socket.read()
                    now, wall = trio.current_time(), time.time()
                    for event in events:
                        self._take(tab, event, now, wall, nursery)
                    if tab.away_s is not None:
                        await self._leave(tab, tab.socket, tab.away_s)
            except SocketEnded as ended:
                self.script.tally.errors[f"socket {ended}"] += 1
                if tab.socket is not None:
                    await tab.socket.aclose()
                tab.socket = None
            await self._reconnect(tab)
            tab.away_s = None

    async def _leave(self, tab: Tab, socket: LoadSocket, away_s: float) -> None:
        """Close the socket for some seconds; on a bad network, after nothing was read for as long."""
        for arc in self._unsettled.values():
            arc.measured = False
        tab.socket = None
        if self.behaviour is not Behaviour.BAD_NETWORK:
            await socket.aclose()
        try:
            await trio.sleep(away_s)
        finally:
            await socket.aclose()

    async def _reconnect(self, tab: Tab) -> None:
        """Open another socket, resume from the last numbers, and send again what was not accepted."""
        tally = self.script.tally
        while True:
            try:
                began = trio.current_time()
                socket = await open_socket(self.script.url, self.token)
                tally.add_latency("reconnect", trio.current_time() - began)
                tab.opened_at = time.time()
                places = {name: tab.cursors.setdefault(name, Cursor()).resume() for name in self._heads}
                if places:
                    await socket.send("resume", {"threads": places})
                index = self.tabs.index(tab)
                again = [arc for arc in self._unsettled.values() if arc.tab == index and not arc.accepted]
                tab.socket = socket  # from here on `_type` sends by itself
                for arc in again:
                    await self._say(socket, arc)
            except SocketEnded as ended:
                tally.errors[f"reconnect {ended}"] += 1
                tab.socket = None
                await trio.sleep(RETRY_S)
                continue
            tally.reconnects += 1
            return

    def _take(self, tab: Tab, event: LoadEvent, now: float, wall: float, nursery: trio.Nursery) -> None:
        """Check an event and measure what it ends."""
        tally = self.script.tally
        tally.events += 1
        if event.type not in IDLE:
            tally.moved_at = now
        if event.timestamp:
            at = datetime.fromisoformat(event.timestamp).timestamp()
            if at >= tab.opened_at:
                tally.add_latency("delivery", max(wall - at, 0.0))
        arc = self._arcs.get(event.message_id or "")
        if event.seq is not None and event.thread_id is not None and not self._in_order(tab, event, arc):
            return
        if arc is None:
            if event.type == "error":
                tally.errors[f"refused {event.data.code}"] += 1
            elif event.type == "resync":
                tally.add_violation("resync", f"the log of thread {event.thread_id} does not hold what was resumed")
            return
        ended, broken = arc.advance(event.type, event.run_id, event.data.code)
        if broken is not None:
            tally.add_violation(broken, f"message {arc.message_id}, event {event.seq} ({event.type})")
        if ended is not None and arc.measured:
            tally.add_latency(ended, now - arc.due_at)
        if event.type == "error":
            tally.errors[f"{'refused' if event.run_id is None else 'run'} {event.data.code}"] += 1
        if ended == "accepted":
            tally.messages["accepted"] += 1
        if arc.settled and self._unsettled.pop(arc.message_id, None) is not None:
            tally.messages["refused" if arc.refused else "answered"] += 1
        if event.type == "partial_result" and not (arc.settled or arc.interrupted):
            arc.interrupted = True
            self._interrupt(tab, arc, nursery)

    def _in_order(self, tab: Tab, event: LoadEvent, arc: Arc | None) -> bool:
        """Judge the number of an event. Return whether it is the first time that the person sees it."""
        thread_id, seq = event.thread_id or "", event.seq or 0
        cursor = tab.cursors.setdefault(thread_id, Cursor())
        last = cursor.last
        broken = cursor.judge(seq)
        # A message that was sent again may be answered with the same acceptance.
        is_repeat = broken == "repeat" and event.type == "message_accepted" and arc is not None and arc.resent
        if broken in ("gap", "repeat") and not is_repeat:
            self.script.tally.add_violation(broken, f"event {seq} ({event.type}) came after {last} in {thread_id}")
        if broken in ("early", "repeat") or seq <= self._heads.get(thread_id, 0):
            return False
        self._heads[thread_id] = seq
        return True

    def _interrupt(self, tab: Tab, arc: Arc, nursery: trio.Nursery) -> None:
        """Do what this person does in the middle of an answer."""
        match self.behaviour:
            case Behaviour.STOPPER if tab.socket is not None and arc.run_id is not None:
                nursery.start_soon(self._stop, tab.socket, arc.run_id)
            case Behaviour.RELOADER:
                tab.away_s = self.chance.uniform(*RELOAD_S)
            case Behaviour.BAD_NETWORK if self.chance.random() < OUTAGES:
                tab.away_s = self.chance.uniform(*OUTAGE_S)
