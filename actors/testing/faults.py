"""The faults that chaos injects, as data: their rates, their log, and the error they raise."""

from __future__ import annotations

import json
from collections.abc import Iterable
from enum import Enum
from typing import Any

from attrs import Attribute, asdict, define, field, frozen

from actors.errors import ActorError, InvalidSpec


class FaultKind(Enum):
    """A type of fault."""

    KILL = "kill"
    """Kill the actor: before it handles a message, or between messages at any moment."""
    DELAY = "delay"
    """Delay the handling of a message."""
    FAIL = "fail"
    """Raise `ChaosFault` in place of handling a message."""
    DROP = "drop"
    """Do not handle a message, and go on as if it had never come.

    The caller of a request waits for the ask's timeout, as if the request had been lost; a caller without a timeout
    gets `ChaosFault` at once, so that no caller waits forever. Notices of the runtime, which cannot get lost, are never
    dropped.
    """


@define
class ChaosFault(ActorError, RuntimeError):
    """Raised on purpose by `chaos`, in the actor `path` at its message number `message` (from 0)."""

    path: str
    message: int

    def __str__(self) -> str:
        return f"chaos: {self.path} fails at message {self.message}"


@frozen
class Fault:
    """One injected fault: `at_s` seconds after the chaos began, to the actor at `path`.

    `message` is the number of the message, counted from 0 for each path from the beginning of the chaos, over restarts;
    None for a kill between messages. `seconds` is the length of a delay.
    """

    at_s: float
    path: str
    kind: FaultKind
    message: int | None = None
    seconds: float = 0.0


def _check_chance(_: object, attribute: Attribute[float], value: float) -> None:
    if not 0 <= value <= 1:
        raise InvalidSpec(f"rates.{attribute.name}", "must be from 0 to 1")


def _check_positive(_: object, attribute: Attribute[float], value: float) -> None:
    if not value >= 0:
        raise InvalidSpec(f"rates.{attribute.name}", "must not be negative")


@frozen
class Rates:
    """The probability of each fault for each message, from 0 to 1, and the number of further kills a second.

    A delay is between 0 and `delay_s` seconds. Raises `InvalidSpec` for an invalid rate, or if the four together
    are above 1.
    """

    kill: float = field(default=0.0, validator=_check_chance)
    delay: float = field(default=0.0, validator=_check_chance)
    fail: float = field(default=0.0, validator=_check_chance)
    drop: float = field(default=0.0, validator=_check_chance)
    kills_per_s: float = field(default=0.0, validator=_check_positive)
    delay_s: float = field(default=1.0, validator=_check_positive)

    def __attrs_post_init__(self) -> None:
        if self.kill + self.delay + self.fail + self.drop > 1:
            raise InvalidSpec("rates", "kill, delay, fail and drop must not be above 1 together")

    def choose(self, chance: float) -> FaultKind | None:
        """Return the fault for a chance from 0 to 1, or None."""
        for kind, rate in zip(FaultKind, (self.kill, self.delay, self.fail, self.drop), strict=True):
            if chance < rate:
                return kind
            chance -= rate
        return None


def dump_faults(faults: Iterable[Fault]) -> str:
    """Return the faults as JSON: a list of objects, one in a line."""
    return "[" + ",\n ".join(json.dumps({**asdict(fault), "kind": fault.kind.value}) for fault in faults) + "]\n"


def load_faults(text: str) -> list[Fault]:
    """Parse the output of `dump_faults`. Raises `ValueError` for anything else."""
    try:
        rows: list[dict[str, Any]] = json.loads(text)
        return [Fault(**{**row, "kind": FaultKind(row["kind"])}) for row in rows]
    except (KeyError, TypeError) as error:
        raise ValueError(f"this is no list of faults: {error}") from error
