"""The answer as it streams: sanitized, and whole, for any pieces in which it comes."""

import pytest

from sanitization import STANDARD, Sanitizer
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
    """Short pieces are sanitized on the loop and long ones in a thread, with the same result."""
    answer, shown = await streamed(TEXTS[name], size)
    assert answer.text == shown == SCRUBBER.sanitize(TEXTS[name]).text
    assert SECRET not in shown


async def test_turns_of_the_model_are_paragraphs_of_their_own() -> None:
    answer = SanitizedAnswer(SCRUBBER.stream())
    answer.pause()
    for text in ("one", "two"):
        await answer.feed(text)
        answer.pause()
    await answer.finish()
    assert answer.text == "one\n\ntwo"
