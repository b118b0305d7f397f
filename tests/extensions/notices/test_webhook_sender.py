"""How often the sender tries; a whole delivery is run in `test_delivery.py`."""

import random
import socket
from typing import Any

import trio
from attrs import define, field

from actors import ActorSystem, ChildSpec
from understudy.extensions.notices import storage as deliveries
from understudy.extensions.notices.receivers import delay_s
from understudy.extensions.notices.storage import Delivery
from understudy.extensions.notices.webhook_sender import WebhookSender
from understudy.extensions.notices.webhooks import WebhookRules
from understudy.storage.records import LoggedEvent
from understudy.storage.write import Call
from understudy.wire.events import Envelope, FinalResponse, RunStatus, Usage
from understudy.wire.vocabulary import to_log


def test_delays_grow_to_an_hour_and_vary() -> None:
    chance = random.Random(7)
    delays = [delay_s(attempt, chance) for attempt in range(1, 40)]
    assert 4 <= delays[0] <= 6
    assert 12 <= delays[1] <= 18
    assert max(delays) <= 3600 * 1.2
    assert min(delays[8:]) >= 3600 * 0.8
    assert len(set(delays)) == len(delays)


@define
class Queue:
    """Stands for the store: what is due, and the writes that it got."""

    rows: list[Delivery]
    writes: list[tuple[str, str]] = field(factory=list)
    looked: trio.Event = field(factory=trio.Event)

    async def read(self, query: object, now: float) -> list[Delivery]:
        assert query is deliveries.due
        batch, self.rows = self.rows[:1], self.rows[1:]
        if not batch:
            self.looked.set()
        return batch

    async def commit(self, write: Call) -> bool:
        self.writes.append((write.made_by.__name__, write.given["delivery_id"]))
        return True

    async def events(self, owner: str, thread_id: str, after: int, limit: int) -> list[LoggedEvent]:
        event = FinalResponse("hello", RunStatus.SUCCESS, Usage())
        return [LoggedEvent(after + 1, event.type, "r", to_log(Envelope(event, 1.0, after + 1)))]


async def sent(*rows: Delivery, now: float = 0.0) -> list[tuple[str, str]]:
    """Let a sender work until nothing is due. Return what it did."""
    queue: Any = Queue(list(rows))
    rules = WebhookRules([row.url for row in rows], b"key", private=True)

    def make() -> WebhookSender:
        return WebhookSender(queue, rules, lambda _: None, lambda: now, 0.001)

    spec = ChildSpec("webhooks", make)
    with trio.fail_after(60):
        async with ActorSystem("s", [spec]):
            await queue.looked.wait()
    return list(queue.writes)


def closed_port() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}/hook"


async def test_a_receiver_that_is_away_is_left_alone() -> None:
    url = closed_port()
    first, second = [Delivery(f"r-{n}", "ann", "t", "r", n, url, 0.0, 0.0) for n in (1, 2)]
    assert await sent(first, second) == [
        ("claim_delivery", "r-1"),
        ("delay_delivery", "r-1"),
        ("delay_delivery", "r-2"),
    ]


async def test_a_webhook_is_given_up_after_a_day() -> None:
    late = Delivery("r-1", "ann", "t", "r", 1, closed_port(), 0.0, 0.0, 29)
    assert await sent(late, now=86_400.0) == [("claim_delivery", "r-1"), ("end_delivery", "r-1")]
