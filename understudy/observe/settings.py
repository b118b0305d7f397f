"""The settings of the log."""

from attrs import field, frozen
from attrs.validators import in_


@frozen
class LogSettings:
    """The log."""

    level: str = field(default="info", validator=in_(("debug", "info", "warning", "error")))
    """`debug`, `info`, `warning`, `error`."""
    format: str = field(default="auto", validator=in_(("auto", "json", "console")))
    """`json`, `console`, or `auto`: console on a terminal, JSON elsewhere."""
