"""The limits of a model's silence, by its provider or its name in the settings. Pure."""

from collections.abc import Mapping
from typing import Final, TypeAlias

from attrs import asdict, field, frozen
from attrs.validators import gt, le, optional

IDLE_S: Final = 120.0
"""Default limit in seconds between two pieces of text. A busy server may pause, and giving up cuts the answer in half;
a lost connection is noticed earlier, and the user can stop the run and continue it."""
MAX_S: Final = 3_600.0


@frozen
class Times:
    """The limits of a model's silence: until its answer begins or while it reasons, and between two pieces of text."""

    first_token_s: float | None = field(default=None, validator=optional([gt(0.0), le(MAX_S)]))
    idle_s: float | None = field(default=None, validator=optional([gt(0.0), le(MAX_S)]))


Timeouts: TypeAlias = Mapping[str, Times]
"""The times that are set, by the name of a provider (``anthropic``) or of a model (``anthropic:NAME``)."""


def timeouts_of(name: str, timeouts: Timeouts) -> dict[str, float]:
    """Return the times of a model: its own, else its provider's. A time that neither sets is left out."""
    rows = [asdict(timeouts[key]) for key in (name.partition(":")[0], name) if key in timeouts]
    return {kind: value for row in rows for kind, value in row.items() if value is not None}
