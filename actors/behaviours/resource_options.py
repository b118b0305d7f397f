"""The timeouts and delays of a resource."""

from __future__ import annotations

from attrs import Attribute, field, frozen

from actors.backoff import Backoff
from actors.errors import InvalidSpec

DELAYS: Backoff = Backoff()
"""Default delays before a resource is reopened: from a tenth of a second to half a minute."""


def _above_zero(_: object, attribute: Attribute[float], value: float) -> None:
    if not value > 0:
        raise InvalidSpec(attribute.name, "must be above zero")


@frozen
class ResourceOptions:
    """The timeouts and delays of a resource, all in seconds.

    `open_timeout_s` and `exit_timeout_s` bound its opening and closing; `backoff` delays the next opening after it
    broke or did not open. The check, if any, runs every `check_every_s` while the resource is idle, and may take
    `check_timeout_s`. Raises `InvalidSpec` for times that are not above zero.
    """

    open_timeout_s: float = field(default=10.0, validator=_above_zero)
    exit_timeout_s: float = field(default=3.0, validator=_above_zero)
    backoff: Backoff = DELAYS
    check_every_s: float = field(default=30.0, validator=_above_zero)
    check_timeout_s: float = field(default=5.0, validator=_above_zero)


DEFAULT_RESOURCE_OPTIONS: ResourceOptions = ResourceOptions()
"""The defaults, for a connection within one data centre."""
