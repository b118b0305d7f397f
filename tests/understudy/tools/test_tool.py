"""`@tool`: declaration, arguments, calls and results."""

import contextlib
import dataclasses
import datetime
import enum
import functools
import threading
import uuid
from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import annotated_types
import attrs
import pytest
import trio
from hypothesis import example, given
from hypothesis import strategies as st

from understudy.agents.agent import Agent
from understudy.tools import result as results
from understudy.tools.errors import InvalidResult
from understudy.tools.result import MAX_VALUE_BYTES, MAX_VISUALIZATION_BYTES, is_small, summarise, to_json, to_result
from understudy.tools.tool import NextStep, Param, Tool, ToolContext, ToolError, ToolResult, tool


class Color(enum.Enum):
    """A choice."""

    RED = "red"
    BLUE = "blue"


class Size(TypedDict):
    """Some fields, one of them optional."""

    width: int
    label: NotRequired[str]


@attrs.frozen
class Point:
    """A user's attrs class."""

    x: float
    tags: list[str] = attrs.field(factory=list)


class NoFiles:
    """No files."""

    async def get(self, file_id: str) -> Any:
        raise LookupError(file_id)


class NoServer:
    """A server without a state."""

    def health(self) -> dict[str, Any]:
        return {}

    def tree(self) -> dict[str, Any]:
        return {}


def a_context(progress: Any = lambda done, total, note: None) -> ToolContext:
    """Return the context of a call, without files."""
    return ToolContext("ada", "thread", "run", "call", (), NoFiles(), NoServer(), progress)


@tool
def everything(
    text: str,
    whole: int = 1,
    number: float = 1.5,
    flag: bool = False,
    maybe: str | None = None,
    names: list[str] | None = None,
    table: dict[str, float] | None = None,
    pick: Literal["a", "b", 1] = "a",
    color: Color = Color.RED,
    size: Size | None = None,
    points: list[Point] | None = None,
    day: datetime.date | None = None,
    either: int | float | str = 0,
    percent: Annotated[float, Param("a share", format="percentage", minimum=0, maximum=100)] = 5.0,
) -> dict[str, Any]:
    """Take one of everything.

    A second paragraph.

    Args:
        text: what to say,
            on two lines
        whole (int): how often

    Returns:
        what it was given
    """
    return locals()


# declaration


@pytest.mark.parametrize(
    ("name", "schema"),
    [
        ("text", {"type": "string", "description": "what to say, on two lines"}),
        ("whole", {"type": "integer", "default": 1, "description": "how often"}),
        ("number", {"type": "number", "default": 1.5}),
        ("flag", {"type": "boolean", "default": False}),
        ("maybe", {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}),
        ("pick", {"enum": ["a", "b", 1], "default": "a"}),
        ("color", {"type": "string", "enum": ["red", "blue"], "default": "red"}),
        (
            "percent",
            {
                "type": "number",
                "description": "a share",
                "format": "percentage",
                "minimum": 0,
                "maximum": 100,
                "default": 5.0,
            },
        ),
    ],
)
def test_each_type_has_its_schema(name: str, schema: dict[str, Any]) -> None:
    """A parameter's schema says its type, default and description."""
    assert everything.parameters["properties"][name] == schema


def test_objects_in_the_schema_are_closed() -> None:
    """A TypedDict and an attrs class list their required fields and allow no others."""
    size = everything.parameters["properties"]["size"]["anyOf"][0]
    assert size["required"] == ["width"]
    assert size["additionalProperties"] is False
    point = everything.parameters["properties"]["points"]["anyOf"][0]["items"]
    assert point["properties"]["tags"] == {"type": "array", "items": {"type": "string"}}
    assert point["required"] == ["x"]


def test_the_whole_schema_names_what_is_required() -> None:
    """Only parameters without a default are required; unknown ones are not allowed."""
    assert everything.parameters["required"] == ["text"]
    assert everything.parameters["additionalProperties"] is False
    assert everything.description == "Take one of everything.\n\nA second paragraph."


