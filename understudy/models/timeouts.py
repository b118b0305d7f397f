"""How long a model may be silent, by its provider or its name in the settings. Pure."""

from collections.abc import Mapping
from typing import Final, TypeAlias

from attrs import asdict, field, frozen
from attrs.validators import gt, le, optional

IDLE_S: Final = 120.0
"""Seconds between two pieces of text, unless set: a busy server may pause, and an answer that is cut is half an answer.
A connection that is lost is noticed before, and the user can stop the run and go on with it."""
MAX_S: Final = 3_600.0


@frozen
class Times:
    """The times of a model: until an answer begins and while it thinks, and between two pieces of its text."""

    first_token_s: float | None = field(default=None, validator=optional([gt(0.0), le(MAX_S)]))
    idle_s: float | None = field(default=None, validator=optional([gt(0.0), le(MAX_S)]))


Timeouts: TypeAlias = Mapping[str, Times]
"""By the name of a provider (``anthropic``) or of a model (``anthropic:NAME``), those that are set."""


def timeouts_of(name: str, given: Timeouts) -> dict[str, float]:
    """Return the times of a model: its own, else those of its provider; one that is in neither is left out."""
    rows = [asdict(given[key]) for key in (name.partition(":")[0], name) if key in given]
    return {kind: value for row in rows for kind, value in row.items() if value is not None}
