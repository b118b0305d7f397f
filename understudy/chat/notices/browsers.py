"""The browsers that users have notified: checked, sealed, at addresses that the server may call.

1. Addresses are those of `web_push_urls`; without these any public one with https.
2. Address and keys are stored sealed, and given back to nobody: who has them can send to the browser.
3. A browser belongs to the session that subscribed it, and is forgotten with that.
"""

import hashlib
from collections.abc import Callable
from urllib.parse import urlsplit

from attrs import define, frozen

from transport.auth import base64url
from transport.auth.identity import Identity
from transport.wire.errors import CommandRejected
from understudy.chat.notices.encryption import BrowserKeys, ServerKey, read_keys
from understudy.chat.webhooks import WebhookRefused, WebhookRules
from understudy.storage.store import Store
from understudy.storage.web_push import Browser
from understudy.tools.mcp.oauth.seal import Seal

PLACE = "web-push"


@frozen
class PushSubscription:
    """What is sealed of a browser: its address at the push service, its keys, and the session that subscribed it."""

    endpoint: str
    p256dh: str
    auth: str
    session: str
    subscribed_at: float

    def keys(self) -> BrowserKeys:
        """Return the keys, which were checked."""
        return BrowserKeys(base64url.decode(self.p256dh), base64url.decode(self.auth))


@define(eq=False)
class Browsers:
    """The browsers of all users. `key` is None if the server has no secret that stays: then none can be subscribed.

    `is_revoked` tells whether a session has ended; `clock` gives Unix seconds.
    """

    store: Store
    rules: WebhookRules
    seal: Seal
    key: ServerKey | None
    is_revoked: Callable[[Identity], bool]
    clock: Callable[[], float]

    async def subscribe(self, caller: Identity, endpoint: str, p256dh: str, auth: str, *, answers: bool) -> Browser:
        """Store a browser of the caller, in place of the one at its address.

        Raises:
            CommandRejected: `invalid_command`: the address may not be called, or the keys are none; `not_found`: this
                server sends no notices.
            StorageUnavailable: It could not be stored.
        """
        if self.key is None:
            raise CommandRejected("not_found", "This server sends no notices.")
        try:
            checked, keys = self.rules.check_public(endpoint), read_keys(p256dh, auth)
        except WebhookRefused as refused:
            raise CommandRejected("invalid_command", f"The endpoint {refused}.") from None
        except ValueError:
            raise CommandRejected("invalid_command", "The keys must be those of a browser's subscription.") from None
        now, name = self.clock(), hashlib.sha256(checked.encode()).hexdigest()[:32]
        of_keys = base64url.encode(keys.p256dh), base64url.encode(keys.auth)
        sealed = self.seal.seal(PushSubscription(checked, *of_keys, caller.session, now), PLACE, caller.user, name)
        browser = Browser(caller.user, name, urlsplit(checked).hostname or "", sealed, answers, now)
        await self.store.put_browser(browser)
        return browser

    def subscription_of(self, browser: Browser) -> PushSubscription | None:
        """Return the address and keys of a browser; None if they cannot be opened, or its session has ended."""
        found = self.seal.open(browser.sealed, PushSubscription, PLACE, browser.owner, browser.id)
        if found is None:
            return None
        identity = Identity(browser.owner, found.session, issued_at=found.subscribed_at)
        return None if self.is_revoked(identity) else found
