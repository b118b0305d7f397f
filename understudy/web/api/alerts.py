"""`POST /api/alerts`: operators send a sentence to all users of a tenant, or of the server."""

from typing import Any, Final

import msgspec
from quart import Blueprint

from transport.wire.errors import CommandRejected
from understudy.web.api.commands import read_body
from understudy.web.context import rights, web_context

blueprint = Blueprint("alerts", __name__, url_prefix="/api/alerts")

MAX_ALERT: Final = 500
"""Characters of an alert. A longer one is refused."""


@blueprint.post("")
async def alert() -> tuple[dict[str, Any], int]:
    """Send `{"message": "…"}` to every connection within the caller's rights, ahead of queued events.

    With `"tenant": "…"` an operator of the server reaches the users of that tenant only.
    """
    may = rights()
    may.check_users()
    message, tenant = _alert(await read_body())
    return {"connections": web_context().streams.send_alert(message, may.whose(tenant))}, 202


def _alert(body: bytes) -> tuple[str, str | None]:
    """Return the sentence, and the tenant or None."""
    try:
        given = msgspec.json.decode(body)
        message, tenant = " ".join(given["message"].split()), given.get("tenant")
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CommandRejected("invalid_command", 'The body must be {"message": "…"}.') from error
    if not 0 < len(message) <= MAX_ALERT:
        raise CommandRejected("invalid_command", f"An alert has 1 to {MAX_ALERT} characters.")
    if not (tenant is None or isinstance(tenant, str)):
        raise CommandRejected("invalid_command", "tenant must be a text.")
    return message, tenant or None
