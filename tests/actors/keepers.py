"""Actors that set messages aside, for the tests of the stash."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import trio
from attrs import field, frozen

from actors import Actor, ActorRef, ActorSystem, Ask, ChildSpec, Context
from actors.stash import Stash
from tests.actors.troupe import Boom, Run, settled

Act = Callable[["Keeper", Context], Any]


@frozen(eq=False)
class Put(Ask[list[str]]):
    """Write the word down, and answer with all that was written. `then` is run before that."""

    word: str
    then: Act | None = field(default=None, repr=False)


@frozen
class Note:
    """As `Put`, told."""

    word: str
    then: Act | None = field(default=None, repr=False)


class Open:
    """Have everything that was set aside, and set nothing aside from now on."""


class Keeper(Actor):
    """Sets everything aside until it is opened."""

    def __init__(self, done: list[str], capacity: int) -> None:
        self.done = done
        self.capacity = capacity
        self.open = False

    async def on_start(self, context: Context) -> None:
        self.stash = Stash(context, self.capacity)

    async def receive(self, message: object, context: Context) -> None:
        match message:
            case Run() as ask:
                result = ask.act(context)
                ask.reply(await result if inspect.isawaitable(result) else result)
            case Open():
                self.open = True
                self.stash.unstash_all()
            case _ if not self.open:
                self.stash.stash(message)
            case Put() | Note():
                await self.write(message, context)
            case _:
                context.unhandled(message)

    async def write(self, message: Put | Note, context: Context) -> None:
        result = None if message.then is None else message.then(self, context)
        if inspect.isawaitable(result):
            await result
        self.done.append(message.word)
        if isinstance(message, Put):
            message.reply(list(self.done))


class Restless(Keeper):
    """Crashes when it is told to."""

    async def receive(self, message: object, context: Context) -> None:
        if isinstance(message, Boom):
            raise message.error
        await super().receive(message, context)


class Stage:
    """A keeper on stage: its reference, its incarnations, and what all of them wrote down."""

    def __init__(self, kind: type[Keeper], capacity: int) -> None:
        self.done: list[str] = []
        self.incarnations: list[Keeper] = []
        self.ref: ActorRef
        self._kind = kind
        self._capacity = capacity

    def make(self) -> Keeper:
        self.incarnations.append(self._kind(self.done, self._capacity))
        return self.incarnations[-1]

    @property
    def stash(self) -> Stash:
        return self.incarnations[-1].stash

    @property
    def aside(self) -> list[str]:
        return [message.word for message in self.stash]  # type: ignore[attr-defined]

    async def tell(self, *messages: object) -> None:
        """Tell these, and wait until all is done that can be."""
        for message in messages:
            self.ref.tell(message)
        await settled()

    async def note(self, words: str) -> None:
        await self.tell(*(Note(word) for word in words.split()))

    async def do(self, act: Act) -> Any:
        """Run `act(keeper, context)` in the keeper, and wait until all is done that follows."""
        result = await self.ref.ask(Run(lambda context: act(self.incarnations[-1], context)))
        await settled()
        return result


async def keeping(system: ActorSystem, *, kind: type[Keeper] = Keeper, capacity: int = 10, **options: Any) -> Stage:
    stage = Stage(kind, capacity)
    stage.ref = await system.spawn(ChildSpec("keeper", stage.make, **options))
    return stage


async def restless(system: ActorSystem, **options: Any) -> Stage:
    return await keeping(system, kind=Restless, **options)


def crash(*_: object) -> None:
    raise ValueError("crash")


async def hang(*_: object) -> None:
    await trio.sleep_forever()


def taking(seconds: float) -> Act:
    async def act(*_: object) -> None:
        await trio.sleep(seconds)

    return act


def lost(system: ActorSystem) -> list[tuple[object, str, str]]:
    letters = system.dead_letters
    return [(getattr(letter.message, "word", letter.message), letter.lane, letter.why) for letter in letters]
