"""Answers as safe HTML. `BlockRenderer` does this while an answer is still being written.

CommonMark with tables, strikethrough, bare links, tasks, footnotes and formulas; raw HTML is shown as text. Code is
highlighted by class names, never by style. All HTML passes the sanitizer after rendering.

Rendering is pure and takes one to four milliseconds for a thousand characters, but minutes for some texts, hostile or
by chance: lexers and the Markdown parser are third-party regular expressions. So a server renders in processes that can
be killed (`understudy.chat.answer.html`), with limits that are passed to this module.
"""

import re
from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import nullcontext
from functools import cache
from html import escape
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from sanitization import STANDARD, Policy, Sanitizer
from sanitization.detectors.markup.urls import Addresses
from understudy.chat.answer import formulas
from understudy.chat.answer.code import (
    BOX_CLASSES,
    CODE_CLASSES,
    CONTEXT_CHARACTERS,
    LANGUAGE_CLASS,
    Before,
    CpuTimeExceeded,
    Highlighter,
    Limit,
    pieces,
)
from understudy.chat.answer.divided import CONTINUED, Begun, divide, seams
from understudy.chat.answer.extensions import IMAGE_CLASS, NOTE_CLASS, TASK_CLASSES, add_extensions
from understudy.chat.answer.formulas import add_formulas
from understudy.chat.answer.open_markup import close_open_markup, withhold_open_line

BLOCK_S: Final = 0.5
"""Seconds of processor time for one block; then it is shown as plain text. Blocks that are code have limits of their
own, see `Highlighter`."""
REFERENCES_MAX: Final = 200
"""Link references that later blocks of a streamed answer may use. With more, the finished answer is rendered anew."""


# Whole lines up to this length are parsed again with each line; beyond, when they have grown by a quarter.
REPARSE_MAX: Final = 1_024

_LINE_END: Final = re.compile(r"\r\n?|\n")
_BLANK: Final = re.compile(r"^[ \t]*[\r\n]", re.MULTILINE)
_AFTER_BLANK: Final = re.compile(r"^[ \t]*(?:\r\n|\r|\n)[^\s\d*+-]", re.MULTILINE)

_CLOSINGS: Final = {"blank": _BLANK, "after": _AFTER_BLANK}

_CLASSES: Final = {
    "a": frozenset({IMAGE_CLASS}),
    "div": BOX_CLASSES | {formulas.BOX_CLASS, NOTE_CLASS},
    "li": TASK_CLASSES,
    "mtd": formulas.CELL_CLASSES,
    "ol": frozenset({CONTINUED}),
    "span": CODE_CLASSES | TASK_CLASSES | {LANGUAGE_CLASS},
    "sup": frozenset({NOTE_CLASS}),
    "table": frozenset({CONTINUED}),
    "ul": frozenset({CONTINUED}),
}


def plain(text: str) -> str:
    """Return the HTML of a text shown as plain text, line by line."""
    body = escape(text.strip("\r\n"), quote=False)
    return f"<pre>{body}</pre>\n" if body.strip() else ""


def _fence(_self: RendererHTML, tokens: Sequence[Token], index: int, _options: OptionsDict, env: EnvType) -> str:
    words, before = tokens[index].info.split(), env.pop("before", Before())
    found = pieces(tokens[index].content, before)
    return "".join([env["colours"].element(piece, words[0] if words else "") for piece in found])


def _cell(self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    """Write a cell's alignment as an attribute, because styles do not pass the sanitizer."""
    token = tokens[index]
    style = token.attrs.pop("style", None)
    if isinstance(style, str):
        token.attrs["align"] = style.removeprefix("text-align:")
    return self.renderToken(tokens, index, options, env)


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "linkify": True}).enable(["table", "strikethrough", "linkify"])
    if parser.linkify is not None:
        # Only links with a scheme: `main.py` and `setup.sh` are files here, not hosts of Paraguay and St Helena.
        parser.linkify.set({"fuzzy_link": False, "fuzzy_email": False, "fuzzy_ip": False})
    add_formulas(parser)
    add_extensions(parser)
    parser.core.ruler.after("block", "divide", divide)
    parser.add_render_rule("fence", _fence)
    parser.add_render_rule("code_block", _fence)
    parser.add_render_rule("th_open", _cell)
    parser.add_render_rule("td_open", _cell)
    return parser


_PARSER: Final = _parser()
_PREVIEWER: Final = _parser()
_PREVIEWER.core.ruler.after("divide", "close_open_markup", close_open_markup)


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


