"""Summarizes findings for events, alerts and errors by kinds, places and counts, never with the text."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, TypedDict

from sanitization import Action, Category, Finding
from understudy.wire.events import Alert, SanitizationSummary

LISTED: Final = 200
"""Findings of one text that an event lists; further ones are only counted."""

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
    """Return whether a text still has, or may have, apparent instructions, so that a model must treat it as data."""
    flagged = (finding for finding in findings if finding.action is Action.FLAG)
    return any(finding.category is Category.INJECTION or is_unread(finding) for finding in flagged)


def build_summary(
    direction: str,
    findings: Sequence[Finding],
    threshold: int,
    *,
    omitted: int = 0,
    call_id: str | None = None,
    beside: Sequence[Finding] = (),
) -> SanitizationSummary | None:
    """Build the event that reports these findings; None if none is to be reported, or fewer than `threshold`.

    `findings` may include some that are not reported; `omitted` is the number of further findings. Findings `beside`
    the text, in the context of a message, are counted if they changed it, but not listed: they have no place in it.
    """
    listed = [finding for finding in findings if is_reported(finding)]
    counted = (*listed, *(finding for finding in beside if finding.action is not Action.FLAG))
    if not counted or len(counted) + omitted < threshold:
        return None
    rows = [
        {"kind": finding.kind, "start": finding.start, "end": finding.end, "action": finding.action.value}
        for finding in listed[:LISTED]
    ]
    return SanitizationSummary(
        direction=direction,
        counts=dict(Counter(finding.category.value for finding in counted)),
        findings=rows,
        threshold=threshold,
        kinds=dict(sorted(Counter(finding.kind for finding in counted).items())),
        omitted=len(counted) - len(rows) + omitted or None,
        call_id=call_id,
    )


def build_alert(findings: Iterable[Finding], *, summarised: bool) -> Alert | None:
    """Build the alert for secrets in a user's message; None if it had none. It names kinds, never the text.

    `summarised`: an event of `build_summary` reports them, too.
    """
    secrets = [finding for finding in findings if finding.category is Category.SECRET and not is_unread(finding)]
    if not secrets:
        return None
    kinds = dict(sorted(Counter(secret.kind for secret in secrets).items()))
    redacted = all(secret.action is not Action.FLAG for secret in secrets)
    fate = "It was taken out before anything was stored" if redacted else "It was left in, as this server's policy says"
    names = ", ".join(kinds)
    return Alert(
        f"Your message held a secret ({names}). {fate}; if it is in use, replace it.", kinds, summarised or None
    )


class KindCount(TypedDict):
    """The number of findings of a kind, and the action that was taken."""

    category: str
    kind: str
    action: str
    count: int


def count_by_kind(findings: Iterable[Finding]) -> list[KindCount]:
    """Count the reported findings by category, kind and action."""
    reported = filter(is_reported, findings)
    counts = Counter((finding.category.value, finding.kind, finding.action.value) for finding in reported)
    return [
        {"category": category, "kind": kind, "action": action, "count": count}
        for (category, kind, action), count in sorted(counts.items())
    ]


def describe_blocked(findings: Iterable[Finding]) -> str:
    """Name the categories for which a text was blocked, in words for a person."""
    categories = [finding.category for finding in findings if finding.action is Action.BLOCK]
    words = [_WORDS[category] for category in dict.fromkeys(categories)]
    return " and ".join(words) or "something that is not let pass"
