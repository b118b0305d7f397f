"""What is told of what was found: kinds, places and counts, never the text."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

from sanitization import Action, Category, Finding
from transport.wire.events import Alert, SanitizationSummary

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
    """Whether users are told of a find: it changed the text, looks like an instruction, or marks what was not read."""
    return finding.action is not Action.FLAG or finding.category is Category.INJECTION or is_unread(finding)


def is_unread(finding: Finding) -> bool:
    """Whether this marks where a detector that failed could not read on."""
    return finding.kind.endswith(".unread")


def reported(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The finds that users are told of."""
    return tuple(each for each in findings if is_reported(each))


def is_suspect(findings: Iterable[Finding]) -> bool:
    """Whether a text still holds what looks like instructions, or may: a model must take it for data."""
    return any(
        each.action is Action.FLAG and (each.category is Category.INJECTION or is_unread(each)) for each in findings
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
    """The event that tells of these finds; None when there are none to tell of, or fewer than the threshold.

    `findings` may hold some that nobody is told of. `omitted` more were found and not listed. Findings `beside` the
    text, in the context of a message, are counted if they changed it, and not listed: their places are not in the text.
    """
    listed = reported(findings)
    every = (*listed, *(each for each in beside if each.action is not Action.FLAG))
    if not every or len(every) + omitted < threshold:
        return None
    rows = [
        {"kind": each.kind, "start": each.start, "end": each.end, "action": each.action.value}
        for each in listed[:LISTED]
    ]
    return SanitizationSummary(
        direction=direction,
        counts=dict(Counter(each.category.value for each in every)),
        findings=rows,
        threshold=threshold,
        kinds=dict(sorted(Counter(each.kind for each in every).items())),
        omitted=len(every) - len(rows) + omitted or None,
        call_id=call_id,
    )


def build_alert(findings: Iterable[Finding]) -> Alert | None:
    """The alert for the secrets that a user's message held; None if it held none. It names kinds, never the text."""
    secrets = [each for each in findings if each.category is Category.SECRET and not is_unread(each)]
    if not secrets:
        return None
    kinds = dict(sorted(Counter(each.kind for each in secrets).items()))
    gone = all(each.action is not Action.FLAG for each in secrets)
    done = "It was taken out before anything was stored" if gone else "It was left in, as this server's policy says"
    named = ", ".join(kinds)
    return Alert(f"Your message held a secret ({named}). {done}; if it is in use, replace it.", kinds)


def count_by_kind(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """The finds that users are told of, counted by category, kind and action."""
    counts = Counter((each.category.value, each.kind, each.action.value) for each in reported(findings))
    return [
        {"category": category, "kind": kind, "action": action, "count": count}
        for (category, kind, action), count in sorted(counts.items())
    ]


def describe_blocked(findings: Iterable[Finding]) -> str:
    """What a text was blocked for, in words for a person."""
    categories = [each.category for each in findings if each.action is Action.BLOCK]
    words = [_WORDS[category] for category in dict.fromkeys(categories)]
    return " and ".join(words) or "something that is not let pass"