class Renderer:
    """Renders Markdown to safe HTML by a content policy (which hosts' images may be shown). Stateless."""

    def __init__(self, policy: Policy = STANDARD, limit: Limit = nullcontext) -> None:
        self.sanitizer = Sanitizer(policy.with_classes(_CLASSES), mathml=True)
        self._addresses = Addresses(policy.link_hosts, policy.image_hosts)
        self._limit = limit

    def render(self, text: str) -> str:
        """Return the HTML of a whole text."""
        return self._html(text, {}, Highlighter(self._limit))

    def render_blocks(self, text: str) -> tuple[str, bool]:
        """Return the HTML of a whole text block by block, as it looks if it is streamed, and whether it is `exact`.

        A block that takes too long is shown as plain text.
        """
        cut = self.cut(Part(text, last=True))
        return "".join(html for _, html in cut.blocks), cut.exact

    def render_cut_off(self, text: str) -> str:
        """Return the HTML of a text that ends anywhere: its closed blocks, then its open end as `preview` shows it."""
        part = Part(text)
        cut = self.cut(part)
        rest = cut.rest_of(part)
        return "".join(html for _, html in cut.blocks) + ("" if rest is None else self.preview(rest))

    def cut(self, part: Part) -> Cut:
        """Render the closed blocks of an open answer, and the full pieces of code that is open at its end."""
        head, before = _head(part)
        text, references = head + part.text, dict(part.references)
        colours = Highlighter(self._limit, gave_up=part.no_colours)
        lines, tokens = _parsed(text)
        outline = [token for token in tokens if token.level == 0 and token.nesting >= 0 and token.map]
        ends, closing, opened = _ends(text, lines, outline, last=part.last)
        if part.last and text[ends[-1] if ends else 0 :].strip():
            ends.append(len(text))
        blocks, linking, exact, given = list[tuple[int, str]](), part.linking, True, 0

        def add(end: int, source: str, limit: Limit, before: Before | None = None, begun: Begun | None = None) -> None:
            nonlocal given, linking, exact
            known = len(references)
            try:
                with limit(BLOCK_S):
                    html = self._html(source, references, colours, before, begun)
            except CpuTimeExceeded:
                html = plain(source)
            exact = exact and not (linking and len(references) > known)
            linking = linking or "[" in source
            blocks.append((end - max(given, len(head)), html))
            given = end

        for end, kind in zip(ends, [*(token.type for token in outline), ""], strict=False):
            limit = nullcontext if kind in ("fence", "code_block") else self._limit
            add(end, text[given:end], limit, *((None, None) if given else (before, part.begun)))
        code, begun = None, None if ends else part.begun
        if opened is not None and opened.type == "fence":
            code, found = self._full_pieces(opened, lines, text, None if ends else part.code, colours)
            for end, html in found:
                blocks.append((end - max(given, len(head)), html))
                given = end
        elif opened is not None:
            block = tokens[next(index for index, token in enumerate(tokens) if token is opened) :]
            above = ""
            for line, after in list(seams(block, _LINE_END.sub("\n", text).split("\n"), _PARSER, begun)):
                add(lines[line], above + text[given : lines[line]], self._limit, None, begun)
                begun, above = after, after.head
        if len(references) > REFERENCES_MAX:
            exact, references = False, dict(list(references.items())[:REFERENCES_MAX])
        return Cut(blocks, closing, linking, exact, references, code, colours.gave_up, begun=begun)

    def preview(self, part: Part) -> str:
        """Return the HTML of the open end of an answer as it will look if its open markup is closed."""
        head, before = _head(part)
        text = withhold_open_line(_LINE_END.sub("\n", head + part.text), _PARSER)
        colours = Highlighter(self._limit, gave_up=part.no_colours)
        return self._html(text, dict(part.references), colours, before, part.begun, _PREVIEWER)

    def _full_pieces(
        self, fence: Token, lines: Sequence[int], text: str, code: OpenCode | None, colours: Highlighter
    ) -> tuple[OpenCode | None, list[tuple[int, str]]]:
        """Return the full pieces of open code, each with its end in the text, and the code that goes on after them.

        `code` is set if the code goes on already.
        """
        first, _ = fence.map or (0, 0)
        words, found = fence.info.split(), list[tuple[int, str]]()
        left = Before() if code is None else Before(code.context, code.length)
        line = first + 1
        for piece in pieces(fence.content, left):
            if not piece.full:
                break
            line += piece.text.count("\n")
            html = self.sanitizer.sanitize_html(colours.element(piece, words[0] if words else "")).text
            found.append((lines[line], html))
            left = left.and_then(piece.text)
        if not left.length:
            return None, []
        return OpenCode(_LINE_END.sub("\n", text[lines[first] : lines[first + 1]]), *left), found

    def clean(self, html: str) -> str:
        """Return HTML from another process without anything that this renderer would not produce."""
        return self.sanitizer.sanitize_html(html).text

    def _html(
        self,
        text: str,
        references: MutableMapping[str, Any],
        colours: Highlighter,
        before: Before | None = None,
        begun: Begun | None = None,
        parser: MarkdownIt = _PARSER,
    ) -> str:
        env: dict[str, Any] = {"references": references, "colours": colours, "shows": self._addresses.shows}
        if before is not None:
            env["before"] = before
        if begun is not None:
            env["begun"] = begun
        return self.sanitizer.sanitize_html(parser.render(text, env)).text


