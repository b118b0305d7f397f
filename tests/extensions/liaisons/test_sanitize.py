"""`sanitize_content`."""

from collections.abc import Callable

import pytest
from attrs import evolve

from understudy.extensions.liaisons.sanitize import sanitize_content
from understudy.tools import ToolContext, ToolError
from understudy.wire.events import SanitizationSummary


def test_sanitize_takes_out_and_counts(attach: Callable[..., ToolContext]) -> None:
    result = sanitize_content("pay a\u202eb now\u200b", attach())
    assert result.value["text"] == "pay ab now"
    assert result.value["clean"] is False
    assert result.value["total"] == len(result.value["findings"]) == 2
    assert result.value["from_message"] is None
    assert result.summary == "2 items were taken out: 1 invisible.bidi, 1 invisible.zero_width."


def test_sanitize_leaves_clean_text_alone(attach: Callable[..., ToolContext]) -> None:
    result = sanitize_content("a < b & c", attach())
    assert (result.value["text"], result.value["clean"]) == ("a < b & c", True)
    assert result.summary == "Nothing had to be taken out."
    with pytest.raises(ToolError, match="longer than"):
        sanitize_content("x" * 200_001, attach())


def test_sanitize_tells_what_the_message_lost_before(attach: Callable[..., ToolContext]) -> None:
    rows = [
        {"kind": "secret.github.token", "start": 3, "end": 43, "action": "remove"},
        {"kind": "pii.email", "start": 50, "end": 60, "action": "tokenise"},
        {"kind": "injection.override", "start": 70, "end": 90, "action": "flag"},
    ]
    kinds = {"injection.override": 1, "pii.email": 1, "secret.github.token": 1}
    summary = SanitizationSummary("inbound", {"secret": 1, "pii": 1, "injection": 1}, rows, 1, kinds, 4)
    result = sanitize_content("my [redacted] is at [email-1]", evolve(attach(), found=summary), "strict")
    assert result.value["from_message"] == {
        "total": 6,
        "kinds": {"pii.email": 1, "secret.github.token": 1},
        "findings": rows[:2],
        "not_listed": 4,
    }
    assert (result.value["clean"], result.value["total"]) == (False, 0)
    assert result.summary == (
        "6 items were taken out of your message when it came in: 1 pii.email, 1 secret.github.token, 4 more. "
        "Nothing more had to be taken out."
    )


@pytest.mark.parametrize("only_flagged", [False, True])
def test_sanitize_knows_a_text_that_was_cleaned_some_time_before(
    attach: Callable[..., ToolContext], only_flagged: bool
) -> None:
    rows = [{"kind": "injection.override", "start": 0, "end": 9, "action": "flag"}]
    summary = SanitizationSummary("inbound", {"injection": 1}, rows, 1) if only_flagged else None
    result = sanitize_content("my key is [redacted]", evolve(attach(), found=summary))
    assert result.summary == "Something was taken out of this text before; nothing more had to be taken out."
    assert result.value["from_message"] is None
