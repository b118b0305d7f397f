"""Numbers of documents, whose forms are as many as offices: found only if the document is named."""

import re
from collections.abc import Mapping
from typing import Final

from . import context as context

DOCUMENT: Final = re.compile(
    r"(?=(?:[A-Za-z-]{0,8}[0-9]){3})[A-Za-z0-9]{1,20}(?:-[A-Za-z0-9]{1,12}){0,4}(?![A-Za-z0-9_@-])"
)
"""A word of letters and digits that may be the number of a document."""

NEAR: Final = 6  # words between a document's name and its number
_DATE: Final = re.compile(
    r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}|[0-9]{1,2}-[0-9]{1,2}-[0-9]{4}|(?:19|20)[0-9]{2}-(?:0[1-9]|1[0-2])"
)

# Contains a number: six digits, or a word with four among its letters.
_ROW: Final = re.compile(r"[0-9](?:-?[0-9]){5}")
_TOKEN: Final = re.compile(r"(?<![A-Za-z0-9])(?=[A-Za-z]{0,8}(?:[0-9][A-Za-z]{0,8}){4})[A-Za-z0-9]{6}")

# Least and largest count of letters and digits of a number.
_SIZES: Final[Mapping[str, tuple[str, int, int]]] = {
    "passport": ("passport", 6, 10),
    "licence": ("driving_licence", 6, 20),
    "medical": ("medical_record", 6, 16),
    "vin": ("vehicle_id", 17, 17),
    "id": ("id_number", 7, 18),
}


# A code of a person's documents, if it is the whole text: voters' cards, licences, plates, passports.
_CODE: Final = re.compile(r"(?=[A-Za-z]|[A-Za-z0-9]{7,8}[A-Za-z]{2}\Z)(?=(?:[A-Za-z]{0,6}[0-9]){4})[A-Za-z0-9]{9,10}")


def is_code(word: str) -> bool:
    """Return whether a word of letters and digits may be the number of a person's document without a topic."""
    return _CODE.fullmatch(word) is not None


def document_kind(number: str, near: Mapping[str, int]) -> str | None:
    """Return the kind of a number by the nearest named document, or None if it cannot be such a number."""
    topic = max(_SIZES, key=lambda name: near.get(name, 0))
    place = near.get(topic, 0)
    if not context.counts(near, topic) or (place < context.BESIDE and near.get(context.WORDS, 0) - place > NEAR):
        return None
    kind, least, most = _SIZES[topic]
    fits = least <= len(number.replace("-", "")) <= most and (_ROW.search(number) or _TOKEN.search(number))
    return kind if fits and not _DATE.fullmatch(number) else None
