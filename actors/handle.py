"""Objects that stand for something live, such as an actor or a call: a copy of one means the same live thing."""

from __future__ import annotations

from typing import TypeVar

H = TypeVar("H", bound="Handle")


class Handle:
    """Is its own copy and its own deep copy, so that `copy.copy` and `dataclasses.asdict` work on messages with one."""

    __slots__ = ()

    def __copy__(self: H) -> H:
        return self

    def __deepcopy__(self: H, _: object) -> H:
        return self
