"""The blocks of an answer that is being written: what a process is given to render, and what it returns.

Nothing here parses Markdown: a server leaves that to the processes of `understudy.chat.answer.html`, and loads no
parser until a client shows HTML.
"""

import re
from collections.abc import Mapping
from html import escape
from types import MappingProxyType
from typing import Any, Final, NamedTuple

HEAD_CHARACTERS: Final = 2_000
"""Characters of a table's head with which it is divided: each piece repeats it."""
CONTEXT_CHARACTERS: Final = 1_000
CONTEXT_LINES: Final = 40
"""Characters and lines before a piece of code from which the state of the lexer is taken: a string may begin in an
earlier piece. With both, short lines are not read again and again."""
# Whole lines up to this length are parsed again with each line; beyond, when they have grown by a quarter.
REPARSE_MAX: Final = 1_024

LINE_END: Final = re.compile(r"\r\n?|\n")
BLANK: Final = re.compile(r"^[ \t]*[\r\n]", re.MULTILINE)
_AFTER_BLANK: Final = re.compile(r"^[ \t]*(?:\r\n|\r|\n)[^\s\d*+-]", re.MULTILINE)

_CLOSINGS: Final = {"blank": BLANK, "after": _AFTER_BLANK}


def plain(text: str) -> str:
    """Return the HTML of a text shown as plain text, line by line."""
    body = escape(text.strip("\r\n"), quote=False)
    return f"<pre>{body}</pre>\n" if body.strip() else ""


class Begun(NamedTuple):
    """A table or list of which the first pieces were emitted.

    `head` is the table's head, as two lines of the text; empty for a list. `number` is that of the next item.
    """

    head: str = ""
    number: int = 0

    def fits(self) -> bool:
        """Whether this can come from a cut; checks replies of other processes."""
        return len(self.head) <= HEAD_CHARACTERS and self.head.count("\n") in (0, 2) and self.number >= 0


class OpenCode(NamedTuple):
    """Code of which the first pieces were emitted as blocks: its opening line, and what the pieces left (`Before`)."""

    fence: str
    context: str
    length: int

    def fits(self) -> bool:
        """Whether this can come from a cut; checks replies of other processes."""
        return bool(_FENCE_LINE.fullmatch(self.fence)) and len(self.context) <= CONTEXT_CHARACTERS and self.length > 0


_FENCE_LINE: Final = re.compile(r" {0,3}(?:`{3,}+[^`\n]*+|~{3,}+[^\n]*+)\n")


class Part(NamedTuple):
    """The open end of an answer that is being written, with the state left by its earlier blocks.

    `last`: no more text follows. `references` are those defined above; `linking`: an earlier block may use one. `code`
    is set if the text goes on with code whose beginning was emitted, `begun` if with such a table or list;
    `no_colours`, if highlighting was given up.
    """

    text: str
    last: bool = False
    linking: bool = False
    references: Mapping[str, Any] = MappingProxyType({})
    code: OpenCode | None = None
    no_colours: bool = False
    begun: Begun | None = None


class Cut(NamedTuple):
    """The result of cutting a part: its closed `blocks`, each with its length in characters and its HTML.

    `closing` is the condition that closes the open block at the end: ``blank`` (a blank line), ``after`` (a blank line
    and the line after it), the marker of a fence, or empty if only parsing again can tell. `exact`: no emitted block
    would have changed by a reference defined below it. `code` is the code, `begun` the table or list, at the end whose
    first pieces are among the blocks. `no_colours`: highlighting was given up, in these blocks or before. `open_end` is
    the preview of what follows the blocks, empty without one; `Renderer.cut` leaves it to the worker, whose time it
    takes.
    """

    blocks: list[tuple[int, str]]
    closing: str = ""
    linking: bool = False
    exact: bool = True
    references: Mapping[str, Any] = MappingProxyType({})
    code: OpenCode | None = None
    no_colours: bool = False
    open_end: str = ""
    begun: Begun | None = None

    def fits(self, part: Part) -> bool:
        """Whether this can be the result of `Renderer.cut` for a part; checks replies of other processes."""
        lengths = [length for length, _ in self.blocks]
        if any(each is not None and not each.fits() for each in (self.code, self.begun)):
            return False
        closing = self.closing in ("", *_CLOSINGS) or set(self.closing) in ({"`"}, {"~"})
        return closing and sum(lengths) <= len(part.text) and all(length > 0 for length in lengths)

    def rest_of(self, part: Part) -> Part | None:
        """Return the part that is left of a part after the blocks cut from it; None if nothing is to be seen of it."""
        rest = part.text[sum(length for length, _ in self.blocks) :]
        if not rest.strip():
            return None
        return Part(rest, part.last, self.linking, self.references, self.code, self.no_colours, self.begun)


