"""The title of a thread that nobody has named: the beginning of its first message. Pure."""

from typing import Final

TITLE_CHARS: Final = 80
"""Characters of a title: of a thread's first message, or of what a model has written."""


def derived_title(content: str) -> str:
    """Return the title of a thread that begins with this message, unless another one is given.

    A longer message is cut after a word, with an ellipsis.
    """
    words = content.split(maxsplit=TITLE_CHARS)[:TITLE_CHARS]  # a title cannot show more words
    title = " ".join(words)
    return (title if len(title) <= TITLE_CHARS else f"{cut_title(title, TITLE_CHARS - 1)}\u2026") or "New conversation"


def cut_title(title: str, most: int) -> str:
    """Return at most `most` characters of a title, cut after a word if it has several."""
    return title[: most + 1].rpartition(" ")[0] or title[:most]
