"""What a run has spent of its budget, what it is told of it, and why it closes before its model has finished. Pure.

1. The meter is rebuilt after a kill: the loop adds every recorded turn again, and the time of work is derived from the
   timestamps of the recorded steps.
2. The last turn that a budget allows is a closing turn: the model has no tools in it, so it answers with what it has.
3. A part of the run may close it, too, with such a turn or without one.
"""

from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec
from attrs import define, field, frozen

from transport.wire.commands import JsonObject
from understudy.agents.agent import Agent
from understudy.agents.budget import LIMIT_OF, Budget
from understudy.storage.limits import RunLimits
from understudy.storage.records import StepRecord
from understudy.wire.events import NO_USAGE, Usage

CLOSE: Final = "Answer the user with what you have, and say what is missing."
"""What a model is asked for in a closing turn."""


@frozen
class Ended:
    """Why a run closes before its model has finished: the budget or other bound by name, its value, and a sentence.

    `note` is what the model is told in a closing turn; empty for a bound of the budget, which has its own words, and
    for one of a part that ends the run without a closing turn.
    """

    ended_by: str
    limit: float
    spent: float
    message: str
    note: str = ""

    def data(self) -> dict[str, Any]:
        """Return the member `budget` of the final event's data."""
        return {"ended_by": self.ended_by, "limit": self.limit, "spent": self.spent, "message": self.message}


LOW: Final = 0.1
"""Fraction of a budget from which on the model is told what is left."""
LOW_TURNS: Final = 2
"""Turns from which on the model is told how many are left."""
CUT: Final = ("ask", "cut off", None, None)
"""Kind, name, call and arguments of the step of a request to the model that was cut off: it has the usage alone."""
TITLE: Final = ("ask", "title", None, None)
"""Kind, name, call and arguments of the step of the request for a thread's title: it has the usage alone, and follows
the end of the run."""
HAND_WRITTEN: Final = "hand-written"
"""The name of a step of kind `model` whose text and calls are those of a hand-written agent: no model was asked."""
CLOSING_S: Final = 30.0
"""Longest time for the closing turn after `wall_s`; it has a tenth of `wall_s` if that is less."""
WORDS: Final = {
    "turns": ("turn", "turns"),
    "calls": ("tool call", "tool calls"),
    "tokens": ("token", "tokens"),
    "cost": ("of cost", "of cost"),
    "wall_s": ("second of work", "seconds of work"),
}


