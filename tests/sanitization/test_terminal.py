"""Escape sequences and control characters go, whole; talk about them stays."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanitization import Scrubber

SEQUENCES = [
    ("\x1b[31mred\x1b[0m", "red", ["csi", "csi"]),
    ("\x1b[?1049h\x1b[2J\x1b[Hx", "x", ["csi", "csi", "csi"]),
    ("\x9b31mred", "red", ["csi"]),
    ("end \x1b[", "end ", ["csi"]),
    ("\x1b]0;new title\x07ok", "ok", ["osc"]),
    ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link", ["osc", "osc"]),
    ("\x9d0;t\x9cok", "ok", ["osc"]),
    ("\x1b]52;c;QUJD and on", " and on", ["osc"]),
    ("\x1bPq#0\x1b\\ok", "ok", ["dcs"]),
    ("\x1b_apc\x1b\\\x1b^pm\x1b\\ok", "ok", ["string", "string"]),
    ("\x1bc\x1b7\x1b(Bok", "ok", ["escape", "escape", "escape"]),
    ("nul\x00 bell\x07 del\x7f nel\x85 vt\x0b", "nul bell del nel vt", ["control"] * 5),
    ("\x1b\x1b\x1b[1mx", "x", ["control", "csi"]),
    ("a\x08\x08b", "ab", ["control"]),
]


@pytest.mark.parametrize(("text", "clean", "kinds"), SEQUENCES)
def test_sequences_are_taken_out(text: str, clean: str, kinds: list[str]) -> None:
    """Each sequence is one finding of its kind."""
    scrubbed = Scrubber().scrub(text)
    assert scrubbed.text == clean
    assert [finding.kind for finding in scrubbed.findings] == [f"terminal.{kind}" for kind in kinds]


@pytest.mark.parametrize("text", ["\\033[31m", "\\e[0m", "^[[A", "[31m", "a\tb\r\nc\nd", "CSI is ESC ["])
def test_talk_of_sequences_is_text(text: str) -> None:
    """Without a control character nothing is a sequence; tab and line ends pass."""
    scrubbed = Scrubber().scrub(text)
    assert (scrubbed.text, scrubbed.findings) == (text, ())


@given(st.text(st.characters(max_codepoint=0xFF), max_size=60))
def test_no_control_is_left(text: str) -> None:
    """Whatever comes in, only tab, line feed and carriage return come out."""
    out = Scrubber().scrub(text).text
    assert not [letter for letter in out if (letter < " " or "\x7f" <= letter < "\xa0") and letter not in "\t\n\r"]


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["\x1b", "\x1b]", "\x1b[", "a\x00", "\x9d", "\x1b]0;a b ", "\x1b[1;"])
def test_a_hostile_megabyte_takes_linear_time(unit: str) -> None:
    """What would be quadratic takes minutes here."""
    text = unit * (1_000_000 // len(unit.encode()))
    began = time.process_time()
    Scrubber().scrub(text)
    assert time.process_time() - began < 5
