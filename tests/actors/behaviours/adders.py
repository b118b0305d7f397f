"""A server that the tests share, and what it may be told and asked."""

from typing import Any

from attrs import frozen

from actors import Ask, SelfCall
from actors.behaviours.server import NO_REPLY, NoReply, Server, call, cast
from tests.actors.troupe import Run


@frozen(eq=False)
class Total(Ask[int]):
    """What was added so far."""


@frozen(eq=False)
class TotalOf(Total):
    """A kind of `Total`."""

    what: str


@frozen(eq=False)
class Later(Ask[str]):
    """Answered when the server gets to it."""

    word: str


@frozen(eq=False)
class Fail(Ask[int]):
    """Answered with an error, or by a crash."""

    crash: bool = False


@frozen(eq=False)
class Unknown(Ask[int]):
    """Known to nobody."""


@frozen(eq=False)
class AskYourself(Ask[str]):
    """Answered with what becomes of a call to oneself."""


@frozen(eq=False)
class Look(Ask[list]):
    """What the server did."""


@frozen
class Add:
    number: int


@frozen
class AddTwice(Add):
    pass


@frozen
class Answer:
    word: str


@frozen
class Work:
    """Leads to follow-up work."""

    name: str
    steps: int = 1


class Tick:
    """A message that is none of anybody's business."""


class Adder(Server):
    """Adds, answers, and writes down what it did."""

    def __init__(self):
        self.total = 0
        self.done = []
        self.waiting = []

    @call
    async def tell_total(self, request: Total, context) -> int:
        return self.total

    @cast
    async def add(self, message: Add, context) -> None:
        self.total += message.number
        self.done.append(message)

    @cast
    async def add_twice(self, message: AddTwice, context) -> None:
        self.total += 2 * message.number

    @call
    async def answer_later(self, request: Later, context) -> str | NoReply:
        self.waiting.append(request)
        return NO_REPLY

    @cast
    async def answer(self, message: Answer, context) -> None:
        for request in self.waiting:
            if request.word == message.word:
                request.reply(f"{request.word}!")

    @call
    async def fail(self, request: Fail, context) -> int | NoReply:
        if request.crash:
            raise KeyError("crash")
        request.fail(ValueError("no"))
        return NO_REPLY

    @call
    async def ask_myself(self, request: AskYourself, context) -> str:
        try:
            await context.ref.ask(Total())
        except SelfCall as error:
            return str(error)
        return "answered"

    @call
    async def look(self, request: Look, context) -> list[Any]:
        return list(self.done)

    @call
    async def run(self, request: Run, context):
        result = request.act(context)
        return await result if hasattr(result, "__await__") else result

    @cast
    async def work(self, message: Work, context) -> None:
        self.done.append(message.name)
        for step in range(message.steps):
            self.follow_up(context, self.step, f"{message.name}{step}")

    async def step(self, name, context):
        self.done.append(name)
