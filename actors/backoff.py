"""The delay before a child's next incarnation, as a pure function of its failures."""

from __future__ import annotations

import math

from attrs import Attribute, Factory, field, frozen

from .checks import is_number
from .errors import InvalidSpec

LONGEST_S = 30.0
"""Default of `max_s` in seconds, unless `min_s` is longer."""


def _positive(_: object, attribute: Attribute[float], value: float) -> None:
    if not (is_number(value) and math.isfinite(value) and value > 0):
        raise InvalidSpec(f"backoff.{attribute.name}", "must be a finite number above zero")


def _longest(backoff: Backoff) -> float:
    return max(LONGEST_S, backoff.min_s) if is_number(backoff.min_s) else LONGEST_S


@frozen
class Backoff:
    """An exponential delay with jitter, counted per child.

    The n-th delay in a row (n from 0) is `min_s * factor ** n`, at most `max_s`, then changed at random by up to
    `jitter` of itself. `max_s` defaults to 30 s, or to `min_s` if that is longer. After `reset_after_s` seconds of
    running (default: `max_s`) the count starts again, as it does when the child calls `Context.healthy`. Raises
    `InvalidSpec` for invalid numbers.
    """

    min_s: float = field(default=0.1, validator=_positive)
    max_s: float = field(default=Factory(_longest, takes_self=True), validator=_positive)
    factor: float = field(default=2.0, validator=_positive)
    jitter: float = 0.2
    reset_after_s: float | None = None

    def __attrs_post_init__(self) -> None:
        if self.max_s < self.min_s:
            raise InvalidSpec("backoff.max_s", "must not be less than min_s")
        if self.factor < 1:
            raise InvalidSpec("backoff.factor", "must be at least 1")
        if not (is_number(self.jitter) and 0 <= self.jitter <= 1):
            raise InvalidSpec("backoff.jitter", "must be from 0 to 1")
        if self.reset_after_s is not None and not (is_number(self.reset_after_s) and self.reset_after_s > 0):
            raise InvalidSpec("backoff.reset_after_s", "must be above zero")

    def delay(self, failures: int, chance: float) -> float:
        """Return the delay in seconds after `failures` earlier ones in a row; `chance` is from 0 to 1.

        Safe for any count: the exponent is compared as a logarithm before it is raised.
        """
        steps_to_max = math.log(self.max_s / self.min_s, self.factor) if self.factor > 1 else math.inf
        base = (
            self.max_s if failures >= steps_to_max else self.min_s * self.factor ** (failures if self.factor > 1 else 0)
        )
        return min(self.max_s, base * (1 + self.jitter * (2 * chance - 1)))

    def forgets(self, ran_s: float) -> bool:
        """Whether a child that ran for `ran_s` seconds before it failed starts again from `min_s`."""
        return ran_s >= (self.max_s if self.reset_after_s is None else self.reset_after_s)