def test_a_sphinx_docstring_describes_too() -> None:
    """`:param name:` lines become descriptions, and are not in the tool's description."""

    @tool
    def find(order_id: str) -> str:
        """Find an order.

        :param str order_id: as printed on the
            invoice
        :returns: its state
        """
        return order_id

    assert find.description == "Find an order."
    assert find.parameters["properties"]["order_id"]["description"] == "as printed on the invoice"


def test_a_tool_without_a_docstring_is_described_by_its_name() -> None:

    @tool(name="look-up", timeout_s=3.0, retry_safe=True)
    async def lookup(order_id: str) -> dict[str, Any]:
        return {}

    assert (lookup.name, lookup.timeout_s, lookup.retry_safe) == ("look-up", 3.0, True)
    assert lookup.description == "Look-up."


def test_the_context_is_not_in_the_schema() -> None:
    """A parameter annotated `ToolContext` is filled in by the call."""

    @tool
    def who(context: ToolContext, greeting: str = "hi") -> str:
        return f"{greeting} {context.owner}"

    assert list(who.parameters["properties"]) == ["greeting"]


def _no_annotation(order_id) -> str:  # type: ignore[no-untyped-def]
    return str(order_id)


def _stars(*names: str) -> str:
    return ""


def _double_stars(**names: str) -> str:
    return ""


def _positional(name: str, /) -> str:
    return name


def _bytes(content: bytes) -> str:
    return ""


def _keys(table: dict[int, str]) -> str:
    return ""


def _default(count: int = "three") -> str:  # type: ignore[assignment]
    return ""


def _hidden_none(count: int = None) -> str:  # type: ignore[assignment]  # noqa: RUF013
    return ""


@dataclasses.dataclass
class Key(bytes):
    """Bytes with a field, as some library may have: they make no bytes JSON."""

    label: str = ""


def _gives_bytes() -> list[bytes]:
    return []


class Plain:
    """A class without fields that a schema or JSON could show."""


@dataclasses.dataclass
class Holder:
    """A dataclass with such a field."""

    inside: Plain


def _gives_a_class() -> Plain | None:
    return None


def _gives_a_field() -> dict[str, Holder]:
    return {}


def _unknown(value: "Nowhere") -> str:  # type: ignore[name-defined]  # noqa: F821
    return ""


@attrs.define
class Node:
    """A class that contains itself."""

    children: "list[Node]"


def _endless(node: Node) -> str:
    return ""


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (_no_annotation, "order_id: str"),
        (_stars, "take a list or a dict parameter"),
        (_double_stars, "take a list or a dict parameter"),
        (_positional, "take away the '/'"),
        (_bytes, "has no schema; use str"),
        (_keys, "must be str"),
        (_default, "'three'"),
        (_hidden_none, "… | None"),
        (_unknown, "'Nowhere'"),
        (_endless, "contains itself"),
        (_gives_bytes, "_gives_bytes returns bytes, which cannot be written as JSON"),
        (_gives_a_class, "returns Plain, which cannot"),
        (_gives_a_field, "returns Plain, which cannot"),
        (len, "needs a function"),
        (Color, "needs a function"),
    ],
)
def test_a_wrong_declaration_is_refused_at_once(function: Any, says: str) -> None:
    """The error says how to mend the declaration."""
    with pytest.raises(TypeError) as caught:
        tool(function)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [{"name": "no spaces"}, {"name": ""}, {"timeout_s": 0.0}, {"name": "x" * 65}, {"timeout_s": float("nan")}],
)
def test_a_wrong_option_is_refused(options: dict[str, Any]) -> None:

    def work() -> None: ...

    with pytest.raises(ValueError, match=r"tool's name|timeout_s"):
        tool(**options)(work)


def test_asyncio_means_nothing_for_a_sync_function() -> None:
    """The option is refused, not ignored."""

    def work() -> None: ...

    with pytest.raises(TypeError, match="leave it out"):
        tool(asyncio=True)(work)


