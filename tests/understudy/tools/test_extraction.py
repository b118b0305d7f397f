"""Facts in a text, by their form."""

from collections.abc import Callable

import pytest

from understudy.tools import ToolContext, ToolError
from understudy.tools.extraction import extract_facts

Attach = Callable[..., ToolContext]


@pytest.mark.parametrize(
    ("kind", "text", "found"),
    [
        ("dates", "2026-05-03, 3 May 2026, May 5th, 3.5.26.", ["2026-05-03", "3 May 2026", "May 5th", "3.5.26"]),
        ("amounts", "€1,200.50 or 400 EUR, $3 million; room 12.", ["€1,200.50", "400 EUR", "$3 million"]),
        ("names", "Ada Lovelace met Dr. Smith. The Acme Bank paid.", ["Ada Lovelace", "Dr. Smith", "Acme Bank"]),
        ("links", "At https://example.org/a?b=1, www.example.com.", ["https://example.org/a?b=1", "www.example.com"]),
        ("emails", "Write to ada@example.org.", ["ada@example.org"]),
    ],
)  # fmt: skip
async def test_facts_of_each_kind(attach: Attach, kind: str, text: str, found: list[str]) -> None:
    result = await extract_facts.call({"text": text, "kinds": [kind]}, attach())
    assert [row["value"] for row in result.value["facts"]] == found


async def test_all_kinds_are_counted(attach: Attach) -> None:
    result = await extract_facts.call({"text": "Ada Lovelace pays 5 EUR to ada@example.org, 5 EUR!"}, attach())
    assert result.summary == "Found 0 dates, 1 amount, 1 name, 0 links, 1 email"
    assert [row["times"] for row in result.value["facts"] if row["kind"] == "amount"] == [2]
    with pytest.raises(ToolError, match="no text"):
        await extract_facts.call({"text": ""}, attach())
