"""Compiles ranges of code points to a regular expression over bytes of UTF-8."""

from collections.abc import Iterable, Iterator

Ranges = tuple[tuple[int, int], ...]
"""First and last code point of each range, both inclusive."""

_LONGEST = (0x7F, 0x7FF, 0xFFFF)  # the last code points written in one, two and three bytes


def expression(ranges: Iterable[tuple[int, int]]) -> str:
    """Return an ASCII expression that matches exactly the encoded code points of these ranges.

    Surrogates are encoded like other code points (`surrogatepass`).
    """
    return "|".join(part for low, high in ranges for part in _parts(low, high))


def _parts(low: int, high: int) -> Iterator[str]:
    """Yield the range in parts in which each byte runs through a range of its own."""
    for longest in _LONGEST:
        if low <= longest < high:
            yield from _parts(low, longest)
            yield from _parts(longest + 1, high)
            return
    if high > _LONGEST[0]:
        for tail in (0x3F, 0xFFF, 0x3FFFF):  # the bits of one, two and three trailing bytes
            if low | tail == high | tail:
                break
            if low & tail:
                yield from _parts(low, low | tail)
                yield from _parts((low | tail) + 1, high)
                return
            if high & tail != tail:
                yield from _parts(low, (high & ~tail) - 1)
                yield from _parts(high & ~tail, high)
                return
    pairs = zip(_encoded(low), _encoded(high), strict=True)
    yield "".join(f"\\x{first:02x}" if first == last else f"[\\x{first:02x}-\\x{last:02x}]" for first, last in pairs)


def _encoded(code: int) -> bytes:
    return chr(code).encode("utf-8", "surrogatepass")
