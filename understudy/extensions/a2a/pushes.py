"""Push notifications of A2A: the receivers of a task's notifications, and the actor that sends these.

1. A receiver gets each change of its task's state after that is committed, in order, at least once: the status, and at
   the end the whole task. Redacted texts stay redacted.
2. The rules for webhooks' URLs apply; without their setting `urls` any public https URL is allowed.
3. A token and credentials are stored encrypted, sent to the receiver only, and never returned.
4. A receiver is dropped after the end of its task, or after failing for `GIVE_UP_S`.
"""

import logging
import math
import re
import time
from collections.abc import Callable
from typing import Final

import msgspec
import trio
from attrs import define, evolve, field, frozen

from transport.wire.errors import CommandRejected, UnreadableEvent
from understudy.auth.seal import Seal
from understudy.auth.sessions import secrets_for_storage
from understudy.content.texts import run_off_loop
from understudy.extensions.a2a import storage
from understudy.extensions.a2a.storage import (
    MOST_OF_RUN,
    MOST_OF_USER,
    Push,
    add_push,
    claim_push,
    drop_push,
    move_push,
)
from understudy.extensions.a2a.tasks import PUSHED, TaskTranslator
from understudy.extensions.notices.receivers import CLAIM_S, FIRST_S, GIVE_UP_S, Receivers
from understudy.extensions.notices.webhooks import WebhookRefused, WebhookRules
from understudy.observe.collectors import CountedBy
from understudy.storage.errors import StorageError
from understudy.storage.polling import Poller, poll_now
from understudy.storage.records import LoggedEvent, RunRecord
from understudy.storage.store import Store
from understudy.web.context import WebContext
from understudy.wire.vocabulary import from_log

log = logging.getLogger(__name__)

EVERY_S: Final = 1.0
"""Seconds between two polls for due notifications; a poll is one indexed query."""
ASK_S: Final = 30.0
"""Seconds between two polls while there are no receivers. If the node that adds the first receiver dies, the others
notice the receiver at most this late."""
SENDER: Final = "/system/a2a/pushes"
PUSHES: Final = CountedBy(
    "understudy_pushes",
    "Attempts to send a push notification of A2A: `delivered`, `failed`, `given_up`.",
    "outcome",
)
TYPES: Final = tuple(sorted(kind.type for kind in PUSHED))
TOKEN_HEADER: Final = "X-A2A-Notification-Token"  # noqa: S105 - a name
MAX_SECRET: Final = 4000
"""Limit of the characters of a token, and of credentials."""
_SCHEME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}\Z")
PLACE: Final = "a2a-push"


@frozen
class PushSecrets:
    """The secrets by which a receiver authenticates this server's requests."""

    token: str = field(default="", repr=False)
    scheme: str = ""
    credentials: str = field(default="", repr=False)

    def headers(self) -> dict[str, str]:
        """Return the headers of a request."""
        headers = {TOKEN_HEADER: self.token} if self.token else {}
        return headers | ({"Authorization": f"{self.scheme} {self.credentials}"} if self.credentials else {})


@define(eq=False)
class PushReceivers:
    """The receivers of all users. `clock` returns Unix seconds; `address` is this server's public URL, or empty;
    `wake` has the sender poll at once."""

    store: Store
    rules: WebhookRules
    seal: Seal
    clock: Callable[[], float]
    address: str
    wake: Callable[[], object]

    @classmethod
    def of(cls, server: WebContext) -> "PushReceivers":
        """Return the receivers of a server."""
        seal = Seal(*secrets_for_storage(server.settings))
        return cls(
            server.store,
            server.parts[WebhookRules],
            seal,
            time.time,
            server.settings.public_url,
            lambda: poll_now(server.find(SENDER)),
        )

    def check(self, url: object, secrets: PushSecrets) -> str:
        """Return the checked URL of a receiver.

        Raises:
            CommandRejected: `invalid_command`: the URL is not allowed, or a secret cannot be a header.
        """
        try:
            checked = self.rules.check_public(url)
        except WebhookRefused as error:
            raise CommandRejected("invalid_command", f"The url {error}.") from None
        for secret in (secrets.token, secrets.credentials):
            if len(secret) > MAX_SECRET or not (secret.isascii() and secret.isprintable()):
                raise CommandRejected("invalid_command", "A token must be ASCII, with 4,000 characters at most.")
        if secrets.credentials and not _SCHEME.match(secrets.scheme):
            raise CommandRejected("invalid_command", "The authentication needs a scheme, such as Bearer.")
        return checked

    async def add(self, run: RunRecord, name: str, url: str, secrets: PushSecrets) -> Push:
        """Store a checked receiver of a run's notifications, replacing the one with this name.

        Raises:
            CommandRejected: `rate_limited`: the run or its user has too many receivers.
        """
        sealed = self.seal.seal(secrets, PLACE, run.owner, run.id, name)
        push = Push(run.owner, run.thread_id, run.id, name, url, sealed, self.clock())
        if not await self.store.commit(add_push(push, TYPES)):
            raise CommandRejected(
                "rate_limited", f"A task has {MOST_OF_RUN} push notification configs at most, a user {MOST_OF_USER}."
            )
        self.wake()
        return push

    def secrets_of(self, push: Push) -> PushSecrets | None:
        """Return the secrets of a receiver; None if the server's secret has changed since they were stored."""
        return self.seal.open(push.sealed, PushSecrets, PLACE, push.owner, push.run_id, push.id)


