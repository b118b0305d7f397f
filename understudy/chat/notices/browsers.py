"""The browsers that users have notified: checked, sealed, at addresses that the server may call.

1. Addresses are those of `web_push_urls`; without these any public one with https.
2. Address and keys are stored sealed, and given back to nobody: who has them can send to the browser.
3. A browser belongs to the session that subscribed it, and is forgotten with that.
4. A push service takes notices by the key with which the browser subscribed. It is derived from the secret with which
   the subscription is sealed, so those of a secret that is being replaced work on until that is no longer accepted.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from attrs import define, field, frozen

from transport.auth import base64url
from transport.auth.identity import Identity
from transport.wire.errors import CommandRejected
from understudy.auth.oauth.seal import Seal
from understudy.chat.polling import Use
from understudy.chat.webhooks import WebhookRefused, WebhookRules
from understudy.content.texts import run_off_loop
from understudy.storage.store import Store
from understudy.storage.web_push import Browser, PutBrowser

if TYPE_CHECKING:
    from understudy.chat.notices.encryption import BrowserKeys, ServerKey

PLACE = "web-push"


@frozen
class PushSubscription:
    """What is sealed of a browser: its address at the push service, its keys, and the session that subscribed it."""

    endpoint: str
    p256dh: str
    auth: str
    session: str
    subscribed_at: float

    def keys(self) -> "BrowserKeys":
        """Return the keys, which were checked."""
        from understudy.chat.notices.encryption import BrowserKeys

        return BrowserKeys(base64url.decode(self.p256dh), base64url.decode(self.auth))


@define(eq=False)
class Browsers:
    """The browsers of all users. `make_keys` is None if the server has no secret that stays; it then notifies none.

    The keys, in the order of the secrets of `seal`, are made when first used, as `cryptography` is loaded for them.
    `is_revoked` tells whether a session has
    ended; `clock` gives Unix seconds.
    """

    store: Store
    rules: WebhookRules
    seal: Seal
    make_keys: "Callable[[], Sequence[ServerKey]] | None"
    is_revoked: Callable[[Identity], bool]
    clock: Callable[[], float]
    use: Use = field(init=False, repr=False)
    _keys: "Sequence[ServerKey]" = field(default=(), init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.use = Use(self.store.has_browsers)

    @property
    def keys(self) -> "Sequence[ServerKey]":
        """The keys by which push services know this server, that of new subscriptions first; none if it has none."""
        if not self._keys and self.make_keys is not None:
            self._keys = self.make_keys()
        return self._keys

    async def subscribe(self, caller: Identity, endpoint: str, p256dh: str, auth: str, *, answers: bool) -> Browser:
        """Store a browser of the caller, in place of the one at its address.

        Raises:
            CommandRejected: `invalid_command`: the address may not be called, or the keys are none; `not_found`: this
                server sends no notices.
            StorageUnavailable: It could not be stored.
        """
        if self.make_keys is None:
            raise CommandRejected("not_found", "This server sends no notices.")
        try:
            checked, keys = self.rules.check_public(endpoint), await run_off_loop(_read_keys, p256dh, auth)
        except WebhookRefused as refused:
            raise CommandRejected("invalid_command", f"The endpoint {refused}.") from None
        except ValueError:
            raise CommandRejected("invalid_command", "The keys must be those of a browser's subscription.") from None
        now, name = self.clock(), hashlib.sha256(checked.encode()).hexdigest()[:32]
        of_keys = base64url.encode(keys.p256dh), base64url.encode(keys.auth)
        sealed = self.seal.seal(PushSubscription(checked, *of_keys, caller.session, now), PLACE, caller.user, name)
        browser = Browser(caller.user, name, urlsplit(checked).hostname or "", sealed, answers, now)
        await self.store.commit(PutBrowser(browser))
        self.use.began()
        return browser

    def subscription_of(self, browser: Browser) -> tuple[PushSubscription, int] | None:
        """Return the address and keys of a browser, and the number of the server's key with which it subscribed; None
        if they cannot be opened, or its session has ended."""
        found = self.seal.open_with_number(browser.sealed, PushSubscription, PLACE, browser.owner, browser.id)
        if found is None:
            return None
        identity = Identity(browser.owner, found[0].session, issued_at=found[0].subscribed_at)
        return None if self.is_revoked(identity) else found


def _read_keys(p256dh: str, auth: str) -> "BrowserKeys":
    from understudy.chat.notices.encryption import read_keys

    return read_keys(p256dh, auth)
