"""The composition root: everything is wired here, and nothing else happens here.

system (one_for_one)
├── storage ─ writer
├── conversations   (dynamic) one per live thread ─ runs ─ tool calls
├── connections     (dynamic) one per socket ─ outbox
└── observe ─ recovery
"""

import gc
import logging
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

import trio
from attrs import frozen
from quart_trio import QuartTrio

from actors import ActorDied, ActorRef, ActorSystem, Backoff, ChildSpec, Lane, Supervisor
from actors import Event as ActorEvent
from sanitization import STANDARD, Scrubber
from transport.connection import ConnectionLimits
from transport.events import Drain
from transport.heartbeat import Heartbeat
from transport.socket import SocketLimits
from transport.websocket import DoorLimits, serve_door
from understudy import __version__
from understudy.agents.agent import Agent
from understudy.agents.registry import all_agents
from understudy.chat.attachments import Attachments
from understudy.chat.desk import Desk
from understudy.chat.recovery import Recovery
from understudy.chat.services import Services
from understudy.chat.slots import Slots
from understudy.config import Settings
from understudy.gate import Gate
from understudy.models.registry import Models
from understudy.observe.logs import configure
from understudy.observe.metrics import Metrics
from understudy.observe.server import Server
from understudy.observe.tree_log import log_event
from understudy.presence import Presence
from understudy.rest import Rest, build
from understudy.sessions import Sessions, open_tokens
from understudy.storage.errors import DatabaseUnusable
from understudy.storage.files import FileStore
from understudy.storage.sqlite import Database, open_database
from understudy.storage.store import Store
from understudy.storage.writer import StoreWriter

log = logging.getLogger(__name__)

MANY = 10_000
"""Restarts in 5 s before a supervisor of many independent children gives up. Each child's backoff keeps it far below
that: one conversation that cannot start must never be the end of the others."""
BACK_IN_S = 2.0
"""What clients are told to wait before they come back when the server goes away."""
RESTING = Backoff(min_s=0.05, max_s=30.0)


@frozen
class Running:
    """A server that answers: its address, its tree of actors, its store, and how to stop it, clients told first."""

    address: str
    system: ActorSystem
    store: Store
    stop: Callable[[], Awaitable[None]]


@frozen
class House:
    """All parts of one server, wired together."""

    settings: Settings
    system: ActorSystem
    store: Store
    gate: Gate
    web: QuartTrio
    presence: Presence


def run(settings: Settings, agents: Sequence[Agent] = ()) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code. Prints one line with the address when ready."""
    configure(settings.log_level, settings.log_format)
    failures: list[Exception] = []
    try:
        trio.run(_until_told, settings, agents)
    except* (DatabaseUnusable, OSError, ValueError, ImportError) as group:
        log.debug("server.failed", exc_info=group)
        failures = _leaves(group)
    for error in failures:
        print(f"understudy cannot serve: {error}", file=sys.stderr)  # noqa: T201 - the command's own output
    return 1 if failures else 0


async def _until_told(settings: Settings, agents: Sequence[Agent]) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            running = await nursery.start(partial(serve_house, settings, agents))
            # What is there now stays: the collector need not look at it again (pauses of 100 ms become 30 ms).
            gc.collect()
            gc.freeze()
            print(f"understudy is ready on {running.address}", flush=True)  # noqa: T201 - the line others wait for
            async for number in signals:
                log.info("server.stopping", extra={"signal": signal.Signals(number).name})
                break
            await running.stop()
            nursery.cancel_scope.cancel()


async def serve_house(
    settings: Settings,
    agents: Sequence[Agent] = (),
    *,
    task_status: trio.TaskStatus[Running] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; `started` gives what is running, once it answers.

    Raises:
        DatabaseUnusable, OSError, ValueError: It cannot start; the text says why.
    """
    async with open_house(settings, agents) as house, trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(settings.port, host=settings.host)
        port = listeners[0].socket.getsockname()[1]
        limits = DoorLimits(
            grace_s=settings.grace_s / 2,
            socket=SocketLimits(message_bytes=settings.limits.frame_bytes, bound_bytes=settings.limits.transport_bytes),
        )
        serve = partial(serve_door, listeners, asgi_app=house.web, on_upgrade=house.gate, limits=limits)
        await nursery.start(serve)
        task_status.started(Running(settings.at(port), house.system, house.store, partial(_stop, house)))


