"""The dispatch table of a server: message types to methods, read from annotations once for each class."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping
from types import SimpleNamespace, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints, is_typeddict

from attrs import define, frozen

from actors.actor import Context
from actors.ask import Ask
from actors.errors import ActorError

S = TypeVar("S")
M = TypeVar("M")
Q = TypeVar("Q", bound=Ask[Any])
R = TypeVar("R")

_MARK = "__actor_duty__"
_NUMBERS: dict[type, tuple[type, ...]] = {float: (int,), complex: (int, float)}
"""Types that typing accepts as a float or a complex, besides their subclasses (PEP 484)."""


@define
class InvalidServer(ActorError, TypeError):
    """A class of servers was refused when it was defined: one of its methods cannot be a call or a cast."""

    server: str
    method: str
    problem: str

    def __str__(self) -> str:
        return f"{self.server}.{self.method} {self.problem}"


class NoReply:
    """The type of `NO_REPLY`, for annotations."""

    __slots__ = ()


NO_REPLY: NoReply = NoReply()
"""The result of a call that answers later, with `request.reply` or `request.fail`."""


@frozen
class DispatchEntry:
    """A method, and whether its result is the answer."""

    method: Callable[[Any, Any, Context], Awaitable[Any]]
    replies: bool


def call(method: Callable[[S, Q, Context], Awaitable[R]]) -> Callable[[S, Q, Context], Awaitable[R]]:
    """Mark `async def method(self, request: SomeAsk, context) -> Answer` to answer requests of that type and its
    subtypes.

    Its result is the answer, unless it is `NO_REPLY`. The type may be a union.
    """
    setattr(method, _MARK, True)
    return method


def cast(method: Callable[[S, M, Context], Awaitable[None]]) -> Callable[[S, M, Context], Awaitable[None]]:
    """Mark `async def method(self, message: SomeType, context)` to take messages of that type and its subtypes.

    Notices and timers included. `object` stands for every message that is no request.
    """
    setattr(method, _MARK, False)
    return method


def dispatch_table(server: type) -> dict[type, DispatchEntry]:
    """Return the methods of a server by exact message type. Raises `InvalidServer`."""
    duties: dict[type, DispatchEntry] = {}
    for name, declared in _marked(server).items():
        replies, method = getattr(declared, _MARK), getattr(server, name)
        _check_form(server, name, method)
        for kind in _kinds(server, name, declared):
            _check_types(server, name, declared, kind, replies)
            if kind in duties:
                raise InvalidServer(server.__name__, name, f"takes {kind.__name__}, which another method takes already")
            duties[kind] = DispatchEntry(method, replies)
    return duties


def find_entry(declared: Mapping[type, DispatchEntry], kind: type, otherwise: DispatchEntry) -> DispatchEntry:
    """Return the entry of the nearest ancestor of `kind`, or `otherwise`. A request goes to a call only."""
    asked = issubclass(kind, Ask)
    known = (declared[ancestor] for ancestor in kind.__mro__ if ancestor in declared)
    return next((duty for duty in known if duty.replies or not asked), otherwise)


def _marked(server: type) -> dict[str, Any]:
    """Return the last marked function under each name; it also declares a method that overrides it without a mark."""
    ancestry = reversed(server.__mro__)
    return {name: value for kind in ancestry for name, value in vars(kind).items() if hasattr(value, _MARK)}


def _kinds(server: type, name: str, method: Any) -> Iterator[type]:
    """Yield the message types in the annotation of the method's message."""
    message = list(inspect.signature(method).parameters)[1]
    if message not in method.__annotations__:
        raise InvalidServer(server.__name__, name, f"needs an annotation: the type of its {message}")
    for kind in _members(_resolved(server, name, method, message)):
        kind = get_origin(kind) or kind
        if not isinstance(kind, type):
            raise InvalidServer(server.__name__, name, f"must name classes as the type of its {message}, not {kind!r}")
        yield kind


def _check_form(server: type, name: str, method: Any) -> None:
    if not inspect.iscoroutinefunction(method) or len(inspect.signature(method).parameters) != 3:
        raise InvalidServer(server.__name__, name, "must be `async def` and take self, a message and the context")


def _check_types(server: type, name: str, method: Any, kind: type, replies: bool) -> None:
    """Raise `InvalidServer` for a call with a non-request, a cast with a request, or an answer of another type."""
    if issubclass(kind, Ask) is not replies:
        problem = "is a call, but {} is no Ask" if replies else "is a cast, but {} is an Ask: make it a call"
        raise InvalidServer(server.__name__, name, problem.format(kind.__name__))
    wanted = _answer_of(kind) if replies and "return" in method.__annotations__ else None
    if wanted is None:
        return
    for given in _members(_resolved(server, name, method, "return")):
        if _is_plain(given) and not issubclass(given, (wanted, NoReply, *_NUMBERS.get(wanted, ()))):
            problem = f"returns {given.__name__}, but the answer to {kind.__name__} is {wanted.__name__}"
            raise InvalidServer(server.__name__, name, problem)


def _resolved(server: type, name: str, method: Any, part: str) -> Any:
    """Evaluate one annotation of the method, in its module and its class."""
    hints = SimpleNamespace(__annotations__={part: method.__annotations__[part]})
    try:
        return get_type_hints(hints, inspect.unwrap(method).__globals__, dict(vars(server)))[part]
    except NameError as error:
        problem = f"has an annotation that is not known when the class is made: {error}"
        raise InvalidServer(server.__name__, name, problem) from None


def _members(annotation: Any) -> tuple[Any, ...]:
    """Return the types in a union, or the type itself if it is no union."""
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _answer_of(kind: type) -> type | None:
    """Return the T of the `Ask[T]` that `kind` is, if it is one plain class, else None."""
    for ancestor in kind.__mro__:
        for base in vars(ancestor).get("__orig_bases__", ()):
            if get_origin(base) is Ask:
                answer = get_args(base)[0]
                return answer if _is_plain(answer) else None
    return None


def _is_plain(kind: Any) -> bool:
    """Whether `issubclass` agrees with a type checker for this type."""
    if not isinstance(kind, type) or kind is Any or get_origin(kind) is not None:
        return False
    return not getattr(kind, "_is_protocol", False) and not is_typeddict(kind)
