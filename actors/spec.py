"""Specs of children and of supervision: plain data, checked when it is made."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, NoReturn

from attrs import Attribute, field, frozen

from .backoff import Backoff, is_number
from .errors import InvalidSpec, SpentSpec
from .hooks import check_plain

if TYPE_CHECKING:
    from .actor import Actor

WORKER_SHUTDOWN_S = 5.0
"""Grace of an actor without children, from Erlang/OTP's default for workers."""
SUPERVISOR_SHUTDOWN_S = math.inf
"""Grace of an actor with children, from Erlang/OTP's default for supervisors."""


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


def _is_kind(kind: type[Enum]) -> Callable[[object, Any, object], None]:
    def check(_: object, attribute: Attribute[object], value: object) -> None:
        if not isinstance(value, kind):
            raise InvalidSpec(attribute.name, f"must be a {kind.__name__}, not {value!r}")

    return check


def _check_id(_: object, __: object, value: Any) -> None:
    if not isinstance(value, str) or not value:
        raise InvalidSpec("id", "must be a string that is not empty")
    if "/" in value:
        raise InvalidSpec("id", "must not contain '/', which separates the parts of a path")


def _spent() -> NoReturn:
    raise SpentSpec


def _check_factory(_: object, __: object, value: Any) -> None:
    if not callable(value):
        one = f"; {type(value).__name__} is given: pass its class, or `lambda: {type(value).__name__}(...)`"
        raise InvalidSpec("factory", f"must be callable with no arguments, and make an actor each time{one}")
    check_plain("factory", value)


@frozen
class ChildSpec:
    """How to start, restart and stop one child.

    `factory` makes a fresh actor for each incarnation; it must not block. `shutdown_s` is the grace of a stop: None
    means 5 s for an actor without children and no limit for one with children, 0 kills at once. `backoff` delays
    restarts. `significant` children count for `Supervision.auto_shutdown`. `directives` choose by exception type,
    the nearest class in the error's ancestry first. `redeliver`: a told message that crashed the actor is handed to up
    to that many further incarnations, before the mailbox; then it becomes a dead letter, `poison`. Raises `InvalidSpec`
    naming the field.
    """

    id: str = field(validator=_check_id)
    factory: Callable[[], Actor] = field(validator=_check_factory)
    restart: Restart = field(default=Restart.PERMANENT, validator=_is_kind(Restart))
    shutdown_s: float | None = field(default=None)
    start_timeout_s: float = field(default=30.0)
    backoff: Backoff | None = field(default=None)
    significant: bool = field(default=False)
    directives: Mapping[type[Exception], Directive] | None = field(default=None)
    redeliver: int = field(default=0)

    @backoff.validator
    def _check_backoff(self, _: Attribute[Backoff | None], value: object) -> None:
        if value is not None and not isinstance(value, Backoff):
            raise InvalidSpec("backoff", "must be a Backoff or None")

    @significant.validator
    def _check_significant(self, _: Attribute[bool], value: object) -> None:
        if not isinstance(value, bool):
            raise InvalidSpec("significant", "must be True or False")

    @directives.validator
    def _check_directives(self, _: Attribute[Any], value: object) -> None:
        if value is None:
            return
        if not isinstance(value, Mapping):
            raise InvalidSpec("directives", "must be a mapping from exception classes to Directives, or None")
        for kind, directive in value.items():
            if not (isinstance(kind, type) and issubclass(kind, Exception) and isinstance(directive, Directive)):
                raise InvalidSpec("directives", f"{kind!r}: {directive!r} is no exception class with a Directive")

    @redeliver.validator
    def _check_redeliver(self, _: Attribute[int], value: object) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise InvalidSpec("redeliver", "must be a whole number, zero or more")

    @shutdown_s.validator
    def _check_shutdown(self, _: Attribute[float | None], value: float | None) -> None:
        if value is not None and not (is_number(value) and value >= 0):
            raise InvalidSpec("shutdown_s", "must be zero, positive, infinite or None")

    @start_timeout_s.validator
    def _check_start_timeout(self, _: Attribute[float], value: float) -> None:
        if not (is_number(value) and value > 0):
            raise InvalidSpec("start_timeout_s", "must be above zero")

    def __attrs_post_init__(self) -> None:
        if self.significant and self.restart is Restart.PERMANENT:
            raise InvalidSpec("significant", "a permanent child never ends for good: make it transient or temporary")

    def without_factory(self) -> ChildSpec:
        """Return a copy that releases the factory. Starting a child from it raises `SpentSpec`."""
        twin = copy.copy(self)
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
    """How an actor supervises its children. The defaults are Erlang/OTP's: 1 restart in 5 s, one for one.

    `intensity` restarts within `period_s` seconds are tolerated; the next makes the supervisor stop its children and
    fail. `max_children` bounds the live children; None leaves them unbounded. With `stop_together` all children stop at
    once when the supervisor ends, instead of in reverse order. With `per_child` the restarts of each child are counted
    separately, for unrelated children. Raises `InvalidSpec` naming the field.
    """

    strategy: Strategy = field(default=Strategy.ONE_FOR_ONE, validator=_is_kind(Strategy))
    intensity: int = field(default=1)
    period_s: float = field(default=5.0)
    max_children: int | None = field(default=None)
    auto_shutdown: AutoShutdown = field(default=AutoShutdown.NEVER, validator=_is_kind(AutoShutdown))
    stop_together: bool = field(default=False)
    per_child: bool = field(default=False)

    @per_child.validator
    def _check_per_child(self, _: Attribute[bool], value: object) -> None:
        if not isinstance(value, bool):
            raise InvalidSpec("per_child", "must be True or False")

    @stop_together.validator
    def _check_stop_together(self, _: Attribute[bool], value: object) -> None:
        if not isinstance(value, bool):
            raise InvalidSpec("stop_together", "must be True or False")

    @intensity.validator
    def _check_intensity(self, _: Attribute[int], value: object) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise InvalidSpec("intensity", "must be a whole number, zero or more")

    @period_s.validator
    def _check_period(self, _: Attribute[float], value: float) -> None:
        if not (is_number(value) and math.isfinite(value) and value > 0):
            raise InvalidSpec("period_s", "must be a finite number above zero")

    @max_children.validator
    def _check_max_children(self, _: Attribute[int | None], value: object) -> None:
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            raise InvalidSpec("max_children", "must be a whole number above zero, or None")


def check_children(specs: Iterable[ChildSpec]) -> tuple[ChildSpec, ...]:
    """Return the specs as a tuple. Raises `InvalidSpec` for anything but a spec, and for a duplicate id."""
    seen: set[str] = set()
    checked = tuple(specs)
    for spec in checked:
        if not isinstance(spec, ChildSpec):
            raise InvalidSpec("children", f"must be ChildSpecs, not {type(spec).__name__}")
        if spec.id in seen:
            raise InvalidSpec("id", f"{spec.id!r} comes twice among the children")
        seen.add(spec.id)
    return checked
