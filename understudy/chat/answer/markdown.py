"""Answers as safe HTML. `understudy.chat.answer.blocks` divides an answer that is still being written for this.

CommonMark with tables, strikethrough, bare links, tasks, footnotes and formulas; raw HTML is shown as text. Code is
highlighted by class names, never by style. All HTML passes the sanitizer after rendering.

Rendering is pure and takes one to four milliseconds for a thousand characters, but minutes for some texts, hostile or
by chance: lexers and the Markdown parser are third-party regular expressions. So a server renders in processes that can
be killed (`understudy.chat.answer.html`), with limits that are passed to this module.
"""

from collections.abc import MutableMapping, Sequence
from contextlib import nullcontext
from functools import cache
from typing import Any, Final

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from sanitization import STANDARD, Policy, Sanitizer
from sanitization.detectors.markup.urls import Addresses
from understudy.chat.answer import formulas
from understudy.chat.answer.blocks import BLANK, LINE_END, Begun, Cut, OpenCode, Part, closing_pattern, plain
from understudy.chat.answer.code import (
    BOX_CLASSES,
    CODE_CLASSES,
    LANGUAGE_CLASS,
    Before,
    CpuTimeExceeded,
    Highlighter,
    Limit,
    pieces,
)
from understudy.chat.answer.divided import CONTINUED, divide, seams
from understudy.chat.answer.extensions import IMAGE_CLASS, NOTE_CLASS, TASK_CLASSES, add_extensions
from understudy.chat.answer.formulas import add_formulas
from understudy.chat.answer.open_markup import close_open_markup, withhold_open_line

BLOCK_S: Final = 0.5
"""Seconds of processor time for one block; then it is shown as plain text. Blocks that are code have limits of their
own, see `Highlighter`."""
REFERENCES_MAX: Final = 200
"""Link references that later blocks of a streamed answer may use. With more, the finished answer is rendered anew."""


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
            for line, after in list(seams(block, LINE_END.sub("\n", text).split("\n"), _PARSER, begun)):
                add(lines[line], above + text[given : lines[line]], self._limit, None, begun)
                begun, above = after, after.head
        if len(references) > REFERENCES_MAX:
            exact, references = False, dict(list(references.items())[:REFERENCES_MAX])
        return Cut(blocks, closing, linking, exact, references, code, colours.gave_up, begun=begun)

    def preview(self, part: Part) -> str:
        """Return the HTML of the open end of an answer as it will look if its open markup is closed."""
        head, before = _head(part)
        text = withhold_open_line(LINE_END.sub("\n", head + part.text), _PARSER)
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
        return OpenCode(LINE_END.sub("\n", text[lines[first] : lines[first + 1]]), *left), found

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
    lines = [0, *(match.end() for match in LINE_END.finditer(text)), len(text)]
    tokens: list[Token] = []
    # Only the outline is parsed, which is cheaper than rendering.
    _PARSER.block.parse(LINE_END.sub("\n", text).replace("\0", "\ufffd"), _PARSER, {}, tokens)
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


def _closing(kind: str, marker: str, source: str, rest: str) -> tuple[bool, str]:
    """Return whether the last block of a text is closed, and if not, the condition that surely closes it."""
    if kind in ("heading_open", "hr"):
        return True, ""
    if kind == "fence":
        body = LINE_END.sub("\n", source).rstrip("\n").partition("\n")[2]
        return bool(closing_pattern(marker).fullmatch(body.rpartition("\n")[2])), marker
    if kind == "math_block":
        return marker != formulas.OPEN or bool(BLANK.match(rest)), "blank"
    if kind in ("paragraph_open", "table_open", "blockquote_open", "footnote_open"):
        return bool(BLANK.match(rest)), "blank"
    return False, "after"
