"""Escape sequences and control characters are removed as a whole; text about them stays."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sanitization import Action, Category, Sanitizer
from sanitization.detectors.terminal import Terminal
from sanitization.policy import everywhere
from sanitization.prefilter import build_prefilter

PAYLOAD = "QUJD" * 1024  # what kitty and iTerm2 send in one piece

SEQUENCES = [
    ("\x1b[31mred\x1b[0m", "red", ["csi", "csi"]),
    ("\x1b[?1049h\x1b[2J\x1b[Hx", "x", ["csi", "csi", "csi"]),
    ("\x1b[38;2;1;2;3m\x1b[4:3m\x1b[>4;2m\x1b[!p\x1b[2 qx", "x", ["csi"] * 5),
    ("\x1b[3\x001mx", "x", ["csi"]),
    ("\x9b31mred", "red", ["csi"]),
    ("end \x1b[", "end ", ["csi"]),
    ("\x1b[31", "", ["csi"]),
    ("\x1b]0;new title\x07ok", "ok", ["osc"]),
    ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link", ["osc", "osc"]),
    ("\x1b]8;id=1;http://x/\u00e9?a=b;c\x07link\x1b]8;;\x07", "link", ["osc", "osc"]),
    ("\x9d0;t\x9cok", "ok", ["osc"]),
    ("\x1b]52;c;QUJD and on", " and on", ["osc"]),
    (f"\x1b]1337;File=inline=1:{PAYLOAD}\x07ok", "ok", ["osc"]),
    ("\x1bPq#0\x1b\\ok", "ok", ["dcs"]),
    ("\x1bPq#0;2;0;0;0\n#0!10~$-\n\x1b\\ok", "ok", ["dcs"]),
    ("\x90$qm\x9cok", "ok", ["dcs"]),
    ("\x1b_apc\x1b\\\x1b^pm\x1b\\ok", "ok", ["string", "string"]),
    (f"\x1b_Gf=100,a=T,m=1;{PAYLOAD}\x1b\\ok", "ok", ["string"]),
    ("\x1bXsos\x1b\\\x98s\x9c\x9ep\x9c\x9fa\x9cok", "ok", ["string"] * 4),
    ("\x1bc\x1b7\x1b(B\x1b#8\x1b%G\x1b=\x1bMok", "ok", ["escape"] * 7),
    ("nul\x00 bell\x07 del\x7f ind\x84", "nul bell del ind", ["control"] * 4),
    ("\x9d\x9c\x9b\x9d0;t\x9cx", "x", ["control", "osc"]),
    ("a\x0b\r\x0c\rb", "a\nb", ["control"]),
    ("so\x0esi\x0f sub\x1a fs\x1c", "sosi sub fs", ["control"] * 4),
    ("\x1b\x1b\x1b[1mx", "x", ["control", "csi"]),
    ("a\x08\x08b", "ab", ["control"]),
    ("page\x0cpage\x0b\x0bline", "page\npage\nline", ["control", "control"]),
    ("end\n\x0cpage\x0c\r\nline", "end\npage\r\nline", ["control", "control"]),
    ("10 %\r20 %\r\rdone\r", "10 %\n20 %\ndone\n", ["rewrite"] * 3),
    ("twice\r\r\nover\n\rx", "twice\r\nover\nx", ["rewrite"] * 2),
    ("\rx", "x", ["rewrite"]),
    # Quotation marks in UTF-8 that was read as Latin-1: no string begins there.
    ("\xe2\x80\x9cone\xe2\x80\x9d and \xe2\x80\x9ctwo\xe2\x80\x9d", "\xe2one\xe2 and \xe2two\xe2", ["control"] * 4),
]


def found(text: str) -> tuple[str, list[str]]:
    sanitized = Sanitizer(everywhere({Category.TERMINAL: Action.REMOVE})).sanitize(text)
    return sanitized.text, [finding.kind.removeprefix("terminal.") for finding in sanitized.findings]


@pytest.mark.parametrize(("text", "clean", "kinds"), SEQUENCES)
def test_sequences_are_taken_out(text: str, clean: str, kinds: list[str]) -> None:
    """Each sequence is one finding of its kind."""
    assert found(text) == (clean, kinds)
    assert Sanitizer().sanitize(text).text == clean


def test_a_next_line_becomes_a_line_end_and_is_reported_twice() -> None:
    """It is a control, and it is a line end that people do not see."""
    sanitized = Sanitizer().sanitize("nel\x85next")
    assert sanitized.text == "nel\nnext"
    assert [(finding.kind, finding.start, finding.end) for finding in sanitized.findings] == [
        ("terminal.control", 3, 4),
        ("invisible.separator", 3, 4),
    ]


@given(st.text(st.characters(max_codepoint=0xFF), max_size=60))
@example("a\r")
@example("\r\r\n\r")
def test_no_control_is_left(text: str) -> None:
    """Random text: the output contains no control but tab and line ends."""
    out = Sanitizer().sanitize(text).text.replace("\r\n", "\n")
    assert not [letter for letter in out if (letter < " " or "\x7f" <= letter < "\xa0") and letter not in "\t\n"]


def test_every_control_matches_the_prefilter() -> None:
    """Each control matches before its continuation is known; no other character does."""
    active = build_prefilter((Terminal.prefilters,))
    detector = Terminal()
    for code in range(0x300):
        text = f"a{chr(code)}"
        assert bool(active(text)) == bool(list(detector.find(text, 0)))
    assert not active("line\r\nline\r\nend")
