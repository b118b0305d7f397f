"""`POST /api/sanitize`: shows how a text would be redacted."""

from collections import Counter
from typing import Annotated

from attrs import frozen
from msgspec import Meta, Struct

from sanitization import PRESETS, Action, Category, Direction, Finding, Placeholders, utf16_offsets
from understudy.web.context import identity, one_of, read_json, web_context
from understudy.web.routes import Count, Routes

blueprint = Routes("sanitize", __name__, url_prefix="/api/sanitize")


@frozen
class SanitizeRequest:
    """The body of a request. `policy` is the name of a preset; the server's own policy unless given."""

    text: str
    direction: Annotated[str, Meta(extra_json_schema={"enum": list(Direction)})] = Direction.INBOUND.value
    policy: Annotated[str, Meta(extra_json_schema={"enum": list(PRESETS)})] | None = None


class ShownFinding(Struct):
    """A finding; `start_utf16` and `end_utf16` are in UTF-16 code units, as browsers count."""

    kind: str
    category: Category
    action: Action
    start: Count
    end: Count
    start_utf16: Count
    end_utf16: Count
    score: float
    replacement: str | None
    detector: str
    reasons: tuple[str, ...]


class SanitizedText(Struct):
    """The redacted text, the findings in the original, and the detectors that failed."""

    text: str
    changed: bool
    blocked: bool
    counts: dict[str, Count]
    kinds: dict[str, Count]
    findings: list[ShownFinding]
    omitted: Count
    failed: list[str]


@blueprint.post("", body=SanitizeRequest, errors=("rate_limited", "busy", "internal"))
async def sanitize() -> SanitizedText:
    """Filter a text like a user's, a tool's or an agent's. Nothing is stored."""
    user, content_filter = identity().user, web_context().content_filter
    body = await read_json(SanitizeRequest, '{"text": "…", "direction"?, "policy"?}')
    direction = one_of("direction", body.direction, Direction)
    policy = None if body.policy is None else one_of("policy", body.policy, PRESETS)
    sanitizer = await content_filter.sanitizer(direction, policy)
    sanitized = await content_filter.filter_text(user, body.text, sanitizer, Placeholders())
    return SanitizedText(
        sanitized.text,
        sanitized.blocked or sanitized.text != body.text,
        sanitized.blocked,
        Counter(finding.category.value for finding in sanitized.findings),
        dict(sorted(Counter(finding.kind for finding in sanitized.findings).items())),
        list(map(_finding, sanitized.findings, utf16_offsets(body.text, sanitized.findings))),
        sanitized.omitted,
        [failure.detector for failure in sanitized.failures],
    )


def _finding(find: Finding, units: tuple[int, int]) -> ShownFinding:
    replacement = find.replacement if find.action is not Action.FLAG else None
    offsets = (find.start, find.end, *units)
    return ShownFinding(
        find.kind, find.category, find.action, *offsets, find.score, replacement, find.detector, find.reasons
    )