# arguments


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({}, "everything needs `text`, which is missing."),
        ({"text": 5}, "everything cannot take `text`: text is expected, not a whole number."),
        ({"text": "a", "whole": "5"}, "everything cannot take `whole`: a whole number is expected, not text."),
        (
            {"text": "a", "whole": True},
            "everything cannot take `whole`: a whole number is expected, not true or false.",
        ),
        ({"text": "a", "whole": 5.0}, "everything cannot take `whole`: a whole number is expected, not a number."),
        ({"text": "a", "number": "1"}, "everything cannot take `number`: a number is expected, not text."),
        ({"text": "a", "number": float("nan")}, "everything cannot take `number`: a finite number is expected."),
        ({"text": "a", "number": 10**400}, "everything cannot take `number`: that number is too large."),
        ({"text": "a", "flag": 1}, "everything cannot take `flag`: true or false is expected, not a whole number."),
        ({"text": "a", "names": "abc"}, "everything cannot take `names`: a list is expected, not text."),
        ({"text": "a", "names": ["a", 1]}, "everything cannot take `names[1]`: text is expected, not a whole number."),
        ({"text": "a", "table": {"k": "v"}}, "everything cannot take `table.k`: a number is expected, not text."),
        ({"text": "a", "pick": True}, "everything cannot take `pick`: one of a, b, 1 is expected."),
        ({"text": "a", "color": "green"}, "everything cannot take `color`: one of red, blue is expected."),
        ({"text": "a", "size": {"label": "x"}}, "everything cannot take `size.width`: width is missing."),
        ({"text": "a", "size": {"width": 1, "depth": 2}}, "everything cannot take `size`: there is no field depth."),
        (
            {"text": "a", "points": [{"x": 1}, {"x": "two"}]},
            "everything cannot take `points[1].x`: a number is expected, not text.",
        ),
        ({"text": "a", "points": [{"x": 1, "z": 2}]}, "everything cannot take `points[0]`: there is no field z."),
        (
            {"text": "a", "points": [5]},
            "everything cannot take `points[0]`: an object is expected, not a whole number.",
        ),
        ({"text": "a", "day": "soon"}, "everything cannot take `day`: a date is expected, as in 2026-11-20."),
        ({"text": "a", "percent": 101}, "everything cannot take `percent`: it must be at most 100."),
        ({"text": "a", "percent": -1}, "everything cannot take `percent`: it must be at least 0."),
        ({"text": None}, "everything cannot take `text`: text is expected, not null."),
    ],
)
def test_arguments_that_do_not_fit_are_refused_by_name(arguments: dict[str, Any], sentence: str) -> None:
    """The sentence names the parameter, what was expected and what was given."""
    with pytest.raises(ToolError) as caught:
        everything.check(arguments)
    assert caught.value.code == "invalid_arguments"
    assert str(caught.value) == sentence


def test_an_unknown_argument_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ToolError, match=r"has no parameter `volume`; it takes `text`"):
        everything.check({"text": "a", "volume": 3})


def test_arguments_become_what_the_annotations_say() -> None:
    """Enums, dates and classes are built; a whole number becomes a float unless `int` is allowed."""
    given_ = everything.check(
        {
            "text": "a",
            "number": 3,
            "color": "blue",
            "size": {"width": 2},
            "points": [{"x": 1, "tags": ["t"]}],
            "day": "2026-11-20",
            "either": 7,
            "pick": 1,
        }
    )
    assert given_["number"] == 3.0
    assert isinstance(given_["number"], float)
    assert given_["color"] is Color.BLUE
    assert given_["size"] == {"width": 2}
    assert given_["points"] == [Point(1.0, ["t"])]
    assert given_["day"] == datetime.date(2026, 11, 20)
    assert type(given_["either"]) is int
    assert given_["pick"] == 1


KINDS: dict[str, Any] = {
    "text": str, "whole": int, "number": float, "flag": bool, "maybe": str | None, "names": list | None,
    "table": dict | None, "pick": str | int, "color": Color, "size": dict | None, "points": list | None,
    "day": datetime.date | None, "either": int | float | str, "percent": float,
}  # fmt: skip
"""The classes of the values of `everything`."""
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(sorted(everything.parameters["properties"])), JSON, max_size=3))
@example({"number": 3, "day": "2026-11-20"})
def test_random_arguments_are_accepted_or_refused(arguments: dict[str, Any]) -> None:
    """Random JSON becomes what the annotations say, or is refused with a `ToolError`."""
    with contextlib.suppress(ToolError):
        given_ = everything.check({"text": "a", **arguments})
        assert {name: value for name, value in given_.items() if not isinstance(value, KINDS[name])} == {}


