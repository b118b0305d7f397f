"""Answers made to hurt: every lexer that can be named, and the parser of Markdown, in bounded time and elsewhere."""

import re
import time
from html import unescape

import pytest
import trio
from pygments.lexers import find_lexer_class_by_name, get_all_lexers

from sanitization import STANDARD, Sanitizer
from transport.wire.events import AnswerText
from understudy.chat.answer.blocks import plain
from understudy.chat.answer.code import LANGUAGES
from understudy.chat.answer.html import AnswerHtml
from understudy.chat.answer.render_worker import RENDER_S
from understudy.chat.answer.stream import SanitizedAnswer

HTML = AnswerHtml()
SIZE = 8_000
UNITS = {
    "letters and blanks": "a ", "letters and lines": "a\n", "letters and tabs": "a\t", "blanks": " ", "lines": "\n",
    "tabs": "\t", "blank lines": " \n", "nesting": "[{(", "open quotes": "\"", "mixed quotes": "\"'`",
    "backslashes": "\\", "escaped quotes": "\\\"", "tags": "<a ", "comments": "/*", "templates": "${", "keys": "a: ",
}  # fmt: skip
HOSTILE = {name: unit * (SIZE // len(unit)) for name, unit in UNITS.items()}
SHORT = 1_000
"""Characters of the texts that every lexer reads: lexers in quadratic time are then still quick."""
QUADRATIC = [
    ("perl", "escaped quotes"), ("makefile", "letters and blanks"), ("md", "blank lines"), ("python", "blank lines"),
    ("r", "escaped quotes"), ("scala", "letters and blanks"), ("cpp", "lines"), ("ruby", "tags"),
]  # fmt: skip
"""The slowest lexers, each with the text that it takes longest for: about a second for `SIZE` characters."""
COLOURED = sorted({find_lexer_class_by_name(name): name for name in sorted(LANGUAGES)}.values())
OTHERS = sorted({aliases[0] for _, aliases, _, _ in get_all_lexers() if aliases})
OWN_S = 0.3
"""Processor time that a text may cost the server's own process: cleaning what came back, and no more. Work that took
longer would hold the loop, as it holds the interpreter."""


def text_of(html: str) -> str:
    """Return the text that a reader sees of HTML."""
    return unescape(re.sub(r"<[^>]*>", "", html))


async def shown(text: str) -> str:
    """Return the HTML of an answer, rendered at almost no cost for this process."""
    began = time.process_time()
    with trio.fail_after(30):
        html = await HTML.render(AnswerText(text), "eve")
    assert time.process_time() - began < OWN_S
    return html


async def check_shown(language: str, name: str, size: int) -> None:
    """Assert that an answer with hostile code is rendered, and that each character of the code is shown."""
    code = HOSTILE[name][:size]
    html = await shown(f"*before {name}*\n\n```{language}\n{code}\n```\n\n*after*\n")
    assert html.startswith(f"<p><em>before {name}</em></p>")
    assert html.endswith("<p><em>after</em></p>\n")
    assert code in text_of(html)


@pytest.mark.parametrize("language", COLOURED)
async def test_hostile_code_of_every_coloured_language_is_shown(language: str) -> None:
    await HTML.warm_up()
    for name in HOSTILE:
        await check_shown(language, name, SHORT)


@pytest.mark.parametrize(("language", "name"), QUADRATIC)
async def test_long_code_for_a_slow_lexer_is_shown(language: str, name: str) -> None:
    await HTML.warm_up()
    await check_shown(language, name, SIZE)


@pytest.mark.proof("timing")
async def test_code_of_every_other_name_is_shown() -> None:
    """Each name is tried by itself, and within Markdown, whose lexer calls any other lexer by name."""
    await HTML.warm_up()
    code = "a \n" * 100 + "\"'[{(" * 20 + "a " * 100 + "\n" * 100
    for language in OTHERS:
        assert code in text_of(await shown(f"```{language}\n{code}\n```\n"))
        assert code in text_of(await shown(f"````markdown\n```{language}\n{code}\n```\n````\n"))


MARKDOWN = {
    **HOSTILE,
    **{
        name: unit * (20_000 // len(unit))
        for name, unit in {
            "brackets": "[", "images": "![", "emphasis": "*a ", "strong": "_a__", "code spans": "`a``", "links": "[a](",
            "link titles": '[a](b "', "link targets": "[a](<", "definitions": "[a]: b\n", "quotes": "> ",
            "deletions": "~~a ",
            "entities": "&a", "escapes": "\\`", "tables": "|a", "table rows": "|a|\n|-|\n", "nested lists": "- ",
            "addresses": "https://a.b/", "address brackets": "http://a.b/(", "mail": "a@b.c ", "headings": "a\n=\n",
            "html": "<!--", "surrogates": "\ud800", "wide": "😀", "references": "[a][b]", "closers": "])",
        }.items()
    },
    "columns": "|a" * 2_000 + "|\n" + "|-" * 2_000 + "|\n" + ("|b" * 2_000 + "|\n") * 4,
    "empty cells": "|a" * 1_000 + "|\n" + "|-" * 1_000 + "|\n" + "|\n" * 4_000,
    "emphasis in emphasis": "*a **b " * 2_000 + "c** d*" * 2_000,
    "quotes in lists": "".join(" " * depth + "- > a\n" for depth in range(200)),
    "many fences": "```c\n" + "```\n```c\n".join(["\n" * 2_000] * 20) + "```\n",
}  # fmt: skip


@pytest.mark.parametrize("name", MARKDOWN)
async def test_markdown_of_every_kind(name: str) -> None:
    """Hostile text of each kind is rendered within a bounded time."""
    await HTML.warm_up()
    began = time.perf_counter()
    html = await shown(MARKDOWN[name])
    assert html or not MARKDOWN[name].strip() or name == "definitions"
    assert time.perf_counter() - began < 8 * RENDER_S


@pytest.mark.parametrize("name", ["lines", "letters and blanks", "nesting"])
async def test_an_answer_that_is_written_piece_by_piece(name: str) -> None:
    """Streaming a hostile answer in small pieces costs the server under a second."""
    await HTML.warm_up()
    text = f"before\n\n```java\n{HOSTILE[name]}\n```\n\nafter *this*\n"
    answer = SanitizedAnswer(Sanitizer(STANDARD).stream(), HTML, owner="eve")
    began = time.process_time()
    for at in range(0, len(text), 200):
        await answer.feed(text[at : at + 200])
    await answer.finish()
    assert time.process_time() - began < 1.0
    html = HTML.cached_or_plain(AnswerText(answer.text))
    assert html.startswith("<p>before</p>")
    assert html.endswith("<p>after <em>this</em></p>\n")


async def test_a_text_beyond_all_limits_is_plain_text() -> None:
    """A table of a million empty cells is shown as plain text."""
    await HTML.warm_up()
    text = "|a" * 8_000 + "|\n" + "|-" * 8_000 + "|\n" + "|\n" * 60_000
    assert await shown(text) == plain(text)
