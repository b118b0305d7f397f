"""Answers as safe HTML. `BlockRenderer` does this while an answer is still being written.

CommonMark with tables, strikethrough and bare links; raw HTML is shown as text. Code is highlighted by class names,
never by style. All HTML passes the sanitizer after rendering.

Rendering is pure and takes one to four milliseconds for a thousand characters, but minutes for some texts, hostile or
by chance: lexers and the Markdown parser are third-party regular expressions. So a server renders in processes that can
be killed (`understudy.chat.answer.html`), with limits that are passed to this module.
"""

import re
import time
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from html import escape
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from pygments import highlight  # type: ignore[import-untyped]
from pygments.formatters.html import HtmlFormatter  # type: ignore[import-untyped]
from pygments.lexer import Lexer  # type: ignore[import-untyped]
from pygments.lexers import get_lexer_by_name  # type: ignore[import-untyped]
from pygments.token import STANDARD_TYPES  # type: ignore[import-untyped]
from pygments.util import ClassNotFound  # type: ignore[import-untyped]

from sanitization import STANDARD, Policy, Sanitizer

# Languages that are highlighted, by the names written after a fence. Others are shown plain: each lexer is a set of
# regular expressions that runs on untrusted text.
# fmt: off
LANGUAGES: Final = frozenset((
    "bash", "c", "c++", "console", "cpp", "cs", "csharp", "css", "diff", "docker", "dockerfile", "go",
    "graphql", "haskell", "html", "http", "ini", "java", "javascript", "js", "json", "jsx", "julia",
    "kotlin", "lua", "make", "makefile", "markdown", "md", "nginx", "perl", "php", "powershell", "proto",
    "python", "py", "py3", "r", "rb", "ruby", "rs", "rust", "scala", "sh", "shell", "sql", "swift", "tex",
    "toml", "ts", "tsx", "typescript", "xml", "yaml", "yml", "zsh",
))
# fmt: on
CODE_MAX: Final = 50_000
"""Characters of code that are highlighted; a longer piece is shown plain."""
HIGHLIGHT_S: Final = 0.4
"""Seconds of processor time for highlighting all code of one call; code after that is shown plain. Normal code takes
3 ms for a thousand characters."""
BLOCK_S: Final = 0.5
"""Seconds of processor time for one block if blocks are rendered one by one; then it is shown as plain text."""
REFERENCES_MAX: Final = 200
"""Link references that later blocks of a streamed answer may use. With more, the finished answer is rendered anew."""


class CpuTimeExceeded(BaseException):
    """A limit of processor time is exceeded. A `BaseException`, so that `except Exception` of libraries ignores it."""


Limit: TypeAlias = Callable[[float], AbstractContextManager[object]]
"""A context manager that raises `CpuTimeExceeded` once its block has used that many seconds of processor time."""

CODE_CLASSES: Final = frozenset(name for name in STANDARD_TYPES.values() if name)
"""The class names that may occur on `span` within `.highlight`: Pygments' short names."""

# Whole lines up to this length are parsed again with each line; beyond, when they have grown by a quarter.
REPARSE_MAX: Final = 1_024

_LINE_END: Final = re.compile(r"\r\n?|\n")
_BLANK: Final = re.compile(r"^[ \t]*[\r\n]", re.MULTILINE)
_AFTER_BLANK: Final = re.compile(r"^[ \t]*(?:\r\n|\r|\n)[^\s\d*+-]", re.MULTILINE)

_CLOSINGS: Final = {"blank": _BLANK, "after": _AFTER_BLANK}

_CLASSES: Final = {"span": CODE_CLASSES, "div": frozenset({"highlight"})}


class _Highlighter:
    """Highlights the code of one call, within `HIGHLIGHT_S`."""

    def __init__(self, limit: Limit) -> None:
        self._limit = limit
        self._left_s = HIGHLIGHT_S

    def html(self, code: str, language: str) -> str:
        """Return the code as HTML: highlighted if the language is known and time is left, else escaped."""
        if language in LANGUAGES and len(code) <= CODE_MAX and self._left_s > 0:
            began = time.process_time()
            try:
                with self._limit(self._left_s):
                    if (lexer := _lexer(language)) is not None:
                        coloured: str = highlight(code, lexer, HtmlFormatter(nowrap=True))
                        return coloured
            except (CpuTimeExceeded, RecursionError):
                pass
            finally:
                self._left_s -= time.process_time() - began
        return escape(code, quote=False)


def plain(text: str) -> str:
    """Return the HTML of a text shown as plain text, line by line."""
    body = escape(text.strip("\r\n"), quote=False)
    return f"<pre>{body}</pre>\n" if body.strip() else ""


@cache
def _lexer(language: str) -> Lexer | None:
    """Return the lexer of a language, or None if the installed Pygments has none of that name."""
    try:
        return get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None


def _fence(_self: RendererHTML, tokens: Sequence[Token], index: int, _options: OptionsDict, env: EnvType) -> str:
    words = tokens[index].info.split()
    body = env["colours"].html(tokens[index].content, words[0].lower() if words else "")
    return f'<div class="highlight"><pre><code>{body}</code></pre></div>\n'


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
    parser.add_render_rule("fence", _fence)
    parser.add_render_rule("code_block", _fence)
    parser.add_render_rule("th_open", _cell)
    parser.add_render_rule("td_open", _cell)
    return parser


_PARSER: Final = _parser()


