"""`serve --workers N`: one parent process, and N workers that share its port, its database and its limits.

1. The parent serves no client. It starts the workers with its own command, restarts those that die, and carries what
   they send each other if there is no Redis (`understudy.cluster.local_hub`).
2. Each worker is a node like any other: a thread has one conversation among all of them, and the runs of one that dies
   go on in another (`docs/explanation/nodes.md`).
3. Each worker listens on the port by itself (SO_REUSEPORT), once it is ready; the kernel spreads connections over them.
   The parent holds the port without listening.
4. The first worker opens the data first: it migrates the database and makes what a data folder lacks. The others load
   their modules meanwhile, and wait for the parent's first frame.
5. A worker that dies is restarted after a delay that grows; if that happens too often, all stop, and the parent fails.
6. No worker outlives its parent: the end of the pair of sockets between them stops it, in order.
"""

import contextlib
import logging
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final

import trio
from attrs import define, field

from actors import Backoff
from understudy import __version__
from understudy.app.listening import places_of
from understudy.app.serve import WORKER_VARIABLE, return_memory
from understudy.app.service_manager import READY, STOPPING, notify
from understudy.app.settings import Settings
from understudy.cluster.broker import BLOCK_S, TokensTaken
from understudy.cluster.local_frames import (
    AskWorker,
    Call,
    FrameStream,
    FromWorker,
    Held,
    HeldElsewhere,
    Listen,
    Published,
    Ready,
    Reply,
    WorkerReport,
    WorkerState,
    WorkerStates,
    WorkerWelcome,
)
from understudy.cluster.local_hub import LocalHub, NoInbox
from understudy.cluster.local_link import GATHER_S, WorkerLink, read_welcome
from understudy.storage.data_folder import FolderLock, lock_folder
from understudy.storage.errors import AlreadyOpen

log = logging.getLogger(__name__)

READY_S: Final = 300.0
"""Longest time until a worker is ready: a migration of a large database takes minutes."""
STOP_EXTRA_S: Final = 5.0
"""Seconds beyond `grace_s` after which a worker that was told to stop is killed."""
BACKOFF: Final = Backoff(min_s=0.1, max_s=10.0)
"""Delay before a worker is restarted."""
DEATHS: Final = 5
PERIOD_S: Final = 60.0
"""A worker that dies more than DEATHS times in PERIOD_S seconds is given up, and the server with it."""
BACKLOG: Final = 65_535
"""As trio has it: the system's own limit applies."""


# A worker


def inherited_link() -> WorkerLink:
    """Return the link to the parent of this worker. Blocks for the parent's first frame.

    To be called once: the variable is removed, so that no process which a tool starts takes itself for a worker.
    """
    pair = socket.socket(fileno=int(os.environ.pop(WORKER_VARIABLE)))
    pair.set_inheritable(False)
    welcome = read_welcome(pair.recv)
    pair.setblocking(False)
    return WorkerLink(trio.SocketStream(trio.socket.from_stdlib_socket(pair)), welcome)


def open_beside(welcome: WorkerWelcome) -> list[trio.SocketListener]:
    """Listen on the addresses of the parent, beside the other workers. Raises OSError."""
    listeners = []
    for family, address in welcome.addresses:
        bound = _bind(socket.AddressFamily(family), tuple(address))
        bound.listen(BACKLOG)
        listeners.append(trio.SocketListener(trio.socket.from_stdlib_socket(bound)))
    return listeners


def _bind(family: socket.AddressFamily, address: Any, *, share: bool = True) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if share:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(address)
        bound.setblocking(False)
    except BaseException:
        bound.close()
        raise
    return bound


# The parent


class GaveUp(Exception):
    """The workers cannot be kept alive; the text says why."""


def run_parent(settings: Settings) -> int:
    """Keep `settings.workers` workers until SIGTERM or SIGINT; SIGHUP replaces them one by one. Return the exit code.

    Prints one line with the address when all are ready. A worker is started with this process's own command.
    """
    from understudy.observe.logs import configure_logging, report_no_start

    configure_logging(settings.log_level, settings.log_format)
    os.umask(0o077)
    command = [sys.executable, *sys.orig_argv[1:]]
    try:
        with contextlib.ExitStack() as held:
            if not settings.on_postgresql:
                held.callback(_lock(settings).release)
            bound = reserve_port(settings)
            for each in bound:
                held.callback(each.close)
            parent = Parent(settings, command, bound)
            return_memory()
            trio.run(parent.run, _announce)
    except OSError as error:
        report_no_start(f"{settings.host}, port {settings.port}: {error.strerror}", settings.log_format)
        return 1
    except (AlreadyOpen, GaveUp) as error:
        report_no_start(error, settings.log_format)
        return 1
    return 0


