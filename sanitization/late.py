"""Regular expressions that are compiled on first use: compiling all takes longer than the rest of the import."""

import re
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any


class Late:
    """A pattern of `re` that is compiled on first use. `source` is the expression, or a function that returns it."""

    search: Callable[..., re.Match[str] | None]
    match: Callable[..., re.Match[str] | None]
    fullmatch: Callable[..., re.Match[str] | None]
    finditer: Callable[..., Iterator[re.Match[str]]]
    findall: Callable[..., list[Any]]
    split: Callable[..., list[str]]
    sub: Callable[..., str]

    def __init__(self, source: str | Callable[[], str], flags: int = 0) -> None:
        self._source, self._flags = source, flags

    @cached_property
    def compiled(self) -> re.Pattern[str]:
        """The pattern."""
        return re.compile(self._source if isinstance(self._source, str) else self._source(), self._flags)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        # Found here once: from then on it is an attribute of this object.
        value = self.__dict__[name] = getattr(self.compiled, name)
        return value
