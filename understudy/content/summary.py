"""Summaries of findings for events, alerts and errors: kinds, places and counts, never the text."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, TypedDict

from sanitization import Action, Category, Finding
from understudy.wire.events import Alert, SanitizationSummary

LISTED: Final = 200
"""Findings of one text that an event lists; the rest are counted."""

_WORDS: Final = {
    Category.MARKUP: "active markup",
    Category.SECRET: "a secret",
    Category.PII: "personal data",
    Category.INJECTION: "words that look like instructions to the model",
    Category.INVISIBLE: "hidden characters",
    Category.TERMINAL: "control sequences",
}


def is_reported(finding: Finding) -> bool:
    """Return whether a finding is reported: it changed the text, looks like an instruction, or marks unread text."""
    return finding.action is not Action.FLAG or finding.category is Category.INJECTION or is_unread(finding)


def is_unread(finding: Finding) -> bool:
    """Return whether this finding marks where a failed detector stopped reading."""
    return finding.kind.endswith(".unread")


def is_suspect(findings: Iterable[Finding]) -> bool:
    """Return whether a text still has apparent instructions, or may have: a model must treat it as data."""
    return any(
        find.action is Action.FLAG and (find.category is Category.INJECTION or is_unread(find)) for find in findings
    )


def build_summary(
    direction: str,
    findings: Sequence[Finding],
    threshold: int,
    *,
    omitted: int = 0,
    call_id: str | None = None,
    beside: Sequence[Finding] = (),
) -> SanitizationSummary | None:
    """Build the event that reports these findings; None if there are none to report, or fewer than the threshold.

    `findings` may include some that are not reported. `omitted` more were found and not listed. Findings `beside` the
    text, in the context of a message, are counted if they changed it, and not listed: their places are not in the text.
    """
    listed = [finding for finding in findings if is_reported(finding)]
    every = (*listed, *(finding for finding in beside if finding.action is not Action.FLAG))
    if not every or len(every) + omitted < threshold:
        return None
    rows = [
        {"kind": finding.kind, "start": finding.start, "end": finding.end, "action": finding.action.value}
        for finding in listed[:LISTED]
    ]
    return SanitizationSummary(
        direction=direction,
        counts=dict(Counter(finding.category.value for finding in every)),
        findings=rows,
        threshold=threshold,
        kinds=dict(sorted(Counter(finding.kind for finding in every).items())),
        omitted=len(every) - len(rows) + omitted or None,
        call_id=call_id,
    )


def build_alert(findings: Iterable[Finding], *, summarised: bool) -> Alert | None:
    """Build the alert for secrets in a user's message; None if it had none. It names kinds, never the text.

    `summarised`: an event of `build_summary` tells of them too.
    """
    secrets = [finding for finding in findings if finding.category is Category.SECRET and not is_unread(finding)]
    if not secrets:
        return None
    kinds = dict(sorted(Counter(secret.kind for secret in secrets).items()))
    gone = all(secret.action is not Action.FLAG for secret in secrets)
    done = "It was taken out before anything was stored" if gone else "It was left in, as this server's policy says"
    named = ", ".join(kinds)
    return Alert(
        f"Your message held a secret ({named}). {done}; if it is in use, replace it.", kinds, summarised or None
    )


class KindCount(TypedDict):
    """How many findings of a kind there are, and what was done with them."""

    category: str
    kind: str
    action: str
    count: int


def count_by_kind(findings: Iterable[Finding]) -> list[KindCount]:
    """Count the reported findings by category, kind and action."""
    counts = Counter((find.category.value, find.kind, find.action.value) for find in findings if is_reported(find))
    return [
        {"category": category, "kind": kind, "action": action, "count": count}
        for (category, kind, action), count in sorted(counts.items())
    ]


def describe_blocked(findings: Iterable[Finding]) -> str:
    """Name the categories for which a text was blocked, in words for a person."""
    categories = [finding.category for finding in findings if finding.action is Action.BLOCK]
    words = [_WORDS[category] for category in dict.fromkeys(categories)]
    return " and ".join(words) or "something that is not let pass"
