"""Handles on something live, such as an actor or a call. A copy of a handle is the handle itself."""

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