@asynccontextmanager
async def open_house(settings: Settings, agents: Sequence[Agent] = ()) -> AsyncIterator[House]:
    """Wire all parts together around a running tree of actors; everything is closed on the way out.

    Raises:
        DatabaseUnusable, OSError, ValueError: A part cannot be opened; the text says why.
    """
    sessions = Sessions(open_tokens(settings), settings.anonymous, settings.token_ttl_s)
    known, models = all_agents(agents), Models(settings)
    for agent in known.values():
        # Now, not at its first message: making a client takes a third of a second, and may fail.
        models.of(agent)
    files = FileStore(settings.data_dir / "files", limit_bytes=settings.max_file_bytes)
    database = await trio.to_thread.run_sync(open_database, settings.database_folder)
    metrics = Metrics(lambda: system.tree())
    system = ActorSystem("system", _tree(database, metrics), intensity=MANY, on_event=_tell(metrics))
    try:
        await trio.to_thread.run_sync(files.sweep)  # the folder is this server's alone from here on
        async with system:
            find = partial(_find, system)
            store = Store(database, partial(system.find, "/system/storage/writer"))
            presence = Presence(settings.limits.connections_per_user)
            slots: Slots[ActorRef] = Slots(settings.limits.runs_per_user, settings.limits.runs_total)
            server = Server(system, lambda: _counts(presence, slots), __version__)
            services = Services(
                store=store,
                agents=known,
                model_of=models.of,
                scrubber=Scrubber(STANDARD),
                limits=settings.limits,
                slots=slots,
                attachments=lambda owner: Attachments(owner, store, files),
                server=server,
                outboxes=presence.outboxes,
                observer=metrics,
                clock=time.time,
                summary_from=settings.summary_from,
            )
            desk = Desk(services, partial(find, "/system/conversations"))
            connections = partial(find, "/system/connections")
            gate = Gate(settings, sessions, store, desk, presence, metrics, connections, _limits(settings))
            rest = Rest(settings, sessions, store, files, known, models.of, metrics, server.health, desk.delete)
            recovery = ChildSpec("recovery", partial(Recovery, store, desk), backoff=RESTING)
            await system.spawn(_house_part("observe", recovery))
            yield House(settings, system, store, gate, build(rest), presence)
    finally:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + 1.0):
            await models.aclose()
        database.close()


def _tree(database: Database, metrics: Metrics) -> list[ChildSpec]:
    """The part of the tree that stands before anything is wired to it."""
    return [
        _house_part("storage", ChildSpec("writer", partial(StoreWriter, database, metrics.committed), backoff=RESTING)),
        _house_part("conversations"),
        _house_part("connections"),
    ]


def _house_part(name: str, *children: ChildSpec) -> ChildSpec:
    """A supervisor under the root: whatever happens below it, it comes back.

    One without children of its own has many of a kind, which need no order when they stop.
    """
    return ChildSpec(name, partial(Supervisor, children, intensity=MANY, stop_together=not children), backoff=RESTING)


def _limits(settings: Settings) -> ConnectionLimits:
    beat = settings.limits.heartbeat_s
    return ConnectionLimits(drain_s=settings.grace_s / 4, heartbeat=Heartbeat(beat, 2.4 * beat))


async def _stop(house: House) -> None:
    """Tell every client that the server goes away, give them a moment to hear it, then stop the tree in order."""
    connections = house.system.find("/system/connections")
    leaving = connections.children() if connections else []
    for connection in leaving:
        connection.tell(Drain(BACK_IN_S), lane=Lane.ALERT)
    with trio.move_on_after(house.settings.grace_s / 2):
        for connection in leaving:
            await connection.wait_stopped()
    await house.system.stop(grace_s=house.settings.grace_s / 4)


def _find(system: ActorSystem, path: str) -> ActorRef:
    ref = system.find(path)
    if ref is None:
        raise ActorDied(path)
    return ref


def _counts(presence: Presence, slots: "Slots[ActorRef]") -> dict[str, int]:
    return {"connections": len(presence), "runs": slots.running, "runs_waiting": slots.waiting}


def _tell(metrics: Metrics) -> Callable[[ActorEvent], None]:
    """What happens in the tree is counted and logged."""

    def both(event: ActorEvent) -> None:
        metrics.record(event)
        log_event(event)

    return both


def _leaves(group: BaseExceptionGroup[Exception]) -> list[Exception]:
    found: list[Exception] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
