"""Filters of errors by their types, also inside groups."""

from __future__ import annotations

from collections.abc import Iterator

Kinds = tuple[type[BaseException], ...]
"""Exception classes, as `isinstance` takes them."""


def leaf_errors(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors inside a group, however nested, or the error itself."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaf_errors(inner)
    else:
        yield error


def matches(error: BaseException, kinds: Kinds, but: Kinds = ()) -> bool:
    """Whether the error, or one of a group, is of these kinds and of none of those in `but`."""
    return any(isinstance(leaf, kinds) and not isinstance(leaf, but) for leaf in leaf_errors(error))
