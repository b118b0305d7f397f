"""The answer as it streams: sanitized, and whole, for any pieces in which it comes."""

import threading
from collections.abc import Collection, Iterator
from typing import ClassVar

import pytest

from sanitization import STANDARD, Category, Hit, Sanitizer
from tests.rigs.detectors import Words
from understudy.chat.answer.stream import SanitizedAnswer
from understudy.content.texts import INLINE

SCRUBBER = Sanitizer(STANDARD)
SECRET = "ghp_" + "aB3dE5gH7jK9mN1pQ3sT5vX7zB9dF1hJ3kL5"
TEXTS = {
    "nothing": "",
    "words": "Hello *world*",
    "blocks": "# Title\n\nSome `text`.\n\n- one\n- two\n\n```python\nx = 1\n```\n\n|a|b|\n|-|-|\n|1|2|\n\nend\r\n",
    "a secret": f"The token is {SECRET} and\n\nthat was it.\n",
    "a secret at the end": f"The token is {SECRET}",
    "a long list": "- item one two three\n" * 200 + "\nend",
}


async def streamed(text: str, size: int) -> tuple[SanitizedAnswer, str]:
    answer, shown = SanitizedAnswer(SCRUBBER.stream()), ""
    for at in range(0, len(text), size):
        shown += (await answer.feed(text[at : at + size])).text
    return answer, shown + (await answer.finish()).text


@pytest.mark.parametrize("size", [1, 7, INLINE + 1])
@pytest.mark.parametrize("name", TEXTS)
async def test_the_shown_text_is_the_sanitized_text_for_any_pieces(name: str, size: int) -> None:
    answer, shown = await streamed(TEXTS[name], size)
    assert answer.text == shown == SCRUBBER.sanitize(TEXTS[name]).text
    assert SECRET not in shown


class Noting(Words):
    """Finds nothing, and notes the threads in which it reads more than may be read on the loop."""

    threads: ClassVar[set[int]] = set()

    def find(self, text: str, start: int, active: Collection[str]) -> Iterator[Hit]:
        yield from ()

    def settled(self, text: str, start: int, active: Collection[str]) -> int:
        if len(text) - start > INLINE:
            self.threads.add(threading.get_ident())
        return len(text)


async def test_text_that_is_held_back_is_weighed_with_the_piece() -> None:
    """Of a long private key each piece is short, but all of it is read again and again."""
    noting = Noting(Category.PII, "pii.test", "", "noting")
    answer = SanitizedAnswer(Sanitizer(STANDARD, extra=[noting]).stream())
    await answer.feed("-----BEGIN " + "PRIVATE KEY-----\n")
    for _ in range(200):
        await answer.feed("MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n")
        await answer.release()
    await answer.finish()
    assert noting.threads
    assert threading.get_ident() not in noting.threads


async def test_turns_of_the_model_are_paragraphs_of_their_own() -> None:
    answer = SanitizedAnswer(SCRUBBER.stream())
    answer.pause()
    for text in ("one", "two"):
        await answer.feed(text)
        answer.pause()
    await answer.finish()
    assert answer.text == "one\n\ntwo"
