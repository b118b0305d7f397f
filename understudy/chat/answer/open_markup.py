"""Markdown that is not finished, as it will look when it is: for the preview of an answer that is being written. Pure.

At the end of a text, markup that is still open is closed (`**bold`, `` `code``), reduced to its words (`[text](http…`)
or withheld (a list's marker alone, half of a formula). What stays literal in the finished text may stay literal here.
"""

import re
from itertools import accumulate
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline, link_pairs
from markdown_it.token import Token
from markdown_it.utils import EnvType

from understudy.chat.answer import formulas

REACH: Final = 400
"""Characters after which an opening marker that nothing has closed is taken for an ordinary character."""
FORMULA_REACH: Final = 2_000
DOLLAR_REACH: Final = 80
"""Characters for which an open formula is withheld; a single dollar sign is more often the sign of a price."""
HEADER_REACH: Final = 300
"""Characters for which a line that begins with a bar is withheld, as it may be the header of a table."""

_CONTAINERS: Final = r"[ \t>]*+(?:(?:[-+*]|\d{1,9}[.)])[ \t]++[ \t>]*+)*+"
_MARKERS: Final = (
    r"[-+*_=#~`|: \t]*+",  # of a heading, a list, a table, a fence, a rule
    r"\d{1,9}[.)]?",
    r"\[[ xX]?\]?[ \t]*",  # of a task
    r"\[[^\]\s^][^\]\s]{0,40}\](?::[^\n]*)?|\[\^[^\]\s]{0,40}(?:\]:?[ \t]*)?",  # of a definition, a footnote
    r"(?:`{3,}+|~{3,}+)[^\n`]*+",
    r"\\(?:\[(?:(?!\\\])[^\n])*+)?|\$(?:\$[^\n$]*\$?)?",  # of a formula
)
_OPEN_LINE: Final = re.compile(f"{_CONTAINERS}(?:{'|'.join(_MARKERS)})")
"""A line of which it is not known yet what it begins."""
_DEFINITION: Final = re.compile(r"[ \t>]*\[(?!\^)[^\]]{1,200}\]:")
_DELIMITER: Final = re.compile(r"[ \t>]*+(?:\|[ \t]*+)?:?-++:?[ \t]*+(?:\|[ \t]*+:?-++:?[ \t]*+)*+\|?[ \t]*+")
_BAR: Final = re.compile(r"(?<!\\)\|")
_SPECIAL: Final = re.compile(r"[\\`<\[\]$]")
_AUTOLINK: Final = re.compile(r"(?:https?:|mailto:)[^<>\s]*")
_SCHEMES: Final = ("https:", "http:", "mailto:")
_ENTITY: Final = re.compile(r"&#?[A-Za-z0-9]{0,31}\Z")
_EMPHASIS: Final = "*_~"


def leaf(tokens: list[Token]) -> Token | None:
    """Return the last token that has a content of its own; in a table the last cell that is not empty."""
    for token in reversed(tokens):
        if token.nesting == -1 or (token.type == "inline" and not token.content):
            continue
        return token
    return None


def withhold_open_line(text: str, md: MarkdownIt) -> str:
    """Return the text without a last line whose kind is still open; the header of a table gets the line below it."""
    tokens: list[Token] = []
    md.block.parse(text, md, {}, tokens)
    last = leaf(tokens)
    start = text.rfind("\n") + 1
    line = text[start:]
    if last is not None and last.type in ("fence", "code_block"):
        begins = last.type == "fence" and (last.map or [0])[0] == text.count("\n")  # the name of its language may go on
        return text[:start] if line and (begins or _closes(line, last.markup)) else text
    if line and (_OPEN_LINE.fullmatch(line) or _DEFINITION.match(line)):
        text, line = text[:start], ""
        tokens.clear()
        md.block.parse(text, md, {}, tokens)
        last = leaf(tokens)
    if last is not None and last.type == "math_block" and last.markup == formulas.OPEN and last.map is not None:
        return "".join([line + "\n" for line in text.split("\n")[: last.map[0]]])
    paragraph = last is not None and last.type == "inline" and not _in_table(tokens)
    if not paragraph:
        return text
    if line:
        bare = line.lstrip(" \t>")
        return text[:start] if bare.startswith("|") and len(bare) <= HEADER_REACH else text
    return text + _delimiter(text[:-1])


def _closes(line: str, marker: str) -> bool:
    """Return whether a line may become the end of a fence."""
    bare = line.strip()
    return bool(marker) and bool(bare) and not bare.strip(marker[0]) and len(bare) < len(marker)


def _in_table(tokens: list[Token]) -> bool:
    return tokens[-1].type in ("table_close", "tbody_close") or any(
        token.type == "table_close" for token in tokens[-3:] if token.level == tokens[-1].level
    )


def _delimiter(text: str) -> str:
    """Return the delimiter row for a header at the end of a text; empty if its last line is none."""
    start = text.rfind("\n") + 1
    line, above = text[start:], text[text.rfind("\n", 0, max(start - 1, 0)) + 1 : max(start - 1, 0)]
    bare = line.lstrip(" \t>")
    if not bare.startswith("|") or _DELIMITER.fullmatch(line) or above.lstrip(" \t>").startswith("|"):
        return ""
    cells = len(_BAR.split(bare.strip().removeprefix("|").removesuffix("|")))
    return line[: len(line) - len(bare)] + "|" + "-|" * cells + "\n"