class Level(enum.StrEnum):
    """A choice that is a text, too."""

    LOW = "low"


@dataclasses.dataclass(frozen=True)
class Window:
    """A user's dataclass, with types of the standard library."""

    since: datetime.datetime
    at: datetime.time = datetime.time(6)
    gap: datetime.timedelta = datetime.timedelta(0)
    level: Level = Level.LOW
    ids: frozenset[uuid.UUID] = frozenset()
    pair: tuple[int, str] = (0, "")
    cost: Decimal = Decimal(0)
    point: Point | None = None


def test_a_dataclass_and_the_standard_library_are_parameters_and_results() -> None:
    """What comes in as JSON goes out as the same JSON."""

    @tool
    def plan(window: Window, tags: set[str], rows: Iterable[tuple[int, ...]] = ()) -> Window:
        assert (tags, rows) == ({"a"}, [(1, 2)])
        return window

    given_ = {
        "since": "2026-11-20T06:00:00+00:00",
        "at": "07:30:00",
        "gap": 90.0,
        "level": "low",
        "ids": ["123e4567-e89b-12d3-a456-426614174000"],
        "pair": [1, "x"],
        "cost": "12.50",
        "point": {"x": 1.5, "tags": []},
    }
    window = plan.check({"window": given_, "tags": ["a", "a"], "rows": [[1, 2]]})
    assert window["window"].gap == datetime.timedelta(seconds=90)
    assert to_json(plan(**window)) == given_
    schema = plan.parameters["properties"]["window"]
    assert schema["required"] == ["since"]
    assert schema["properties"]["pair"]["prefixItems"] == [{"type": "integer"}, {"type": "string"}]
    assert plan.check({"window": {**given_, "cost": 12.5}, "tags": []})["window"].cost == Decimal("12.5")
    for wrong, sentence in (
        ({"pair": [1]}, "`window.pair`: 2 items are expected, not 1"),
        ({"cost": "much"}, "`window.cost`: a number is expected, as in 12.50"),
        ({"ids": ["x"]}, "`window.ids[0]`: a UUID is expected"),
        ({"at": 7}, "`window.at`: a time is expected"),
        ({"extra": 1}, "`window`: there is no field extra"),
    ):
        with pytest.raises(ToolError) as caught:
            plan.check({"window": {**given_, **wrong}, "tags": []})
        assert sentence in str(caught.value)


class Shop:
    """A class with tools."""

    def __init__(self, name: str) -> None:
        self.name = name

    @tool(timeout_s=3)
    async def lookup(self, order_id: str, context: ToolContext) -> str:
        """Find an order."""
        return f"{order_id} of {self.name} for {context.owner}"

    @staticmethod
    @tool
    def inside(n: int) -> int:
        return n

    @tool
    @staticmethod
    def outside(n: int) -> int:
        return n

    def plain(self, n: int) -> str:
        """Count."""
        return f"{n} of {self.name}"

    def __call__(self, n: int) -> str:
        """Be called."""
        return f"{n} at {self.name}"


async def test_methods_callables_and_partials_are_tools() -> None:
    """A method belongs to its instance; arguments of a partial are not the model's."""
    shop, other = Shop("books"), Shop("toys")
    assert (await shop.lookup.call({"order_id": "7"}, a_context())).value == "7 of books for ada"
    assert (await other.lookup.call({"order_id": "7"}, a_context())).value == "7 of toys for ada"
    assert (shop.lookup.name, shop.lookup.timeout_s) == ("lookup", 3)
    assert list(shop.lookup.parameters["properties"]) == ["order_id"]
    made = [tool(shop.plain), tool(shop), tool(name="some")(functools.partial(shop.plain)), shop.inside, Shop.outside]
    assert [each.name for each in made] == ["plain", "Shop", "some", "inside", "outside"]
    assert [(await each.call({"n": 2}, a_context())).value for each in made] == [
        "2 of books", "2 at books", "2 of books", 2, 2,
    ]  # fmt: skip
    fixed = tool(functools.partial(everything.function, whole=5))
    assert "whole" not in fixed.parameters["properties"]
    assert fixed(**fixed.check({"text": "a"}))["whole"] == 5
    with pytest.raises(TypeError, match="tool of an instance"):
        Agent("shop", tools=[Shop.lookup])


