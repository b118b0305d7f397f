"""Answers as safe HTML. (`blocks` renders an answer while it is still being written.)

CommonMark with tables, strikethrough and bare links; raw HTML is shown as text. Code is coloured by class names,
never by style. Whatever the renderer made passes through the scrubber before anyone sees it.

Rendering is pure and takes one to four milliseconds for a thousand characters: do it in a worker thread
(`understudy.chat.rendered`).
"""

import re
from collections.abc import MutableMapping, Sequence
from functools import cache
from html import escape
from typing import Any, Final, NamedTuple

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from pygments import highlight  # type: ignore[import-untyped]
from pygments.formatters.html import HtmlFormatter  # type: ignore[import-untyped]
from pygments.lexer import Lexer  # type: ignore[import-untyped]
from pygments.lexers import get_lexer_by_name  # type: ignore[import-untyped]
from pygments.token import STANDARD_TYPES  # type: ignore[import-untyped]

from sanitization import STANDARD, Policy, Scrubber

# Languages that are coloured, by the names people write after a fence. Others are shown plain: each lexer is a
# set of regular expressions that somebody else's text runs through.
# fmt: off
LANGUAGES: Final = frozenset((
    "bash", "c", "c++", "console", "cpp", "cs", "csharp", "css", "csv", "diff", "docker", "dockerfile", "go",
    "graphql", "haskell", "html", "http", "ini", "java", "javascript", "js", "json", "jsonl", "jsx", "julia",
    "kotlin", "lua", "make", "makefile", "markdown", "md", "nginx", "perl", "php", "powershell", "proto",
    "python", "py", "py3", "r", "rb", "ruby", "rs", "rust", "scala", "sh", "shell", "sql", "swift", "tex",
    "toml", "ts", "tsx", "typescript", "xml", "yaml", "yml", "zsh",
))
# fmt: on
CODE_MAX: Final = 50_000  # characters; a longer piece of code is shown without colours

CODE_CLASSES: Final = frozenset(name for name in STANDARD_TYPES.values() if name)
"""The class names that may occur on `span` within `.highlight`: Pygments' short names."""

# Whole lines up to this length are parsed again with each line; beyond, when they have grown by a quarter.
PARSED_AGAIN: Final = 1_024

_LINE_END: Final = re.compile(r"\r\n?|\n")
_BLANK: Final = re.compile(r"^[ \t]*[\r\n]", re.MULTILINE)
_AFTER_BLANK: Final = re.compile(r"^[ \t]*(?:\r\n|\r|\n)[^\s\d*+-]", re.MULTILINE)

_CLASSES: Final = {"span": CODE_CLASSES, "div": frozenset({"highlight"})}


def _code(token: Token) -> str:
    words = token.info.split()
    language = words[0].lower() if words else ""
    body = escape(token.content, quote=False)
    if language in LANGUAGES and len(token.content) <= CODE_MAX:
        body = highlight(token.content, _lexer(language), HtmlFormatter(nowrap=True))
    return f'<div class="highlight"><pre><code>{body}</code></pre></div>\n'


@cache
def _lexer(language: str) -> Lexer:
    return get_lexer_by_name(language, stripnl=False, ensurenl=False)


def _fence(_self: RendererHTML, tokens: Sequence[Token], index: int, _options: OptionsDict, _env: EnvType) -> str:
    return _code(tokens[index])


def _cell(self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    """A table's cell says its alignment as an attribute: styles do not pass the scrubber."""
    token = tokens[index]
    style = token.attrs.pop("style", None)
    if isinstance(style, str):
        token.attrs["align"] = style.removeprefix("text-align:")
    return self.renderToken(tokens, index, options, env)


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "linkify": True}).enable(["table", "strikethrough", "linkify"])
    if parser.linkify is not None:
        # Only what names its scheme: `main.py` and `setup.sh` are files here, not hosts of Paraguay and St Helena.
        parser.linkify.set({"fuzzy_link": False, "fuzzy_email": False, "fuzzy_ip": False})
    parser.add_render_rule("fence", _fence)
    parser.add_render_rule("code_block", _fence)
    parser.add_render_rule("th_open", _cell)
    parser.add_render_rule("td_open", _cell)
    return parser


_PARSER: Final = _parser()


class Renderer:
    """Markdown to safe HTML under a scrubbing policy (which hosts' images may be shown). Stateless."""

    def __init__(self, policy: Policy = STANDARD) -> None:
        self._scrubber = Scrubber(policy.with_classes(_CLASSES))

    def render(self, text: str, references: MutableMapping[str, Any] | None = None) -> str:
        """The HTML of a whole text. Link references found in it are added to `references`, where given."""
        env: dict[str, Any] = {"references": references if references is not None else {}}
        return self._scrubber.scrub_html(_PARSER.render(text, env)).text

    def outline(self, text: str) -> list[tuple[str, int, int, str]]:
        """The top-level blocks: type of token, first line, line after the last, marker. Much cheaper than rendering."""
        tokens: list[Token] = []
        _PARSER.block.parse(_LINE_END.sub("\n", text).replace("\0", "\ufffd"), _PARSER, {}, tokens)
        return [
            (token.type, token.map[0], token.map[1], token.markup)
            for token in tokens
            if token.level == 0 and token.nesting >= 0 and token.map
        ]


