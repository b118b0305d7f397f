"""What the fields of events are made of."""

import enum

from attrs import field, frozen


class Priority(enum.StrEnum):
    """Which events overtake which, between threads and among events without `seq`."""

    ALERT = "alert"
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class ToolStatus(enum.StrEnum):
    """How a tool call ended."""

    OK = "ok"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    KILLED = "killed"
    DENIED = "denied"


class RunStatus(enum.StrEnum):
    """How an agent's work, or a whole run, ended."""

    SUCCESS = "success"
    CANCELLED = "cancelled"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class ApprovalDecision(enum.StrEnum):
    """How a tool call's wait for consent ended."""

    ALLOW = "allow"
    DENY = "deny"
    EXPIRED = "expired"


@frozen
class Block:
    """A closed block of a streamed answer, rendered and made safe: characters `start` to `end` (exclusive)."""

    start: int
    end: int
    html: str = field(repr=False)


@frozen
class Usage:
    """What an answer cost: words (offline model) or tokens (language models) in and out, and model turns."""

    input: int = 0
    output: int = 0
    turns: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(self.input + other.input, self.output + other.output, self.turns + other.turns)
