"""Suggests the name that was meant by a misspelt one. Pure."""

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ` (did you mean 'NAME'?)` with the most similar known name, or "" if none is similar."""
    names = {spelling.lower(): spelling for spelling in known}
    near = difflib.get_close_matches(name.lower(), names, 1, 0.6)
    return f" (did you mean {names[near[0]]!r}?)" if near else ""
