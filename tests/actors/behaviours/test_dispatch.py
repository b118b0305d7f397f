"""Which method of a server answers which type of message."""

import functools
import pickle
from typing import Any, Generic, TypeVar

import pytest

from actors import Ask, ChildSpec, UnhandledMessage
from actors.behaviours.server import InvalidServer, NoReply, Server, call, cast
from tests.actors.behaviours.adders import Add, Adder, Look, Tick, Total, Unknown
from tests.actors.troupe import settled

T = TypeVar("T")


@pytest.fixture
async def adder(system):
    """A running adder."""
    return await system.spawn(ChildSpec("adder", Adder))


class Louder(Adder):
    async def tell_total(self, request, context):
        return 100 + self.total

    @cast
    async def tick(self, message: Tick, context) -> None:
        self.done.append("tick")


async def test_a_subclass_inherits_overrides_and_adds(autojump_clock, system):
    """An overridden method keeps its type and needs no mark of its own."""
    ref = await system.spawn(ChildSpec("louder", Louder))
    ref.tell(Add(1))
    ref.tell(Tick())
    assert await ref.ask(Total()) == 101
    assert await ref.ask(Look()) == [Add(1), "tick"]


async def test_a_subclass_leaves_its_parent_alone(autojump_clock, adder):
    """What a subclass adds is unknown to the others."""
    adder.tell(Tick())
    assert await adder.ask(Look()) == []


class Catcher(Server):
    def __init__(self):
        self.caught = []

    @cast
    async def number(self, message: int | float, context) -> None:
        self.caught.append(("number", message))

    @cast
    async def anything(self, message: object, context) -> None:
        self.caught.append(("anything", message))

    @call
    async def look(self, request: Look, context) -> list[Any]:
        return self.caught


async def test_a_union_names_several_types_and_object_all_others(autojump_clock, system):
    """All but requests: those would never be answered."""
    ref = await system.spawn(ChildSpec("catcher", Catcher))
    for message in (1, 2.5, "x"):
        ref.tell(message)
    with pytest.raises(UnhandledMessage):
        await ref.ask(Unknown())
    assert await ref.ask(Look()) == [("number", 1), ("number", 2.5), ("anything", "x")]


class Plainest:
    """Known to nobody."""


class Mixed(Plainest, int):
    """Half of it is known."""


async def test_what_came_before_changes_no_choice(autojump_clock, system):
    """A type that only `object` stands for does not hide what its subtypes inherit from others."""
    ref = await system.spawn(ChildSpec("catcher", Catcher))
    ref.tell(Plainest())
    ref.tell(Mixed(7))
    caught = await ref.ask(Look())
    assert [kind for kind, _ in caught] == ["anything", "number"]


class CatchAll(Catcher):
    async def on_start(self, context):
        self.follow_up(context, self.note)

    async def note(self, context):
        self.caught.append("work")


async def test_what_wakes_a_server_is_no_message_of_its_own(autojump_clock, system):
    """Not even for a method that takes everything."""
    ref = await system.spawn(ChildSpec("catcher", CatchAll))
    await settled()
    assert await ref.ask(Look()) == ["work"]


class Box(Ask[T], Generic[T]):
    """A generic request."""


class Opener(Server):
    class Inner(Ask[str]):
        """A request declared in the server's own class."""

    @call
    async def open(self, request: Box[int], context) -> str:
        return "box"

    @call
    async def inner(self, request: "Inner", context) -> str:
        return "inner"


async def test_generic_and_nested_types_are_understood(autojump_clock, system):
    """The class behind the alias counts; names are looked up in the server's class too."""
    ref = await system.spawn(ChildSpec("opener", Opener))
    assert await ref.ask(Box()) == "box"
    assert await ref.ask(Opener.Inner()) == "inner"


def noted(method):
    """A decorator of a user's, as for tracing."""

    @functools.wraps(method)
    async def noting(self, message, context):
        return await method(self, message, context) + 1

    return noting


class Traced(Server):
    @call
    @noted
    async def total(self, request: Total, context) -> int:
        return 1


async def test_a_method_may_be_decorated(autojump_clock, system):
    """The annotations are those of the wrapped function."""
    ref = await system.spawn(ChildSpec("traced", Traced))
    assert await ref.ask(Total()) == 2


class Plain:
    """No request."""


async def a_call_without_annotation(self, request, context):
    """Refused."""


async def a_call_of_no_request(self, request: Plain, context) -> int:
    """Refused."""


async def a_cast_of_a_request(self, message: Total, context) -> None:
    """Refused."""


async def an_unknown_name(self, message: "Nowhere", context) -> None:  # noqa: F821 - the point of the test
    """Refused."""


async def no_class(self, message: T, context) -> None:
    """Refused."""


async def too_few(self, message: Plain) -> None:
    """Refused."""


def not_async(self, message: Plain, context) -> None:
    """Refused."""


async def another_answer(self, request: Total, context) -> str | NoReply:
    """Refused."""


async def no_answer(self, request: Total, context) -> None:
    """Refused."""


@pytest.mark.parametrize(
    ("mark", "method", "problem"),
    [
        (call, a_call_without_annotation, "needs an annotation: the type of its request"),
        (cast, a_call_without_annotation, "needs an annotation: the type of its request"),
        (call, a_call_of_no_request, "is a call, but Plain is no Ask"),
        (cast, a_cast_of_a_request, "is a cast, but Total is an Ask: make it a call"),
        (cast, an_unknown_name, "has an annotation that is not known when the class is made: name 'Nowhere'"),
        (cast, no_class, "must name classes as the type of its message, not ~T"),
        (cast, too_few, "must be `async def` and take self, a message and the context"),
        (cast, not_async, "must be `async def` and take self, a message and the context"),
        (call, another_answer, "returns str, but the answer to Total is int"),
        (call, no_answer, "returns NoneType, but the answer to Total is int"),
    ],
)
def test_a_wrong_declaration_is_refused_when_the_class_is_made(mark, method, problem):
    """By an error that names class, method and problem."""
    copy = functools.wraps(method)(type(method)(method.__code__, method.__globals__))
    with pytest.raises(InvalidServer) as caught:
        type("Wrong", (Server,), {"method": mark(copy)})
    assert str(caught.value).startswith(f"Wrong.method {problem}")
    assert isinstance(caught.value, TypeError)


def test_two_methods_for_one_type_are_refused():
    """Also when one of them is inherited."""
    with pytest.raises(InvalidServer, match=r"Doubtful\.add_too takes Add, which another method takes already"):

        class Doubtful(Adder):
            @cast
            async def add_too(self, message: Add, context) -> None:
                """Which one?"""


class Score(Ask[float]):
    """Answered with a number."""


class Shape(Ask[object]):
    """Answered with anything."""


class Lenient(Server):
    @call
    async def score(self, request: Score, context) -> int:
        return 1

    @call
    async def shape(self, request: Shape, context) -> str:
        return "round"

    @call
    async def total(self, request: Total, context) -> bool:
        return True

    @call
    async def anything(self, request: Look, context) -> Any:
        return []


async def test_an_answer_may_be_of_a_narrower_type(autojump_clock, system):
    """A subclass, or an int for a float, as type checkers have it."""
    ref = await system.spawn(ChildSpec("lenient", Lenient))
    assert await ref.ask(Score()) == 1
    assert await ref.ask(Shape()) == "round"
    assert await ref.ask(Total()) is True


def test_the_error_survives_pickling():
    """With what it says."""
    error = pickle.loads(pickle.dumps(InvalidServer("A", "b", "is wrong")))
    assert str(error) == "A.b is wrong"
