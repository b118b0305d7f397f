"""Reasoning that a server writes into the text, between marks such as `<think>` or `[THINK]`. Pure.

1. A mark counts at the beginning of the text, and behind reasoning; elsewhere it is text: the answer may be about it.
2. Some templates have written the opening mark themselves. Then the text up to a closing one was reasoning, though it
   was taken for text before. A mark in code or quotes, between blanks, or behind an opening one is an answer about it.
"""

import re
from typing import Final

from attrs import define, field, frozen

WATCHED: Final = 64 * 1024
"""Characters of a text in which a closing mark without an opening one is looked for."""
_TAGS: Final = (
    *("think", "thinking", "thought", "thoughts", "reasoning", "reason", "reflection", "scratchpad", "inner_monologue"),
    *("reasoning_content", "seed:think", "mm:think", "longcat_think", "ant:thinking", "antthinking"),
)
_START, _CHANNEL = "<|start|>assistant", "<|channel|>"
_ANSWER: Final = f"{_CHANNEL}final<|message|>"
_MARKS: Final[dict[str, tuple[str, ...]]] = {
    **{f"<{name}>": (f"</{name}>",) for name in _TAGS},
    **{f"[{name}]": (f"[/{name}]",) for name in ("think", "thinking", "reasoning")},
    **{f"<|{name}|>": (f"<|/{name}|>", f"</|{name}|>") for name in ("think", "thinking")},
    "◁think▷": ("◁/think▷",),
    "<|inner_prefix|>": ("<|inner_suffix|>",),
    "<unused94>thought": ("<unused95>",),
    "<|start_thinking|>": ("<|end_thinking|>",),
    "<|begin_of_thought|>": ("<|end_of_thought|>",),
    "<|channel>thought": ("<channel|>",),
    **{
        f"{start}{_CHANNEL}{name}<|message|>": ("<|end|>", _START + _CHANNEL, _ANSWER)
        for start in ("", _START)
        for name in ("analysis", "commentary")
    },
}
"""Opening marks in lower case, and those that close each: of Qwen, DeepSeek and most others, Seed, Magistral, Kimi,
GLM, Command, Apertus, MedGemma, OpenThinker, Gemma, and of gpt-oss, whose answer follows in a channel of its own."""
_CLOSERS: Final = tuple(mark for marks in _MARKS.values() for mark in marks if "/" in mark)
"""Marks that may close reasoning whose opening one a template has written."""
_BEFORE_TEXT: Final = (_START + _ANSWER, _ANSWER, "<|start_response|>", "<|begin_of_solution|>")
_BEHIND_TEXT: Final = ("<|return|>", "<|end|>", "<|end_response|>", "<|end_of_solution|>")
"""Marks of the last ones before their answer, and behind it."""
_BEGINNINGS: Final = (*_MARKS, *_BEFORE_TEXT)
_TAG: Final = r"(?:</(?:think|thinking|thought|reasoning|seed:think)>|\[/think\]|◁/think▷)"
_CLOSED: Final = re.compile(
    rf"""(?:(?:\A|\n)[ \t]*  # a mark that begins a line
        |(?<=[^\s`'"(\u2018\u201c]))  # or stands directly behind the reasoning
        {_TAG}(?=[^`'")\u2019\u201d])  # and is not quoted
        |{_TAG}[ \t]*\n  # or one that ends a line""",
    re.VERBOSE | re.IGNORECASE,
)
_OPENED: Final = re.compile(_TAG.replace("/", ""), re.IGNORECASE)
_BACK: Final = 32
"""Characters before a piece in which such a line may begin."""


@frozen
class TaggedText:
    """What a piece settles: `reasoning`, then `text`. `dropped`: the text before was none; `reasoning` has it."""

    reasoning: str = ""
    text: str = ""
    dropped: bool = False


