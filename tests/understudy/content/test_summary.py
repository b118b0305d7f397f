"""Summaries, alerts and reasons made of findings."""

import pytest

from sanitization import Action, Category, Finding
from understudy.chat.envelope import summary_line
from understudy.content.summary import LISTED, build_summary, count_by_kind, describe_blocked, is_suspect


def a_finding(kind: str, action: Action, start: int = 0) -> Finding:
    return Finding(kind, Category(kind.partition(".")[0]), start, start + 4, 1.0, "", "d", action)


GONE = a_finding("secret.github", Action.REMOVE)
FLAGGED = a_finding("pii.email", Action.FLAG)
ORDER = a_finding("injection.override", Action.FLAG, 9)
UNREAD = a_finding("pii.unread", Action.FLAG)


def test_a_summary_reports_what_changed_the_text_or_gives_orders() -> None:
    event = build_summary("inbound", [GONE, FLAGGED, ORDER, UNREAD], 1)
    assert event.counts == {"secret": 1, "injection": 1, "pii": 1}
    assert event.kinds == {"secret.github": 1, "injection.override": 1, "pii.unread": 1}
    assert [finding["kind"] for finding in event.findings] == ["secret.github", "injection.override", "pii.unread"]
    assert event.findings[1] == {"kind": "injection.override", "start": 9, "end": 13, "action": "flag"}
    assert (event.omitted, event.call_id) == (None, None)
    assert summary_line(event) == "1 item was redacted, 2 items were pointed out"


@pytest.mark.parametrize(
    ("findings", "omitted", "threshold", "built"),
    [
        ([], 0, 1, False), ([FLAGGED] * 5, 7, 1, False), ([GONE], 0, 1, True), ([GONE, FLAGGED], 0, 2, False),
        ([GONE, ORDER], 0, 2, True), ([GONE], 1, 2, True),
    ],
)  # fmt: skip
def test_from_the_threshold_on(findings: list[Finding], omitted: int, threshold: int, built: bool) -> None:
    assert (build_summary("tool", findings, threshold, omitted=omitted) is not None) is built


def test_many_finds_are_counted_and_some_listed() -> None:
    event = build_summary("tool", [GONE] * (LISTED + 50), 1, omitted=3, call_id="c")
    assert (len(event.findings), event.omitted, event.counts, event.call_id) == (LISTED, 53, {"secret": 250}, "c")


def test_by_kind_and_action() -> None:
    rows = count_by_kind([GONE, GONE, a_finding("secret.github", Action.MASK), FLAGGED])
    assert rows == [
        {"category": "secret", "kind": "secret.github", "action": "mask", "count": 1},
        {"category": "secret", "kind": "secret.github", "action": "remove", "count": 2},
    ]


def test_suspect_texts() -> None:
    assert [is_suspect([finding]) for finding in (GONE, FLAGGED, ORDER, UNREAD)] == [False, False, True, True]
    assert not is_suspect([a_finding("injection.override", Action.REMOVE)])


def test_blocked_categories_are_named() -> None:
    block = [a_finding(kind, Action.BLOCK) for kind in ("secret.github", "secret.aws", "pii.email")]
    assert describe_blocked([*block, ORDER]) == "a secret and personal data"
    assert "not let pass" in describe_blocked([])
