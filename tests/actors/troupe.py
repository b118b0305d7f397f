"""Actors that the tests of the runtime share."""

from __future__ import annotations

import inspect
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest
import trio
from attrs import field, frozen

from actors import Actor, ActorError, ActorRef, Ask, ChildSpec, Context, Event, Exit, MailboxSpec, Supervision

E = TypeVar("E", bound=Event)


@frozen(eq=False)
class Run(Ask[Any]):
    """Run `act` inside the actor, with its context, and answer with the result."""

    act: Callable[[Context], Any]


@frozen
class Boom:
    """Raise this error in `receive`."""

    error: BaseException = field(factory=lambda: ValueError("boom"))


class Hang:
    """Never come back from `receive`."""


class Read(Ask[list[Any]]):
    """Answer with everything heard."""


class Player(Actor):
    """Does what it is told and writes in a shared diary when it starts and stops."""

    def __init__(
        self,
        name: str = "player",
        diary: list[str] | None = None,
        *,
        starting: Callable[[Context], Any] | None = None,
        stopping: Callable[[Context], Any] | None = None,
        supervision: Supervision | None = None,
        mailbox: MailboxSpec | None = None,
    ) -> None:
        self.name = name
        self.diary = diary if diary is not None else []
        self.starting = starting
        self.stopping = stopping
        self.heard: list[Any] = []
        if supervision is not None:
            self.supervision = supervision
        if mailbox is not None:
            self.mailbox = mailbox

    async def on_start(self, context: Context) -> None:
        self.diary.append(f"start {self.name}")
        await _call(self.starting, context)

    async def receive(self, message: object, context: Context) -> None:
        match message:
            case Run() as ask:
                ask.reply(await _call(ask.act, context))
            case Read() as ask:
                ask.reply(list(self.heard))
            case Boom(error):
                raise error
            case Hang():
                await trio.sleep_forever()
            case _:
                self.heard.append(message)

    async def on_stop(self, context: Context, reason: Exit) -> None:
        self.diary.append(f"stop {self.name} ({reason})")
        await _call(self.stopping, context)


async def _call(act: Callable[[Context], Any] | None, context: Context) -> Any:
    result = None if act is None else act(context)
    return await result if inspect.isawaitable(result) else result


def player(name: str, diary: list[str] | None = None, **options: Any) -> ChildSpec:
    """The spec of a player; options of `Player` and of `ChildSpec` may be mixed."""
    mine = {key: options.pop(key) for key in ("starting", "stopping", "supervision", "mailbox") if key in options}
    return ChildSpec(name, lambda: Player(name, diary, **mine), **options)


def sleeping(seconds: float = math.inf) -> Callable[[Context], Any]:
    async def hook(_: Context) -> None:
        await trio.sleep(seconds)

    return hook


def settled() -> Any:
    return trio.testing.wait_all_tasks_blocked()


async def failing(error: type[Exception], call: Callable[[], Awaitable[Any]], match: str | None = None) -> None:
    """Make a call that must fail, as a task."""
    with pytest.raises(error, match=match):
        await call()


@asynccontextmanager
async def calls(*functions: Callable[[], Awaitable[Any]]) -> AsyncIterator[list[Any]]:
    """Call these in tasks, one after the other is blocked, run the block, and wait for the calls to end.

    The list has their outcomes in the order of their ends: what they return, or the `ActorError` they raise.
    """
    outcomes: list[Any] = []

    async def call(function: Callable[[], Awaitable[Any]]) -> None:
        try:
            outcomes.append(await function())
        except ActorError as error:
            outcomes.append(error)

    async with trio.open_nursery() as nursery:
        for function in functions:
            nursery.start_soon(call, function)
            await settled()
        yield outcomes


@asynccontextmanager
async def during(function: Callable[..., Awaitable[Any]], *args: Any) -> AsyncIterator[trio.Nursery]:
    """Call a function in a task, run the block when all tasks wait for something, and wait for the call to end."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(function, *args)
        await settled()
        yield nursery


async def busy(ref: ActorRef) -> trio.Event:
    """Keep an actor in a message until the event is set."""
    gate = trio.Event()
    await tell(ref, Run(lambda _: gate.wait()))
    return gate


def of_type(events: Iterable[Event], kind: type[E]) -> list[E]:
    return [event for event in events if isinstance(event, kind)]


async def tell(ref: ActorRef, *messages: object) -> None:
    """Tell these, and wait until every task waits for something."""
    for message in messages:
        ref.tell(message)
    await settled()


async def kill(ref: ActorRef) -> None:
    ref.kill()
    await settled()


def held(ref: ActorRef) -> dict[str, Any]:
    """Return the tables of an actor that hold something: calls, watches, timers, tasks, what waits outside its lanes.

    Tests look into the runtime here only: a reference that stays in its tables shows otherwise in memory alone.
    """
    cell = ref._cell
    life, inbox = cell.incarnation, cell.inbox
    tables = {
        "calls": inbox.calls,
        "control": inbox.control,
        "redeliveries": inbox.redeliveries,
        "watchers": cell.watchers,
        "watching": life.watching,
        "timers": life.timers,
        "tasks": life.task_scopes,
        "notices": inbox.barriers,
    }
    if not ref.alive:
        tables |= {"children": cell.children, "stashes": inbox.stashes, "actor": life.actor, "message": inbox.current}
    return {name: table for name, table in tables.items() if table}
