"""Orders in invisible characters: tags, each of which spells an ASCII character, and variation selectors, one a byte.

`Invisible` removes such characters, so no later detector reads them. This detector runs before it: it decodes them,
scores the text by the rules for orders, and reports the find.

A run of hidden characters is read from its first one, which follows a visible character. So it does not matter where a
stream is cut.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from sanitization import code_points
from sanitization.code_points import char_class
from sanitization.findings import Category, Hit, Kind
from sanitization.late import Late
from sanitization.prefilter import NamedPrefilter, Prefilter

from .detector import DECODED_LEAST, REPLACEMENT, judged

READ_MAX: Final = 2_048
"""Characters of a run that are decoded. The rest of a longer run is removed like any hidden characters."""

_TAG: Final = 0xE0000
_FIRST_SELECTORS: Final = 0xFE00
_MORE_SELECTORS: Final = 0xE0100
_HIDDEN: Final = char_class(code_points.HIDDEN)
_RUN: Final = Late(f"(?<![{_HIDDEN}])[{_HIDDEN}]{{{DECODED_LEAST},{READ_MAX}}}")
_END: Final = Late(f"(?<![{_HIDDEN}])[{_HIDDEN}]{{1,{READ_MAX}}}\\Z")
_TAGS: Final = Late("[\U000e0020-\U000e007e]")
_SELECTORS: Final = Late(f"[{char_class(code_points.SELECTORS)}]")


class UnseenOrders:
    """Finds `injection.encoded` in runs of hidden characters."""

    name = "unseen_orders"
    category = Category.INJECTION
    prefilters: tuple[NamedPrefilter, ...] = (("unseen", Prefilter(ranges=code_points.HIDDEN, run=DECODED_LEAST)),)
    kinds: tuple[Kind, ...] = ()
    covers: Mapping[Category, Sequence[str]] = {Category.INVISIBLE: ("invisible.tag", "invisible.variation")}
    """The kinds of these characters in the next stage: if that removes them, this one leaves them to it."""
    context = 1
    reach = READ_MAX

    def find(self, text: str, start: int = 0, _active: Collection[str] = ()) -> Iterator[Hit]:
        """Yield each run that spells an order, as a whole."""
        for run in _RUN.finditer(text, start):
            best, reasons = 0.0, tuple[str, ...]()
            for hidden, how in _read(run[0]):
                score, why = judged(hidden, how)
                if score > best:
                    best, reasons = score, why
            if best:
                yield Hit(run.start(), run.end(), "injection.encoded", best, REPLACEMENT, run.start(), reasons)

    def settled(self, text: str, start: int = 0, _active: Collection[str] = ()) -> int:
        """Return where a run at the end begins that may continue, or the end of the text."""
        run = _END.search(text, max(start, len(text) - READ_MAX))
        return run.start() if run and run.end() - run.start() < READ_MAX else len(text)


def _read(run: str) -> Iterator[tuple[str, str]]:
    """Yield the possible decodings of a run, with the name of the writing."""
    tags = "".join([chr(ord(tag) - _TAG) for tag in _TAGS.findall(run)])
    if len(tags) >= DECODED_LEAST:
        yield tags, "tag characters"
    codes = [ord(selector) for selector in _SELECTORS.findall(run)]
    if len(codes) >= DECODED_LEAST:
        for hidden in (_bytes_of(codes, 16), _bytes_of(codes, 0)):
            if len(hidden) >= DECODED_LEAST:
                yield hidden, "variation selectors"


def _bytes_of(codes: list[int], first: int) -> str:
    """Return the text whose bytes are in some selectors; `first` is the byte of the first one beyond the sixteen."""
    numbers = [code - _FIRST_SELECTORS if code < _MORE_SELECTORS else code - _MORE_SELECTORS + first for code in codes]
    return bytes([number for number in numbers if number < 256]).decode("utf-8", "ignore")
