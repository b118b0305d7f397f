"""`POST /api/alerts`: operators send a sentence to all users of a tenant, or of the server."""

from typing import Final, Literal

from attrs import frozen

from transport.wire.errors import CommandRejected
from understudy.web.audit import audit
from understudy.web.context import identity, read_json, rights, web_context
from understudy.web.routes import STORED, Count, Filled, Routes

blueprint = Routes("alerts", __name__, url_prefix="/api/alerts")

MAX_ALERT: Final = 500
"""Characters of an alert. A longer one is refused."""


@frozen
class AlertRequest:
    """The body of a request. An operator of the server may name the tenant that gets the alert."""

    message: Filled
    tenant: str | None = None


@blueprint.post("", status=202, body=AlertRequest, errors=(*STORED, "content_blocked"))
async def alert() -> dict[Literal["connections"], Count]:
    """Send `{"message": "…"}` to every connection within the caller's rights, ahead of queued events.

    With `"tenant": "…"` an operator of the server reaches the users of that tenant only.
    """
    caller = rights()
    caller.check_users()
    body = await read_json(AlertRequest, '{"message": "…", "tenant"?}')
    message = " ".join(body.message.split())
    if not 0 < len(message) <= MAX_ALERT:
        raise CommandRejected("invalid_command", f"An alert has 1 to {MAX_ALERT} characters.")
    message = (await web_context().content_filter.filter_note(identity().user, message))[:MAX_ALERT]
    whose = caller.whose(body.tenant or None)
    await audit("alert.sent", tenant=body.tenant or None, as_operator=True)
    return {"connections": web_context().streams.send_alert(message, whose)}