class PushSender(Poller):
    """Sends due notifications to the receivers of all users, on each node. `count(outcome)` counts attempts."""

    def __init__(self, pushes: PushReceivers, count: Callable[[str], None]) -> None:
        self.pushes, self.store, self.clock, self.count = pushes, pushes.store, pushes.clock, count
        self.receivers = Receivers(pushes.rules, pushes.clock, FIRST_S)
        self._used, self._asked_at = False, -math.inf

    async def poll(self) -> float:
        """Send all due notifications. Return the seconds until the next poll: 0 if any was sent, as more may follow."""
        sent: list[str] = []
        sleep_s = EVERY_S
        try:
            due = await self.store.read(storage.due, self.clock(), TYPES)
            async with trio.open_nursery() as nursery:
                for push, seq in due:
                    nursery.start_soon(self._try, push, seq, sent)
            if not due:
                sleep_s = await self._sleep_s()
        except StorageError as error:
            log.debug("push.postponed", extra={"reason": str(error)})
        return 0.0 if sent else sleep_s

    async def _sleep_s(self) -> float:
        """Return the seconds until the next poll, fewer while there are receivers, which is read every `ASK_S`."""
        if not self._used or trio.current_time() >= self._asked_at + ASK_S:
            self._used, self._asked_at = await self.store.read(storage.are_any), trio.current_time()
        return EVERY_S if self._used else ASK_S

    async def _try(self, push: Push, seq: int, sent: list[str]) -> None:
        """Claim a receiver and send it the event `seq`. If host or database are unavailable, a later poll does it."""
        try:
            host_down_until, now = self.receivers.away_until(push.url), self.clock()
            if host_down_until > now and now - (push.failing_since or now) < GIVE_UP_S:
                due_at = host_down_until + self.receivers.chance.uniform(0, self.receivers.first_s)
                await self.store.commit(move_push(evolve(push, due_at=due_at, failing_since=push.failing_since or now)))
            elif await self.store.commit(claim_push(push, now + CLAIM_S)):
                await self._send(push, seq, sent)
        except StorageError as error:
            log.debug("push.postponed", extra={"reason": str(error), "run_id": push.run_id})

    async def _send(self, push: Push, seq: int, sent: list[str]) -> None:
        rows = await self.store.run_events(push.owner, push.thread_id, push.run_id)
        secrets = self.pushes.secrets_of(push)
        if secrets is None:
            await self._drop(push, "given_up", "the server's secret has changed")
            return
        try:
            body, last = await run_off_loop(notification, push, seq, rows, self.pushes.address.rstrip("/"))
        except UnreadableEvent:
            await self._drop(push, "given_up", "its task cannot be read")
            return
        headers = {"webhook-id": f"{push.run_id}-{push.id}-{seq}", **secrets.headers()}
        attempt, now = await self.receivers.send(push.url, body, headers), self.clock()
        if not attempt.reason:
            sent.append(push.id)
            if last:
                await self._drop(push, "delivered")
            else:
                self.count("delivered")
                await self.store.commit(move_push(evolve(push, sent=seq, due_at=now, attempts=0, failing_since=None)))
            return
        since = push.failing_since or now
        if attempt.final or now - since >= GIVE_UP_S:
            await self._drop(push, "given_up", attempt.reason)
            return
        self.count("failed")
        attempts = push.attempts + 1
        due_at = self.receivers.retry_at(attempts)
        extra = {"run_id": push.run_id, "attempt": attempts, "reason": attempt.reason}
        log.warning("push.failed", extra=extra | {"retry_s": round(due_at - now, 1)})
        await self.store.commit(move_push(evolve(push, due_at=due_at, attempts=attempts, failing_since=since)))

    async def _drop(self, push: Push, outcome: str, reason: str = "") -> None:
        await self.store.commit(drop_push(push.owner, push.run_id, push.id))
        self.count(outcome)
        if reason:
            log.error("push.given_up", extra={"run_id": push.run_id, "reason": reason})


def notification(push: Push, seq: int, rows: list[LoggedEvent], address: str) -> tuple[bytes, bool]:
    """Return the body that describes the task as it was after the event `seq`, and whether the task had ended then.

    Raises:
        UnreadableEvent: An event in the log is damaged.
    """
    translator = TaskTranslator(push.thread_id, push.run_id, address, lasting=True)
    for row in rows:
        if row.seq <= seq:
            translator.translate(from_log(row.body))
    return msgspec.json.encode(translator.notification()), translator.ended
