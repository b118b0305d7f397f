"""Base64 for URLs: without padding, and strict in what it takes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transport.auth import base64url


@given(st.binary(max_size=64))
def test_decoding_reverses_encoding(data: bytes) -> None:
    text = base64url.encode(data)
    assert "=" not in text
    assert base64url.decode(text) == data


def test_the_alphabet_is_that_of_urls() -> None:
    assert base64url.encode(bytes([0xFB, 0xFF])) == "-_8"
    assert base64url.decode("-_8=") == bytes([0xFB, 0xFF])


@pytest.mark.parametrize("text", ["a", "ab d", "a?bc", "=abc", "\u00e9abc"])
def test_other_characters_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"(?i)ascii|base64|padding"):
        base64url.decode(text)