def _head(part: Part) -> tuple[str, Before | None]:
    """Return the lines before a part that goes on with code or a table, and what is before it in the code."""
    if part.code is not None:
        return part.code.fence, Before(part.code.context, part.code.length)
    return ("" if part.begun is None else part.begun.head), None


def _parsed(text: str) -> tuple[list[int], list[Token]]:
    """Return where each line of a text begins, with its length at the end, and the tokens of its blocks."""
    lines = [0, *(match.end() for match in _LINE_END.finditer(text)), len(text)]
    tokens: list[Token] = []
    # Only the outline is parsed, which is cheaper than rendering.
    _PARSER.block.parse(_LINE_END.sub("\n", text).replace("\0", "\ufffd"), _PARSER, {}, tokens)
    return lines, tokens


def _ends(
    text: str, lines: Sequence[int], outline: Sequence[Token], *, last: bool
) -> tuple[list[int], str, Token | None]:
    """Return the ends of a text's closed blocks, the condition that closes the next one, and that one if it is open."""
    ends = list[int]()
    for token in outline:
        first, after = token.map or (0, 0)
        end = lines[min(after, len(lines) - 1)]
        if not last and token is outline[-1]:
            closed, closing = _closing(token.type, token.markup, text[lines[first] : end], text[end:])
            return ([*ends, end], closing, None) if closed else (ends, closing, token)
        ends.append(end)
    return ends, "", None


@cache
def standard() -> Renderer:
    """Return this process's renderer by the standard policy, without time limits."""
    return Renderer()


def render(text: str) -> str:
    """Return the safe HTML of a whole answer, without images of foreign hosts. Runs here, without a time limit."""
    return standard().render(text)


def clean_html(html: str) -> str:
    """Return another server's HTML of an answer, made as safe as that of `render`. Safe HTML is unchanged."""
    return standard().clean(html)


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
        self._closing = _pattern(cut.closing) if cut.closing else None
        self.exact, self._linking, self._references = self.exact and cut.exact, cut.linking, cut.references
        self._code, self._no_colours, self._begun = cut.code, cut.no_colours, cut.begun
        return blocks

    def _may_close(self, whole: int) -> bool:
        """Whether to parse now: if it is cheap, a line may close a block, or the text has grown by a quarter."""
        if self._closing and self._closing.search(self._text, self._searched, whole):
            return True
        cheap = whole <= REPARSE_MAX and not (self._closing and self._closing not in (_BLANK, _AFTER_BLANK))
        if cheap or whole >= self._parsed * 5 // 4:
            return True
        # The last line may be the blank line that the condition ``after`` needs.
        self._searched = self._text.rfind("\n", 0, max(whole - 1, 0)) + 1
        return False


def _pattern(closing: str) -> re.Pattern[str]:
    """Return the pattern for a non-empty `Cut.closing`."""
    if closing in _CLOSINGS:
        return _CLOSINGS[closing]
    return re.compile(rf"^ {{0,3}}{re.escape(closing)}{re.escape(closing[0])}*[ \t]*$", re.MULTILINE)


def _closing(kind: str, marker: str, source: str, rest: str) -> tuple[bool, str]:
    """Return whether the last block of a text is closed, and if not, the condition that surely closes it."""
    if kind in ("heading_open", "hr"):
        return True, ""
    if kind == "fence":
        body = _LINE_END.sub("\n", source).rstrip("\n").partition("\n")[2]
        return bool(_pattern(marker).fullmatch(body.rpartition("\n")[2])), marker
    if kind == "math_block":
        return marker != formulas.OPEN or bool(_BLANK.match(rest)), "blank"
    if kind in ("paragraph_open", "table_open", "blockquote_open", "footnote_open"):
        return bool(_BLANK.match(rest)), "blank"
    return False, "after"
