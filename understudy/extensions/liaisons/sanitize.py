"""The tool `sanitize_content`: removes secrets and hidden characters from a text."""

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
"""Limit of a text's length in characters, about 30,000 words."""
_MAX_FINDINGS: Final = 200
_NAMED_KINDS: Final = 3
"""Number of kinds that the summary names; the value lists all."""

Preset: TypeAlias = Literal["standard", "strict"]


@cache
def _sanitizer(policy: Preset) -> Sanitizer:
    """Build the sanitizer of a policy once, because that takes about 10 ms."""
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
    removed = [finding for finding in sanitized.findings if finding.action is not Action.FLAG]
    marked = [finding for finding in sanitized.findings if finding.action is Action.FLAG]
    kinds = Counter(finding.kind for finding in removed)
    total = len(removed) + sanitized.omitted
    in_message = _from_message(context.found)  # the server cleans a message before any tool sees it
    value = {
        "text": sanitized.text,
        "clean": total == 0 and in_message is None,
        "total": total,
        "counts": dict(Counter(finding.category.value for finding in removed)),
        "kinds": dict(sorted(kinds.items())),
        "findings": [_listed(finding) for finding in removed[:_MAX_FINDINGS]],
        "pointed_out": [_listed(finding) for finding in marked[:_MAX_FINDINGS]],
        "from_message": in_message,
    }
    note = f" {len(marked):,} more {'is' if len(marked) == 1 else 'are'} pointed out and stayed." if marked else ""
    return ToolResult(value, _sentence(in_message, kinds, total, REPLACEMENT in text) + note)


def _sentence(earlier: dict[str, Any] | None, kinds: Mapping[str, int], total: int, cleaned: bool) -> str:
    """Describe the redactions in the message and the text. `cleaned`: the text has placeholders of an earlier one."""
    if earlier is not None:
        count = earlier["total"]
        before = f"{_items(count)} taken out of your message when it came in: {_named(earlier['kinds'], count)}. "
        now = f"{_items(total, ' more')} taken out of it now: {_named(kinds, total)}."
        return before + (now if total else "Nothing more had to be taken out.")
    if total:
        return f"{_items(total)} taken out: {_named(kinds, total)}."
    if cleaned:
        return "Something was taken out of this text before; nothing more had to be taken out."
    return "Nothing had to be taken out."


def _items(count: int, more: str = "") -> str:
    return f"{count:,}{more} item{' was' if count == 1 else 's were'}"


def _named(kinds: Mapping[str, int], total: int) -> str:
    """Name the most frequent kinds with their counts, and count the other items of `total`."""
    most_frequent = Counter(kinds).most_common(_NAMED_KINDS)
    others = total - sum(count for _, count in most_frequent)
    return ", ".join([f"{count:,} {kind}" for kind, count in most_frequent] + ([f"{others:,} more"] if others else []))


def _from_message(found: SanitizationSummary | None) -> dict[str, Any] | None:
    """Return the redactions in the message that the user sent; None if nothing was redacted.

    `start` and `end` are places in the message before the redaction. Findings beyond the listed ones are only counted,
    without a kind, because some may be in the message's context.
    """
    if found is None:
        return None
    rows = [dict(finding) for finding in found.findings if finding["action"] != Action.FLAG.value]
    omitted = found.omitted or 0
    if not rows and not omitted:
        return None
    kinds = Counter(str(row["kind"]) for row in rows)
    return {"total": len(rows) + omitted, "kinds": dict(sorted(kinds.items())), "findings": rows, "not_listed": omitted}


def _listed(finding: Finding) -> dict[str, Any]:
    return {"kind": finding.kind, "start": finding.start, "end": finding.end}
