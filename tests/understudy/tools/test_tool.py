"""`@tool`: declaration, arguments, calls and results."""

import contextlib
import dataclasses
import datetime
import enum
import functools
import ipaddress
import itertools
import sqlite3
import threading
import uuid
from collections import deque, namedtuple
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, TypedDict

import annotated_types
import attrs
import pytest
import trio
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import json
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from tests.rigs.tool_context import a_context
from understudy.agents.agent import Agent
from understudy.tools import result as results
from understudy.tools.context import CallMeans
from understudy.tools.errors import InvalidResult
from understudy.tools.result import (
    MAX_STEPS,
    MAX_VALUE_BYTES,
    MAX_VISUALIZATION_BYTES,
    is_small,
    summarise,
    to_json,
    to_result,
)
from understudy.tools.tool import NextStep, Param, ToolContext, ToolError, ToolResult, tool


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


SHARE = {"description": "a share", "format": "percentage", "minimum": 0, "maximum": 100}


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
        ("percent", {"type": "number", "default": 5.0} | SHARE),
    ],
)
def test_each_type_has_its_schema(name: str, schema: dict[str, Any]) -> None:
    assert everything.parameters["properties"][name] == schema


def test_a_schema_and_its_objects_are_closed_and_name_what_is_required() -> None:
    whole = everything.parameters
    size = whole["properties"]["size"]["anyOf"][0]
    point = whole["properties"]["points"]["anyOf"][0]["items"]
    assert [schema["required"] for schema in (whole, size, point)] == [["text"], ["width"], ["x"]]
    assert [schema["additionalProperties"] for schema in (whole, size, point)] == [False] * 3
    assert point["properties"]["tags"] == {"type": "array", "items": {"type": "string"}}
    assert everything.description == "Take one of everything.\n\nA second paragraph."


def test_a_sphinx_docstring_describes_too() -> None:
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


def _abroad(größe: int = 1) -> str:
    return ""


def taking(annotation: Any, *default: Any) -> Callable[..., str]:
    """Return a function with a parameter of this type."""

    def work(value: Any) -> str:
        return str(value)

    work.__annotations__["value"], work.__defaults__ = annotation, default or None
    return work


def giving(annotation: Any) -> Callable[[], Any]:
    """Return a function with a result of this type."""

    def work() -> Any: ...

    work.__annotations__["return"] = annotation
    return work


@dataclasses.dataclass
class Key(bytes):
    """Bytes with a field, as some library may have: they make no bytes JSON."""

    label: str = ""


class Plain:
    """A class without fields that a schema or JSON could show."""


@dataclasses.dataclass
class Holder:
    """A dataclass with such a field."""

    inside: Plain


@dataclasses.dataclass
class Lost:
    """A dataclass with a field of an unknown type."""

    inside: "Nowhere"  # type: ignore[name-defined]  # noqa: F821


