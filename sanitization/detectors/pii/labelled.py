"""Finds data that is recognisable only by its label: bank identifiers (BIC, ISO 9362) and number plates."""

import re
from typing import Final

from sanitization.findings import Hit

from .context import Said
from .part import hit
from .words import anchor, prefilter

_BANK: Final = ("bic", "swift")
_PLATE: Final = (
    "plate", "kennzeichen", "nummernschild", "immatriculation", "matrícula", "matricula", "targa", "kenteken", "placa",
)  # fmt: skip
_WORDS: Final = (*_BANK, *_PLATE)
_ANCHOR: Final = anchor(_WORDS)
_GLUE: Final = (
    r"(?:[ \t:=\"'#(./-]{1,4}+"
    r"(?:(?i:code|number|no|nr|num|is|ist|swift|bic|est|es|del|vehicle|auto)(?![A-Za-z]))?+){1,5}+"
)
_GLUED: Final = re.compile(_GLUE)
_BIC: Final = re.compile(r"[A-Z]{6}[A-Z0-9]{2}(?:[A-Z0-9]{3})?(?![A-Za-z0-9])")
_NUMBER: Final = re.compile(
    r"(?=[A-ZÄÖÜ -]{0,8}[0-9])(?=[0-9 -]{0,5}[A-ZÄÖÜ])[A-ZÄÖÜ0-9]{1,8}(?:[ -][A-Z0-9]{1,4}){0,3}(?![A-Za-z0-9])"
)
SPAN: Final = 80  # characters from the label to the end of the labelled data
_OPEN: Final = re.compile(r"[^\n\w]{0,8}+(?:[\w/-]{1,12}+[^\n\w]{1,4}+){0,5}+[\w/-]{0,12}+\Z")


class Labelled:
    """Bank identifiers and number plates."""

    prefilters = (("label", prefilter(_WORDS)),)

    def first(self, text: str, position: int, _said: Said | None = None) -> Hit | None:
        """Return the first of them whose label is at `position` or later."""
        for label in _ANCHOR.finditer(text, position):
            glued = _GLUED.match(text, label.end())
            if not glued:
                continue
            bank = label[0].lower() in _BANK
            value = (_BIC if bank else _NUMBER).match(text, glued.end())
            if value and value.end() - label.start() <= SPAN:
                return hit(*value.span(), "bic" if bank else "number_plate", 0.75, label.start(), "said to be")
        return None

    def pending(self, text: str, start: int) -> int:
        """Return where a label begins whose data may follow."""
        for label in _ANCHOR.finditer(text, max(start, len(text) - SPAN)):
            if _OPEN.match(text, label.end()):
                return label.start()
        return len(text)
