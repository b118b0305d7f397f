"""Applies a rule at a place of a view: whether it is an order, its end and its weight."""

from typing import Final

from .foreign import Weak
from .rules import OrderRule
from .window import AHEAD

BEFORE: Final = 96
"""Characters before a first word that are searched for a rule's `before`."""


class Reader:
    """Reads orders in one view. Results are cached by the text around a place, so a repetitive text is read once."""

    def __init__(self, view: str) -> None:
        self._view = view
        self._known: dict[tuple[str, int, str], tuple[int, float] | None] = {}

    def weak(self, rule: OrderRule, at: int) -> Weak | None:
        """Apply a rule at a place."""
        first = max(0, at - BEFORE - 1)
        window = self._view[first : at + AHEAD]
        key = (rule.name, at - first, window)
        if key not in self._known:
            self._known[key] = self._judged(rule, window, at - first)
        known = self._known[key]
        return Weak(at, at + known[0], rule.kind, known[1], rule.reason) if known else None

    @staticmethod
    def _judged(rule: OrderRule, window: str, at: int) -> tuple[int, float] | None:
        """Return the end of the order and its weight."""
        match = rule.pattern.match(window, at)
        if not match:
            return None
        taking_part = match.groupdict()
        weight = sum(add for group, add in rule.weights.items() if not group or taking_part.get(group))
        for pattern, add in rule.before:
            if pattern.search(window, max(0, at - BEFORE), at):
                weight += add
        return match.end() - at, weight
