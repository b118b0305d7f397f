"""The outline of a text."""

from collections.abc import Callable

import pytest

from understudy.tools import ToolContext, ToolError
from understudy.tools.outline import headings, outline_text

MARKED = "# Plan\nWe go far.\n## Aims\nTo the sea, and back.\n```\n# no heading\n```\n## Costs ##\nIt is dear.\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (MARKED, [(1, "Plan"), (2, "Aims"), (2, "Costs")]),
        ("Plan\n====\nx\n\nAims\n----\ny", [(1, "Plan"), (2, "Aims")]),
        ("1 Plan\nx\n\n1.1 Aims\ny\n\n2. Costs\nz", [(1, "1 Plan"), (2, "1.1 Aims"), (1, "2. Costs")]),
        ("ANNUAL REPORT\n\nIt went well, they said.", [(1, "ANNUAL REPORT")]),
        ("It went well.\n2 apples and a pear\nwere left.", []),
    ],
)
def test_headings_by_their_form(text: str, found: list[tuple[int, str]]) -> None:
    assert [(each.level, each.title) for each in headings(text)] == found


async def test_an_outline_counts_words_and_keeps_the_depth(attach: Callable[..., ToolContext]) -> None:
    result = await outline_text.call({"text": MARKED, "depth": 1}, attach())
    assert result.value["outline"] == [{"level": 1, "title": "Plan", "line": 1, "words": 3}]
    assert result.value["truncated"] is True
    whole = await outline_text.call({"text": MARKED}, attach())
    assert whole.value["text"] == "- Plan (3 words)\n  - Aims (10 words)\n  - Costs (3 words)"


async def test_a_text_without_headings_is_outlined_by_paragraphs(attach: Callable[..., ToolContext]) -> None:
    result = await outline_text.call({"text": "We go far. Really far.\n\nIt is dear. So be it."}, attach())
    assert [(row["title"], row["line"]) for row in result.value["outline"]] == [("We go far.", 1), ("It is dear.", 3)]
    assert "no headings" in result.summary
    with pytest.raises(ToolError, match="no text"):
        await outline_text.call({"text": " "}, attach())