class RenderedBlock(NamedTuple):
    """A closed block of an answer: its characters `start` to `end` (exclusive) look like `html` and will not change."""

    start: int
    end: int
    html: str


class BlockRenderer:
    """Splits an answer into blocks as it is written. The caller renders them by `Renderer.cut`, in another process.

    The blocks tile the text: each begins where the one before ended, with the blank lines between them. Their
    `html`, joined, is `render` of the whole text, with one exception due to the language: a link reference
    defined below its use. Such a use is shown as written, and `exact` becomes false; `render` of the finished answer
    then shows the link. The blocks depend on the text only, not on the pieces in which it arrived.
    """

    def __init__(self) -> None:
        self.exact = True
        self.failed = False  # a part could not be rendered: the rest is plain text
        self._references: Mapping[str, Any] = {}
        self._linking = False  # whether an emitted block may use a reference
        self._code: OpenCode | None = None  # code of which the first pieces were emitted
        self._begun: Begun | None = None  # a table or list of which the first pieces were emitted
        self._no_colours = False  # whether highlighting was given up
        self._line: list[str] = []  # the last pieces, without a line end yet
        self._text = ""  # the text before `_line` that is not emitted yet
        self._start = 0  # position of `_text` in the whole text
        self._searched = 0  # no line before this position of `_text` closes a block
        self._parsed = 0  # length of the whole lines when they were last parsed
        self._closing: re.Pattern[str] | None = None  # closes the open block

    def hold(self, delta: str) -> None:
        """Add text while nobody wants blocks. They come with the next `feed` in which a line ends."""
        self._line.append(delta)

    def feed(self, delta: str) -> Part | None:
        """Add text. Return the part to cut now, or None."""
        self._line.append(delta)
        if self.failed or ("\n" not in delta and "\r" not in delta and not self._text.endswith("\r")):
            return None
        self._text += "".join(self._line)
        self._line.clear()
        # A carriage return at the very end may be half of a line end.
        whole = max(self._text.rfind("\n"), self._text.rfind("\r", 0, -1)) + 1
        if not whole or not self._may_close(whole):
            return None
        return self._part(self._text[:whole])

    def finish(self) -> Part | None:
        """Return the last part; None if there is no more text."""
        self._text += "".join(self._line)
        return self._part(self._text, last=True) if self._text else None

    @property
    def open_end(self) -> tuple[int, Part] | None:
        """Where the open end of the text begins, and the part to preview; None without one, or if rendering failed."""
        text = self._text + "".join(self._line)
        if self.failed or not text.strip():
            return None
        return self._start, self._part(text)

    def _part(self, text: str, *, last: bool = False) -> Part:
        return Part(text, last, self._linking, self._references, self._code, self._no_colours, self._begun)

    def accept_cut(self, part: Part, cut: Cut | None) -> list[RenderedBlock]:
        """Accept the result of cutting a part. Return the blocks that it closed, often none.

        If `cut` is None (rendering failed, or took too long), the rest of the answer is one block of plain text, which
        closes with the last part.
        """
        if cut is None:
            self.failed = True
            rest = [(len(part.text), plain(part.text))] if part.last and part.text.strip() else []
            cut = Cut(rest, linking=self._linking, references=self._references, no_colours=self._no_colours)
        blocks: list[RenderedBlock] = []
        closed = 0
        for length, html in cut.blocks:
            blocks.append(RenderedBlock(self._start + closed, self._start + closed + length, html))
            closed += length
        self._start += closed
        self._text = self._text[closed:]
        self._parsed = len(part.text) - closed
        self._searched = max(0, self._text.rfind("\n", 0, max(self._parsed - 1, 0)) + 1)
        self._closing = closing_pattern(cut.closing) if cut.closing else None
        self.exact, self._linking, self._references = self.exact and cut.exact, cut.linking, cut.references
        self._code, self._no_colours, self._begun = cut.code, cut.no_colours, cut.begun
        return blocks

    def _may_close(self, whole: int) -> bool:
        """Whether to parse now: if it is cheap, a line may close a block, or the text has grown by a quarter."""
        if self._closing and self._closing.search(self._text, self._searched, whole):
            return True
        cheap = whole <= REPARSE_MAX and not (self._closing and self._closing not in (BLANK, _AFTER_BLANK))
        if cheap or whole >= self._parsed * 5 // 4:
            return True
        # The last line may be the blank line that the condition ``after`` needs.
        self._searched = self._text.rfind("\n", 0, max(whole - 1, 0)) + 1
        return False


def closing_pattern(closing: str) -> re.Pattern[str]:
    """Return the pattern for a non-empty `Cut.closing`."""
    if closing in _CLOSINGS:
        return _CLOSINGS[closing]
    return re.compile(rf"^ {{0,3}}{re.escape(closing)}{re.escape(closing[0])}*[ \t]*$", re.MULTILINE)
