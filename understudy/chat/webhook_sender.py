"""The actor that delivers webhooks: it polls the queue, sends, and retries with a growing delay.

1. A delivery is made at least once, always under the same `webhook-id`: a receiver drops what it has seen.
2. It is given up after `GIVE_UP_S`, or when the receiver answers 410 or its address may not be called any more.
3. The text of an event is sent as it is stored: what was redacted stays redacted.
4. A receiver that does not answer is left alone for a while, so that its webhooks do not hold up those of others.
"""

import logging
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

import msgspec
import trio

from actors import Actor, Context
from transport.auth.fetch import post
from transport.wire.codec import encode, from_log
from transport.wire.dialects import Dialect
from transport.wire.errors import FetchFailed, UnreadableEvent
from understudy.chat.webhooks import WebhookRefused, WebhookRules, body_of
from understudy.storage.deliveries import LARGEST_BATCH, Delivery
from understudy.storage.errors import StorageError
from understudy.storage.store import Store

log = logging.getLogger(__name__)

EVERY_S: Final = 1.0
"""Seconds between two looks at the queue: one indexed query."""
POST_S: Final = 10.0
"""Seconds that one request may take."""
CLAIM_S: Final = 20.0
"""Seconds after which a claimed delivery is due again, if its node died: longer than a request."""
FIRST_S: Final = 5.0
FACTOR: Final = 3.0
LONGEST_S: Final = 3600.0
"""Seconds before the second attempt, the factor for each further one, and the longest delay."""
JITTER: Final = 0.2
"""Fraction by which a delay varies, so that a receiver that was away is not called by all at once."""
GIVE_UP_S: Final = 24 * 3600.0
"""Seconds after which a delivery is given up."""
AWAY_S: Final = 30.0
"""Seconds for which a receiver that could not be reached is left alone."""
RECEIVERS: Final = 1000
"""Limit of receivers that are remembered as away."""
GONE: Final = 410


class _Look:
    """To itself: deliver what is due."""


def delay_s(attempts: int, chance: random.Random, first_s: float = FIRST_S) -> float:
    """Return the seconds to wait after this many failed attempts."""
    return min(first_s * FACTOR ** min(attempts - 1, 20), LONGEST_S) * chance.uniform(1 - JITTER, 1 + JITTER)


class WebhookSender(Actor):
    """Delivers the webhooks of all users, on each node. `count(outcome)` counts attempts.

    `clock` gives Unix seconds. `every_s` and `first_s` replace `EVERY_S` and `FIRST_S`.
    """

    def __init__(
        self,
        store: Store,
        rules: WebhookRules,
        count: Callable[[str], None],
        clock: Callable[[], float],
        every_s: float | None = None,
        first_s: float | None = None,
    ) -> None:
        self.store, self.rules, self.count, self.clock = store, rules, count, clock
        self.every_s = EVERY_S if every_s is None else every_s
        self.first_s = FIRST_S if first_s is None else first_s
        self.chance = random.Random()  # noqa: S311 - jitter
        self.away_until: dict[str, float] = {}

    async def on_start(self, context: Context) -> None:
        """Look at once: the server may have been down."""
        context.ref.tell(_Look())

    async def receive(self, message: object, context: Context) -> None:
        """Deliver what is due, and look again."""
        if not isinstance(message, _Look):
            context.unhandled(message)
            return
        found: list[Delivery] = []
        try:
            found = await self.store.due_deliveries(self.clock())
            async with trio.open_nursery() as nursery:
                for each in found:
                    nursery.start_soon(self._try, each)
        except StorageError as error:
            log.debug("webhook.postponed", extra={"reason": str(error)})
        context.set_timer("look", 0.0 if len(found) == LARGEST_BATCH else self.every_s, _Look())

    async def _try(self, delivery: Delivery) -> None:
        """Attempt one delivery; without the database it is attempted again later."""
        try:
            until, now = self.away_until.get(urlsplit(delivery.url).netloc, 0.0), self.clock()
            if until > now and now - delivery.created_at < GIVE_UP_S:
                await self.store.delay_delivery(delivery.id, until + self.chance.uniform(0, self.first_s))
            elif await self.store.claim_delivery(delivery.id, delivery.attempts, self.clock() + CLAIM_S):
                await self._deliver(delivery)
        except StorageError as error:
            log.debug("webhook.postponed", extra={"reason": str(error), "run_id": delivery.run_id})

    async def _deliver(self, delivery: Delivery) -> None:
        body = await self._body(delivery)
        if body is None:
            await self._end(delivery, "given_up", "its event is not in the log any more")
            return
        final, receiver = False, urlsplit(delivery.url).netloc
        try:
            with trio.fail_after(POST_S):
                address = await self.rules.resolve(delivery.url)
            headers = self.rules.headers(delivery.id, int(self.clock()), body)
            status = await post(delivery.url, body, headers, connect_to=address, within_s=POST_S)
            self.away_until.pop(receiver, None)
            if 200 <= status < 300:
                await self._end(delivery, "delivered")
                return
            reason, final = f"it answers {status}", status == GONE
        except WebhookRefused as refused:
            reason, final = f"the address {refused}", True
        except trio.TooSlowError:
            reason = "the name of its host is not resolved"
            self._leave_alone(receiver)
        except (FetchFailed, OSError) as error:
            reason = error.reason if isinstance(error, FetchFailed) else error.strerror or type(error).__name__
            self._leave_alone(receiver)
        attempts, now = delivery.attempts + 1, self.clock()
        if final or now - delivery.created_at >= GIVE_UP_S:
            await self._end(delivery, "given_up", reason)
            return
        self.count("failed")
        wait_s = delay_s(attempts, self.chance, self.first_s)
        extra = {"run_id": delivery.run_id, "attempt": attempts, "reason": reason, "retry_s": round(wait_s, 1)}
        log.warning("webhook.failed", extra=extra)
        await self.store.delay_delivery(delivery.id, now + wait_s)

    def _leave_alone(self, receiver: str) -> None:
        while len(self.away_until) >= RECEIVERS:
            del self.away_until[next(iter(self.away_until))]
        self.away_until[receiver] = self.clock() + min(AWAY_S, 6 * self.first_s)

    async def _body(self, delivery: Delivery) -> bytes | None:
        """Return the body for a delivery's event; None if it was deleted or cannot be read."""
        rows = await self.store.events(delivery.owner, delivery.thread_id, delivery.seq - 1, 1)
        if not rows or rows[0].seq != delivery.seq:
            return None
        try:
            envelope = from_log(rows[0].body)
        except UnreadableEvent:
            return None
        frame = encode(envelope, Dialect.CANONICAL)
        ids = {name: getattr(envelope, name) for name in ("run_id", "thread_id", "message_id")}
        at = datetime.fromtimestamp(envelope.timestamp, UTC).isoformat()
        return msgspec.json.encode(body_of(envelope.event, msgspec.Raw(frame or b"null"), ids, at))

    async def _end(self, delivery: Delivery, outcome: str, reason: str = "") -> None:
        await self.store.end_delivery(delivery.id)
        self.count(outcome)
        extra = {"run_id": delivery.run_id, "attempts": delivery.attempts + 1}
        if outcome == "delivered":
            log.info("webhook.delivered", extra=extra)
        else:
            log.error("webhook.given_up", extra=extra | {"reason": reason})