class Part(NamedTuple):
    """The open end of an answer that is being written, with the state left by its earlier blocks.

    `last`: no more text follows. `references` are those defined above; `linking`: an earlier block may use one.
    """

    text: str
    last: bool = False
    linking: bool = False
    references: Mapping[str, Any] = MappingProxyType({})


class Cut(NamedTuple):
    """The result of cutting a part: its closed `blocks`, each with its length in characters and its HTML.

    `closing` is the condition that closes the open block at the end: ``blank`` (a blank line), ``after`` (a blank line
    and the line after it), the marker of a fence, or empty if only parsing again can tell. `exact`: no emitted block
    would have changed by a reference defined below it.
    """

    blocks: list[tuple[int, str]]
    closing: str = ""
    linking: bool = False
    exact: bool = True
    references: Mapping[str, Any] = MappingProxyType({})

    def fits(self, part: Part) -> bool:
        """Whether this can be the result of `Renderer.cut` for a part; checks replies of other processes."""
        lengths = [length for length, _ in self.blocks]
        closing = self.closing in ("", *_CLOSINGS) or set(self.closing) in ({"`"}, {"~"})
        return closing and sum(lengths) <= len(part.text) and all(length > 0 for length in lengths)


class Renderer:
    """Renders Markdown to safe HTML by a content policy (which hosts' images may be shown). Stateless."""

    def __init__(self, policy: Policy = STANDARD, limit: Limit = nullcontext) -> None:
        self.sanitizer = Sanitizer(policy.with_classes(_CLASSES))
        self._limit = limit

    def render(self, text: str) -> str:
        """Return the HTML of a whole text."""
        return self._html(text, {}, _Highlighter(self._limit))

    def render_blocks(self, text: str) -> str:
        """Return the HTML of a whole text block by block; a block that takes too long is shown as plain text."""
        return "".join(html for _, html in self.cut(Part(text, last=True)).blocks)

    def cut(self, part: Part) -> Cut:
        """Render the closed blocks of an open answer."""
        text, references, colours = part.text, dict(part.references), _Highlighter(self._limit)
        ends, closing = self._ends(text, last=part.last)
        if part.last and text[ends[-1] if ends else 0 :].strip():
            ends.append(len(text))
        blocks, linking, exact, given = list[tuple[int, str]](), part.linking, True, 0
        for end in ends:
            source, known = text[given:end], len(references)
            try:
                with self._limit(BLOCK_S):
                    html = self._html(source, references, colours)
            except CpuTimeExceeded:
                html = plain(source)
            exact = exact and not (linking and len(references) > known)
            linking = linking or "[" in source
            blocks.append((end - given, html))
            given = end
        if len(references) > REFERENCES_MAX:
            exact, references = False, dict(list(references.items())[:REFERENCES_MAX])
        return Cut(blocks, closing, linking, exact, references)

    def clean(self, html: str) -> str:
        """Return HTML from another process without anything that this renderer would not produce."""
        return self.sanitizer.sanitize_html(html).text

    def _html(self, text: str, references: MutableMapping[str, Any], colours: _Highlighter) -> str:
        env = {"references": references, "colours": colours}
        return self.sanitizer.sanitize_html(_PARSER.render(text, env)).text

    def _ends(self, text: str, *, last: bool) -> tuple[list[int], str]:
        """Return the ends of a text's closed blocks, and the condition that closes the next one."""
        lines = [0, *(match.end() for match in _LINE_END.finditer(text)), len(text)]
        tokens: list[Token] = []
        # Only the outline is parsed, which is cheaper than rendering.
        _PARSER.block.parse(_LINE_END.sub("\n", text).replace("\0", "\ufffd"), _PARSER, {}, tokens)
        outline = [token for token in tokens if token.level == 0 and token.nesting >= 0 and token.map]
        ends = list[int]()
        for token in outline:
            first, after = token.map or (0, 0)
            end = lines[min(after, len(lines) - 1)]
            if not last and token is outline[-1]:
                closed, closing = _closing(token.type, token.markup, text[lines[first] : end], text[end:])
                return [*ends, *([end] if closed else [])], closing
            ends.append(end)
        return ends, ""


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
        self._line: list[str] = []  # the last pieces, without a line end yet
        self._text = ""  # the text before `_line` that is not emitted yet
        self._start = 0  # position of `_text` in the whole text
        self._searched = 0  # no line before this position of `_text` closes a block
        self._parsed = 0  # length of the whole lines when they were last parsed
        self._closing: re.Pattern[str] | None = None  # closes the open block

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
        return Part(self._text[:whole], False, self._linking, self._references)

    def finish(self) -> Part | None:
        """Return the last part; None if there is no more text."""
        self._text += "".join(self._line)
        return Part(self._text, True, self._linking, self._references) if self._text else None

    def accept_cut(self, part: Part, cut: Cut | None) -> list[RenderedBlock]:
        """Accept the result of cutting a part. Return the blocks that it closed, often none.

        If `cut` is None (rendering failed, or took too long), the rest of the answer is one block of plain text, which
        closes with the last part.
        """
        if cut is None:
            self.failed = True
            rest = [(len(part.text), plain(part.text))] if part.last and part.text.strip() else []
            cut = Cut(rest, linking=self._linking, references=self._references)
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
    if kind in ("paragraph_open", "table_open", "blockquote_open"):
        return bool(_BLANK.match(rest)), "blank"
    return False, "after"