@define
class ThinkTags:
    """Splits a text that comes in pieces. `opened`: the template has written the opening mark before, as is known."""

    opened: bool = False
    _reasons: bool = False  # in reasoning whose opening mark is not in the text
    _held: str = ""  # the beginning of the text, or the end of a part: it may be a piece of a mark
    _closing: tuple[str, ...] = ()  # the marks that end the reasoning, or the text; empty in a text that none ends
    _begun: bool = False  # in text
    _watching: bool = True  # no reasoning has been closed
    _seen: str = ""
    _opened_text: list[str] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self._reasons, self._closing = self.opened, _CLOSERS if self.opened else ()

    def feed(self, piece: str) -> TaggedText:
        """Add a piece. Return what it settles."""
        if self._begun and not self._closing:
            return self._watch(piece) if self._watching else TaggedText(text=piece)
        self._held += piece
        reasoning: list[str] = []
        while not self._begun:
            if self._closing:
                settled, closed = self._take()
                reasoning.append(settled)
                if closed:
                    self._reasons, self._closing, self._watching = False, (), False
                    continue
                if self._reasons:
                    self._opened_text.append(settled)
                break
            elif opening := next((mark for mark in _MARKS if self._begins_with(mark)), ""):
                self._closing = _MARKS[opening]
            elif any(self._begins_with(mark) for mark in _BEFORE_TEXT):
                self._begun, self._watching, self._closing = True, False, _BEHIND_TEXT
            elif (start := self._held.lstrip().lower()) and not any(mark.startswith(start) for mark in _BEGINNINGS):
                self._begun = True
                self._watching = self._watching and start[0] != "{"  # an object, which may speak of marks
            else:
                break
        if not self._begun:
            return TaggedText("".join(reasoning))
        if self._closing:
            return TaggedText("".join(reasoning), self._take()[0])
        held, self._held = self._held, ""
        if self._watching:
            return self._watch(held)
        return TaggedText("".join(reasoning), held.lstrip())

    def finish(self, *, cut: bool = False) -> TaggedText:
        """Return what was held back. Reasoning that nothing closes, unless it was cut, the template had not opened."""
        held, self._held = self._held, ""
        if self._reasons and not cut:
            self.opened = False
            return TaggedText(text="".join((*self._opened_text, held)))
        if self._closing and not self._begun:
            return TaggedText(reasoning=held)
        return TaggedText(text=held if held.strip() else "")

    def _begins_with(self, mark: str) -> bool:
        """Take a mark off the beginning of what is held. Return whether it was there."""
        start = self._held.lstrip()
        if found := start[: len(mark)].lower() == mark:
            self._held = start[len(mark) :]
        return found

    def _take(self) -> tuple[str, bool]:
        """Take off what is held as far as no closing mark can be in it. Return it, and whether a mark stands behind."""
        low = self._held.lower()
        low = low if len(low) == len(self._held) else self._held
        places = [(at, mark) for mark in self._closing if (at := low.find(mark)) >= 0]
        if not places:
            at = len(low) - max(_part_of_mark(low, mark) for mark in self._closing)
            taken, self._held = self._held[:at], self._held[at:]
            return taken, False
        at, mark = min(places)
        taken = self._held[:at]
        kept = any(beginning.startswith(mark) for beginning in _BEGINNINGS)  # it begins what follows
        self._held = self._held[at if kept else at + len(mark) :]
        return taken, True

    def _watch(self, piece: str) -> TaggedText:
        """Return a piece of text, unless it closes reasoning that was taken for text."""
        before = len(self._seen)
        self._seen += piece
        closing = _CLOSED.finditer(self._seen, max(0, before - _BACK))
        closed = next((tag for tag in closing if not _is_quoted(self._seen[: tag.start()])), None)
        if closed is not None:
            reasoning, rest = self._seen[: closed.start()], self._seen[closed.end() :]
            self._watching, self._begun, self._seen, self.opened = False, False, "", True
            after = self.feed(rest)
            return TaggedText(reasoning + after.reasoning, after.text, dropped=True)
        if len(self._seen) > WATCHED:
            self._watching, self._seen = False, ""
        return TaggedText(text=piece)


def _is_quoted(before: str) -> bool:
    """Return whether text ends in code, or speaks of the opening mark."""
    in_line = before[before.rfind("\n") + 1 :].replace("```", "")
    in_code = before.count("```") % 2 == 1 or in_line.count("`") % 2 == 1
    return in_code or _OPENED.search(before) is not None


def _part_of_mark(text: str, mark: str) -> int:
    """Return how many characters at the end of a text may be the beginning of a mark."""
    return next((size for size in range(min(len(mark) - 1, len(text)), 0, -1) if text.endswith(mark[:size])), 0)
