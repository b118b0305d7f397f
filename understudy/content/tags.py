"""Brings a thread's tags into the form in which they are stored, compared and searched. Pure."""

import unicodedata
from collections.abc import Sequence
from typing import Final

from transport.wire.errors import CommandRejected

MOST_TAGS: Final = 8
"""Most tags of a thread; more are refused."""
MAX_TAG: Final = 32
"""Characters of a tag; a longer one is refused."""
RULE: Final = f"A tag has 1 to {MAX_TAG} letters, digits, hyphens and underscores."


def clean_tags(raw_tags: Sequence[str]) -> tuple[str, ...]:
    """Return tags in lower case, with words joined by hyphens and without a leading `#`, each once.

    Raises CommandRejected (`invalid_command`) for a tag with other characters or too many, or more than MOST_TAGS.
    """
    tags = tuple(dict.fromkeys(_clean(tag) for tag in raw_tags))
    if len(tags) > MOST_TAGS:
        raise CommandRejected("invalid_command", f"At most {MOST_TAGS} tags may be given.")
    return tags


def _clean(raw_tag: str) -> str:
    tag = "-".join(unicodedata.normalize("NFC", raw_tag.lower()).split()).removeprefix("#")
    if not 0 < len(tag) <= MAX_TAG or not all(char in "-_" or unicodedata.category(char)[0] in "LMN" for char in tag):
        raise CommandRejected("invalid_command", RULE)
    return tag
