"""The actor that sends notices to users' browsers: it polls the queue, sends, and retries with a growing delay.

1. A question is sent only while it waits for its user; the end of a run only if they have not seen it. After
   `GIVE_UP_S` it is given up.
2. What is sent names the chat and the kind of the news, never a text of an answer, a tool or its arguments.
3. A browser that the push service does not know any more is forgotten, as is one of a session that has ended.
"""

import hashlib
import logging
from collections.abc import Callable
from typing import Final

import msgspec
import trio

from transport.auth import base64url
from understudy.chat.inbox import TYPES, is_open
from understudy.chat.notices.browsers import Browsers, PushSubscription
from understudy.chat.polling import Poller, Use
from understudy.chat.receivers import CLAIM_S, FIRST_S, Receivers, delay_s
from understudy.content.texts import run_off_loop
from understudy.storage import web_push
from understudy.storage.errors import StorageError
from understudy.storage.web_push import ASKS, ClaimNotice, DelayNotice, DropBrowser, EndNotice, PushNotice

log = logging.getLogger(__name__)

EVERY_S: Final = 1.0
"""Seconds between two looks at the queue: one indexed query."""
GIVE_UP_S: Final = 3600.0
"""Seconds after which a notice is given up; the push service keeps it for a browser that is away as long."""
MAX_TITLE: Final = 200
GONE: Final = (404, 410)
"""RFC 8030, section 7.3: there is no such subscription any more."""
REFUSED: Final = (400, 401, 403, 413)
"""Statuses that would come again: the notice is dropped, the browser stays."""


class NoticeSender(Poller):
    """Notifies the browsers of all users, on each node. `count(outcome)` counts attempts.

    `shown(owner, thread_id, text)` restores the placeholders in a title.
    """

    def __init__(self, browsers: Browsers, shown: Callable[[str, str, str], str], count: Callable[[str], None]) -> None:
        self.browsers, self.store, self.shown, self.count = browsers, browsers.store, shown, count
        self.receivers = Receivers(browsers.rules, browsers.clock, FIRST_S)
        self.use: Use = browsers.use

    async def poll(self) -> float:
        """Send what is due."""
        sleep_s = EVERY_S
        try:
            found = await self.store.read(web_push.due)
            async with trio.open_nursery() as nursery:
                for each in found:
                    nursery.start_soon(self._try, each)
            if not found:
                sleep_s = await self.use.sleep_s(EVERY_S)
        except StorageError as error:
            log.debug("notice.postponed", extra={"reason": str(error)})
        return sleep_s

    async def _try(self, notice: PushNotice) -> None:
        """Attempt one notice; without the database it is attempted again later."""
        try:
            if await self.store.commit(ClaimNotice(notice, CLAIM_S)):
                await self._send(notice)
        except StorageError as error:
            log.debug("notice.postponed", extra={"reason": str(error), "run_id": notice.run_id})

    async def _send(self, notice: PushNotice) -> None:
        subscription = self.browsers.subscription_of(notice.browser)
        if subscription is None:
            await self._forget(notice, "its session has ended, or the server's secret has changed")
        elif notice.age_s > GIVE_UP_S:
            await self._end(notice, "given_up")
        elif not await self._is_news(notice):
            await self._end(notice, "obsolete")
        else:
            await self._post(notice, *subscription)

    async def _is_news(self, notice: PushNotice) -> bool:
        if notice.type not in ASKS:
            run = None if notice.seen else await self.store.run(notice.run_id)
            return run is not None and run.status != "cancelled"
        rows = await self.store.newest_events(notice.owner, notice.run_id, TYPES)
        return await run_off_loop(is_open, rows, notice.seq, self.browsers.clock())

    async def _post(self, notice: PushNotice, subscription: PushSubscription, key: int) -> None:
        title = self.shown(notice.owner, notice.thread_id, notice.title)
        body, authorization = await run_off_loop(_sealed, self.browsers, key, subscription, payload(notice, title))
        headers = {
            "Authorization": authorization,
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "TTL": str(int(max(60.0, GIVE_UP_S - notice.age_s))),
            "Topic": base64url.encode(hashlib.sha256(notice.thread_id.encode()).digest())[:32],
            "Urgency": "high" if notice.type in ASKS else "normal",
        }
        attempt = await self.receivers.send(subscription.endpoint, body, headers)
        if not attempt.reason:
            await self._end(notice, "delivered")
        elif attempt.status in GONE:
            await self._forget(notice, "the push service does not know it any more")
        elif attempt.final or attempt.status in REFUSED:
            log.error("notice.refused", extra={"run_id": notice.run_id, "reason": attempt.reason})
            await self._end(notice, "given_up")
        else:
            self.count("failed")
            after_s = delay_s(notice.attempts + 1, self.receivers.chance)
            extra = {"run_id": notice.run_id, "attempt": notice.attempts + 1, "reason": attempt.reason}
            log.warning("notice.failed", extra=extra | {"retry_s": round(after_s, 1)})
            await self.store.commit(DelayNotice(notice, after_s))

    async def _end(self, notice: PushNotice, outcome: str) -> None:
        await self.store.commit(EndNotice(notice))
        self.count(outcome)

    async def _forget(self, notice: PushNotice, reason: str) -> None:
        await self.store.commit(DropBrowser(notice.owner, notice.browser.id))
        self.count("given_up")
        log.info("notice.browser_forgotten", extra={"run_id": notice.run_id, "reason": reason})


def _sealed(browsers: Browsers, key: int, subscription: PushSubscription, plain: bytes) -> tuple[bytes, str]:
    """Return the body for a browser, and the proof of who sends it. The first call loads `cryptography`."""
    from understudy.chat.notices.encryption import encrypt

    return encrypt(plain, subscription.keys()), browsers.keys[key].authorization(subscription.endpoint)


def payload(notice: PushNotice, title: str) -> bytes:
    """Return what the browser is told: the kind of the news, and of which chat."""
    kind = "needs_you" if notice.type in ASKS else "failed" if notice.type == "error" else "answered"
    return msgspec.json.encode({"kind": kind, "thread_id": notice.thread_id, "title": title[:MAX_TITLE]})
