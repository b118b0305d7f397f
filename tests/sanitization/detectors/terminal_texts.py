"""Texts with sequences for terminals, and texts that only look so."""

from hypothesis import strategies as st

PIECES = [
    "a",
    " ",
    "\n",
    "\r",
    "\x0b",
    "\x00",
    "\x08",
    "\x1b",
    "[",
    "31m",
    "]",
    "0;t",
    "P",
    "\\",
    "\x07",
    "\x80",
    "\x85",
    "\x9c",
    "\x9d",
]
pieces = st.lists(st.sampled_from(PIECES), max_size=12)
CUTS = [["a\r", "\n"], ["\x0b", "\r", "\n"], ["a\x00", "\x00b"]]
TALK = [
    "\\033[31m",
    "\\e[0m \\x1b[0m \\u001b[0m",
    "^[[A",
    "[31m",
    "␛[1m ␀",
    "a\tb\r\nc\nd",
    "\r\n\r\n",
    "CSI is ESC [",
    'printf "\\r\\n\\a"',
]
"""Without a control character nothing is a sequence; tab and line ends pass."""
UNITS = [
    "\x1b",
    "\x1b]",
    "\x1b[",
    "a\x00",
    "\x9d",
    "\x1b]0;a b ",
    "\x1b[1;",
    "\r",
    "a\r",
    "\x1bP\n",
    "\x0b\r",
    "\x80\x9d",
]
