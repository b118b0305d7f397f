"""Splits reasoning that a server writes into the text, between marks such as `<think>`, from the answer. Pure.

1. An opening mark counts only at the beginning of the text, or directly after closed reasoning. Elsewhere it is text,
   because an answer may write about marks.
2. Some chat templates write the opening mark into the prompt, so the text has a closing mark only. All text before it
   is then reasoning, although it was returned as text (`TaggedText.dropped`). In code, in quotes, between spaces, or
   after an opening mark, such a closing mark is text.
"""

import re
from typing import Final

from attrs import define, field, frozen

WATCHED: Final = 64 * 1024
"""Characters of a text in which a closing mark without an opening one is searched; a later one is text."""
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
"""The closing marks of each opening mark, in lower case, as Qwen, DeepSeek and most others, Seed, Magistral, Kimi, GLM,
Command, Apertus, MedGemma, OpenThinker and Gemma write them, and gpt-oss, which answers in a separate channel."""
_CLOSERS: Final = tuple(mark for marks in _MARKS.values() for mark in marks if "/" in mark)
"""Closing marks that end reasoning whose opening mark the chat template wrote."""
_ANSWER_OPENERS: Final = (_START + _ANSWER, _ANSWER, "<|start_response|>", "<|begin_of_solution|>")
_ANSWER_CLOSERS: Final = ("<|return|>", "<|end|>", "<|end_response|>", "<|end_of_solution|>")
"""Marks that gpt-oss, Command and OpenThinker write before and after the answer itself."""
_OPENERS: Final = (*_MARKS, *_ANSWER_OPENERS)
_TAG: Final = r"(?:</(?:think|thinking|thought|reasoning|seed:think)>|\[/think\]|◁/think▷)"
_LONE_CLOSER: Final = re.compile(
    rf"""(?:(?:\A|\n)[ \t]*  # the mark begins a line
        |(?<=[^\s`'"(\u2018\u201c]))  # or follows the reasoning without a space
        {_TAG}(?=[^`'")\u2019\u201d])  # and is not quoted
        |{_TAG}[ \t]*\n  # or the mark ends a line""",
    re.VERBOSE | re.IGNORECASE,
)
_OPENER: Final = re.compile(_TAG.replace("/", ""), re.IGNORECASE)
_LOOKBACK: Final = 32
"""Characters before a new piece that are searched again: more than `_LONE_CLOSER` matches, apart from spaces."""


@frozen
class TaggedText:
    """Classified input: `reasoning`, then `text`. `dropped`: all text returned before is part of the `reasoning`."""

    reasoning: str = ""
    text: str = ""
    dropped: bool = False


@define
class ThinkTags:
    """Splits a text that arrives in pieces. `opened`: the chat template is known to have written the opening mark."""

    opened: bool = False
    _template_opened: bool = False  # in reasoning whose opening mark is not in the text
    _held: str = ""  # input that is not classified yet, because it may be the beginning of a mark
    _closers: tuple[str, ...] = ()  # marks that end the current reasoning or answer; empty if none can end it
    _in_text: bool = False
    _watching: bool = True  # a closing mark without an opening one may still come: rule 2
    _watched: str = ""  # all text so far, kept while watching
    _opened_text: list[str] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self._template_opened, self._closers = self.opened, _CLOSERS if self.opened else ()

    def feed(self, piece: str) -> TaggedText:
        """Add the next piece. Return the input that can be classified now."""
        if self._in_text and not self._closers:
            return self._watch(piece) if self._watching else TaggedText(text=piece)
        self._held += piece
        reasoning: list[str] = []
        while not self._in_text:
            if self._closers:
                settled, closed = self._take()
                reasoning.append(settled)
                if closed:
                    self._template_opened, self._closers, self._watching = False, (), False
                    continue
                if self._template_opened:
                    self._opened_text.append(settled)
                break
            elif opener := next((mark for mark in _MARKS if self._strip_mark(mark)), ""):
                self._closers = _MARKS[opener]
            elif any(self._strip_mark(mark) for mark in _ANSWER_OPENERS):
                self._in_text, self._watching, self._closers = True, False, _ANSWER_CLOSERS
            elif (start := self._held.lstrip().lower()) and not any(mark.startswith(start) for mark in _OPENERS):
                self._in_text = True
                self._watching = self._watching and start[0] != "{"  # a JSON object may quote marks
            else:
                break
        if not self._in_text:
            return TaggedText("".join(reasoning))
        if self._closers:
            return TaggedText("".join(reasoning), self._take()[0])
        held, self._held = self._held, ""
        if self._watching:
            return self._watch(held)
        return TaggedText("".join(reasoning), held.lstrip())

    def finish(self, *, cut: bool = False) -> TaggedText:
        """Return the input held back so far. In an answer that was not `cut` off, reasoning that the template should
        have opened, but that no mark closed, was text."""
        held, self._held = self._held, ""
        if self._template_opened and not cut:
            self.opened = False
            return TaggedText(text="".join((*self._opened_text, held)))
        if self._closers and not self._in_text:
            return TaggedText(reasoning=held)
        return TaggedText(text=held if held.strip() else "")

    def _strip_mark(self, mark: str) -> bool:
        """Remove a mark, and the space before it, from the beginning of `_held`. Return whether it was there."""
        start = self._held.lstrip()
        if found := start[: len(mark)].lower() == mark:
            self._held = start[len(mark) :]
        return found

    def _take(self) -> tuple[str, bool]:
        """Take the text before a closing mark, or a part of one, from `_held`. Return it, and whether a mark came."""
        low = self._held.lower()
        low = low if len(low) == len(self._held) else self._held  # lower case may change the length, and so the indices
        matches = [(at, mark) for mark in self._closers if (at := low.find(mark)) >= 0]
        if not matches:
            at = len(low) - max(_mark_prefix(low, mark) for mark in self._closers)
            taken, self._held = self._held[:at], self._held[at:]
            return taken, False
        at, mark = min(matches)
        taken = self._held[:at]
        opens_next = any(opener.startswith(mark) for opener in _OPENERS)  # then it stays, to be read as an opening mark
        self._held = self._held[at if opens_next else at + len(mark) :]
        return taken, True

    def _watch(self, piece: str) -> TaggedText:
        """Return a piece as text, unless it has a closing mark that makes all text so far reasoning: see rule 2."""
        size = len(self._watched)
        self._watched += piece
        closers = _LONE_CLOSER.finditer(self._watched, max(0, size - _LOOKBACK))
        closer = next((match for match in closers if not _is_about_marks(self._watched[: match.start()])), None)
        if closer is not None:
            reasoning, answer = self._watched[: closer.start()], self._watched[closer.end() :]
            self._watching, self._in_text, self._watched, self.opened = False, False, "", True
            after = self.feed(answer)
            return TaggedText(reasoning + after.reasoning, after.text, dropped=True)
        if len(self._watched) > WATCHED:
            self._watching, self._watched = False, ""
        return TaggedText(text=piece)


def _is_about_marks(text: str) -> bool:
    """Return whether a closing mark after this text is in code, or follows an opening mark: see rule 2."""
    line = text[text.rfind("\n") + 1 :].replace("```", "")
    in_code = text.count("```") % 2 == 1 or line.count("`") % 2 == 1
    return in_code or _OPENER.search(text) is not None


def _mark_prefix(text: str, mark: str) -> int:
    """Return how many characters at the end of a text may be the beginning of a mark."""
    return next((size for size in range(min(len(mark) - 1, len(text)), 0, -1) if text.endswith(mark[:size])), 0)