def close_open_markup(state: StateCore) -> None:
    """Close what is open at the end of the text: a core rule, between the one for blocks and the one for their text."""
    last = leaf(state.tokens)
    if last is not None and last.type == "inline":
        last.content = close_open_text(last.content, state.md, state.env)


def close_open_text(content: str, md: MarkdownIt, env: EnvType) -> str:
    """Return the text of a paragraph, heading or cell with closed markup; `env` has the references that it may use."""
    text, code = _without_open_spans(_ENTITY.sub("", content.rstrip()))
    text = text if code else text.rstrip(_EMPHASIS).rstrip()
    return text + _closers(text, md, env)


def _without_open_spans(text: str) -> tuple[str, bool]:
    """Close, reduce or withhold code, links and formulas at the end. Return also whether the text ends in code."""
    brackets: list[int] = []
    at = 0
    while found := _SPECIAL.search(text, at):
        start, mark = found.start(), found[0]
        at = start + 1
        if mark == "\\":
            if start + 1 == len(text):
                return text[:start], False
            if (closing := {"(": "\\)", "[": "\\]"}.get(text[start + 1])) is not None:
                end = text.find(closing, start + 2)
                if end < 0 and len(text) - start <= FORMULA_REACH:
                    return text[:start].rstrip(), False
                at = start + 2 if end < 0 else end + 2
            else:
                at = start + 2
        elif mark == "`":
            run = len(text) - start - len(text[start:].lstrip("`"))
            end = _end_of_code(text, start + run, run)
            if end < 0:
                body = text[start + run :].rstrip("`")
                return (f"{text[: start + run]}{body}{'`' * run}", True) if body.strip() else (text[:start], False)
            at = end
        elif mark == "<":
            rest = text[start + 1 :]
            if any(scheme.startswith(rest) for scheme in _SCHEMES):
                return text[:start], False
            if _AUTOLINK.fullmatch(rest):
                return text[:start] + rest, False
        elif mark == "$":
            at, withheld = _beyond_dollar(text, start)
            if withheld:
                return text[:start].rstrip(), False
        elif mark == "[":
            brackets.append(start)
        elif brackets:  # the end of a label
            opened = brackets.pop()
            end = _end_of_link(text, start)
            if end < 0:
                if text.startswith("[^", opened):
                    at = start + 1
                    continue
                return _words(text, opened, start, brackets), False
            at = end
    return _words(text, None, len(text), brackets), False


def _words(text: str, opened: int | None, end: int, brackets: list[int]) -> str:
    """Return the text up to `end` without the brackets that are open there: those of a link show its words only."""
    text = text[:end]
    for start in reversed([*brackets, *([] if opened is None else [opened])]):
        if len(text) - start > REACH and start != opened:
            continue
        if text.startswith("[^", start):
            text = text[:start]
            continue
        image = text[start - 1 : start] == "!"
        text = text[: start - image] + text[start + 1 :]
    return text.removesuffix("!") if text.endswith(" !") else text


def _end_of_code(text: str, at: int, run: int) -> int:
    """Return where the code ends that a run of so many backticks opened before `at`; -1 if it does not."""
    while (start := text.find("`", at)) >= 0:
        at = start + len(text[start:]) - len(text[start:].lstrip("`"))
        if at - start == run:
            return at
    return -1


def _end_of_link(text: str, at: int) -> int:
    """Return where a link ends whose label ends at `at`; -1 if more of it may come."""
    if at + 1 >= len(text):
        return -1
    opening = text[at + 1]
    if opening == "[":
        end = text.find("]", at + 2)
        return end + 1 if end >= 0 else -1
    if opening != "(":
        return at + 1
    depth, quote, place = 0, "", at + 1
    while place < len(text):
        letter = text[place]
        if letter == "\\":
            place += 1
        elif quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'" and text[place - 1].isspace():
            quote = letter
        elif letter == "(":
            depth += 1
        elif letter == ")":
            depth -= 1
            if not depth:
                return place + 1
        place += 1
    return -1


def _beyond_dollar(text: str, start: int) -> tuple[int, bool]:
    """Return where to go on after a dollar sign, and whether it is to be withheld with all that follows."""
    if text.startswith("$$", start):
        end = text.find("$$", start + 2)
        return (end + 2, False) if end >= 0 else (len(text), len(text) - start <= FORMULA_REACH)
    if start + 1 == len(text):
        return len(text), True
    if text[start + 1].isspace() or text[start + 1].isdigit() or (start and text[start - 1].isalnum()):
        return start + 1, False
    end = text.find("$", start + 1)
    if end >= 0:
        return end + 1, False
    return start + 1, len(text) - start <= DOLLAR_REACH


def _closers(text: str, md: MarkdownIt, env: EnvType) -> str:
    """Return the markers that close the emphasis which is open at the end of a text."""
    if not any(mark in text for mark in _EMPHASIS):
        return ""
    state = StateInline(text, md, env, [])
    md.inline.tokenize(state)
    link_pairs(state)
    behind = list(accumulate((len(token.content) for token in reversed(state.tokens)), initial=0))
    closers: list[str] = []
    literal = -1  # the token of the last marker that stands within a word, where it is hardly meant as one
    for one in state.delimiters:
        if not one.open or one.end >= 0:
            continue
        mark = chr(one.marker)
        before = state.tokens[one.token - 1].content[-1:] if one.token else ""
        if mark != "~" and (before.isalnum() or (literal == one.token - 1 and literal >= 0)):
            literal = one.token
        elif behind[len(state.tokens) - one.token - 1] <= REACH:
            closers.append(mark * 2 if mark == "~" else mark)
    return "".join(reversed(closers))
