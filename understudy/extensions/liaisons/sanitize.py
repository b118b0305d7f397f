"""`sanitize_content`: takes secrets and hidden characters out of a text."""

from collections import Counter
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Final, Literal, TypeAlias

from sanitization import PRESETS, Action, Direction, Finding, Placeholders, Sanitizer
from sanitization.findings import REPLACEMENT
from understudy.tools.errors import ToolError
from understudy.tools.result import ToolResult
from understudy.tools.schema import Param
from understudy.tools.tool import ToolContext, tool
from understudy.wire.events import SanitizationSummary

MAX_TEXT: Final = 200_000
"""Characters of a text, about 30,000 words."""
_MAX_FINDINGS: Final = 200
_NAMED_KINDS: Final = 3
"""Kinds that the summary line names; the value lists them all."""

Preset: TypeAlias = Literal["standard", "strict"]


@cache
def _sanitizer(policy: Preset) -> Sanitizer:
    """Return the sanitizer of a policy, which takes some 10 ms to build."""
    return Sanitizer(PRESETS[policy], Direction.TOOL)


@tool(retry_safe=True)
def sanitize_content(
    text: Annotated[str, Param("The text to clean.", format="multiline")],
    context: ToolContext,
    policy: Annotated[Preset, Param("strict takes out personal data and instructions too.")] = "standard",
) -> ToolResult:
    """Take secrets, hidden characters and terminal sequences out of a text, and list what was taken out and where."""
    if len(text) > MAX_TEXT:
        raise ToolError("invalid_arguments", f"The text is longer than {MAX_TEXT:,} characters.")
    sanitized = _sanitizer(policy).sanitize(text, Placeholders())
    if sanitized.failures:
        raise ToolError("tool_failed", "The text could not be scanned.")
    gone = [finding for finding in sanitized.findings if finding.action is not Action.FLAG]
    seen = [finding for finding in sanitized.findings if finding.action is Action.FLAG]
    kinds = Counter(finding.kind for finding in gone)
    total = len(gone) + sanitized.omitted
    before = _from_message(context.found)  # the server cleans a message before any tool sees it
    value = {
        "text": sanitized.text,
        "clean": total == 0 and before is None,
        "total": total,
        "counts": dict(Counter(finding.category.value for finding in gone)),
        "kinds": dict(sorted(kinds.items())),
        "findings": [_listed(finding) for finding in gone[:_MAX_FINDINGS]],
        "pointed_out": [_listed(finding) for finding in seen[:_MAX_FINDINGS]],
        "from_message": before,
    }
    stayed = f" {len(seen):,} more {'is' if len(seen) == 1 else 'are'} pointed out and stayed." if seen else ""
    return ToolResult(value, _sentence(before, kinds, total, REPLACEMENT in text) + stayed)


def _sentence(before: dict[str, Any] | None, kinds: Mapping[str, int], total: int, cleaned: bool) -> str:
    """Return a sentence on the redactions of message and text; `cleaned`: the text was redacted before."""
    if before is not None:
        count = before["total"]
        lost = f"{_items(count)} taken out of your message when it came in: {_named(before['kinds'], count)}. "
        here = f"{_items(total, ' more')} taken out of it now: {_named(kinds, total)}."
        return lost + (here if total else "Nothing more had to be taken out.")
    if total:
        return f"{_items(total)} taken out: {_named(kinds, total)}."
    if cleaned:
        return "Something was taken out of this text before; nothing more had to be taken out."
    return "Nothing had to be taken out."


def _items(count: int, more: str = "") -> str:
    return f"{count:,}{more} item{' was' if count == 1 else 's were'}"


def _named(kinds: Mapping[str, int], total: int) -> str:
    """Name the most frequent kinds and count the other items of `total`."""
    shown = Counter(kinds).most_common(_NAMED_KINDS)
    rest = total - sum(count for _, count in shown)
    return ", ".join([f"{count:,} {kind}" for kind, count in shown] + ([f"{rest:,} more"] if rest else []))


def _from_message(found: SanitizationSummary | None) -> dict[str, Any] | None:
    """List the redactions in the message as it was stored; None if there are none, or fewer than a summary needs.

    The places are those in the message as it was sent. Finds that are not listed have no kind here: some of them may
    stand in the context of the message.
    """
    if found is None:
        return None
    rows = [dict(finding) for finding in found.findings if finding["action"] != Action.FLAG.value]
    more = found.omitted or 0
    if not rows and not more:
        return None
    kinds = Counter(str(row["kind"]) for row in rows)
    return {"total": len(rows) + more, "kinds": dict(sorted(kinds.items())), "findings": rows, "not_listed": more}


def _listed(finding: Finding) -> dict[str, Any]:
    return {"kind": finding.kind, "start": finding.start, "end": finding.end}
