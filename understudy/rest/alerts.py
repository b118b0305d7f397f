"""`POST /api/alerts`: what an operator has to tell everybody at once."""

from typing import Any, Final

import msgspec
from quart import Blueprint

from transport.errors import CommandRejected
from understudy.rest.commands import whole_body
from understudy.rest.parts import parts, require_role

blueprint = Blueprint("alerts", __name__, url_prefix="/api/alerts")

OPERATOR: Final = "operator"
MAX_ALERT: Final = 500
"""Characters of an alert."""


@blueprint.post("")
async def alert() -> tuple[dict[str, Any], int]:
    """Send `{"message": "…"}` to every connection, ahead of all that is queued."""
    require_role(OPERATOR)
    return {"connections": parts().streams.alert(_message(await whole_body()))}, 202


def _message(body: bytes) -> str:
    try:
        message = " ".join(msgspec.json.decode(body)["message"].split())
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CommandRejected("invalid_command", 'The body must be {"message": "…"}.') from error
    if not 0 < len(message) <= MAX_ALERT:
        raise CommandRejected("invalid_command", f"An alert has 1 to {MAX_ALERT} characters.")
    return message