@define
class Meter:
    """Counts what a run spends. `whose` says of each bound whose it is, in words; `currency` is that of the cost.

    The meter of a subagent counts `within` that of the agent which asks it, whose bounds hold for it too. `used` is
    what the run has used of models, `own` that of the agent at work, without those before a handoff. `closed_by` is the
    bound that closes the run, None as long as none does; `closing` is that of a part which gives it a closing turn.
    """

    budget: Budget
    whose: Mapping[str, str] = field(factory=dict)
    currency: str = ""
    within: "Meter | None" = None
    turns: int = field(default=0, init=False)
    calls: int = field(default=0, init=False)
    used: Usage = field(default=NO_USAGE, init=False)
    own: Usage = field(default=NO_USAGE, init=False)
    closing: Ended | None = field(default=None, init=False)
    closed_by: Ended | None = field(default=None, init=False)

    @classmethod
    def of(cls, agent: Agent, limits: RunLimits, settings: JsonObject, currency: str = "") -> "Meter":
        """Return the meter of a run of `agent`; `max_turns` and `budget` of its message lower the agent's budget."""
        budget, whose = _bounds(agent.budget, limits, agent.name)
        meter = cls(budget, whose, currency)
        if "budget" in settings or "max_turns" in settings:
            bounds = {name: value for name, value in settings.get("budget", {}).items() if name in LIMIT_OF}
            bounded = Budget(turns=settings.get("max_turns")).lowered(Budget(**bounds))
            meter._lower(bounded, dict.fromkeys(LIMIT_OF, "the limit of this message"))
        return meter

    def hand_over(self, agent: Agent, limits: RunLimits) -> None:
        """Count for `agent` from now on, to which the run was handed over, and lower the budget to that of it."""
        self.own = NO_USAGE
        self._lower(*_bounds(agent.budget, limits, agent.name))

    def _lower(self, budget: Budget, whose: Mapping[str, str]) -> None:
        lowered = self.budget.lowered(budget)
        changed = [name for name in LIMIT_OF if getattr(lowered, name) != getattr(self.budget, name)]
        self.whose = {**self.whose, **{name: whose[name] for name in changed}}
        self.budget = lowered

    def add_usage(self, usage: Usage, *, turns: int = 0) -> None:
        """Count what a request to the model used: one of the `turns` of the run, or none, as for a summary."""
        self.turns += turns
        self.used += usage
        self.own += usage
        if self.within is not None:
            self.within.add_usage(usage, turns=turns)

    def add_calls(self, count: int) -> None:
        """Count tool calls that were made."""
        self.calls += count
        if self.within is not None:
            self.within.add_calls(count)

    def spent(self, worked_s: float) -> dict[str, float]:
        """Return what has been spent, by the names of a budget's fields. `worked_s` is the time of work so far."""
        tokens, cost = self.used.input + self.used.output, self.used.cost or 0.0
        counted = {"turns": self.turns, "calls": self.calls, "tokens": tokens, "cost": round(cost, 6)}
        return {**counted, "wall_s": round(worked_s, 3)}

    def left(self, worked_s: float) -> dict[str, float]:
        """Return what is left of each bound that the budget has, at least 0."""
        bounds, spent = self.budget, self.spent(worked_s)
        left = {name: bound - spent[name] for name in LIMIT_OF if (bound := getattr(bounds, name)) is not None}
        return {name: max(0, round(value, 6)) for name, value in left.items()}

    def ended(self, worked_s: float) -> Ended | None:
        """Return why the next turn is the closing one; None if it is not."""
        return self.closing or self.reached(worked_s, LIMIT_OF, closing=True)

    def reached(self, worked_s: float, names: Collection[str], *, closing: bool = False) -> Ended | None:
        """Return which of these bounds is reached; None if none is. `closing`: the last turn is kept for the answer."""
        for name, value in self.spent(worked_s).items():
            bound = getattr(self.budget, name) if name in names else None
            if bound is not None and value + (closing and name == "turns") >= bound:
                shown = bound if name == "turns" else value  # the closing turn is one of them
                whose = self.whose.get(name, "the budget")
                return Ended(name, bound, shown, f"Stopped after {self._amount(name, bound)}, {whose}.")
        return None if self.within is None else self.within.reached(worked_s, names, closing=closing)

    def allowed_calls(self, most: int) -> int:
        """Return how many of `most` calls the budget has room for."""
        most = most if self.within is None else self.within.allowed_calls(most)
        return most if self.budget.calls is None else max(0, min(most, self.budget.calls - self.calls))

    def left_s(self, worked_s: float) -> float:
        """Return how long the run may still work, in seconds; infinite if the budget has no `wall_s`."""
        left_s = float("inf") if self.within is None else self.within.left_s(worked_s)
        return left_s if self.budget.wall_s is None else min(left_s, max(0.0, self.budget.wall_s - worked_s))

    def closing_s(self, worked_s: float) -> float:
        """Return the seconds that the next turn may take before its text is cut; infinite without a `wall_s`."""
        return self.left_s(worked_s) or max(0.0, (self.budget.wall_s or 0.0) + self.grace_s - worked_s)

    @property
    def grace_s(self) -> float:
        """Seconds after `wall_s` in which the closing turn may write."""
        return min(CLOSING_S, 0.1 * (self.budget.wall_s or 0.0))

    def note(self, worked_s: float, ended: Ended | None) -> str:
        """Return what the model is told before its next turn, which `ended` closes; empty while nothing runs low.

        It goes last in the model's input, so that what precedes it stays the same from turn to turn.
        """
        if ended is not None:
            if ended.note:
                return ended.note
            amount = self._amount(ended.ended_by, ended.limit)
            return f"This is the last turn: the budget of {amount} is spent. You have no tools now. {CLOSE}"
        parts = []
        for name, left in self.left(worked_s).items():
            if left <= LOW * getattr(self.budget, name) or (name == "turns" and left <= LOW_TURNS):
                parts.append(self._amount(name, left))
        return f"Left of the budget of this run: {', '.join(parts)}. Finish within it." if parts else ""

    def _amount(self, name: str, value: float) -> str:
        if name == "cost":
            return f"{value:,.4g} {self.currency} of cost".replace("  ", " ")
        digits = f"{value:,.0f}" if value >= 10 else f"{value:.3g}"
        return f"{digits} {WORDS[name][value != 1]}"


@lru_cache(maxsize=256)  # few of them, and no more than data
def _bounds(budget: Budget, limits: RunLimits, agent: str) -> tuple[Budget, Mapping[str, str]]:
    """Return the budget of the runs of an agent on a server with these limits, and whose each bound is."""
    bounded = {name: getattr(budget, name) is not None for name in LIMIT_OF}
    whose = {name: "the agent's budget" if bounded[name] else "the server's limit" for name in LIMIT_OF}
    return budget.within(limits, agent), whose


def usage_of(step: StepRecord) -> Usage | None:
    """Return what a finished step used of the model; None if it is not finished or asked no model."""
    if step.kind not in ("model", "summary", "ask") or step.ended_at is None or "usage" not in step.result:
        return None
    return msgspec.convert(step.result["usage"], Usage)


def worked_s(steps: Iterable[StepRecord], durations_s: Mapping[str, float]) -> float:
    """Return the seconds that recorded steps took together: overlapping ones count once, unfinished ones not.

    Turns of hand-written agents do not count: they include the wait for their user.

    `durations_s` has the time of work of each finished tool call by its id, without the wait for its user.
    """
    spans = []
    for step in steps:
        if step.ended_at is not None and not (step.kind == "model" and step.name == HAND_WRITTEN):
            began_at = step.ended_at - durations_s.get(step.call_id or "", step.ended_at - step.started_at)
            spans.append((began_at, step.ended_at))
    total_s, until = 0.0, float("-inf")
    for began_at, ended_at in sorted(spans):
        total_s += max(0.0, ended_at - max(began_at, until))
        until = max(until, ended_at)
    return total_s