def _announce(address: str) -> None:
    log.info("server.ready", extra={"address": address, "version": __version__})
    print(f"understudy is ready on {address}", flush=True)  # noqa: T201 - the line others wait for
    notify(READY)


def _lock(settings: Settings) -> FolderLock:
    """Hold the lock of the data folder for all workers. Raises AlreadyOpen, OSError."""
    settings.database_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return lock_folder(settings.database_folder)


def reserve_port(settings: Settings) -> list[socket.socket]:
    """Bind the port without listening, for workers to listen on; a port 0 becomes one that is free.

    Raises:
        OSError: The address cannot be used, or another program, such as other workers, listens there.
    """
    bound: list[socket.socket] = []
    try:
        for family, address in places_of(settings):
            port = bound[0].getsockname()[1] if bound else address[1]
            place = (address[0], port, *address[2:])
            if port:  # a bind that may share the port would succeed beside workers of another server
                _bind(family, place, share=False).close()
            bound.append(_bind(family, place))
    except BaseException:
        for each in bound:
            each.close()
        raise
    return bound


def _first_text(group: BaseExceptionGroup[GaveUp]) -> str:
    first = group.exceptions[0]
    return _first_text(first) if isinstance(first, BaseExceptionGroup) else str(first)


def _frames(connected: socket.socket) -> FrameStream:
    connected.setblocking(False)
    return FrameStream(trio.SocketStream(trio.socket.from_stdlib_socket(connected)), FromWorker)


@define(eq=False)
class _Worker:
    """A worker process: its number, its end of the link, and what it reported."""

    number: int
    process: trio.Process
    frames: FrameStream
    welcomed: bool = False
    """It was sent its first frame, before which it takes no other."""
    state: str = "starting"
    since: float = field(factory=time.time)
    started: float = field(factory=trio.current_time)
    address: str = ""
    report: WorkerReport = field(factory=lambda: WorkerReport("ok", {}))
    channels: frozenset[str] = frozenset()
    held: dict[str, Counter[str]] = field(factory=dict)
    ready: trio.Event = field(factory=trio.Event)
    ended: trio.Event = field(factory=trio.Event)
    changed: trio.Event = field(factory=trio.Event)
    """Set at the first of ready and ended."""


@define(eq=False)
class _Place:
    """The place of one worker: its process now (None: none could be started), and the deaths there."""

    number: int
    worker: _Worker | None = None
    lock: trio.Lock = field(factory=trio.Lock)
    restarts: int = 0
    failures: int = 0
    deaths: deque[float] = field(factory=lambda: deque(maxlen=DEATHS + 1))


