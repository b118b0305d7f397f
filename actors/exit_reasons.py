"""The four exits of an actor, and whether each is abnormal."""

from __future__ import annotations

from typing import ClassVar

from attrs import field, frozen


@frozen
class Normal:
    """The actor stopped itself."""

    abnormal: ClassVar[bool] = False

    def __str__(self) -> str:
        return "normal"


@frozen
class Shutdown:
    """The actor was stopped in order, by its parent or through its reference."""

    abnormal: ClassVar[bool] = False

    def __str__(self) -> str:
        return "shutdown"


@frozen
class Killed:
    """The actor was cancelled by `ActorRef.kill`, by the end of its grace, or by an outer cancel scope."""

    abnormal: ClassVar[bool] = True

    def __str__(self) -> str:
        return "killed"


@frozen
class Crashed:
    """The actor raised `error`, or one of its own tasks did."""

    error: Exception = field(repr=lambda error: type(error).__name__)
    abnormal: ClassVar[bool] = True

    def __str__(self) -> str:
        return f"crashed: {type(self.error).__name__}"


Exit = Normal | Shutdown | Killed | Crashed
"""Every way an actor can end; each has `.abnormal: bool`."""

NORMAL = Normal()
SHUTDOWN = Shutdown()
KILLED = Killed()
