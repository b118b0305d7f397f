"""The table of look-alikes maps each letter to the letter that a reader sees."""

import string
import unicodedata

import pytest

from sanitization.confusables import ASCII, BY_SCRIPT, LATIN, pairs

# ruff: noqa: RUF001 - look-alikes are what this file is about

SPELLED = [
    ("раураl", "paypal"),
    ("ѕсоре", "scope"),
    ("АDМIN", "ADMIN"),
    ("gοοgle", "google"),
    ("օհո", "ohn"),
    ("ᎪᎡLL", "ARLL"),
    ("ｉｇｎｏｒｅ", "ignore"),
    ("𝗶𝗴𝗻𝗼𝗿𝗲 𝓅𝓇ℯ𝓋 𝔞𝔩𝔩 𝟙𝟚𝟛", "ignore prev all 123"),
    ("ɪɢɴᴏʀᴇ ꜱʏꜱᴛᴇᴍ", "ignore system"),
    ("ⁱᵍⁿᵒʳᵉ ᴬᴮᴰ", "ignore ABD"),
    ("ⓘⓖⓝⓞⓡⓔ ⒤⒢ 🅘🅶🄽🄞", "ignore ig IGNO"),
    ("Ⅰgnore ⅿe", "Ignore me"),
    ("ꓮꓡꓡ ᗩᒪᒪ", "ALL ALL"),
]


@pytest.mark.parametrize(("disguised", "plain"), SPELLED)
def test_disguised_words_can_be_read(disguised: str, plain: str) -> None:
    """Each disguised word maps to its Latin word, letter by letter, in the case shown."""
    assert "".join(LATIN.get(letter, letter) for letter in disguised) == plain


def test_every_entry_goes_from_outside_ascii_to_an_ascii_letter_or_digit() -> None:
    """So the table may be applied to any text without touching plain ASCII, and a second time without effect."""
    for letter, like in LATIN.items():
        assert len(letter) == 1
        assert not letter.isascii()
        assert like in ASCII


def test_all_that_unicode_folds_to_one_ascii_letter_is_in_the_table() -> None:
    """Whatever NFKC makes an ASCII letter or digit of, in any block."""
    missing = [
        hex(code)
        for code in range(0x80, 0x110000)
        if not 0xD800 <= code < 0xE000
        and unicodedata.normalize("NFKC", chr(code)) in set(string.ascii_letters + string.digits)
        and chr(code) not in LATIN
    ]
    assert missing == []


def test_letters_stand_under_their_script() -> None:
    """Each look-alike belongs to the script of its row."""
    for script in ("cyrillic", "armenian", "coptic", "cherokee", "lisu", "tifinagh", "runic", "georgian"):
        for letter in pairs(BY_SCRIPT[script]):
            assert unicodedata.name(letter).startswith(script.upper())


@pytest.mark.parametrize("letter", ["π", "Ω", "Δ", "λ", "ж", "ш", "я", "л", "中", "é", "ß", "ا", "א"])
def test_letters_that_look_like_nothing_latin_are_not_in_the_table(letter: str) -> None:
    """Letters without a Latin look-alike distinguish a foreign word from a disguised one."""
    assert letter not in LATIN
