"""Webhooks: the rules for their addresses, and the signed request. Pure except for the look-up of addresses.

1. Only addresses under a prefix of the settings are called, so a user cannot make the server call any other.
2. A host with a private address is refused unless the settings allow it. The connection goes to the address that was
   checked, so the name cannot resolve to another one in between. Redirects are not followed.
3. A request is signed as in Standard Webhooks: HMAC-SHA256 of `id.timestamp.body`.
"""

import base64
import hashlib
import hmac
import posixpath
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Self
from urllib.parse import SplitResult, unquote, urlsplit

from attrs import field, frozen

from transport.auth.addresses import PrivateAddress, is_named_private, resolve
from transport.auth.fetch import PORTS, is_fetchable
from transport.wire.events import Error, Event
from understudy.chat.messages import RunRequest
from understudy.extensions.notices.settings import WebhookSettings, read_secret
from understudy.extensions.notices.storage import Delivery, add_delivery
from understudy.storage.records import LoggedEvent
from understudy.storage.write import Write
from understudy.wire.events import ApprovalRequired, FinalResponse, QuestionAsked

TYPES: Final = {
    FinalResponse.type: "run.ended",
    Error.type: "run.failed",
    ApprovalRequired.type: "run.approval_required",
    QuestionAsked.type: "run.question_asked",
}
"""The types of a run's events that are delivered, with the names of their webhooks."""
MAX_URL: Final = 2000
PRIVATE: Final = "has a private address"


class WebhookRefused(ValueError):
    """An address may not be called; the text says why."""


@frozen
class WebhookRules:
    """The operator's rules. An address must be under one of the `prefixes`; without any it needs https. `secret` signs
    requests. `private`: hosts may have private addresses."""

    prefixes: Sequence[str]
    secret: bytes = field(repr=False)
    private: bool = False

    @classmethod
    def of(cls, settings: WebhookSettings) -> Self:
        """Return the rules of these settings. Raises ValueError for a malformed secret."""
        return cls(settings.urls, read_secret(str(settings.secret)), settings.private)

    def check(self, url: object) -> str:
        """Return the address if a user may name it.

        Raises:
            WebhookRefused: It is malformed, or under none of the prefixes.
        """
        if not isinstance(url, str) or len(url) > MAX_URL or not is_fetchable(url):
            raise WebhookRefused("must be an address with http or https")
        where = urlsplit(url)
        if self.prefixes and not any(_covers(urlsplit(prefix), where) for prefix in self.prefixes):
            raise WebhookRefused("is not among the addresses that this server may call")
        if not self.prefixes and where.scheme != "https":
            raise WebhookRefused("must be an address with https")
        return url

    def check_public(self, url: object) -> str:
        """Return the address if a user may name it and it does not name a private host. The name is not looked up.

        Raises:
            WebhookRefused: `check` refuses it, or the name of its host is private.
        """
        checked = self.check(url)
        if not self.private and is_named_private(urlsplit(checked).hostname or ""):
            raise WebhookRefused(PRIVATE)
        return checked

    async def resolve(self, url: str) -> list[tuple[str, int]]:
        """Return the addresses and ports to connect to, in order.

        Raises:
            WebhookRefused: `check` refuses it, or the host has a private address.
            OSError: The name cannot be resolved.
        """
        try:
            return await resolve(self.check(url), private=self.private)
        except PrivateAddress:
            raise WebhookRefused(PRIVATE) from None

    def headers(self, delivery_id: str, at: int, body: bytes) -> dict[str, str]:
        """Return the headers that identify and sign a request, sent at a time in Unix seconds."""
        signed = f"{delivery_id}.{at}.".encode() + body
        digest = base64.b64encode(hmac.new(self.secret, signed, hashlib.sha256).digest()).decode()
        return {"webhook-id": delivery_id, "webhook-timestamp": str(at), "webhook-signature": f"v1,{digest}"}


def _covers(prefix: SplitResult, url: SplitResult) -> bool:
    """Return whether an address is under a prefix: the same scheme, host and port, and a path within its path."""
    origins = [(part.scheme, part.hostname, part.port or PORTS.get(part.scheme)) for part in (prefix, url)]
    path = posixpath.normpath("/" + unquote(url.path).lstrip("/"))
    base = prefix.path.rstrip("/")
    return origins[0] == origins[1] and "\\" not in path and (path == base or path.startswith(f"{base}/"))


def body_of(event: Event, frame: Any, ids: dict[str, Any], sent_at: str) -> dict[str, Any]:
    """Return the body for an event: its type, the time it happened (ISO 8601), the ids of its run and its frame."""
    return {"type": TYPES[event.type], "timestamp": sent_at, "data": ids | {"event": frame}}


def deliveries_of(clock: Callable[[], float], request: RunRequest, event: LoggedEvent) -> Iterator[Write]:
    """Yield the write that queues the webhook for an event of a run with webhooks, if its type is in `TYPES`."""
    if event.type in TYPES:
        now, name, url = clock(), f"{request.run_id}-{event.seq}", request.settings["webhook"]
        yield add_delivery(Delivery(name, request.owner, request.thread_id, request.run_id, event.seq, url, now, now))