@attrs.define
class Node:
    """A class that contains itself."""

    children: "list[Node]"


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (_abroad, "model providers take no argument of the name 'größe'; rename it"),
        (lambda order_id: "", "order_id: str"),
        (lambda *names: "", "take a list or a dict parameter"),
        (lambda **names: "", "take a list or a dict parameter"),
        (lambda name, /: "", "take away the '/'"),
        (taking(bytes), "has no schema; use str"),
        (taking(dict[int, str]), "must be texts"),
        (taking(int, "three"), "'three'"),
        (taking(int, None), "… | None"),
        (taking("Nowhere"), "'Nowhere'"),
        (taking(list[Lost]), "an annotation of work(value) names 'Nowhere'"),
        (taking(Node), "contains itself"),
        (giving(list[bytes]), "work returns bytes, which cannot be written as JSON"),
        (giving(Plain | None), "returns Plain, which cannot"),
        (giving(dict[str, Holder]), "returns Plain, which cannot"),
        (len, "needs a function"),
        (Color, "needs a function"),
    ],
)
def test_a_wrong_declaration_is_refused_at_once(function: Any, says: str) -> None:
    with pytest.raises(TypeError) as caught:
        tool(name="work")(function)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        *(({"name": name}, ValueError, "tool's name") for name in ("no spaces", "", "x" * 65)),
        *(({"timeout_s": limit}, ValueError, "timeout_s") for limit in (0.0, float("nan"))),
        ({"asyncio": True}, TypeError, "leave it out"),
    ],
)
def test_a_wrong_option_is_refused(options: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        tool(**options)(giving(None))


# arguments


@pytest.mark.parametrize(
    ("arguments", "place", "sentence"),
    [
        ({"text": 5}, "text", "text is expected, not a whole number"),
        ({"text": None}, "text", "text is expected, not null"),
        ({"whole": "5"}, "whole", "a whole number is expected, not text"),
        ({"whole": True}, "whole", "a whole number is expected, not true or false"),
        ({"whole": 5.0}, "whole", "a whole number is expected, not a number"),
        ({"number": "1"}, "number", "a number is expected, not text"),
        ({"number": float("nan")}, "number", "a finite number is expected"),
        ({"number": 10**400}, "number", "that number is too large"),
        ({"flag": 1}, "flag", "true or false is expected, not a whole number"),
        ({"names": "abc"}, "names", "a list is expected, not text"),
        ({"names": ["a", 1]}, "names[1]", "text is expected, not a whole number"),
        ({"table": {"k": "v"}}, "table.k", "a number is expected, not text"),
        ({"pick": True}, "pick", "one of a, b, 1 is expected"),
        ({"color": "green"}, "color", "one of red, blue is expected"),
        ({"size": {"label": "x"}}, "size.width", "width is missing"),
        ({"size": {"width": 1, "depth": 2}}, "size", "there is no field depth"),
        ({"points": [{"x": 1}, {"x": "two"}]}, "points[1].x", "a number is expected, not text"),
        ({"points": [{"x": 1, "z": 2}]}, "points[0]", "there is no field z"),
        ({"points": [5]}, "points[0]", "an object is expected, not a whole number"),
        ({"day": "soon"}, "day", "a date is expected, as in 2026-11-20"),
        ({"percent": 101}, "percent", "it must be at most 100"),
        ({"percent": -1}, "percent", "it must be at least 0"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_by_name(arguments: dict[str, Any], place: str, sentence: str) -> None:
    with pytest.raises(ToolError) as caught:
        everything.check({"text": "a"} | arguments)
    assert caught.value.code == "invalid_arguments"
    assert str(caught.value) == f"everything cannot take `{place}`: {sentence}."


def test_missing_unknown_and_deep_arguments_are_refused_by_name() -> None:
    for arguments, sentence in (
        ({}, r"^everything needs `text`, which is missing\.$"),
        ({"text": json.decode("[" * 900 + "]" * 900)}, "The arguments of everything are nested too deeply"),
        ({"text": "a", "volume": 3}, "has no parameter `volume`; it takes `text`"),
    ):
        with pytest.raises(ToolError, match=sentence):
            everything.check(arguments)


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
    assert schema["properties"]["pair"]["items"] == {"anyOf": [{"type": "integer"}, {"type": "string"}]}
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
    shop, other = Shop("books"), Shop("toys")
    assert (await shop.lookup.call({"order_id": "7"}, a_context())).value == "7 of books for ada"
    assert (await other.lookup.call({"order_id": "7"}, a_context())).value == "7 of toys for ada"
    assert (shop.lookup.name, shop.lookup.timeout_s) == ("lookup", 3)
    assert list(shop.lookup.parameters["properties"]) == ["order_id"]
    made = [tool(shop.plain), tool(shop), tool(name="some")(functools.partial(shop.plain)), shop.inside, Shop.outside]
    assert [built.name for built in made] == ["plain", "Shop", "some", "inside", "outside"]
    assert [(await built.call({"n": 2}, a_context())).value for built in made] == [
        "2 of books", "2 at books", "2 of books", 2, 2,
    ]  # fmt: skip
    fixed = tool(functools.partial(everything.function, whole=5))
    assert "whole" not in fixed.parameters["properties"]
    assert fixed(**fixed.check({"text": "a"}))["whole"] == 5
    with pytest.raises(TypeError, match="tool of an instance"):
        Agent("shop", tools=[Shop.lookup])


# calls


async def test_a_sync_function_runs_in_a_thread() -> None:
    loop = threading.get_ident()
    progress: list[float] = []

    @tool
    def work(context: ToolContext) -> bool:
        context.progress(0.5, 1.0, "half")
        return threading.get_ident() != loop

    result = await work.call({}, a_context(lambda done, total, note: progress.append(done)))
    assert result.value is True
    assert progress == [0.5]


async def test_code_of_a_tools_author_leaves_the_loop_free() -> None:
    """Validators, predicates and `approval` run in a thread; what is checked by the schema alone does not need one."""
    loop, threads = threading.get_ident(), list[int]()

    def positive(value: Any) -> bool:
        threads.append(threading.get_ident())
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
    assert len(threads) == 4
    assert loop not in threads
    with pytest.raises(ToolError, match="needs `text`"):
        await everything.call({}, attrs.evolve(a_context(), means=attrs.evolve(CallMeans(), while_queued=None)))


@pytest.mark.parametrize("which", ["check", "approval"])
async def test_code_of_a_tools_author_has_its_time_limit(which: str) -> None:
    door = threading.Event()

    def hang(_: Any) -> bool:
        return door.wait(20)

    @tool(timeout_s=0.05, approval=hang)
    def buy(amount: Annotated[int, annotated_types.Predicate(hang)]) -> int:
        return amount

    call = buy.check_aside if which == "check" else buy.needs_approval
    try:
        with pytest.raises(ToolError, match=f"{which} of buy took longer") as late:
            await call({"amount": 1}, "ada")
        assert late.value.code == "tool_timeout"
    finally:
        door.set()


def _tell(partials: list[Any]) -> ToolContext:
    async def show(item: Any) -> None:
        partials.append(item)

    return attrs.evolve(a_context(), show_partial=show)


async def test_items_of_a_generator_are_shown_and_are_its_result() -> None:
    @tool
    def pages(count: int) -> Iterable[Point]:
        for number in range(count):
            yield Point(number)

    @tool
    def summed(count: int, function: int = 0, show: int = 0) -> Any:
        yield from range(count)
        return {"sum": sum(range(count))}

    @tool
    async def steps(count: int, function: int = 0, show: int = 0) -> Any:
        for number in range(count):
            await trio.lowlevel.checkpoint()
            yield "x" * 5000 if number == 1 else number
        yield ToolResult(count, "Counted.")
        raise AssertionError("it is closed after its result")

    partials: list[Any] = []
    results = [await generator.call({"count": 2}, _tell(partials)) for generator in (pages, summed, steps)]
    assert [result.value for result in results] == [[{"x": 0, "tags": []}, {"x": 1, "tags": []}], {"sum": 1}, 2]
    assert results[2].summary == "Counted."
    assert partials == [{"x": 0, "tags": []}, {"x": 1, "tags": []}, 0, 1, 0, "x" * 159 + "…"]


async def test_a_generator_without_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "MAX_ITEMS", 3)
    closed: list[str] = []

    def endless() -> Any:
        try:
            yield from itertools.repeat(1)
        finally:
            closed.append("sync")

    async def endless_too() -> Any:
        try:
            while True:
                yield 1
        finally:
            closed.append("async")

    for function in (endless, endless_too):
        result = await tool(function).call({}, a_context())
        assert result.summary == "The first 3 items: there the tool was ended."
        assert result.value == {"truncated": True, "note": result.summary, "items": [1, 1, 1]}
    assert closed == ["sync", "async"]


async def test_items_of_a_generator_are_kept_as_far_as_a_result_has_room(monkeypatch: pytest.MonkeyPatch) -> None:
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


# results


class Row(NamedTuple):
    n: int
    name: str = "a"


class Array:
    """As numpy's: nothing but its methods is looked at."""

    def __init__(self, held: Any, shape: tuple[int, ...] = (), kind: str = "f", names: Sequence[str] = ()) -> None:
        self.held, self.shape, self.dtype = held, shape, SimpleNamespace(kind=kind, names=names)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Array) and bool(self.held == other.held)

    def __getitem__(self, part: Any) -> Any:
        return Array(self.held[part])

    def astype(self, kind: Any) -> Any:
        return self

    def tolist(self) -> Any:
        return self if self.held is None else self.held

    def __str__(self) -> str:
        return "1.5"


class Record:
    """As asyncpg's row of a database."""

    def keys(self) -> list[str]:
        return ["id"]

    def __getitem__(self, name: str) -> int:
        return 7


def rows(query: str) -> list[Any]:
    """Return the rows of sqlite3 and of SQLAlchemy."""
    engine = create_engine("sqlite://", poolclass=NullPool)  # a connection that is given back is closed
    with contextlib.closing(sqlite3.connect(":memory:")) as plain, engine.connect() as connection:
        plain.row_factory = sqlite3.Row
        return [*plain.execute(query).fetchall(), *connection.execute(text(query)).all()]


class Table:
    """As one of pandas, whose index says something."""

    columns = ("id", "n", "n")
    index = SimpleNamespace(name="id")

    def __init__(self, whole: bool = False, columns: Sequence[str] = columns) -> None:
        self.whole, self.columns = whole, tuple(columns)

    def tolist(self) -> Any:
        raise AssertionError("a table is no list")

    def reset_index(self, allow_duplicates: bool) -> Any:
        return Table(whole=allow_duplicates)

    def set_axis(self, columns: Sequence[str], axis: str) -> Any:
        return Table(self.whole, columns)

    def to_dict(self, kind: str) -> Any:
        assert (kind, self.whole) == ("records", True)
        return [dict(zip(self.columns, (1, float("nan"), 2), strict=True))]


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Point(1.0, ["a"]), {"x": 1.0, "tags": ["a"]}),
        (datetime.datetime(2026, 11, 20, 6, tzinfo=datetime.UTC), "2026-11-20T06:00:00+00:00"),
        (datetime.timedelta(seconds=90), 90.0),
        (Decimal("12.50"), "12.50"),
        (Color.RED, "red"),
        ({"b", "a"}, ["a", "b"]),
        ([float("nan"), float("inf"), 2**64], [None, None, "18446744073709551616"]),
        ({5: (1, None, True)}, {"5": [1, None, True]}),
        ({None: 1, Color.RED: 2, False: 3}, {"null": 1, "red": 2, "false": 3}),
        ({1: "a", "1": "b"}, {"1": "a", "1 (2)": "b"}),
        (Row(1), {"n": 1, "name": "a"}),
        (namedtuple("Pandas", "n", module="pandas")(1), {"n": 1}),
        (Path("a/b"), "a/b"),
        (range(3), [0, 1, 2]),
        (range(10**30), f"range(0, {10**30})"),
        (deque([1]), [1]),
        ({"a": 1}.values(), [1]),
        (Fraction(1, 3), "1/3"),
        (ipaddress.ip_address("::1"), "::1"),
        ([ValueError("x")], ["ValueError: x"]),
        (Array(5), 5),
        (Array([[1.0, float("nan")]], (1, 2)), [[1.0, None]]),
        (Array([[Array({"a": 1}, kind="V", names=["a"])]], (1, 1), "V"), [[{"a": 1}]]),
        (Array(None), "1.5"),
        (Array(float("nan"), kind="M"), None),
        (Array("2026-01", kind="M"), "2026-01"),
        (Array(datetime.timedelta(seconds=5), kind="m"), 5.0),
        (Table(), [{"id": 1, "n": None, "n (3)": 2}]),
        (rows("select 1 as a, 2 as a"), [{"a": 1, "a (2)": 2}] * 2),
        ([Record()], [{"id": 7}]),
        ("caf\udce9", "caf\ufffd"),
        ({"caf\udce9": ["\ud83d\ude00"]}, {"caf\ufffd": ["😀"]}),
    ],
)
def test_a_result_becomes_plain_json(value: Any, plain: Any) -> None:
    assert to_result(value).value == plain


