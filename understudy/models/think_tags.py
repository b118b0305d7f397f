"""Reasoning that a server writes into the text, between tags such as `<think>` or `[THINK]`. Pure.

1. A tag counts at the beginning of the text, and behind reasoning; elsewhere it is text: the answer may be about tags.
2. Some templates have written the opening tag themselves. Then the text up to a closing tag was reasoning, though it
   was taken for text before. A tag in code or quotes, between blanks, or behind an opening one is an answer about tags.
"""

import re
from typing import Final

from attrs import define, field, frozen

WATCHED: Final = 64 * 1024
"""Characters of a text in which a closing tag without an opening one is looked for."""
_OPENING: Final = re.compile(r"\s*(?:<(think|thinking|thought|seed:think)>|\[(THINK)\])", re.IGNORECASE)
_OPENINGS: Final = ("<think>", "<thinking>", "<thought>", "<seed:think>", "[think]")
_CLOSED: Final = re.compile(
    r"""(?:(?:\A|\n)[ \t]*  # a tag that begins a line
        |(?<=[^\s`'"(\u2018\u201c]))  # or stands directly behind the reasoning
        </think>(?=[^`'")\u2019\u201d])  # and is not quoted
        |</think>[ \t]*\n  # or one that ends a line""",
    re.VERBOSE,
)
_CLOSING: Final = "</think>"
_BACK: Final = 32
"""Characters before a piece in which such a line may begin."""


@frozen
class Parts:
    """What a piece settles: `reasoning`, then `text`. `dropped`: the text before was none; `reasoning` has it."""

    reasoning: str = ""
    text: str = ""
    dropped: bool = False


@define
class ThinkTags:
    """Splits a text that comes in pieces. `opened`: the template has written the opening tag before."""

    opened: bool = False
    _held: str = ""  # the beginning of the text, or the end of reasoning: it may be a part of a tag
    _closing: str = ""  # the tag that ends the reasoning; empty in text
    _begun: bool = False  # in text
    _watching: bool = True  # no reasoning has been closed
    _seen: str = ""
    _opened_text: list[str] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self._closing = _CLOSING if self.opened else ""

    def feed(self, piece: str) -> Parts:
        """Add a piece. Return what it settles."""
        if self._begun:
            return self._watch(piece) if self._watching else Parts(text=piece)
        self._held += piece
        reasoning: list[str] = []
        while not self._begun:
            if self._closing:
                if not self._close(reasoning):
                    break
            elif found := _OPENING.match(self._held):
                self._closing = f"</{found[1]}>" if found[1] else f"[/{found[2]}]"
                self._held = self._held[found.end() :]
            elif (start := self._held.lstrip()) and not any(tag.startswith(start.lower()) for tag in _OPENINGS):
                self._begun = True
            else:
                break
        if not self._begun:
            return Parts("".join(reasoning))
        held, self._held = self._held, ""
        if self._watching:
            return self._watch(held)
        return Parts("".join(reasoning), held.lstrip())

    def finish(self, *, cut: bool = False) -> Parts:
        """Return what was held back. Reasoning that nothing closes, unless it was cut, the template had not opened."""
        held, self._held = self._held, ""
        if self._closing and self.opened and not cut:
            return Parts(text="".join((*self._opened_text, held)))
        if self._closing:
            return Parts(reasoning=held)
        return Parts(text=held if held.strip() else "")

    def _close(self, reasoning: list[str]) -> bool:
        """Take reasoning off what is held. Return whether it is closed."""
        at = self._held.find(self._closing)
        closed = at >= 0
        if not closed:
            at = len(self._held) - _part_of_tag(self._held, self._closing)
        reasoning.append(self._held[:at])
        self._held = self._held[at + len(self._closing) :] if closed else self._held[at:]
        if closed:
            self.opened, self._closing, self._watching = False, "", False
            self._opened_text.clear()
        elif self.opened:
            self._opened_text.append(reasoning[-1])
        return closed

    def _watch(self, piece: str) -> Parts:
        """Return a piece of text, unless it closes reasoning that was taken for text."""
        before = len(self._seen)
        self._seen += piece
        closing = _CLOSED.finditer(self._seen, max(0, before - _BACK))
        found = next((each for each in closing if not _is_quoted(self._seen[: each.start()])), None)
        if found is not None:
            reasoning, rest = self._seen[: found.start()], self._seen[found.end() :]
            self._watching, self._begun, self._seen = False, False, ""
            after = self.feed(rest)
            return Parts(reasoning + after.reasoning, after.text, dropped=True)
        if len(self._seen) > WATCHED:
            self._watching, self._seen = False, ""
        return Parts(text=piece)


def _is_quoted(before: str) -> bool:
    """Return whether text ends in code, or speaks of the opening tag."""
    in_line = before[before.rfind("\n") + 1 :].replace("```", "")
    return before.count("```") % 2 == 1 or in_line.count("`") % 2 == 1 or "<think>" in before


def _part_of_tag(text: str, tag: str) -> int:
    """Return how many characters at the end of a text may be the beginning of a tag."""
    return next((size for size in range(min(len(tag) - 1, len(text)), 0, -1) if text.endswith(tag[:size])), 0)
