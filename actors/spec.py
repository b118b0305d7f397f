"""Specs of children and of supervision: plain data, checked when it is made."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, NoReturn

from attrs import fields, frozen

from .backoff import Backoff
from .checks import MUST_BE_PLAIN, check_count, is_number
from .errors import InvalidSpec, SpentSpec

if TYPE_CHECKING:
    from .actor import Actor

WORKER_SHUTDOWN_S = 5.0
"""Grace of an actor without children, from Erlang/OTP's default for workers. One with children has no limit."""


class Restart(Enum):
    """When a child that ended gets a new incarnation."""

    PERMANENT = "permanent"
    """Always."""
    TRANSIENT = "transient"
    """After an abnormal end (`Exit.abnormal`) only."""
    TEMPORARY = "temporary"
    """Never, and its spec is dropped."""


class Strategy(Enum):
    """Which children are restarted when one fails."""

    ONE_FOR_ONE = "one_for_one"
    """The failed child alone."""
    ONE_FOR_ALL = "one_for_all"
    """All children: stopped in reverse, started in order."""
    REST_FOR_ONE = "rest_for_one"
    """The failed child and those started after it."""


class AutoShutdown(Enum):
    """Whether the end of significant children ends their supervisor."""

    NEVER = "never"
    ANY = "any"
    ALL = "all"


class Directive(Enum):
    """The reaction to one type of exception."""

    RESTART = "restart"
    """Follow the child's `Restart`; the default."""
    RESUME = "resume"
    """Keep the state and go on with the next message."""
    STOP = "stop"
    """End the child for good."""
    ESCALATE = "escalate"
    """Fail the supervisor."""


def _spent() -> NoReturn:
    raise SpentSpec


@frozen
class ChildSpec:
    """The spec of one child: how to start, restart and stop it.

    `factory` makes a fresh actor for each incarnation; it must not block. `shutdown_s` is the grace of a stop: None
    means 5 s for an actor without children and no limit for one with children, 0 kills at once. `backoff` delays
    restarts. `significant` children count for `Supervision.auto_shutdown`. `directives` are chosen by exception type,
    the nearest class in the error's ancestry first. A message that crashed the actor, and was not asked, is handed to
    up to `redeliver` further incarnations, before the mailbox; then it becomes a dead letter, `poison`.
    Raises `InvalidSpec` naming the field.
    """

    id: str
    factory: Callable[[], Actor]
    restart: Restart = Restart.PERMANENT
    shutdown_s: float | None = None
    start_timeout_s: float = 30.0
    backoff: Backoff | None = None
    significant: bool = False
    directives: Mapping[type[Exception], Directive] | None = None
    redeliver: int = 0

    def __attrs_post_init__(self) -> None:
        id_: Any = self.id
        factory: Any = self.factory
        grace_s: Any = self.shutdown_s
        start_s: Any = self.start_timeout_s
        if not isinstance(id_, str) or not id_:
            raise InvalidSpec("id", "must be a string that is not empty")
        if "/" in id_:
            raise InvalidSpec("id", "must not contain '/', which separates the parts of a path")
        if not callable(factory):
            hint = f"; {type(factory).__name__} is given: pass its class, or `lambda: {type(factory).__name__}(...)`"
            raise InvalidSpec("factory", f"must be callable with no arguments, and make an actor each time{hint}")
        if not isinstance(factory, type) and iscoroutinefunction(factory):
            raise InvalidSpec("factory", MUST_BE_PLAIN)
        if not isinstance(self.restart, Restart):
            raise InvalidSpec("restart", f"must be a Restart, not {self.restart!r}")
        if isinstance(grace_s, bool) or not isinstance(grace_s, int | float | None) or not (grace_s or 0) >= 0:
            raise InvalidSpec("shutdown_s", "must be zero, positive, infinite or None")
        if isinstance(start_s, bool) or not isinstance(start_s, int | float) or not start_s > 0:
            raise InvalidSpec("start_timeout_s", "must be above zero")
        if self.backoff is not None and not isinstance(self.backoff, Backoff):
            raise InvalidSpec("backoff", "must be a Backoff or None")
        if not isinstance(self.significant, bool):
            raise InvalidSpec("significant", "must be True or False")
        if self.significant and self.restart is Restart.PERMANENT:
            raise InvalidSpec("significant", "a permanent child never ends for good: make it transient or temporary")
        if self.directives is not None:
            self._check_directives(self.directives)
        if type(self.redeliver) is not int or self.redeliver < 0:
            raise InvalidSpec("redeliver", "must be a whole number, zero or more")

    def _check_directives(self, directives: object) -> None:
        if not isinstance(directives, Mapping):
            raise InvalidSpec("directives", "must be a mapping from exception classes to Directives, or None")
        for kind, directive in directives.items():
            if not (isinstance(kind, type) and issubclass(kind, Exception) and isinstance(directive, Directive)):
                raise InvalidSpec("directives", f"{kind!r}: {directive!r} is no exception class with a Directive")

    def without_factory(self) -> ChildSpec:
        """Return a copy that releases the factory. Starting a child from it raises `SpentSpec`."""
        if self.factory is _spent:
            return self
        kind = type(self)
        twin = object.__new__(kind)  # `copy.copy` takes more than twice as long
        for attribute in fields(kind):
            object.__setattr__(twin, attribute.name, getattr(self, attribute.name))
        object.__setattr__(twin, "factory", _spent)
        return twin

    def directive(self, error: Exception) -> Directive:
        """Return the directive of the nearest of the error's classes, or `RESTART`."""
        if self.directives:
            for kind in type(error).__mro__:
                if kind in self.directives:
                    return self.directives[kind]
        return Directive.RESTART


