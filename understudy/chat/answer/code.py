"""Code in answers: highlighted by class names, within limits of size and time, in pieces of bounded size.

1. A long piece of code becomes several elements, one below the other. A streamed one is shown piece by piece, and a
   browser skips the pieces that are out of sight.
2. Where code is divided depends only on the code before that place. So the pieces are the same whether the code is
   rendered at once or while it is written.
3. Whether a piece is highlighted depends on its length and on the code before it. The limits of time are for a few
   hostile texts: common code of the longest piece takes a twentieth of its limit.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from functools import cache
from html import escape
from io import StringIO
from typing import Any, Final, NamedTuple, TypeAlias

from pygments.formatters.html import HtmlFormatter  # type: ignore[import-untyped]
from pygments.lexer import Lexer  # type: ignore[import-untyped]
from pygments.lexers import get_lexer_by_name  # type: ignore[import-untyped]
from pygments.token import STANDARD_TYPES  # type: ignore[import-untyped]
from pygments.util import ClassNotFound  # type: ignore[import-untyped]

from understudy.chat.answer.blocks import CONTEXT_CHARACTERS, CONTEXT_LINES

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
"""Characters of one piece of code that are highlighted; what follows is shown plain."""
PIECE_S: Final = 0.5
HIGHLIGHT_S: Final = 1.0
"""Seconds of processor time for highlighting a piece, and all code of one call. If a limit is exceeded, that piece and
all later code of the answer are shown plain. Common code takes 3 ms for a thousand characters."""
PIECE_LINES: Final = 80
PIECE_CHARACTERS: Final = 4_000
"""Lines, or characters, of code after which the next line begins another element."""
PIECE_MAX: Final = 2 * PIECE_CHARACTERS
"""Characters of a piece that is highlighted; a longer one has a very long line. The time of some lexers grows with the
square of a text's length."""
NAME_CHARACTERS: Final = 32
"""Characters of a language's name that are shown."""

CODE_CLASSES: Final = frozenset(name for name in STANDARD_TYPES.values() if name)
"""The class names that may occur on `span` within `.highlight`: Pygments' short names."""
LANGUAGE_CLASS: Final = "language"
"""The class of the `span` with the name of the language."""
BOX_CLASSES: Final = frozenset({"highlight", "continued"})
"""The classes of the `div` around code; `continued`: the element goes on with the code of the one before."""

_NAMES: Final = {
    "r": "R",
    "csv": "CSV",
    "mermaid": "Mermaid diagram",
    "text": "Text",
    "txt": "Text",
    "plaintext": "Text",
}


class CpuTimeExceeded(BaseException):
    """A limit of processor time is exceeded. A `BaseException`, so that `except Exception` of libraries ignores it."""


Limit: TypeAlias = Callable[[float], AbstractContextManager[object]]
"""A context manager that raises `CpuTimeExceeded` once its block has used that many seconds of processor time."""


class Before(NamedTuple):
    """What the earlier pieces of the same code leave: its last lines, and the number of its characters."""

    context: str = ""
    length: int = 0

    def and_then(self, text: str) -> "Before":
        """Return what is before the code that follows `text`."""
        context = self.context + text
        if len(context) > CONTEXT_CHARACTERS:
            context = context[-CONTEXT_CHARACTERS:]
            context = context[context.find("\n") + 1 :]
        lines = context.split("\n")  # the last one is empty
        return Before("\n".join(lines[-CONTEXT_LINES - 1 :]), self.length + len(text))


class CodePiece(NamedTuple):
    """A piece of code, what is before it in its block, and whether it is `full`: what follows is another piece."""

    text: str
    before: Before
    full: bool


def pieces(code: str, before: Before = Before()) -> Iterator[CodePiece]:  # noqa: B008 - immutable
    """Divide code; `before` is what earlier pieces of it left. At least one piece, unless there are earlier ones."""
    start = at = lines = 0
    while (end := code.find("\n", at) + 1) > 0:
        at, lines = end, lines + 1
        if lines >= PIECE_LINES or at - start >= PIECE_CHARACTERS:
            yield CodePiece(code[start:at], before, True)
            before = before.and_then(code[start:at])
            start, lines = at, 0
    if start < len(code) or not before.length:
        yield CodePiece(code[start:], before, False)


class Highlighter:
    """Highlights the code of one answer, or of one part of it, until that takes longer than `PIECE_S` or `HIGHLIGHT_S`.

    `gave_up`: it has, in this part or an earlier one. What follows is shown without colours.
    """

    def __init__(self, limit: Limit, *, gave_up: bool = False) -> None:
        self._limit = limit
        self._left_s = HIGHLIGHT_S
        self.gave_up = gave_up

    def element(self, piece: CodePiece, language: str) -> str:
        """Return the element that shows a piece. The first one of its code names the language."""
        body = f"<pre><code>{self._highlighted(piece, language.lower())}</code></pre></div>" + "\n" * (not piece.full)
        if piece.before.length:
            return f'<div class="highlight continued">{body}'
        name = language_name(language)
        label = f'<span class="{LANGUAGE_CLASS}">{escape(name, quote=False)}</span>' if name else ""
        return f'<div class="highlight">{label}{body}'

    def _highlighted(self, piece: CodePiece, language: str) -> str:
        """Return the code as HTML: highlighted if the language is known and the limits allow it, else escaped."""
        fits = len(piece.text) <= PIECE_MAX and piece.before.length + len(piece.text) <= CODE_MAX
        if language in LANGUAGES and fits and not self.gave_up:
            began = time.process_time()
            try:
                with self._limit(max(0.0, min(PIECE_S, self._left_s))):
                    if (lexer := _lexer(language)) is not None:
                        return _coloured(piece, lexer)
            except CpuTimeExceeded:
                self.gave_up = True
            except RecursionError:
                pass
            finally:
                self._left_s -= time.process_time() - began
        return escape(piece.text, quote=False)


def language_name(word: str) -> str:
    """Return the name to show for the language of a fence; empty if the fence names none."""
    if word.lower() in _NAMES:
        return _NAMES[word.lower()]
    if word.lower() in LANGUAGES and (lexer := _lexer(word.lower())) is not None:
        return str(lexer.name)
    return word[:NAME_CHARACTERS] if word.isprintable() else ""


def _coloured(piece: CodePiece, lexer: Lexer) -> str:
    context, out = piece.before.context, StringIO()
    HtmlFormatter(nowrap=True).format(_after(lexer.get_tokens(context + piece.text), len(context)), out)
    return out.getvalue()


def _after(tokens: Iterable[tuple[Any, str]], skipped: int) -> Iterator[tuple[Any, str]]:
    """Yield the tokens after so many characters."""
    for kind, text in tokens:
        if skipped >= len(text):
            skipped -= len(text)
        else:
            yield kind, text[skipped:]
            skipped = 0


@cache
def _lexer(language: str) -> Lexer | None:
    """Return the lexer of a language, or None if the installed Pygments has none of that name."""
    try:
        return get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None
