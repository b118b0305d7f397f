"""The form of a thread's tags, as they are stored, compared and searched. Pure."""

import unicodedata
from collections.abc import Sequence
from typing import Final

from transport.wire.errors import CommandRejected

MOST_TAGS: Final = 8
"""Tags of a thread."""
MAX_TAG: Final = 32
"""Characters of a tag."""
RULE: Final = f"A tag has 1 to {MAX_TAG} letters, digits, hyphens and underscores."


def clean_tags(given: Sequence[str]) -> tuple[str, ...]:
    """Return tags in lower case, words joined by hyphens, without the `#` before them, each once.

    Raises CommandRejected (`invalid_command`) if one has another form, or if there are more than MOST_TAGS.
    """
    tags = tuple(dict.fromkeys(_clean(tag) for tag in given))
    if len(tags) > MOST_TAGS:
        raise CommandRejected("invalid_command", f"At most {MOST_TAGS} tags may be given.")
    return tags


def _clean(given: str) -> str:
    tag = "-".join(unicodedata.normalize("NFC", given.lower()).split()).removeprefix("#")
    if not 0 < len(tag) <= MAX_TAG or not all(char in "-_" or unicodedata.category(char)[0] in "LMN" for char in tag):
        raise CommandRejected("invalid_command", RULE)
    return tag
