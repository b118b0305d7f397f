"""Hidden characters go; those that do honest work for a script or an emoji stay, byte for byte."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanitization import Scrubber

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
]


@pytest.mark.parametrize(("text", "clean", "kinds"), HIDDEN)
def test_hidden_characters_are_taken_out(text: str, clean: str, kinds: list[str]) -> None:
    """Text without them, and one finding for each run of a kind."""
    scrubbed = Scrubber().scrub(text)
    assert scrubbed.text == clean
    assert [finding.kind for finding in scrubbed.findings] == kinds


@pytest.mark.parametrize("text", HONEST)
def test_honest_characters_stay(text: str) -> None:
    """Emoji, flags, joined scripts, ideographic variants and right-to-left names come back untouched."""
    scrubbed = Scrubber().scrub(text)
    assert (scrubbed.text, scrubbed.findings) == (text, ())


def test_findings_point_into_the_original() -> None:
    """Offsets count code points of the text as it came, end exclusive."""
    text = f"a{TAGS}b\u202ec"
    spans = [(each.start, each.end) for each in Scrubber().scrub(text).findings]
    assert spans == [(1, 8), (9, 10)]


@given(st.text(st.characters(categories=["L", "N", "P", "Z", "S"]), max_size=60))
def test_visible_text_is_never_touched(text: str) -> None:
    """Letters, numbers, punctuation, spaces and symbols pass (but for letters that are drawn as nothing)."""
    seen = "".join(letter for letter in text if letter not in "\u115f\u1160\u3164\uffa0")
    assert Scrubber().scrub(seen).text == seen


@given(
    st.text(
        st.sampled_from("a1\u05d0\u0645क👩❤\U0001f3f4\u200b\u200d\u200f\ufe0f\u2066\u2069\U000e0067\U000e0101\n"),
        max_size=30,
    )
)
def test_scrubbing_twice_changes_nothing_more(text: str) -> None:
    """Taking something out never makes something else honest or hidden."""
    once = Scrubber().scrub(text).text
    assert Scrubber().scrub(once).text == once


@pytest.mark.slow
@pytest.mark.parametrize(
    "unit", ["\u200b", "a\u200b", "\u2068a", "\u2069a", "\u200fa", "👩\u200d", "\U0001f3f4\U000e0067"]
)
def test_a_hostile_megabyte_takes_linear_time(unit: str) -> None:
    """What would be quadratic takes minutes here."""
    text = unit * (1_000_000 // len(unit.encode()))
    began = time.process_time()
    Scrubber().scrub(text)
    assert time.process_time() - began < 5
