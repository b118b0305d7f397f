"""`POST /api/alerts`: operators send a sentence to all users of a tenant, or of the server."""

import logging
from typing import Final, Literal

from attrs import frozen

from actors import Lane
from transport.wire.errors import CommandRejected
from transport.wire.messages import Deliver
from understudy.auth.rights import Whose
from understudy.chat.presence import Presence
from understudy.storage.acts import Act
from understudy.web.acts import say
from understudy.web.context import identity, read_json, rights, web_context
from understudy.web.routes import STORED, Count, Filled, Routes
from understudy.wire.events import Alert, Envelope

SENT: Final = Act("alert.sent")

log = logging.getLogger(__name__)
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
    """Send `{"message": "…"}` to every connection within the caller's rights.

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
    await say(SENT, tenant=body.tenant or None, as_operator=True)
    envelope = Envelope(Alert(message), web_context().services.clock(), message=message)
    return {"connections": send(web_context().presence, envelope, whose)}


def send(presence: Presence, envelope: Envelope, whose: Whose) -> int:
    """Send an alert to the connections of the selected users, ahead of queued events. Return their number."""
    sent, deliver = 0, Deliver(envelope, shared=True)
    for outbox in presence.outboxes_of(whose):
        if outbox.try_tell(deliver, lane=Lane.ALERT):
            sent += 1
        else:
            log.warning("alert.declined", extra={"path": outbox.path})
    return sent