# calls


async def test_a_sync_function_runs_in_a_thread() -> None:
    """The function leaves the loop free, and tells of its progress from there."""
    loop = threading.get_ident()
    seen: list[float] = []

    @tool
    def work(context: ToolContext) -> bool:
        context.progress(0.5, 1.0, "half")
        return threading.get_ident() != loop

    result = await work.call({}, a_context(lambda done, total, note: seen.append(done)))
    assert result.value is True
    assert seen == [0.5]


async def test_code_of_a_tools_author_leaves_the_loop_free() -> None:
    """Validators, predicates and `approval` run in a thread; what is checked by the schema alone does not need one."""
    loop, seen = threading.get_ident(), list[int]()

    def positive(value: Any) -> bool:
        seen.append(threading.get_ident())
        return bool(value > 0)

    @attrs.frozen
    class Order:
        amount: int = attrs.field(validator=lambda order, field, value: positive(value))

    @tool(approval=lambda arguments: positive(1))
    def buy(order: Order) -> int:
        return order.amount

    @tool
    def sell(amount: Annotated[int, annotated_types.Predicate(positive)]) -> int:
        return amount

    assert (await buy.call({"order": {"amount": 2}}, a_context())).value == 2
    with pytest.raises(ToolError, match="cannot take `amount`"):
        await sell.call({"amount": -1}, a_context())
    await buy.check_aside({"order": {"amount": 2}}, "ada")
    assert await buy.needs_approval({"order": {"amount": 2}}, "ada")
    assert len(seen) == 4
    assert loop not in seen
    with pytest.raises(ToolError, match="needs `text`"):
        await everything.call({}, attrs.evolve(a_context(), while_queued=None))


@pytest.mark.parametrize("which", ["check", "approval"])
async def test_code_of_a_tools_author_has_its_time_limit(which: str) -> None:
    door = threading.Event()

    def hang(_: Any) -> bool:
        return door.wait(20)

    @tool(timeout_s=0.05, approval=hang)
    def buy(amount: Annotated[int, annotated_types.Predicate(hang)]) -> int:
        return amount

    asked = buy.check_aside if which == "check" else buy.needs_approval
    try:
        with pytest.raises(ToolError, match=f"{which} of buy took longer") as late:
            await asked({"amount": 1}, "ada")
        assert late.value.code == "tool_timeout"
    finally:
        door.set()


async def test_cancelling_a_sync_tool_lets_go_at_once() -> None:
    """The call returns at once; the function ends at its next progress call."""
    entered, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    @tool
    def stuck(context: ToolContext) -> None:
        entered.set()
        try:
            go_on.wait(10)
            context.progress(1, None, "still here")
        finally:
            ended.set()

    notes: list[str] = []
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stuck.call, {}, a_context(lambda done, total, note: notes.append(note)))
            await trio.to_thread.run_sync(entered.wait)
            nursery.cancel_scope.cancel()
        go_on.set()
        await trio.to_thread.run_sync(ended.wait)
    assert notes == []


async def test_an_async_function_runs_as_it_is() -> None:

    @tool
    async def work(name: str, context: ToolContext) -> str:
        await trio.lowlevel.checkpoint()
        return f"{name} for {context.owner} in task {trio.lowlevel.current_task().name != ''}"

    assert (await work.call({"name": "job"}, a_context())).value == "job for ada in task True"


async def test_an_asyncio_function_runs_in_a_loop_of_its_own() -> None:
    """asyncio's primitives work in the function."""
    import asyncio

    @tool(asyncio=True)
    async def work(count: int) -> int:
        done = await asyncio.gather(*(asyncio.sleep(0, each) for each in range(count)))
        return sum(done)

    assert (await work.call({"count": 4}, a_context())).value == 6


def _tell(partials: list[Any]) -> ToolContext:
    async def show(item: Any) -> None:
        partials.append(item)

    return attrs.evolve(a_context(), show_partial=show)


