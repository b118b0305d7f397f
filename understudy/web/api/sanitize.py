"""`POST /api/sanitize`: what would be redacted from a text, and what of it would pass."""

from collections import Counter
from typing import Any

from attrs import frozen
from quart import Blueprint

from sanitization import PRESETS, Action, Direction, Finding, Placeholders, Sanitized, utf16_offsets
from understudy.web.context import identity, one_of, read_json, web_context

blueprint = Blueprint("sanitize", __name__, url_prefix="/api/sanitize")


@frozen
class SanitizeRequest:
    """The body of a request. `policy` is the name of a preset; the server's own policy unless given."""

    text: str
    direction: str = Direction.INBOUND.value
    policy: str | None = None


@blueprint.post("")
async def sanitize() -> dict[str, Any]:
    """Filter a text like a user's, a tool's or an agent's. Nothing is stored."""
    user, content_filter = identity().user, web_context().content_filter
    body = await read_json(SanitizeRequest, '{"text": "…", "direction"?, "policy"?}')
    direction = one_of("direction", body.direction, Direction)
    policy = None if body.policy is None else one_of("policy", body.policy, PRESETS)
    sanitizer = await content_filter.sanitizer(direction, policy)
    found = await content_filter.filter_text(user, body.text, sanitizer, Placeholders())
    return _as_json(body.text, found)


def _as_json(text: str, found: Sanitized) -> dict[str, Any]:
    return {
        "text": found.text,
        "changed": found.blocked or found.text != text,
        "blocked": found.blocked,
        "counts": dict(Counter(each.category.value for each in found.findings)),
        "kinds": dict(sorted(Counter(each.kind for each in found.findings).items())),
        "findings": [
            _finding(each, units)
            for each, units in zip(found.findings, utf16_offsets(text, found.findings), strict=True)
        ],
        "omitted": found.omitted,
        "failed": [each.detector for each in found.failures],
    }


def _finding(each: Finding, units: tuple[int, int]) -> dict[str, Any]:
    """Describe a finding. `units` are its start and end in UTF-16 code units, as browsers count."""
    return {
        "kind": each.kind,
        "category": each.category.value,
        "action": each.action.value,
        "start": each.start,
        "end": each.end,
        "start_utf16": units[0],
        "end_utf16": units[1],
        "score": each.score,
        "replacement": each.replacement if each.action is not Action.FLAG else None,
        "detector": each.detector,
        "reasons": list(each.reasons),
    }
