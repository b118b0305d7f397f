"""Masks and placeholders that replace finds."""

from typing import Final

from .late import Late
from .policy import Mask

COVER: Final = "•"
LAST: Final = 4
LAST_OF: Final = 12  # letters and digits a find must have before four of them may stay
MAX_PLACEHOLDERS: Final = 10_000
WORD_MAX: Final = 40  # characters of a kind's last word in a placeholder
VALUE_MAX: Final = 1_024  # characters; a longer find is removed instead, for it must be kept to be turned back

_LETTER: Final = Late(r"[^\W_]")
_SHAPE: Final = frozenset(" \t\r\n-_./:@+(),")
"""Signs that are left in a mask, since they shape an address, a number or a date. Other signs are part of passwords."""
_UNFIT: Final = Late(r"[\[\]\s]")
_PLACEHOLDER: Final = Late(r"\[[^\[\]\s]{1,64}-[0-9]{1,9}\]")


def mask_text(text: str, mask: Mask) -> str:
    """Cover the text character by character, except for spaces and the signs of `_SHAPE`."""
    places = [match.start() for match in _LETTER.finditer(text)]
    kept = set(places[-LAST:]) if mask is Mask.LAST_FOUR and len(places) >= LAST_OF else set()
    return "".join(letter if letter in _SHAPE or place in kept else COVER for place, letter in enumerate(text))


class Placeholders:
    """Placeholders such as `[email-1]` for the texts of one user, and their restoration.

    Keep one for each conversation or user: the same text of the same kind gets the same placeholder in everything that
    is sanitized with it. It holds at most `limit` originals in memory; finds beyond that are removed. Not thread-safe.
    """

    def __init__(self, limit: int = MAX_PLACEHOLDERS) -> None:
        self._limit = limit
        self._names: dict[tuple[str, str], str] = {}
        self._texts: dict[str, str] = {}
        self._counts: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._names)

    def assign(self, kind: str, text: str) -> str | None:
        """Return the placeholder of a text of this kind, or None if the limit is reached or the text is too long."""
        placeholder = self._names.get((kind, text))
        if placeholder:
            return placeholder
        if len(self._names) >= self._limit or len(text) > VALUE_MAX:
            return None
        word = _UNFIT.sub("_", kind.rpartition(".")[2])[:WORD_MAX] or "find"
        self._counts[word] = self._counts.get(word, 0) + 1
        name = f"[{word}-{self._counts[word]}]"
        self._names[kind, text] = name
        self._texts[name] = text
        return name

    def restore(self, text: str) -> str:
        """Replace every known placeholder by its original; unknown ones stay."""
        return _PLACEHOLDER.sub(lambda match: self._texts.get(match[0], match[0]), text)