@cache
def _standard() -> Renderer:
    return Renderer()


def render(text: str) -> str:
    """Safe HTML of a whole answer, with images of no foreign host."""
    return _standard().render(text)


class RenderedBlock(NamedTuple):
    """A closed block of an answer: its characters `start` to `end` (exclusive) look like `html` and will not change."""

    start: int
    end: int
    html: str


class BlockRenderer:
    """Renders an answer block by block as it is written.

    The blocks tile the text: each begins where the one before ended, with the blank lines between them. Their
    `html`, joined, is `render` of the whole text, with one exception that lies in the language: a link reference
    that is defined below its use. Such a use stays as it was written, and `exact` becomes false; `render` of the
    finished answer then shows the link. What comes out depends on the text, not on how it was cut into pieces.
    """

    def __init__(self, renderer: Renderer | None = None) -> None:
        self.exact = True
        self._renderer = renderer or _standard()
        self._references: dict[str, Any] = {}
        self._linking = False  # whether a block that was given out may hold a use of a reference
        self._line: list[str] = []  # the last pieces, with no line's end in them yet
        self._text = ""  # what came before those and is not yet given out
        self._start = 0  # where it begins in the whole text
        self._looked = 0  # whole lines up to here (in `_text`) are known not to close anything
        self._parsed = 0  # how long the whole lines were when they were last parsed
        self._closing: re.Pattern[str] | None = None  # what closes the block that is open at the end, when long

    def feed(self, delta: str) -> list[RenderedBlock]:
        """Takes the next piece of the text; gives the blocks that it closed, often none."""
        return self.closed() if self.take(delta) else []

    def take(self, delta: str) -> bool:
        """The quick half of `feed`: takes the next piece and says whether it is time to call `closed`."""
        self._line.append(delta)
        if "\n" not in delta and "\r" not in delta and not self._text.endswith("\r"):
            return False
        self._gather()
        return self._may_close(self._whole_lines())

    def closed(self) -> list[RenderedBlock]:
        """The slow half of `feed`, for a worker thread: parses what is open, and renders the blocks that are closed."""
        return self._cut(self._whole_lines(), last=False)

    def finish(self) -> list[RenderedBlock]:
        """What is left, when no more text will come."""
        self._gather()
        blocks = self._cut(len(self._text), last=True)
        if self._text.strip():
            blocks.append(self._give(len(self._text)))
        return blocks

    def _whole_lines(self) -> int:
        # A carriage return at the very end may be half of a line's end.
        return max(self._text.rfind("\n"), self._text.rfind("\r", 0, -1)) + 1

    def _gather(self) -> None:
        self._text += "".join(self._line)
        self._line.clear()

    def _may_close(self, whole: int) -> bool:
        """Whether parsing is worth its while: always when cheap; else when a line closes, or much has been added."""
        if self._closing and self._closing.search(self._text, self._looked, whole):
            return True
        cheap = whole <= PARSED_AGAIN and not (self._closing and self._closing not in (_BLANK, _AFTER_BLANK))
        if cheap or whole >= self._parsed * 5 // 4:
            return True
        # The last line may be the blank one that gives the next line its meaning.
        self._looked = self._text.rfind("\n", 0, max(whole - 1, 0)) + 1
        return False

    def _cut(self, whole: int, *, last: bool) -> list[RenderedBlock]:
        """Gives out the blocks that are closed in the first `whole` characters."""
        text = self._text[:whole]
        lines = [0, *(match.end() for match in _LINE_END.finditer(text)), len(text)]
        outline = self._renderer.outline(text)
        self._closing = None
        ends = []
        for index, (kind, first, after, marker) in enumerate(outline):
            end = lines[min(after, len(lines) - 1)]
            if not last and index == len(outline) - 1:
                closed, self._closing = _closing(kind, marker, text[lines[first] : end], text[end:])
                if not closed:
                    break
            ends.append(end)
        blocks: list[RenderedBlock] = []
        given = 0
        for end in ends:
            blocks.append(self._give(end - given))
            given = end
        self._parsed = whole - given
        self._looked = max(0, self._text.rfind("\n", 0, max(self._parsed - 1, 0)) + 1)
        return blocks

    def _give(self, length: int) -> RenderedBlock:
        source, self._text = self._text[:length], self._text[length:]
        known = len(self._references)
        html = self._renderer.render(source, self._references)
        if self._linking and len(self._references) > known:
            self.exact = False
        self._linking = self._linking or "[" in source
        start, self._start = self._start, self._start + length
        return RenderedBlock(start, self._start, html)


def _closing(kind: str, marker: str, source: str, rest: str) -> tuple[bool, re.Pattern[str] | None]:
    """Whether the last block of a text is closed, and if not, what in later lines will surely close it."""
    if kind in ("heading_open", "hr"):
        return True, None
    if kind == "fence":
        closer = re.compile(rf"^ {{0,3}}{re.escape(marker)}{re.escape(marker[0])}*[ \t]*$", re.MULTILINE)
        body = _LINE_END.sub("\n", source).rstrip("\n").partition("\n")[2]
        return bool(closer.fullmatch(body.rpartition("\n")[2])), closer
    if kind in ("paragraph_open", "table_open", "blockquote_open"):
        return bool(_BLANK.match(rest)), _BLANK
    return False, _AFTER_BLANK