async def test_what_a_generator_yields_is_shown_and_is_its_result() -> None:
    """Sync and async; a returned value, or a `ToolResult`, takes the place of the list."""

    @tool
    def pages(count: int) -> Iterable[Point]:
        for number in range(count):
            yield Point(number)

    @tool
    def summed(count: int) -> Any:
        yield from range(count)
        return {"sum": sum(range(count))}

    @tool
    async def steps(count: int) -> Any:
        for number in range(count):
            await trio.lowlevel.checkpoint()
            yield "x" * 5000 if number == 1 else number
        yield ToolResult(count, "Counted.")
        raise AssertionError("it is closed after its result")

    seen: list[Any] = []
    results = [await each.call({"count": 2}, _tell(seen)) for each in (pages, summed, steps)]
    assert [each.value for each in results] == [
        [{"x": 0, "tags": []}, {"x": 1, "tags": []}],
        {"sum": 1},
        2,
    ]
    assert results[2].summary == "Counted."
    assert seen == [{"x": 0, "tags": []}, {"x": 1, "tags": []}, 0, 1, 0, "x" * 159 + "…"]


async def test_a_generator_without_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its code for the end runs; the summary says that there is more."""
    monkeypatch.setattr(results, "MAX_ITEMS", 3)
    closed: list[str] = []

    @tool
    async def endless() -> Any:
        try:
            while True:
                yield 1
        finally:
            closed.append("async")

    @tool
    def endless_too() -> Any:
        try:
            while True:
                yield 1
        finally:
            closed.append("sync")

    for each in (endless, endless_too):
        result = await each.call({}, a_context())
        assert result.summary == "The first 3 items: there the tool was ended."
        assert result.value == {"truncated": True, "note": result.summary, "items": [1, 1, 1]}
    assert closed == ["async", "sync"]


async def test_what_a_generator_yields_is_kept_as_far_as_a_result_has_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood is ended; what does not fit is shown, and the result says that it is left out, with whole items."""
    monkeypatch.setattr(results, "MAX_VALUE_BYTES", 100)
    monkeypatch.setattr(results, "MAX_YIELDED_BYTES", 400)
    made: list[int] = []

    @tool
    def flood(count: int) -> Iterable[str]:
        for number in range(count):
            made.append(number)
            yield "x" * 30

    shown: list[Any] = []
    some = results.Yielded()
    for _ in range(5):
        some.add("x" * 30)
    note = "The first 3 of 5 items: a result has room for 100 bytes."
    assert some.result() == ToolResult({"truncated": True, "note": note, "items": ["x" * 30] * 3}, note)
    monkeypatch.setattr(results, "MAX_VALUE_BYTES", 1000)
    result = await flood.call({"count": 10**9}, _tell(shown))
    assert len(made) == len(shown) == 13
    assert result.value["note"] == result.summary == "The first 13 items: there the tool was ended."


async def test_errors_of_a_function_are_propagated() -> None:
    """A `ToolError` and a crash are both propagated."""

    @tool
    def refuses() -> None:
        raise ToolError("not_found", "There is no such order.")

    @tool
    async def crashes() -> None:
        raise ZeroDivisionError

    with pytest.raises(ToolError, match="no such order"):
        await refuses.call({}, a_context())
    with pytest.raises(ZeroDivisionError):
        await crashes.call({}, a_context())


def test_a_tool_can_still_be_called_as_a_function() -> None:
    assert everything("hello")["text"] == "hello"
    assert isinstance(everything, Tool)


# results


def test_results_become_plain_json() -> None:
    """Classes, dates, decimals, enums and sets are converted."""
    value = to_json(
        {
            "point": Point(1.0, ["a"]),
            "when": datetime.datetime(2026, 11, 20, 6, tzinfo=datetime.UTC),
            "price": Decimal("12.50"),
            "color": Color.RED,
            "names": {"b", "a"},
            "nan": float("nan"),
            "big": 2**64,
            "wait": datetime.timedelta(seconds=90),
            5: (1, None, True),
        }
    )
    assert value == {
        "point": {"x": 1.0, "tags": ["a"]},
        "when": "2026-11-20T06:00:00+00:00",
        "price": "12.50",
        "color": "red",
        "names": ["a", "b"],
        "nan": None,
        "big": "18446744073709551616",
        "wait": 90.0,
        "5": [1, None, True],
    }


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (b"abc", "returned bytes"),
        ({"inner": bytearray(b"abc")}, "returned bytes"),
        (object(), "returned a object"),
        pytest.param(10**5000, "too many digits", id="digits"),
        ({(1, 2): 3}, "tuple for a key"),
    ],
)
def test_a_result_that_cannot_be_json_is_refused(value: Any, says: str) -> None:
    """The error has the type's name."""
    with pytest.raises(InvalidResult, match=says):
        to_json(value)


