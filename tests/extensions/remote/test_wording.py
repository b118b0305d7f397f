"""What other servers say of a failure is found in every form that they give it."""

from typing import Any

import pytest

from understudy.extensions.remote.wording import MAX_SENTENCE, words_of


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (b'{"error": {"message": " It is late. "}}', "It is late."),
        (b'{"error": "off", "message": "It is off."}', "It is off."),
        (b'{"errors": [{"message": "One."}, {"message": "Two."}]}', "One.; Two."),
        (b'{"detail": [{"loc": ["body", 0], "msg": "Field required", "type": "missing"}]}', "body.0: Field required"),
        (b'{"error": {"code": 1, "message": "Inside", "data": {"reason": "No oven."}}}', "Inside: No oven."),
        (b'["One."]', "One."),
        (b'{"result": {"text": "fine"}}', ""),
        (b"[" * 50_000, ""),
        (b"<html>", ""),
        ({"message": {"detail": "x" * 2 * MAX_SENTENCE}}, "x" * MAX_SENTENCE),
    ],
)
def test_words_are_found(error: Any, words: str) -> None:
    assert words_of(error) == words
