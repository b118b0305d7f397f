"""A state machine that the tests share: it writes down what it hears, and does what it is told."""

import trio
from attrs import frozen

from actors import Ask, ChildSpec
from actors.behaviours.state_machine import Entered, EventTimeout, StateMachine, StateTimeout, on_entry
from tests.actors.troupe import settled


@frozen(eq=False)
class Do(Ask[object]):
    """Run `act(machine, context)` in the state of the moment, and answer with the result."""

    act: object


@frozen
class Note:
    """Written down in every state; `postponed_in` names the states that put it off."""

    word: str
    postponed_in: str = ""
    then: object = None
    """Run as `then(machine, context)` when it is written down."""


@frozen(eq=False)
class Query(Ask[str]):
    """Answered in the state `green` only, put off in the others."""


class Light(StateMachine):
    """Three states that write down what they hear, and do what they are told."""

    def __init__(self, diary=None, first="red"):
        self.diary = [] if diary is None else diary
        self.first = first

    async def initial(self, context):
        return getattr(self, self.first)

    @on_entry
    async def red(self, event, context):
        await self.anywhere(event, context)

    @on_entry
    async def green(self, event, context):
        if isinstance(event, Query):
            event.reply("green")
        else:
            await self.anywhere(event, context)

    async def dark(self, event, context):
        await self.anywhere(event, context)

    async def anywhere(self, event, context):
        match event:
            case Entered(previous):
                self.diary.append(f"{previous} -> {self.state}")
            case Do() as ask:
                ask.reply(ask.act(self, context))
            case Query():
                self.postpone()
            case Note() if self.state in event.postponed_in.split():
                self.diary.append(f"not {event.word} in {self.state}")
                self.postpone()
            case Note():
                self.diary.append(event.word)
                if event.then is not None:
                    event.then(self, context)
            case StateTimeout(content) | EventTimeout(content):
                self.diary.append(f"{type(event).__name__} {content} in {self.state} at {trio.current_time():g}")
            case _:
                context.unhandled(event)


class Stage:
    """One light: its reference and its diary, shared by its incarnations."""

    def __init__(self, ref, diary):
        self.ref = ref
        self.diary = diary

    async def tell(self, *events):
        """Tell these, and wait until all is done that can be."""
        for event in events:
            self.ref.tell(event)
        await settled()

    async def do(self, act):
        """Run `act(machine, context)` in the current state, and wait until all is done that can be."""
        result = await self.ref.ask(Do(act))
        await settled()
        return result

    async def state(self):
        return await self.do(lambda light, _: light.state)

    def news(self):
        news = list(self.diary)
        self.diary.clear()
        return news


async def start(system, kind=Light, *, first="red", name="light", **options):
    diary = []
    ref = await system.spawn(ChildSpec(name, lambda: kind(diary, first), **options))
    stage = Stage(ref, diary)
    stage.news()
    return stage


def to(name, **options):
    return lambda light, _: light.become(getattr(light, name), **options)


def doing(*acts):
    def act(light, context):
        for step in acts:
            step(light, context)

    return act
