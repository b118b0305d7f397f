"""Text in the percent code of addresses and forms: what is decoded, and where a find lies in the text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanitization import STRICT, Sanitizer
from sanitization.detectors.percent import REACH, decode

SANITIZER = Sanitizer(STRICT)


def found(text: str) -> list[str]:
    return [text[finding.start : finding.end] for finding in SANITIZER.sanitize(text).findings]


@given(st.text(alphabet="aé€😀%+4F", max_size=40))
def test_each_character_has_its_place(text: str) -> None:
    """Decoded parts lie behind one another, and what has no code is as it was."""
    decoded, places = decode(text, 0, len(text), blanks=False)
    assert len(places) == len(decoded) + 1
    assert list(places) == sorted(set(places))
    assert (places[0], places[-1]) == (0, len(text))
    for character, place, end in zip(decoded, places, places[1:], strict=False):
        assert text[place:end] == character or text[place] == "%"


def test_only_the_value_of_a_field_is_found() -> None:
    assert found("user=bob&password=kR7%21kR7%21w9&next=%2Fhome") == ["kR7%21kR7%21w9"]


def test_a_plus_is_a_blank_in_a_form() -> None:
    text = "card=4111+1111+1111+1111&name=Ada%20L"
    assert found(text) == ["4111+1111+1111+1111"]


def test_a_plus_is_a_plus_too() -> None:
    """The second address is known by its `%40` too, but for its beginning."""
    assert found("q=%2B44+20+7946+0958&to=jo%2Bnews%40mail.example.co.uk") == [
        "%2B44+20+7946+0958",
        "jo%2B",
        "news%40mail.example.co.uk",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "https://example.org/a%20b/c?next=%2Fhome%3Ftab%3D2&lang=de",
        "100%25 of 50%, and 5%ab",
        "%E4%BD%A0%E5%A5%BD%21",
        "%FF%FE%00 is no text",
        "data:image/svg+xml,%3Csvg%20viewBox%3D%220%200%2024%2024%22%3E",
    ],
)
def test_harmless_codes_stay(text: str) -> None:
    assert SANITIZER.sanitize(text).text == text


def test_a_find_behind_much_else_is_found_in_a_stream() -> None:
    """Also if the run is longer than what is decoded at once."""
    text = "q=" + "a%20" * REACH + "&password=kR7%21kR7%21w9&x=1"
    stream = SANITIZER.stream()
    streamed = "".join(stream.feed(text[place : place + 7]) for place in range(0, len(text), 7)) + stream.flush()
    assert "kR7" not in streamed
    assert streamed == SANITIZER.sanitize(text).text
