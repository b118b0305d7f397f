"""The comparison of two texts."""

from collections.abc import Callable

import pytest

from understudy.tools import ToolContext, ToolError
from understudy.tools.text_diff import MAX_TEXT, compare_texts

Attach = Callable[..., ToolContext]


async def test_sentences_are_added_removed_or_changed(attach: Attach) -> None:
    first = "The cat sat on the mat. It slept well. Nobody saw it."
    second = "The dog sat on the mat. It slept well. Rain fell all night long, and the wind howled."
    result = await compare_texts.call({"first": first, "second": second}, attach())
    assert [(row["change"], row["first"], row["second"]) for row in result.value["changes"]] == [
        ("changed", "The cat sat on the mat.", "The dog sat on the mat."),
        ("removed", "Nobody saw it.", ""),
        ("added", "", "Rain fell all night long, and the wind howled."),
    ]
    assert result.value["same_sentences"] == 1
    assert "1 the same, 1 added, 1 removed, 1 changed" in result.summary


@pytest.mark.parametrize(("second", "said"), [("One. Two.", "the same."), ("One.  Two.", "apart from spacing.")])
async def test_equal_texts(attach: Attach, second: str, said: str) -> None:
    result = await compare_texts.call({"first": "One. Two.", "second": second}, attach())
    assert result.summary.endswith(said)
    assert result.value["similarity_percent"] == 100


async def test_two_texts_are_needed_of_bounded_length(attach: Attach) -> None:
    with pytest.raises(ToolError, match="second text is empty"):
        await compare_texts.call({"first": "x", "second": " "}, attach())
    with pytest.raises(ToolError, match="first text is longer"):
        await compare_texts.call({"first": "x" * (MAX_TEXT + 1), "second": "x"}, attach())
