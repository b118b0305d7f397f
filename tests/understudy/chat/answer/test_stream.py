"""The answer as it streams: sanitized, whole, in blocks that add up to its HTML, without blocking the loop."""

from typing import Any

import pytest

from sanitization import STANDARD, Sanitizer
from transport.wire.events import AnswerPreview, AnswerText, Block
from understudy.chat.answer.html import RENDERING, AnswerHtml
from understudy.chat.answer.markdown import render
from understudy.chat.answer.stream import UNRENDERED_MAX, SanitizedAnswer
from understudy.content.texts import INLINE
from understudy.sandbox.worker import Workers

SCRUBBER = Sanitizer(STANDARD)
HTML = AnswerHtml()
SECRET = "ghp_" + "aB3dE5gH7jK9mN1pQ3sT5vX7zB9dF1hJ3kL5"
TABLE = "|name|value|\n|-|-:|\n" + "|a *row*|17|\n" * 2_000
TEXTS = {
    "nothing": "",
    "words": "Hello *world*",
    "blocks": "# Title\n\nSome `text`.\n\n- one\n- two\n\n```python\nx = 1\n```\n\n|a|b|\n|-|-|\n|1|2|\n\nend\r\n",
    "a secret": f"The token is {SECRET} and\n\nthat was it.\n",
    "a secret at the end": f"The token is {SECRET}",
    "a reference defined below": "see [x]\n\n[x]: https://example.org\n",
    "a long list": "- item one two three\n" * 200 + "\nend",
}


class CountedWorkers(Workers):
    """Counts the requests to render."""

    asked = 0

    def ask(self, request: Any, limit_s: float) -> Any:
        """Count the request."""
        self.asked += 1
        return super().ask(request, limit_s)


async def streamed(text: str, size: int) -> tuple[SanitizedAnswer, str, list[Block]]:
    """Return the answer fed in pieces of this size, all text that it showed, and its blocks."""
    answer, shown, blocks = SanitizedAnswer(SCRUBBER.stream(), HTML), "", []
    for at in range(0, len(text), size):
        piece, closed, *_ = await answer.feed(text[at : at + size])
        shown, blocks = shown + piece, [*blocks, *closed]
    piece, closed, *_ = await answer.finish()
    return answer, shown + piece, [*blocks, *closed]


@pytest.mark.parametrize("size", [1, 7, INLINE + 1])
@pytest.mark.parametrize("name", TEXTS)
async def test_the_shown_text_is_the_sanitized_text_for_any_pieces(name: str, size: int) -> None:
    """Short pieces are sanitized on the loop and long ones in a thread, with the same result."""
    answer, shown, _ = await streamed(TEXTS[name], size)
    assert answer.text == shown == SCRUBBER.sanitize(TEXTS[name]).text
    assert SECRET not in shown


@pytest.mark.parametrize("size", [1, 7, INLINE + 1])
@pytest.mark.parametrize("name", TEXTS)
async def test_the_blocks_and_the_kept_html_are_those_of_the_whole(name: str, size: int) -> None:
    """Blocks tile the beginning of the text, and the cached HTML is that of the whole text."""
    answer, shown, blocks = await streamed(TEXTS[name], size)
    assert [block.start for block in blocks] == [0, *(block.end for block in blocks)][: len(blocks)]
    assert HTML.cached_or_plain(AnswerText(answer.text)) == render(answer.text)
    if name != "a reference defined below":
        assert render(shown).startswith("".join(block.html for block in blocks))


async def test_what_follows_a_closed_block_is_previewed_with_it() -> None:
    """The list closes with the line after it, of which a part was shown: it is shown on, without a gap."""
    answer = SanitizedAnswer(SCRUBBER.stream(), HTML)
    assert (await answer.feed("- a\n- b\n\nNext *wor")).preview is None
    piece = await answer.feed("ds* and **mo\nre ")
    assert [block.html for block in piece.blocks] == ["<ul>\n<li>a</li>\n<li>b</li>\n</ul>\n"]
    assert piece.preview == AnswerPreview(9, 31, "<p>Next <em>words</em> and <strong>mo</strong></p>\n")
    assert (await answer.feed("more\n\n")).preview is None


async def test_nothing_is_rendered_while_no_client_shows_html() -> None:
    """All text is shown, without blocks, and the HTML of the whole is not made."""
    workers = CountedWorkers(RENDERING)
    html = AnswerHtml(workers)
    answer, shown = SanitizedAnswer(SCRUBBER.stream(), html, shows_html=lambda: False), ""
    for line in TEXTS["blocks"].splitlines(keepends=True):
        piece = await answer.feed(line)
        shown += piece.text
        assert not piece.blocks
    assert shown + (await answer.finish()).text == TEXTS["blocks"]
    assert workers.asked == len(html.cache) == 0


@pytest.mark.parametrize("name", ["blocks", "a long list"])
async def test_a_client_that_shows_html_later_gets_the_blocks_of_all(name: str) -> None:
    """They are those that it would have been sent from the start."""
    text, since, blocks = TEXTS[name], len(TEXTS[name]) // 2, list[Block]()
    answer = SanitizedAnswer(SCRUBBER.stream(), HTML, shows_html=lambda: answer.length >= since)
    for at in range(0, len(text), 7):
        blocks += (await answer.feed(text[at : at + 7])).blocks
    blocks += (await answer.finish()).blocks
    _, _, whole = await streamed(text, 7)
    assert blocks == whole
    assert HTML.cached_or_plain(AnswerText(answer.text)) == render(answer.text)


async def test_a_text_that_grows_long_is_rendered_before_a_client_shows_html() -> None:
    """One that comes later waits for a bounded part of it."""
    paragraph, ends = "word " * 1_000 + "\n\n", list[int]()
    answer = SanitizedAnswer(SCRUBBER.stream(), HTML, shows_html=lambda: False)
    for _ in range(12):
        ends += [block.end for block in (await answer.feed(paragraph)).blocks]
    assert ends[-1] >= answer.length - UNRENDERED_MAX - 2 * len(paragraph)
    assert len(ends) > 5


async def test_turns_of_the_model_are_paragraphs_of_their_own() -> None:
    """A pause without text before or after it adds nothing."""
    answer = SanitizedAnswer(SCRUBBER.stream(), HTML)
    answer.pause()
    for text in ("one", "two"):
        await answer.feed(text)
        answer.pause()
    await answer.finish()
    assert answer.text == "one\n\ntwo"


@pytest.mark.proof("timing")
@pytest.mark.parametrize(("size", "end"), [(4, "\nend\n\n"), (10_000, "\nend\n\n"), (4, "")])
async def test_a_long_table_does_not_hold_the_loop(size: int, end: str) -> None:
    """26 KB take some 100 ms to render; the fixture of every test fails on a step of that length."""
    answer, _, blocks = await streamed("A table:\n\n" + TABLE + end, size)
    assert len(blocks) > 20, "its rows come piece by piece"
    assert HTML.cached_or_plain(AnswerText(answer.text)).count("<em>row</em>") == 2_000
