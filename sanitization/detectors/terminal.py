"""Control characters and escape sequences, which drive the terminal that shows them (ECMA-48, xterm's ctlseqs).

Tab, line feed and carriage return pass. Text that only talks of sequences (a backslash and `033[31m`) is text.
"""

import re
from collections.abc import Iterator
from typing import Final

from sanitization.findings import Category, Hit

# xterm sets no bound on a string sequence; an inline image may be long, a hold-back may not.
STRING_MAX: Final = 4_096

_KINDS: Final = {name: f"terminal.{name}" for name in ("csi", "string", "escape", "control")}
_STRINGS: Final = {"]": "terminal.osc", "\x9d": "terminal.osc", "P": "terminal.dcs", "\x90": "terminal.dcs"}
_BODY: Final = r"[^\x00-\x1f\x7f-\x9f]"
# Controls that begin no sequence.
_BARE: Final = r"\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x8f\x91-\x97\x99\x9a\x9c"
_SEQUENCE: Final = re.compile(
    rf"""
      (?P<control> (?: [{_BARE}] | \x1b(?=\x1b) ){{1,{STRING_MAX}}} )
    | (?P<csi>    (?:\x1b\[|\x9b) [0-?]{{0,64}} [\x20-/]{{0,16}} [@-~]? )
    | (?P<string> (?:\x1b(?P<seven>[\]P_^X])|(?P<eight>[\x9d\x90\x9f\x9e\x98]))
                  (?:{_BODY}{{0,{STRING_MAX}}}(?:\x07|\x1b\\|\x9c) | [!-~]{{0,{STRING_MAX}}}) )
    | (?P<escape> \x1b [\x20-/]{{0,4}} [0-~]? )
    """,
    re.VERBOSE,
)
_CONTROLS: Final = "".join(chr(code) for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n\r")
_OPEN: Final = re.compile(
    rf"""
    (?: \x1b [\x20-/]{{0,4}}
      | (?:\x1b\[|\x9b) [0-?]{{0,64}} [\x20-/]{{0,16}}
      | (?:\x1b[\]P_^X]|[\x9d\x90\x9f\x9e\x98]) {_BODY}{{0,{STRING_MAX}}} \x1b? ) \Z
    """,
    re.VERBOSE,
)


class Terminal:
    """Finds escape sequences (`terminal.csi`, `.osc`, `.dcs`, `.string`, `.escape`) and bare `terminal.control`s."""

    name = "terminal"
    category = Category.TERMINAL
    context = 0
    reach = STRING_MAX + 128

    def find(self, text: str, start: int = 0) -> Iterator[Hit]:
        """Each sequence is one hit, and so is each run of bare control characters."""
        for match in _SEQUENCE.finditer(text, start):
            kind = _KINDS[match.lastgroup or "control"]
            if kind == "terminal.string":
                kind = _STRINGS.get(match["seven"] or match["eight"], kind)
            begin, end = match.span()
            yield Hit(begin, end, kind, 1.0, "", begin)

    def settled(self, text: str, start: int = 0) -> int:
        """Everything but an unfinished sequence, or a run of controls, at the end."""
        end = start + len(text[start:].rstrip(_CONTROLS))
        unfinished = _OPEN.search(text, max(start, len(text) - self.reach))
        return min(end, unfinished.start()) if unfinished else end
