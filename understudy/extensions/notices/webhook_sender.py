"""The actor that delivers webhooks: it polls the queue, sends, and retries with a growing delay.

1. A delivery is made at least once, always under the same `webhook-id`, so that a receiver can drop duplicates.
2. It is given up after `GIVE_UP_S`, or when the receiver answers 410 or its address may not be called any more.
3. The text of an event is sent as it is stored: redacted text stays redacted.
4. A receiver that does not answer gets no requests for a while, so that its webhooks do not delay those of others.
"""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import msgspec
import trio

from transport.wire.codec import encode
from transport.wire.errors import UnreadableEvent
from understudy.extensions.notices import storage as deliveries
from understudy.extensions.notices.receivers import CLAIM_S, FIRST_S, GIVE_UP_S, Receivers, SendAttempt
from understudy.extensions.notices.storage import LARGEST_BATCH, Delivery, claim_delivery, delay_delivery, end_delivery
from understudy.extensions.notices.webhooks import WebhookRules, body_of
from understudy.observe import conventions as names
from understudy.observe.collectors import CountedBy
from understudy.observe.spans import Attribute, SpanKind, Traces, span_of
from understudy.storage.errors import StorageError
from understudy.storage.polling import Poller
from understudy.storage.store import Store
from understudy.wire.dialects import Dialect
from understudy.wire.events import Envelope
from understudy.wire.vocabulary import from_log

log = logging.getLogger(__name__)

WEBHOOKS: Final = CountedBy(
    "understudy_webhooks",
    "Attempts to deliver a webhook: `delivered`, `failed` (it is tried again), `given_up`.",
    "outcome",
)
EVERY_S: Final = 1.0
"""Interval of polls of the queue, each one indexed query."""


class WebhookSender(Poller):
    """Delivers the webhooks of all users, on each node. `count(outcome)` counts attempts.

    `clock` gives Unix seconds. `every_s` and `first_s` replace `EVERY_S` and `FIRST_S`. `traces` collects the spans of
    traced runs, None if nothing is traced.
    """

    def __init__(
        self,
        store: Store,
        rules: WebhookRules,
        count: Callable[[str], None],
        clock: Callable[[], float],
        every_s: float | None = None,
        first_s: float | None = None,
        traces: Traces | None = None,
    ) -> None:
        self.store, self.rules, self.count, self.clock, self.traces = store, rules, count, clock, traces
        self.every_s = EVERY_S if every_s is None else every_s
        self.receivers = Receivers(rules, clock, FIRST_S if first_s is None else first_s)

    async def poll(self) -> float:
        """Deliver the due webhooks. Return the seconds until the next poll: none if there may be more."""
        due: list[Delivery] = []
        try:
            due = await self.store.read(deliveries.due, self.clock())
            async with trio.open_nursery() as nursery:
                for delivery in due:
                    nursery.start_soon(self._try, delivery)
        except StorageError as error:
            log.debug("webhook.postponed", extra={"reason": str(error)})
        return 0.0 if len(due) == LARGEST_BATCH else self.every_s

    async def _try(self, delivery: Delivery) -> None:
        """Attempt one delivery; if the database is down, it is attempted again later."""
        try:
            until, now = self.receivers.away_until(delivery.url), self.clock()
            if until > now and now - delivery.created_at < GIVE_UP_S:
                spread_s = self.receivers.chance.uniform(0, self.receivers.first_s)
                await self.store.commit(delay_delivery(delivery.id, until + spread_s))
            elif await self.store.commit(claim_delivery(delivery.id, delivery.attempts, self.clock() + CLAIM_S)):
                await self._deliver(delivery)
        except StorageError as error:
            log.debug("webhook.postponed", extra={"reason": str(error), "run_id": delivery.run_id})

    async def _deliver(self, delivery: Delivery) -> None:
        envelope = await self._envelope(delivery)
        if envelope is None:
            await self._end(delivery, "given_up", "its event is not in the log any more")
            return
        attempt = await self._send(delivery, envelope)
        if not attempt.reason:
            await self._end(delivery, "delivered")
            return
        attempts, now = delivery.attempts + 1, self.clock()
        if attempt.final or now - delivery.created_at >= GIVE_UP_S:
            await self._end(delivery, "given_up", attempt.reason)
            return
        self.count("failed")
        due_at = self.receivers.retry_at(attempts)
        extra = {"run_id": delivery.run_id, "attempt": attempts, "reason": attempt.reason}
        log.warning("webhook.failed", extra=extra | {"retry_s": round(due_at - now, 1)})
        await self.store.commit(delay_delivery(delivery.id, due_at))

    async def _send(self, delivery: Delivery, envelope: Envelope) -> SendAttempt:
        """Send one request, signed, and record its span if the run is traced."""
        body, began, span = _body(envelope), self.clock(), None
        headers = self.rules.headers(delivery.id, int(began), body)
        if self.traces is not None and self.traces.of_run(delivery.run_id):
            span = span_of(delivery.run_id, delivery.id, str(delivery.attempts))
            headers["traceparent"] = span.header
        attempt = await self.receivers.send(delivery.url, body, headers)
        if self.traces is not None and span is not None:
            attributes: dict[str, Attribute] = {names.RUN: delivery.run_id, names.RESEND_COUNT: delivery.attempts}
            error = "not_delivered" if attempt.reason else ""
            root, now = span_of(delivery.run_id), self.clock()
            self.traces.add("webhook", span, root, began, now, attributes, kind=SpanKind.CLIENT, error=error)
        return attempt

    async def _envelope(self, delivery: Delivery) -> Envelope | None:
        """Return the event of a delivery; None if it was deleted or cannot be read."""
        rows = await self.store.events(delivery.owner, delivery.thread_id, delivery.seq - 1, 1)
        if not rows or rows[0].seq != delivery.seq:
            return None
        try:
            return from_log(rows[0].body)
        except UnreadableEvent:
            return None

    async def _end(self, delivery: Delivery, outcome: str, reason: str = "") -> None:
        await self.store.commit(end_delivery(delivery.id))
        self.count(outcome)
        extra = {"run_id": delivery.run_id, "attempts": delivery.attempts + 1}
        if outcome == "delivered":
            log.info("webhook.delivered", extra=extra)
        else:
            log.error("webhook.given_up", extra=extra | {"reason": reason})


def _body(envelope: Envelope) -> bytes:
    """Return the body of a request for an event."""
    frame = encode(envelope, Dialect.CANONICAL)
    ids = {name: getattr(envelope, name) for name in ("run_id", "thread_id", "message_id")}
    at = datetime.fromtimestamp(envelope.timestamp, UTC).isoformat()
    return msgspec.json.encode(body_of(envelope.event, msgspec.Raw(frame or b"null"), ids, at))
