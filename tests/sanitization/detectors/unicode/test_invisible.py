"""Hidden characters are removed; those with a legitimate use for a script or an emoji stay, byte for byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanitization import Action, Category, Sanitizer, StreamSanitizer
from sanitization.code_points import HIDDEN as HIDDEN_RANGES
from sanitization.code_points import MARKS, PRIVATE, SEPARATORS, SURROGATES, UNASSIGNED, members, merged
from sanitization.detectors.unicode.invisible import Invisible
from sanitization.policy import everywhere
from sanitization.prefilter import build_prefilter

# ruff: noqa: E501 - a row is a row

POLICY = everywhere({Category.INVISIBLE: Action.REMOVE})
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

HONEST = [
    "👩‍💻 👨‍👩‍👧‍👦 🏳️‍🌈 ❤️‍🔥 🏴‍☠️ 👩🏽‍🚀 🙂‍↔️",
    "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f 2:1",
    "1️⃣ #️⃣ *️⃣ ©️ ™️ ☎︎ ☎️ ✈️",
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    "\u062e\u0627\u0646\u0647\u200c\u0627\u06cc",
    "\u06a9\u062a\u0627\u0628\u200c\u0647\u0627",
    "क्‍ष श्री न्‍ह",
    "ශ්‍රී ලංකා",
    "ಕನ್‌ನಡ",
    "ខ្មែរ​ភាសា",
    "辻\U000e0100さん",
    "ᠪᠢᠴᠢᠭ᠌",
    "User \u2068مريم\u2069 joined",
    "שלום C++\u200f!",
    "\u05d0\u200e\u05d1",
    "naïve Straße Łódź Việt Δx=5µm",
    "中文。日本語、한국어",
    "Silben\xadtrennung non\xa0breaking",
    "(Donau\xaddampf\xadschiff\xadfahrt), \u201eRa\xaddi\xado\xadak\xadti\xadvi\xadt\xe4t\u201c: UR\xadLAUB, d\u2019ac\xadcord.",
    "Saint\xadGermain",
    # Emoji of every make, new ones too.
    "\U0001f44d\U0001f3fd \U0001f1fa\U0001f1f8\U0001f1ef\U0001f1f5 \U0001fae8\U0001fabf\U0001fac8 \u26f9\U0001f3fb\u200d\u2640\ufe0f",
    "\U0001f9d1\u200d\U0001f9d1\u200d\U0001f9d2 \U0001f3f3\ufe0f\u200d\u26a7\ufe0f \U0001f441\ufe0f\u200d\U0001f5e8\ufe0f \u2603\ufe0e \u3297\ufe0f",
    "2\ufe0f\u20e3#\ufe0f\u20e3*\ufe0f\u20e3 \u2764\ufe0e \u2194\ufe0f",
    # Joiners.
    "GPU\u200c\u0647\u0627 \u0627\u06cc\u0646\u200c\u0631\u0627 \u0647\u200d. \u200d\u0647 \u067e\u06cc\u0634\u200c\u200c\u06af\u0632\u06cc\u062f\u0647",
    "\u0930\u094d\u200d\u092f \u0995\u09cd\u200c\u09b7 \u0d28\u0d4d\u200d \u0c15\u0c4d\u0c38\u0c4d\u200d\u200c\u0c2c",
    "\u1780\u17d2\u1781\u200b\u1782 \u1780\u200b\u200b\u1781 \u17ac \u200b\u1794 \u1019\u103c\u200bwidget \u0e01\u200b\u0e02 \u65e5\u672c\u200b\u8a9e",
    "\u1820\u180b\u1821\u180e\u1820",
    "\u05d1\u05b0\u05bc\u05e8\u05b5\u05d0\u05e9\u05b4\u05c1\u0596\u05d9\u05ea \u05d9\u05b0\u05e8\u05d5\u05bc\u05e9\u05c1\u05b8\u05dc\u05b7\u034f\u05b4\u05dd",
    # Order of right-to-left text.
    "\u200f1. \u05e9\u05dc\u05d5\u05dd \u200e(abc)\u200e \u061c\u0661\u0662/\u0663",
    "\u05e7\u05d5\u05d1\u05e5 \u2066report.pdf\u2069 \u202aC++\u202c \u2067\u05d0 \u2066b\u2069\u2069",
    "User \u2068Anna\u2069 joined \u2068general\u2069",
    # Other scripts' own.
    "\u115f\u1161\u11ab \u1102\u1160\u11ab",
    "\u2800\u2800\u28ff\u28ff\u2800\n" + "\u2800" * 60 + "\n\u28ff",
    "\u0600\u0661\u0662 \u0627\u0644\u0639\u0627\u0644\u0645\u064a\u0646 \u06dd\u0661 \u070f\u0712\u0713 \U000110bd\U00011083 \U00013080\U00013430\U00013081",
    "\U0001d15f\U0001d173\U0001d15f\U0001d174 \U0001bc02\U0001bca0\U0001bc03",
    "\u2229\ufe00 \u2268\ufe00 0\ufe00 \u3001\ufe00 \U00013091\ufe00 \uff0c\ufe01",
    # Marks as they are written: Vietnamese, polytonic Greek, phonetic script, Thai, Arabic, Hindi.
    "vie\u0302\u0323t \u03b1\u0304\u0313\u0301\u0345 \u0254\u0303\u0301 n\u032a\u030a \u0e01\u0e37\u0e48\u0e19 \u0627\u0644\u0644\u0651\u064e\u0670\u0647\u064f",
    "s\u0336t\u0336r\u0336u\u0336c\u0336k\u0336 a\u20dd \u0915\u093c\u094d\u0937\u093f\u0902",
    "\u1cd0\u0897\u20c1\ua7cb\U0001e6c0\U000323b0 \ufdfd \ufffd \ufffc",
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
    spans = [(each.start, each.end) for each in Sanitizer().sanitize(text).findings]
    assert spans == [(1, 8), (9, 10)]


@given(st.text(st.characters(categories=["L", "N", "P", "Zs", "S"]), max_size=60))
def test_visible_text_is_never_touched(text: str) -> None:
    """Letters, numbers, punctuation, spaces and symbols pass (but for letters that are drawn as nothing)."""
    seen = "".join(letter for letter in text if letter not in "\u115f\u1160\u3164\uffa0\u2800")
    assert list(Invisible().find(seen)) == []


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


PIECES = [
    *"ab \n1\u05d0\u0645\u1780\u65e5\U0001f469\u2764\U0001f3f4\u200b\u200c\u200d\u200e\u200f\ufe0f\ufe00\U000e0101\U000e0041",
    *"\u2066\u2067\u2068\u2069\u202a\u202c\u202e\xad\u2800\u28ff\u0301\u2028\ue000\ufffe\u0378\ud83d\ude00",
    *"\u115f\u1161\u180b\u1820\u034f\u05b0:=(-",
    *("\u0915\u094d", "syl\xadla", "\u0334\u0308\u0321", "\udb40\udc41", " " * 31, "x" * 62, "x" * 127),
    "\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
]
pieces = st.lists(st.sampled_from(PIECES), max_size=14)
CUTS: list[list[str]] = []
UNITS = [
    *("\u200b", "a\u200b", "\u2068a", "\u2069a", "\u200fa", "\U0001f469\u200d", "\U0001f3f4\U000e0067", "\u2066", "\u2069"),
    *("a\xad", "\xad", "\u0301", "a\u0301\u0301\u0301", "\u2800", "\ue000a", "\u2028a", "\u2066\u05d0\u2069", "\u05d0\u200f"),
]  # fmt: skip


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
