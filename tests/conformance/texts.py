"""Valid and invalid UTF-8 byte sequences, grouped as in cases 6.5 to 6.23.

After Markus Kuhn's stress test for decoders. Python's decoder decides whether a sequence is valid.
"""

from itertools import product


def joined(*ranges: tuple[int, int]) -> list[bytes]:
    """Return for each range of bytes all of them, each followed by a blank."""
    return [b"".join(bytes((byte, 0x20)) for byte in range(*bounds)) for bounds in ranges]


def hexes(*texts: str) -> list[bytes]:
    """Decode byte sequences from hexadecimal digits."""
    return [bytes.fromhex(text) for text in texts]


GREEK = bytes.fromhex("cebae1bdb9cf83cebcceb5")  # kosme, with the accent in three bytes
_SHORT = hexes("c0", "e080", "f08080", "f8808080", "fc80808080", "df", "efbf", "f7bfbf", "fbbfbfbf", "fdbfbfbfbf")
_HIGH, _LOW = ("eda080", "edadbf", "edae80", "edafbf"), ("edb080", "edbfbf")

EXAMPLES: list[list[bytes]] = [
    [b"hello$world", "hello¢world".encode(), "hello€world".encode(), "hello𤭢world".encode(), GREEK],
    [GREEK[:size] for size in range(1, len(GREEK) + 1)],
    hexes("00", "c280", "e0a080", "f0908080"),
    hexes("f888808080", "fc8480808080"),
    hexes("7f", "dfbf", "efbfbf", "f48fbfbf"),
    hexes("f7bfbfbf", "fbbfbfbfbf", "fdbfbfbfbfbf"),
    hexes("ed9fbf", "ee8080", "efbfbd", "f48fbfbf", "f4908080"),
    [*hexes("80", "bf", "80bf", "80bf80", "80bf80bf", "80bf80bf80", "80bf80bf80bf"), bytes(range(0x80, 0xBF))],
    joined((0xC0, 0xDF), (0xE0, 0xEF), (0xF0, 0xF7), (0xF8, 0xFB), (0xFC, 0xFD)),
    _SHORT,
    [b"".join(_SHORT)],
    hexes("fe", "ff", "fefeffff"),
    hexes("c0af", "e080af", "f08080af", "f8808080af", "fc80808080af"),
    hexes("c1bf", "e09fbf", "f08fbfbf", "f887bfbfbf", "fc83bfbfbfbf"),
    hexes("c080", "e08080", "f0808080", "f880808080", "fc8080808080"),
    hexes("eda080", "edadbf", "edae80", "edafbf", "edb080", "edbe80", "edbfbf"),
    hexes(*(high + low for high, low in product(_HIGH, _LOW))),
    [chr(plane << 16 | point).encode() for plane in range(17) for point in (0xFFFE, 0xFFFF)],
    [chr(point).encode() for point in range(0xFFF9, 0x10000)],
]
