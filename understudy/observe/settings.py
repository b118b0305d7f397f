"""The settings of the log and of traces."""

from attrs import field, frozen
from attrs.validators import ge, in_, le


@frozen
class LogSettings:
    """The log."""

    level: str = field(default="info", validator=in_(("debug", "info", "warning", "error")))
    """`debug`, `info`, `warning`, `error`."""
    format: str = field(default="auto", validator=in_(("auto", "json", "console")))
    """`json`, `console`, or `auto`: console on a terminal, JSON elsewhere."""


@frozen
class OtlpSettings:
    """Traces of runs, sent to a collector."""

    endpoint: str = ""
    """The collector to which traces are sent, such as `http://localhost:4318`; empty: nothing is traced."""
    headers: list[str] = field(factory=list, repr=False)
    """Headers of the requests to the collector, `NAME=VALUE`, such as a key."""
    ratio: float = field(default=1.0, validator=[ge(0), le(1)])
    """The share of runs that are traced, 0 to 1."""
    content: bool = False
    """Whether spans have the texts of users, models and tools, as they are stored."""
