"""Hidden characters are removed; those with a legitimate use for a script or an emoji stay, byte for byte."""
# ruff: noqa: E501 - a row is a row

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanitization import Sanitizer, StreamSanitizer
from sanitization.code_points import HIDDEN as HIDDEN_RANGES
from sanitization.code_points import MARKS, PRIVATE, SEPARATORS, SURROGATES, UNASSIGNED, members, merged
from sanitization.detectors.unicode.invisible import Invisible
from sanitization.prefilter import build_prefilter
from tests.sanitization.detectors.unicode.invisible_texts import POLICY

TAGS = "".join(chr(0xE0000 + ord(letter)) for letter in "obey me")
SELECTORS = "".join(chr(0xE0100 + number) for number in b"obey")

HIDDEN = [
    ("hi" + TAGS + " there", "hi there", ["invisible.tag"]),
    ("\U0001f3f4" + TAGS, "\U0001f3f4", ["invisible.tag"]),
    ("\U0001f3f4\U000e0067\U000e0062\U000e0078\U000e007f", "\U0001f3f4", ["invisible.tag"]),
    ("a" + SELECTORS + "b", "ab", ["invisible.variation"]),
    ("😀" + SELECTORS, "😀", ["invisible.variation"]),
    ("❤\ufe0f" + SELECTORS, "❤\ufe0f", ["invisible.variation"]),
    ("a\ufe0f", "a", ["invisible.variation"]),
    ("file\u202etxt.exe", "filetxt.exe", ["invisible.bidi"]),
    ("\u202ea\u202c", "a", ["invisible.bidi"] * 2),
    ("if x \u2066// ok\u2069:", "if x // ok:", ["invisible.bidi"] * 2),
    ("\u2067never closed", "never closed", ["invisible.bidi"]),
    ("\u2068" + "א" * 70 + "\u2069", "א" * 70, ["invisible.bidi"] * 2),
    ("pass\u200bword", "password", ["invisible.zero_width"]),
    ("a\u200c\u200db", "ab", ["invisible.zero_width"]),
    ("ad\u200dmin", "admin", ["invisible.zero_width"]),
    ("\ufeffstart", "start", ["invisible.zero_width"]),
    ("a\u2060b\u2063c\u180ed\u3164e\uffa0f", "abcdef", ["invisible.zero_width"] * 5),
    ("می\u200c\u200c\u200dخ", "میخ", ["invisible.zero_width"]),
    ("👩\u200d\u200d💻", "👩💻", ["invisible.zero_width"]),
    ("👩\u200d end", "👩 end", ["invisible.zero_width"]),
    ("plain \u200f mark", "plain  mark", ["invisible.zero_width"]),
    # Selectors on what has no variants, and more than one on what has.
    ("a\ufe00b\ufe01", "ab", ["invisible.variation"] * 2),
    ("\u8fbb\U000e0100\U000e0101", "\u8fbb", ["invisible.variation"]),
    ("\u8fbb\U000e01ef", "\u8fbb", ["invisible.variation"]),
    ("\u3002\U000e0100", "\u3002", ["invisible.variation"]),
    # Flags that are none, and a flag with more behind it.
    ("\U000e0001\U000e0065\U000e006e\U000e007fhi", "hi", ["invisible.tag"]),
    (
        "\U0001f3f4\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f" + TAGS,
        "\U0001f3f4\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f",
        ["invisible.tag"],
    ),
    # Order: overrides always, embeddings and isolates without right-to-left text, open ones, those across lines.
    ("\u05d0\u202eb\u202c\u05d1", "\u05d0b\u05d1", ["invisible.bidi"] * 2),
    ("\u202ba\u202c \u202ab\u202c", "a b", ["invisible.bidi"] * 4),
    ("/*\u2067 } \u2066if (x)\u2069 \u2066 y */", "/* } if (x)  y */", ["invisible.bidi"] * 4),
    ("\u2067\u05d0\nb\u2069", "\u05d0\nb", ["invisible.bidi"] * 2),
    ("\u2068\u2069x\u2069", "x", ["invisible.bidi"] * 2),
    (
        "\u2066\u2066\u2066\u2066\u05d0\u2069\u2069\u2069\u2069",
        "\u2066\u2066\u2066\u05d0\u2069\u2069\u2069",
        ["invisible.bidi"] * 2,
    ),
    ("\u05d0" + "x" * 40 + "\u2066b\u2069", "\u05d0" + "x" * 40 + "b", ["invisible.bidi"] * 2),
    ("\u05d0\n\u200ex", "\u05d0\nx", ["invisible.zero_width"]),
    ("\u2764\u2066\u200c\u0645", "\u2764\u0645", ["invisible.bidi", "invisible.zero_width"]),
    ("abc\xadd ab\xadc\xadd\xadef", "abcd abcdef", ["invisible.zero_width"] * 4),
    ("a\u200e\n\u05d0", "a\n\u05d0", ["invisible.zero_width"]),
    ("\u05d0\u200f\u200f\u200f", "\u05d0\u200f\u200f", ["invisible.zero_width"]),
    # Scripts' own characters elsewhere.
    ("a\u034fb\u115fc\u1160d\u2800e\u180bf\u17b4", "abcdef", ["invisible.zero_width"] * 6),
    ("\U0001bca0a\U0001d173b", "ab", ["invisible.zero_width"] * 2),
    ("x\u2061y\u2064z\u206ex\ufff9a\ufffab\ufffb", "xyzxab", ["invisible.zero_width"] * 6),
    ("a\u0600b\u06ddc\u070fd\U000110bde\U00013430", "abcde", ["invisible.zero_width"] * 5),
    ("abc\u200bdef\u200b\u200b", "abcdef", ["invisible.zero_width"] * 2),
    # Soft hyphens where no word is divided.
    ("java\xadscript:alert(1)", "javascript:alert(1)", ["invisible.zero_width"]),
    (
        "is\xadAdmin, ad\xadmin(), a\xadd\xadmin, \xadadmin\xad",
        "isAdmin, admin(), admin, admin",
        ["invisible.zero_width"] * 6,
    ),
    ("evil\xad.example k\xad=\xadv " + "ab\xad" * 40, "evil.example k=v " + "ab" * 40, ["invisible.zero_width"] * 43),
    # Line ends, private use, no characters.
    ("a\u2028b\u2029\u2029c", "a\nb\n\nc", ["invisible.separator"] * 2),
    ("a\ue000\uf8ffb\U000f0000\U0010fffd", "ab", ["invisible.private"] * 2),
    ("a\ufdd0\ufffe\U0001ffffb\u0378\U000e1000\U00050000", "ab", ["invisible.unassigned"] * 2),
    ("lone \ud800 and \udc00", "lone \ufffd and \ufffd", ["invisible.unassigned"] * 2),
    ("\ud83d\ude00 \udb40\udc41", "\U0001f600 ", ["invisible.tag"]),
    ("a" + "\u200f" * 70 + "\u05d0", "a\u05d0", ["invisible.zero_width"]),
    ("\u2764\ufe0f" + "\u200d" * 70, "\u2764\ufe0f", ["invisible.zero_width"]),
    # Marks.
    ("Z\u0317\u0334\u0308\u0301\u0353algo", "Zalgo", ["invisible.marks"]),
    ("h\u0334\u0321\u0308i\u0334\u0321\u0308!\u0334\u0321\u0308", "hi!", ["invisible.marks"] * 3),
    ("\u0e01\u0e47\u0e47\u0e47", "\u0e01", ["invisible.marks"]),
    ("\u0633" + "\u064b\u064c\u064d\u064e\u064f\u0650\u0651\u0652", "\u0633", ["invisible.marks"]),
    ("\u200b" + TAGS + SELECTORS, "", ["invisible.zero_width", "invisible.tag", "invisible.variation"]),
]