@frozen
class Supervision:
    """The supervision of an actor's children. The defaults are Erlang/OTP's: 1 restart in 5 s, one for one.

    `intensity` restarts within `period_s` seconds are tolerated; the next makes the supervisor stop its children and
    fail. `max_children` bounds the live children; None leaves them unbounded. With `stop_together` all children stop at
    once when the supervisor ends, or a number of them at a time, instead of one after the other; in reverse order.
    With `per_child` the restarts of each child are counted separately, for unrelated children. Raises `InvalidSpec`
    naming the field.
    """

    strategy: Strategy = Strategy.ONE_FOR_ONE
    intensity: int = 1
    period_s: float = 5.0
    max_children: int | None = None
    auto_shutdown: AutoShutdown = AutoShutdown.NEVER
    stop_together: bool | int = False
    per_child: bool = False

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.strategy, Strategy):
            raise InvalidSpec("strategy", f"must be a Strategy, not {self.strategy!r}")
        check_count("intensity", self.intensity, least=0)
        if not (is_number(self.period_s) and 0 < self.period_s < math.inf):
            raise InvalidSpec("period_s", "must be a finite number above zero")
        if self.max_children is not None:
            check_count("max_children", self.max_children)
        if not isinstance(self.auto_shutdown, AutoShutdown):
            raise InvalidSpec("auto_shutdown", f"must be an AutoShutdown, not {self.auto_shutdown!r}")
        if not isinstance(self.stop_together, bool):
            check_count("stop_together", self.stop_together)
        if not isinstance(self.per_child, bool):
            raise InvalidSpec("per_child", "must be True or False")

    @property
    def stops_at_once(self) -> float:
        """The number of children that stop at a time when the supervisor ends; infinity for all of them."""
        return math.inf if self.stop_together is True else self.stop_together or 1


def check_children(specs: Iterable[ChildSpec]) -> tuple[ChildSpec, ...]:
    """Return the specs as a tuple. Raises `InvalidSpec` for anything but a spec, and for a duplicate id."""
    ids: set[str] = set()
    checked = tuple(specs)
    for spec in checked:
        if not isinstance(spec, ChildSpec):
            raise InvalidSpec("children", f"must be ChildSpecs, not {type(spec).__name__}")
        if spec.id in ids:
            raise InvalidSpec("id", f"{spec.id!r} comes twice among the children")
        ids.add(spec.id)
    return checked