def test_a_long_array_is_cut_and_says_so() -> None:
    value = to_json(Array([0] * 20_000, (20_000,)))
    assert (value["note"], len(value["items"])) == ("The first 10,000 of 20,000 items.", 10_000)


def test_an_iterator_is_read_as_far_as_a_result_has_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "MAX_ITEMS", 3)
    assert to_result(map(str, (1, 2))).value == ["1", "2"]
    assert to_result(itertools.count()).value["items"] == [0, 1, 2]


NESTED: list[Any] = []
NESTED.append(NESTED)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (b"abc", "returned bytes"),
        ({"inner": bytearray(b"abc")}, "returned bytes"),
        (object(), "returned a object"),
        pytest.param(10**5000, "too many digits", id="digits"),
        ({(1, 2): 3}, "tuple for a key: make it a text"),
        (Point, "returned a type"),
        (type("Later", (), {"__await__": iter})(), "returned a Later, which cannot be written as JSON: await it"),
        (ToolResult(1, visualization='{"spec": {}}'), "returned a chart that is no object"),
        (ToolResult(1, visualization=[{"spec": {}}]), "returned a chart that is no object"),
        pytest.param(NESTED, "nested more than 64 deep", id="nested"),
    ],
)
def test_a_result_that_cannot_be_json_is_refused(value: Any, says: str) -> None:
    with pytest.raises(InvalidResult, match=says):
        to_result(value)