class Parent:
    """Keeps the workers. `command` starts one; `bound` are the sockets that hold the port."""

    def __init__(
        self, settings: Settings, command: Sequence[str], bound: Sequence[socket.socket], *, ready_s: float = READY_S
    ) -> None:
        self.settings = settings
        self.places = [_Place(number) for number in range(1, settings.workers + 1)]
        self._command = list(command)
        self._addresses = [(int(each.family), list(each.getsockname())) for each in bound]
        self._ready_s = ready_s
        self._group, self._key = secrets.token_hex(8), secrets.token_hex(32)
        self._hub = LocalHub(time.time)
        self._workers: list[_Worker] = []
        self._arrivals: dict[str, trio.Event] = {}
        self._questions: dict[int, Callable[[Reply], None]] = {}
        self._asked = 0
        self._begun = trio.Event()
        self._stopping = trio.Event()
        self._rolling = False
        self._nursery: trio.Nursery

    async def run(self, announce: Callable[[str], object] = lambda _: None) -> None:
        """Start the workers, the first of them alone, and keep them until SIGTERM or SIGINT.

        `announce` is called with the address once all are ready.

        Raises:
            GaveUp: A worker was not ready at the start, or died too often. The others have been stopped.
        """
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            async with trio.open_nursery() as self._nursery:
                self._nursery.start_soon(self._hear_signals, signals)
                reason = ""
                try:
                    async with trio.open_nursery() as keeping:
                        keeping.start_soon(self._start_all, announce)
                        await self._stopping.wait()
                        keeping.cancel_scope.cancel()
                except* GaveUp as group:
                    reason = _first_text(group)
                    log.critical("workers.gave_up", extra={"reason": reason})
                finally:
                    notify(STOPPING)
                    with trio.CancelScope(shield=True):
                        await self._stop_all()
                    self._nursery.cancel_scope.cancel()
        if reason:
            raise GaveUp(reason)

    async def _start_all(self, announce: Callable[[str], object]) -> None:
        async with trio.open_nursery() as nursery:
            for place in self.places:
                nursery.start_soon(self._fill_first, place)
        if self._stopping.is_set():
            return
        first = self.places[0].worker
        announce("" if first is None else first.address)
        async with trio.open_nursery() as nursery:
            for place in self.places:
                nursery.start_soon(self._keep, place)

    async def _fill_first(self, place: _Place) -> None:
        place.worker = await self._launch(place)
        if place.worker is None and not self._stopping.is_set():
            raise GaveUp(f"worker {place.number} was not ready")
        self._begun.set()

    async def _keep(self, place: _Place) -> None:
        """Restart the worker of a place whenever it dies. Raises GaveUp."""
        while not self._stopping.is_set():
            worker = place.worker
            if worker is not None:
                await worker.ended.wait()
            async with place.lock:
                if place.worker is not worker:  # it was replaced
                    continue
                if self._stopping.is_set():
                    return
                await self._mourn(place, worker)
                place.worker = await self._launch(place)

    async def _mourn(self, place: _Place, worker: _Worker | None) -> None:
        """Count a death, and wait before the restart. Raises GaveUp if there were too many."""
        now = trio.current_time()
        place.deaths.append(now)
        place.failures = 0 if worker is not None and BACKOFF.forgets(now - worker.started) else place.failures
        delay_s = BACKOFF.delay(place.failures, random.random())  # noqa: S311 - to be apart
        place.failures += 1
        place.restarts += 1
        code = None if worker is None else worker.process.returncode
        extra = {"worker": place.number, "code": code, "restarts": place.restarts, "delay_s": round(delay_s, 3)}
        log.error("worker.died", extra=extra)
        if len(place.deaths) > DEATHS and now - place.deaths[0] <= PERIOD_S:
            raise GaveUp(f"worker {place.number} died {len(place.deaths)} times within {PERIOD_S:g} s")
        with trio.move_on_after(delay_s):
            await self._stopping.wait()

    # processes

    async def _launch(self, place: _Place) -> _Worker | None:
        """Start a worker and wait until it is ready. Return None if it was not: then it has ended."""
        if self._stopping.is_set():
            return None
        ours, theirs = socket.socketpair()
        with ours, theirs:
            process = await trio.lowlevel.open_process(
                self._command,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=os.environ | {WORKER_VARIABLE: str(theirs.fileno())},
                process_group=0,  # Ctrl-C in a terminal is for the parent, which tells them
            )
            connected = ours.dup()
        worker = _Worker(place.number, process, _frames(connected))
        self._workers.append(worker)
        self._nursery.start_soon(self._attend, worker)
        first = place is self.places[0] and not self._begun.is_set()
        if not first:
            await self._begun.wait()
        worker.frames.post(self._welcome(place.number, first=first))
        worker.welcomed = True
        with trio.move_on_after(self._ready_s):
            await worker.changed.wait()
        if worker.ready.is_set():
            return worker
        if not worker.ended.is_set():
            log.error("worker.not_ready", extra={"worker": worker.number, "within_s": self._ready_s})
            process.kill()
            await worker.ended.wait()
        return None

    def _welcome(self, number: int, *, first: bool) -> WorkerWelcome:
        return WorkerWelcome(number, len(self.places), first, self._group, self._key, self._addresses)

    async def _attend(self, worker: _Worker) -> None:
        """Serve a worker's link until its process has ended, which `_stop_all` sees to."""
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(worker.frames.write)
                nursery.start_soon(self._read, worker, nursery)
                nursery.start_soon(self._kill_if_stuck, worker)
                await worker.process.wait()
                nursery.cancel_scope.cancel()
        worker.frames.close()
        worker.state = "down"
        self._workers.remove(worker)
        self._note_held(worker, {kind: dict.fromkeys(counts, 0) for kind, counts in worker.held.items()})
        worker.ended.set()
        worker.changed.set()
        self._tell_states()

    async def _kill_if_stuck(self, worker: _Worker) -> None:
        """Kill a worker that lives but reads no frames, as one that was stopped: `_keep` starts another."""
        await worker.frames.stuck.wait()
        log.error("worker.stuck", extra={"worker": worker.number, "pid": worker.process.pid})
        worker.process.kill()

    async def replace_all(self) -> None:
        """Replace the workers one by one: the next is ready before one is told to leave. Stops at the first failure."""
        if self._rolling:
            log.info("workers.replacing_already")
            return
        self._rolling = True
        try:
            log.info("workers.replacing", extra={"workers": len(self.places)})
            for place in self.places:
                async with place.lock:
                    before = place.worker
                    after = await self._launch(place)
                    if after is None:
                        log.error("workers.not_replaced", extra={"worker": place.number})
                        return
                    place.worker = after
                if before is not None:
                    await self._stop(before)
            log.info("workers.replaced", extra={"workers": len(self.places)})
        finally:
            self._rolling = False

    async def _stop(self, worker: _Worker) -> None:
        """Have a worker drain and end; kill it if it does not."""
        if worker.ended.is_set():
            return
        worker.state, worker.since = "leaving", time.time()
        self._tell_states()
        worker.process.terminate()
        with trio.move_on_after(self.settings.grace_s + STOP_EXTRA_S):
            await worker.ended.wait()
            return
        log.error("worker.killed", extra={"worker": worker.number, "grace_s": self.settings.grace_s})
        worker.process.kill()
        await worker.ended.wait()

    async def _stop_all(self) -> None:
        self._stopping.set()
        async with trio.open_nursery() as nursery:
            for worker in list(self._workers):
                nursery.start_soon(self._stop, worker)

    async def _hear_signals(self, signals: AsyncIterator[int]) -> None:
        async for number in signals:
            name = signal.Signals(number).name
            if number == signal.SIGHUP:
                self._nursery.start_soon(self.replace_all)
            elif self._stopping.is_set():
                log.info("server.stopping_already", extra={"signal": name})
            else:
                log.info("server.stopping", extra={"signal": name})
                self._stopping.set()

    # frames

    async def _read(self, worker: _Worker, nursery: trio.Nursery) -> None:
        async for frame in worker.frames.frames():
            match frame:
                case Call():
                    self._call(worker, frame, nursery)
                case Ready(address):
                    worker.state, worker.since, worker.address = "ready", time.time(), address
                    worker.ready.set()
                    worker.changed.set()
                    log.info("worker.ready", extra={"worker": worker.number, "pid": worker.process.pid})
                    self._tell_states()
                    self._tell_elsewhere(worker)
                case WorkerReport():
                    worker.report = frame
                    self._tell_states()
                case Listen(channels):
                    worker.channels = frozenset(channels)
                case Held(counts):
                    self._note_held(worker, counts)
                case Reply(id=number):
                    if (take := self._questions.pop(number, None)) is not None:
                        take(frame)

    def _call(self, worker: _Worker, call: Call, nursery: trio.Nursery) -> None:
        try:
            match call.method, call.arguments:
                case "send", [packets, published, acks]:
                    result: Any = self._hub.send(packets, acks)
                    for node in {node for node, _ in packets}:
                        if (arrival := self._arrivals.pop(node, None)) is not None:
                            arrival.set()
                    for channel, data in published:
                        for each in self._workers:
                            if channel in each.channels:
                                each.frames.post(Published(channel, data), droppable=True)
                case "read_new", [node, reader, wait]:
                    found = self._hub.read_new(node, reader)
                    if wait and not found:
                        nursery.start_soon(self._read_later, worker, call.id, node, reader)
                        return
                    result = [(each.id, each.data) for each in found]
                case "claim", [node, reader, start, idle_ms]:
                    onward, found = self._hub.claim(node, reader, start, idle_ms)
                    result = onward, [(each.id, each.data) for each in found]
                case "report_counts", [node, counts]:
                    result = [self._hub.count(key, node, mine, 0) for key, mine in counts.items()]
                case "take_tokens", [rows]:
                    result = self._hub.take_tokens([TokensTaken(*row) for row in rows])
                case "gather", [question]:
                    nursery.start_soon(self._gather, worker, call.id, question)
                    return
                case ("open_inbox" | "remove_if_empty" | "inboxes" | "renew_presence" | "count") as method, arguments:
                    result = getattr(self._hub, method)(*arguments)
                case method, _:
                    worker.frames.post(Reply(call.id, error=f"there is no method {method}"))
                    return
        except NoInbox as missing:
            worker.frames.post(Reply(call.id, error=f"there is no inbox of {missing}", refused=True))
        else:
            worker.frames.post(Reply(call.id, result))

    async def _read_later(self, worker: _Worker, number: int, node: str, reader: str) -> None:
        """Answer a read with the next entries of an inbox, or with none after BLOCK_S."""
        result: list[tuple[bytes, bytes]] = []
        with trio.move_on_after(BLOCK_S):
            while not result:
                await self._arrivals.setdefault(node, trio.Event()).wait()
                try:
                    result = [(each.id, each.data) for each in self._hub.read_new(node, reader)]
                except NoInbox:
                    break
        worker.frames.post(Reply(number, result))

    async def _gather(self, worker: _Worker, number: int, question: str) -> None:
        """Ask the other workers. Answer with what each of them said in time, by their numbers."""
        found: dict[str, Any] = {}
        others = [each for each in self._workers if each is not worker and each.state != "starting"]
        done = trio.Event()
        asked = []
        for each in others:
            self._asked += 1
            asked.append(self._asked)

            def take(reply: Reply, key: str = str(each.number)) -> None:
                found[key] = reply.result
                if len(found) == len(others):
                    done.set()

            self._questions[self._asked] = take
            each.frames.post(AskWorker(self._asked, question))
        if others:
            with trio.move_on_after(GATHER_S):
                await done.wait()
        for each_asked in asked:
            self._questions.pop(each_asked, None)
        worker.frames.post(Reply(number, found))

    # what all workers are told

    def _states(self) -> list[WorkerState]:
        restarts = {each.number: each.restarts for each in self.places}
        found = [
            WorkerState(
                each.number, each.process.pid, each.state, each.since, restarts[each.number],
                each.report.status, each.report.counts,
            )
            for each in self._workers
        ]  # fmt: skip
        missing = set(restarts) - {each.worker for each in found}
        now = time.time()
        found += [WorkerState(number, 0, "down", now, restarts[number]) for number in missing]
        return sorted(found, key=lambda each: (each.worker, each.since))

    def _tell_states(self) -> None:
        frame = WorkerStates(self._states())
        for worker in self._workers:
            if worker.welcomed:
                worker.frames.post(frame, droppable=True)

    def _note_held(self, worker: _Worker, changes: Mapping[str, Mapping[str, int]]) -> None:
        """Record what a worker holds of shared limits, and tell the others."""
        for kind, counts in changes.items():
            held = worker.held.setdefault(kind, Counter())
            for key, count in counts.items():
                held[key] = count
                if not count:
                    del held[key]
        for other in self._workers:
            if other is not worker and other.welcomed and changes:
                other.frames.post(
                    HeldElsewhere({kind: self._elsewhere(other, kind, counts) for kind, counts in changes.items()})
                )

    def _tell_elsewhere(self, worker: _Worker) -> None:
        """Tell a new worker what the others hold."""
        held: defaultdict[str, set[str]] = defaultdict(set)
        for each in self._workers:
            if each is not worker:
                for kind, counts in each.held.items():
                    held[kind].update(counts)
        worker.frames.post(HeldElsewhere({kind: self._elsewhere(worker, kind, keys) for kind, keys in held.items()}))

    def _elsewhere(self, worker: _Worker, kind: str, keys: "Mapping[str, int] | set[str]") -> dict[str, int]:
        others = [each.held[kind] for each in self._workers if each is not worker and kind in each.held]
        return {key: sum(held[key] for held in others) for key in keys}