@pytest.mark.parametrize(("text", "clean", "kinds"), HIDDEN)
def test_hidden_characters_are_taken_out(text: str, clean: str, kinds: list[str]) -> None:
    """Text without them, and one finding for each run of a kind."""
    sanitized = Sanitizer(POLICY).sanitize(text)
    assert sanitized.text == clean
    assert [finding.kind for finding in sanitized.findings] == kinds


def test_findings_point_into_the_original() -> None:
    """Offsets count code points of the text as it came, end exclusive."""
    text = f"a{TAGS}b\u202ec"
    spans = [(finding.start, finding.end) for finding in Sanitizer().sanitize(text).findings]
    assert spans == [(1, 8), (9, 10)]


@given(st.text(st.characters(categories=["L", "N", "P", "Zs", "S"]), max_size=60))
def test_visible_text_is_never_touched(text: str) -> None:
    """Letters, numbers, punctuation, spaces and symbols pass (but for letters that are drawn as nothing)."""
    visible = "".join(letter for letter in text if letter not in "\u115f\u1160\u3164\uffa0\u2800")
    assert list(Invisible().find(visible)) == []


@given(
    st.text(
        st.sampled_from(
            "a1\u05d0\u0645क\u1780👩❤\U0001f3f4\u200b\u200c\u200d\u200f\ufe0f\u2066\u2069\U000e0067\U000e0101\n\u2800\u28ff"
        ),
        max_size=30,
    )
)
def test_sanitizing_twice_changes_nothing_more(text: str) -> None:
    once = Sanitizer().sanitize(text).text
    assert Sanitizer().sanitize(once).text == once


def test_the_prefilter_matches_where_something_may_be_found_and_nowhere_else() -> None:
    """All code points: those found behind a letter match it, those outside the ranges do not."""
    active, detector = build_prefilter((Invisible.prefilters,)), Invisible()
    suspects = members(
        merged(HIDDEN_RANGES, MARKS, UNASSIGNED, PRIVATE, SEPARATORS, SURROGATES, ((0xAD, 0xAD),))
    )  # fmt: skip
    assert not active("".join(chr(code) for code in range(0x110000) if chr(code) not in suspects))
    assert not active(
        "Gr\u00f6\u00dfe caf\u00e9 \u2014 \u201cquoted\u201d \u2026 \U0001f600 \u4e2d\u6587 \u0440\u0443\u0441"
    )
    for letter in (*sorted(suspects)[::307], *(chr(code) for ends in HIDDEN_RANGES for code in ends)):
        if next(detector.find(f"a{letter}"), None):
            assert active(f"a{letter}")


def test_every_code_point_passes_or_is_reported() -> None:
    """None raises; each that is taken out behind a letter is hidden, no character, or a mark too many."""
    detector = Invisible()
    for code in range(0, 0x110000, 61):
        for hit in detector.find(f"a{chr(code)}b"):
            assert (hit.start, hit.end) == (1, 2)
            assert not chr(code).isalnum() or chr(code) in "\u115f\u1160\u3164\uffa0"


@pytest.mark.parametrize(
    "text",
    ["\u05d0\u200f " * 60, "\u0645\u06cc\u200c\u062e" * 60, "\U0001f469\u200d\U0001f4bb\u2764\ufe0f" * 60, "syl\xadla\xadble " * 60,
     "\u2068Anna\u2069 and " * 40, "e\u0301" * 60],
)  # fmt: skip
def test_little_text_is_held(text: str) -> None:
    """At most a few characters of legitimate text are held."""
    stream, held = StreamSanitizer(POLICY), 0
    for letter in text:
        stream.feed(letter)
        held = max(held, stream.held)
    assert held <= 110
