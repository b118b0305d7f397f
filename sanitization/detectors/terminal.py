"""Control characters and escape sequences, which drive the terminal that displays them (ECMA-48, xterm's ctlseqs).

Tab, line feed and the line end CR LF pass. Text about sequences (a backslash and `033[31m`) is text. Controls that
break a line, or return to its beginning to overwrite it, are replaced by a line end: no text is lost or overwritten.
"""

import re
from collections.abc import Collection, Iterator
from typing import Final

from sanitization.findings import Category, Hit, Kind, make_hit
from sanitization.late import Late
from sanitization.prefilter import Prefilter

# xterm sets no bound on a string sequence; an inline image may be long, a hold-back may not. Images, clipboards and
# links have no blanks in them.
STRING_MAX: Final = 4_352  # kitty sends images in pieces of 4,096, with their settings before them
TITLE_MAX: Final = 512  # characters of a string sequence with blanks

_BODY: Final = r"[\t-\r\x20-~\xa0-\U0010ffff]"
_SOLID: Final = r"[!-~]"
_END: Final = r"(?:\x07|\x1b\\|\x9c)"
# Controls that neither begin a sequence nor break a line.
_BARE: Final = r"\x00-\x08\x0e-\x1a\x1c-\x1f\x7f-\x84\x86-\x8f\x91-\x97\x99\x9a\x9c"
# No sequence: between them and U+0080 before, a quotation mark whose UTF-8 was read as Latin-1; or another control
# follows, which breaks them off.
_IDLE: Final = r"(?<=\x80)[\x90\x98\x9d-\x9f]|[\x90\x98\x9b\x9d-\x9f](?=[\x80-\x9f])"
_EIGHT: Final = r"(?<!\x80)[\x9d\x90\x9f\x9e\x98]"
_SEQUENCE: Final = Late(
    rf"""
      (?P<control> (?: [{_BARE}] | {_IDLE} | \x1b(?=\x1b) ){{1,{STRING_MAX}}} )
    | (?P<feed>    [\x0b\x0c](?:[\x0b\x0c]|\r(?!\n)){{0,{STRING_MAX}}} )
    | (?P<csi>     (?:\x1b\[|\x9b) [0-?\x00\x7f]{{0,64}} [\x20-/]{{0,16}} [@-~]? )
    | (?P<string>  (?: \x1b(?P<seven>[\]P_^X]) | (?P<eight>{_EIGHT}) )
                   (?: {_BODY}{{0,{TITLE_MAX}}}{_END} | {_SOLID}{{0,{STRING_MAX}}}{_END}? ) )
    | (?P<escape>  \x1b [\x20-/]{{0,4}} [0-~]? )
    | (?P<rewrite> \r{{1,64}} (?![\r\n]) )
    | (?P<idle>    \r{{1,64}} (?=\r) )
    | (?P<next>    \x85{{1,{STRING_MAX}}} )
    """,
    re.VERBOSE,
)
_OPENING: Final = Late(r"[\x1b\x80-\x9f]")
_FIRST: Final = Late(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""The first character of each sequence, so that `re` skips quickly to the next candidate."""
_KINDS: Final = {
    "csi": "terminal.csi",
    "escape": "terminal.escape",
    "rewrite": "terminal.rewrite",
    "idle": "terminal.rewrite",
}
_STRINGS: Final = {"]": "terminal.osc", "\x9d": "terminal.osc", "P": "terminal.dcs", "\x90": "terminal.dcs"}
_CONTROLS: Final = "".join(chr(code) for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n")
_OPEN: Final = Late(
    rf"""
    (?: \x1b [\x20-/]{{0,4}}
      | (?:\x1b\[|\x9b) [0-?\x00\x7f]{{0,64}} [\x20-/]{{0,16}}
      | (?:\x1b[\]P_^X]|{_EIGHT}) (?: {_BODY}{{0,{TITLE_MAX}}} | {_SOLID}{{0,{STRING_MAX}}} ) \x1b? ) \Z
    """,
    re.VERBOSE,
)


class Terminal:
    """Finds escape sequences (`terminal.csi`, `.osc`, `.dcs`, `.string`, `.escape`), `terminal.rewrite` and bare
    `terminal.control`s."""

    name = "terminal"
    category = Category.TERMINAL
    prefilters = (
        ("control", Prefilter(ranges=((0x00, 0x08), (0x0B, 0x0C), (0x0E, 0x1F), (0x7F, 0x9F)))),
        # Not at a line end; at the end of a piece that is unknown.
        ("return", Prefilter(literals=("\r",), pattern=r"\r(?:[^\n]|$)")),
    )
    kinds = (
        Kind("terminal.csi", "A control sequence: colour, cursor, erasing, modes of the terminal.", "a \x1b[2Jb"),
        Kind("terminal.osc", "An operating system command: window title, link, clipboard.", "a \x1b]0;title\x07b"),
        Kind("terminal.dcs", "A device control string: sixel images, settings, queries.", "a \x1bPq#0~\x1b\\b"),
        Kind("terminal.string", "Another string for the terminal: kitty images (APC), PM, SOS.", "a \x1b_Gi=1\x1b\\b"),
        Kind("terminal.escape", "An escape sequence: reset, character sets, saved cursors.", "a \x1bcb"),
        Kind("terminal.rewrite", "A carriage return without line feed: what follows is written over the line.", "a\rb"),
        Kind("terminal.control", "A control character: NUL, bell, backspace, DEL, those of C1, and others.", "a\x08b"),
    )
    context = 1
    reach = STRING_MAX + 128

    def find(self, text: str, start: int = 0, _active: Collection[str] = ()) -> Iterator[Hit]:
        """Yield each sequence as one hit, and each run of bare control characters."""
        position = start
        while first := _FIRST.search(text, position):
            match = _SEQUENCE.match(text, first.start())
            if not match:
                position = first.end()
                continue
            begin, end = match.span()
            position = end
            group = match.lastgroup
            if group == "control":
                yield make_hit((begin, end, "terminal.control", 1.0, "", begin, (), None))
                continue
            replacement = ""
            if group in ("seven", "eight", "string"):
                kind = _STRINGS.get(match["seven"] or match["eight"], "terminal.string")
            else:
                kind = _KINDS.get(group or "", "terminal.control")
                if group == "next":
                    replacement = "\u2028" * (end - begin)  # Unicode's own line separator, for consumers that expect it
                elif group in ("feed", "rewrite"):
                    at_line_end = begin == 0 or text[begin - 1] == "\n" or text.startswith(("\r", "\n"), end)
                    replacement = "" if at_line_end else "\n"
            yield make_hit((begin, end, kind, 1.0, replacement, begin, (), None))

    def settled(self, text: str, start: int = 0, _active: Collection[str] = ()) -> int:
        """Return the end of the text, or where an unfinished sequence or a run of controls at the end begins."""
        end = start + len(text[start:].rstrip(_CONTROLS))
        for first in _OPENING.finditer(text, max(start, len(text) - self.reach)):
            if _OPEN.match(text, first.start()):
                return min(end, first.start())
        return end
