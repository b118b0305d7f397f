r"""Formulas in answers: `\(a\)`, `$a$`, `\[a\]` and `$$a$$`, as MathML. Pure.

1. A single dollar sign is more often the sign of a price: it opens a formula only before a character that is no space,
   and closes one only behind such a character and before anything but a digit.
2. A line that begins with `\[` or `$$` begins a formula of its own, to the line that ends with the other mark, or to a
   blank line. So it is known when the formula ends, whatever follows.
3. LaTeX that is too long, defines commands or cannot be converted is shown as code.
"""

import re
from collections.abc import Sequence
from functools import cache
from html import escape
from typing import Any, Final

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from math_core import LatexError, LatexToMathML

SOURCE_MAX: Final = 2_000
"""Characters of a formula. The converter recurses: ten times as many have crashed it."""
OUTPUT_MAX: Final = 100_000
"""Characters of MathML of one formula."""
CELL_CLASSES: Final = frozenset({"math-left", "math-right"})
"""Classes of `mtd`, in place of the styles that align it."""
BOX_CLASS: Final = "math"
"""The class of the `div` around a formula that stands on its own."""
OPEN: Final = "open"
"""The markup of a `math_block` token whose end is missing."""

_CLOSERS: Final = {"\\(": "\\)", "\\[": "\\]", "$$": "$$"}
_DISPLAYED: Final = ("\\[", "$$")
_END: Final = re.compile(r"(?:\\\]|\$\$)[ \t]*+([.,;:]?)[ \t]*+\Z")
_DEFINES: Final = re.compile(r"\\(?:re)?newcommand|\\[gex]?def\b|\\let\b|\\DeclareMathOperator")
_STYLE: Final = re.compile(r' style="([^"]*)"')
_EMPTY: Final = re.compile(r"<(\w++)([^<>]*)/>")
_CODE_LIKE: Final = re.compile(r"[\\^_=+{}*<>|-]")


def add_formulas(md: MarkdownIt) -> None:
    """Have a parser recognise formulas, and a renderer show them."""
    md.inline.ruler.before("escape", "math_inline", _inline)
    md.block.ruler.before("fence", "math_block", _block, {"alt": ["paragraph", "reference", "blockquote", "list"]})
    md.add_render_rule("math_inline", _render_inline)
    md.add_render_rule("math_block", _render_block)


def mathml(latex: str, display: bool = False) -> str:
    """Return the MathML of a formula, or its source as code."""
    converted = _convert(latex.strip(), display)
    return f"<code>{escape(latex.strip(), quote=False)}</code>" if converted is None else converted


def displayed(latex: str) -> str:
    """Return the element of a formula that stands on its own, or its source as code."""
    converted = _convert(latex.strip(), True)
    if converted is not None:
        return f'<div class="{BOX_CLASS}">{converted}</div>\n'
    source = escape(latex.strip("\n"), quote=False)
    return f'<div class="highlight"><span class="language">LaTeX</span><pre><code>{source}\n</code></pre></div>\n'


@cache
def _converter() -> LatexToMathML:
    return LatexToMathML(fancy_error=False, max_expansions=1)


def _convert(latex: str, display: bool) -> str | None:
    if not latex or len(latex) > SOURCE_MAX or _DEFINES.search(latex):
        return None
    try:
        html = _converter().convert_with_local_state(latex, displaystyle=display)
    except LatexError:
        return None
    return _EMPTY.sub(r"<\1\2></\1>", _STYLE.sub(_as_class, html)) if len(html) <= OUTPUT_MAX else None


def _as_class(style: re.Match[str]) -> str:
    side = next((side for side in ("left", "right") if f"text-align: {side}" in style[1]), None)
    return "" if side is None else f' class="math-{side}"'


def _render_inline(_self: RendererHTML, tokens: Sequence[Token], index: int, *_: Any) -> str:
    return mathml(tokens[index].content, tokens[index].markup in _DISPLAYED)


def _render_block(_self: RendererHTML, tokens: Sequence[Token], index: int, *_: Any) -> str:
    return displayed(tokens[index].content)


def _inline(state: StateInline, silent: bool) -> bool:
    """Read a formula within a line: an inline rule."""
    source, start = state.src, state.pos
    if source[start] not in "\\$":
        return False
    opener = source[start : start + 2]
    if opener in _CLOSERS:
        end = source.find(_CLOSERS[opener], start + 2, start + 2 + SOURCE_MAX)
        body, after = source[start + 2 : end], end + 2
    elif opener[0] == "$":
        opener, end = "$", _dollar_end(source, start)
        body, after = source[start + 1 : end], end + 1
    else:
        return False
    if end < 0 or after > state.posMax or not body.strip():
        return False
    if not silent:
        token = state.push("math_inline", "math", 0)
        token.content, token.markup = body, opener
    state.pos = after
    return True


def _dollar_end(source: str, start: int) -> int:
    """Return where the formula ends that a dollar sign opens; -1 if it opens none."""
    if start and (source[start - 1].isalnum() or source[start - 1] in "\\$"):
        return -1
    end = source.find("$", start + 1, start + 1 + SOURCE_MAX)
    body = source[start + 1 : end]
    if end < 0 or not body or body[0].isspace() or body[-1].isspace() or body[-1] == "\\" or "\n\n" in body:
        return -1
    if source[end + 1 : end + 2].isalnum():
        return -1
    return -1 if body[0].isdigit() and " " in body and not _CODE_LIKE.search(body) else end


def _block(state: StateBlock, first: int, end_line: int, silent: bool) -> bool:
    """Read a formula on lines of its own: a block rule."""
    if state.is_code_block(first):
        return False
    start = state.bMarks[first] + state.tShift[first]
    opener, rest = state.src[start : start + 2], state.src[start + 2 : state.eMarks[first]]
    if opener not in _DISPLAYED:
        return False
    closer, body, line, closed = _CLOSERS[opener], [rest], first + 1, False
    if (end := rest.find(closer)) >= 0:
        if rest[end + 2 :].strip():
            return False  # there is more in the line: a formula of a paragraph
        body, closed = [rest[:end]], True
    while not closed and line < end_line and not state.isEmpty(line) and state.sCount[line] >= state.blkIndent:
        text = state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]]
        found = _END.search(text)
        closed = found is not None and text.startswith(closer, found.start())
        body.append(text[: found.start()] + found[1] if closed and found is not None else text)
        line += 1
    if silent:
        return True
    token = state.push("math_block", "math", 0)
    token.content, token.markup, token.map, token.block = "\n".join(body), "" if closed else OPEN, [first, line], True
    state.line = line
    return True