def test_a_result_nested_in_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(InvalidResult, match="nested more than 64 deep"):
        to_json(value)


def test_a_result_that_is_too_large_is_cut_and_says_so() -> None:
    """Value and summary name the cut, and the value fits the bound."""
    import msgspec

    text = to_result("é" * 500_000)
    assert "cut here" in text.value
    assert "cut: 1,000,002 bytes" in text.summary
    rows = to_result([{"n": n} for n in range(100_000)])
    assert rows.value["truncated"] is True
    assert rows.value["preview"].startswith('[{"n":0}')
    for each in (text, rows, to_result("\x00" * 500_000), to_result(["\x00" * 500_000])):
        assert len(msgspec.json.encode(each.value)) <= MAX_VALUE_BYTES


@pytest.mark.parametrize(
    ("value", "small"),
    [
        (None, True),
        ({"status": "shipped", "items": [1, 2.5, True]}, True),
        (ToolResult({"n": 1}, "One."), True),
        (ToolResult({"n": 1}, "One.", {"svg": "x" * 20_000}), False),
        ("x" * 10_001, False),
        (list(range(201)), False),
        ([[0] * 100, [0] * 100], False),
        (Point(1.0), False),
    ],
)
def test_only_small_results_are_made_plain_on_the_loop(value: Any, small: bool) -> None:
    assert is_small(value) is small


async def test_a_large_result_is_made_plain_in_a_thread() -> None:

    @tool
    async def many() -> list[int]:
        return list(range(1000))

    assert (await many.call({}, a_context())).value == list(range(1000))


def test_a_value_at_the_bound_is_kept() -> None:
    """Exactly 256 KiB of JSON are kept whole."""
    text = "x" * (MAX_VALUE_BYTES - 2)
    assert to_result(text).value == text


def test_a_chart_that_is_too_large_is_left_out_and_says_so() -> None:
    """The value stays."""
    result = to_result(ToolResult({"n": 1}, "One point.", {"svg": "x" * MAX_VISUALIZATION_BYTES}))
    assert result.visualization is None
    assert result.value == {"n": 1}
    assert "chart is left out" in result.summary


def test_next_steps_are_bounded_and_a_text_stands_for_both() -> None:
    """Eight steps are kept; an empty or long one, and a text in place of the list, are refused."""
    steps = to_result(ToolResult(1, kind="table", next_steps=[NextStep("All", "Show all"), *"abcdefgh"])).next_steps
    assert steps == (NextStep("All", "Show all"), *(NextStep(each, each) for each in "abcdefg"))
    for wrong in ([""], ["x" * 1001], [NextStep]):
        with pytest.raises((ValueError, TypeError)):
            ToolResult(1, next_steps=wrong)
    with pytest.raises(TypeError, match="a list"):
        ToolResult(1, next_steps="More")


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (None, "done"),
        ("a\n b", "a b"),
        ([1], "1 item"),
        ([1, 2], "2 items"),
        (True, "true"),
        (5, "5"),
        ({"status": "shipped", "rows": [1]}, "status: shipped"),
        ({"rows": []}, "1 fields"),
        ("x" * 500, "x" * 159 + "…"),
    ],
)
def test_a_result_without_a_summary_gets_one(value: Any, line: str) -> None:
    assert summarise(value) == line


def test_a_tool_error_survives_pickling() -> None:
    import pickle

    error = pickle.loads(pickle.dumps(ToolError("not_found", "Gone.")))
    assert (error.code, error.message, str(error)) == ("not_found", "Gone.", "Gone.")