def test_a_result_that_is_too_large_is_cut_and_says_so() -> None:
    most = "x" * (MAX_VALUE_BYTES - 2)
    assert to_result(most).value == most
    text = to_result("é" * 500_000)
    assert "cut here" in text.value
    assert "cut: 1,000,002 bytes" in text.summary
    rows = to_result([{"n": n} for n in range(100_000)])
    assert rows.value["truncated"] is True
    assert rows.value["preview"].startswith('[{"n":0}')
    for result in (text, rows, to_result("\x00" * 500_000), to_result(["\x00" * 500_000])):
        assert len(json.encode(result.value)) <= MAX_VALUE_BYTES


SMALL = (None, {"status": "shipped", "items": [1, 2.5, True]}, ToolResult({"n": 1}, "One."))
CHART = ToolResult({"n": 1}, "One.", {"title": "x" * 20_000})
LARGE = (CHART, "x" * 10_001, list(range(201)), [[0] * 100, [0] * 100], Point(1.0))


@pytest.mark.parametrize(("value", "small"), [*((item, True) for item in SMALL), *((item, False) for item in LARGE)])
def test_only_small_results_are_made_plain_on_the_loop(value: Any, small: bool) -> None:
    assert is_small(value) is small


def test_a_chart_that_is_too_large_is_left_out_and_says_so() -> None:
    result = to_result(ToolResult({"n": 1}, "One point.", {"title": "x" * MAX_VISUALIZATION_BYTES}))
    assert result.visualization is None
    assert result.value == {"n": 1}
    assert "chart is left out" in result.summary


def test_next_steps_are_bounded_and_calls() -> None:
    offered = [NextStep(f"Step {n}", "tell", {"n": n}) for n in range(MAX_STEPS + 1)]
    assert to_result(ToolResult(1, kind="table", next_steps=offered)).next_steps == tuple(offered[:-1])
    for wrong in ("More", ["More"], [NextStep]):
        with pytest.raises(TypeError, match=r"list of NextStep\(label, tool, arguments\)"):
            ToolResult(1, next_steps=wrong)


@pytest.mark.parametrize(
    ("value", "line"),
    [
        *[(None, "done"), ("a\n b", "a b"), ([1], "1 item"), ([1, 2], "2 items"), (True, "true"), (5, "5")],
        *[({"status": "shipped", "rows": [1]}, "status: shipped"), ({"rows": []}, "1 fields")],
        ("x" * 500, "x" * 159 + "…"),
    ],
)
def test_a_result_without_a_summary_gets_one(value: Any, line: str) -> None:
    assert summarise(value) == line


def test_a_tool_error_survives_pickling() -> None:
    import pickle

    error = pickle.loads(pickle.dumps(ToolError("not_found", "Gone.")))
    assert (error.code, error.message, str(error)) == ("not_found", "Gone.", "Gone.")
