"""How long a model may be silent, by its provider or its name in the settings. Pure."""

import math
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

NAMES: Final = ("first_token_s", "idle_s")
"""Seconds until an answer begins, and while a model thinks; seconds between two pieces of its text."""
IDLE_S: Final = 120.0
"""Seconds between two pieces of text, unless set: a busy server may pause, and an answer that is cut is half an answer.
A connection that is lost is noticed before, and the user can stop the run and go on with it."""
MAX_S: Final = 3_600.0
Timeouts: TypeAlias = Mapping[str, Mapping[str, float]]
"""By the name of a provider (``anthropic``) or of a model (``anthropic:NAME``), those that are set."""


def timeouts_of(name: str, given: Timeouts) -> dict[str, float]:
    """Return the times of a model: its own, else those of its provider; one that is in neither is left out."""
    return {**given.get(name.partition(":")[0], {}), **given.get(name, {})}


def read_timeouts(given: Any) -> tuple[Timeouts, list[str]]:
    """Read the table `models.timeouts` of a settings file. Return it, and the faults as sentences."""
    if not isinstance(given, dict):
        return {}, ['models.timeouts must be a table: [understudy.models.timeouts."NAME"]']
    read: dict[str, dict[str, float]] = {}
    faults: list[str] = []
    for name, row in given.items():
        where = f'models.timeouts."{name}"'
        if not isinstance(row, dict):
            faults.append(f"{where} must be a table with {' or '.join(NAMES)}")
            continue
        for each, value in row.items():
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if each not in NAMES:
                faults.append(f"{where} has an unknown member {each}")
            elif not (number and math.isfinite(value) and 0 < value <= MAX_S):
                faults.append(
                    f"{where}.{each} must be a number of seconds above 0, {MAX_S:,.0f} at most, not {value!r}"
                )
            else:
                read.setdefault(name, {})[each] = float(value)
    return read, faults
