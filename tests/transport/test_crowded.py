"""An outbox with a slow client: overtaking, dropped and never lost events."""

from collections.abc import Sequence

import trio
from trio.testing import wait_all_tasks_blocked

from actors import ActorSystem, ChildSpec, Restart
from tests.transport.outbox_rig import Log, Rig, open_rig, text, thought
from transport.outbox.outbox import Outbox
from transport.wire.events import Error, Pong
from transport.wire.messages import Deliver, SubscribeThread, UnsubscribeThread
from understudy.wire.dialects import Dialect
from understudy.wire.events import AgentProgress, Alert, Envelope
from understudy.wire.vocabulary import VOCABULARY


async def crowd(rig: Rig) -> None:
    """Fill the queue with a thread's story, beyond its bound; the client has read nothing yet."""
    rig.outbox.tell(SubscribeThread("t", 0, 0))
    rig.log.events = [thought(seq, text="x" * 2_000) for seq in range(1, 101)]
    rig.tell(*rig.log.events)
    await wait_all_tasks_blocked()


async def test_durable_events_have_room_beside_a_long_story() -> None:
    """An alert, a refusal and a pong go out although the story is full, the alert first; signs of life do not."""
    async with open_rig(queue_bytes=40_000, write_bytes=8_000) as rig:
        await crowd(rig)
        refused = Error("not_found", "There is no run of that name.", False, "e")
        events = [refused, Pong("n"), AgentProgress(1.0, "still"), Alert("fire")]
        rig.tell(*(Envelope(event, 1.0) for event in events))
        await wait_all_tasks_blocked()
        kinds = [frame["type"] for frame in await rig.frames(103)]
        assert sorted(set(kinds)) == ["agent_thinking", "alert", "error", "pong"]
        assert kinds.index("alert") < kinds.index("error") < kinds.index("pong") < 60
        assert kinds.count("agent_thinking") == 100
        assert rig.counts.dropped == ["agent_progress"]


class SlowSink:
    """Takes one write at a time, whenever the test lets it."""

    open = True

    def __init__(self) -> None:
        self.writes: list[list[bytes]] = []
        self.taken = trio.Event()

    def write_now(self, payloads: Sequence[bytes]) -> bool:
        self.writes.append(list(payloads))
        return False

    async def write(self, payloads: Sequence[bytes]) -> None:
        await self.taken.wait()
        self.writes.append(list(payloads))

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self.open = False


async def test_an_alert_is_the_first_frame_after_the_write_that_was_begun() -> None:
    """A thousand frames wait for a client that reads nothing: the alert waits for a short write only."""
    sink, log = SlowSink(), Log()

    def new_outbox() -> Outbox:
        encoder = VOCABULARY
        return Outbox(sink, Dialect.CANONICAL, vocabulary=encoder, read_log=log.read, request_snapshot=print)

    async with ActorSystem("test") as system:
        outbox = await system.spawn(ChildSpec("outbox", new_outbox, restart=Restart.TEMPORARY))
        outbox.tell(SubscribeThread("t", 0, 0))
        outbox.tell(Deliver(*(thought(seq, text="x" * 200) for seq in range(1, 1_001))))
        await wait_all_tasks_blocked()
        outbox.tell(Deliver(Envelope(Alert("fire"), 1.0)))
        await wait_all_tasks_blocked()
        sink.taken.set()
        await wait_all_tasks_blocked()
    begun = next(n for n, payloads in enumerate(sink.writes) if any(b"fire" in payload for payload in payloads))
    assert b"fire" in sink.writes[begun][0]
    assert sum(len(payload) for payloads in sink.writes[:begun] for payload in payloads) < 2 * 16_384 + 1_000


async def test_a_client_that_takes_not_even_those_is_closed() -> None:
    """It gets 1013 and may come back: that is better than to lose a refusal."""
    async with open_rig(queue_bytes=20_000, queue_events=50, write_bytes=8_000) as rig:
        await crowd(rig)
        rig.tell(*(Envelope(Pong("n" * 100), 1.0) for _ in range(200)))
        with trio.fail_after(60):
            await rig.outbox.wait_stopped()
        assert "pong" not in rig.counts.dropped


async def test_a_client_that_says_where_it_stands_has_no_text_either() -> None:
    """A resume in the middle of an answer: the text so far comes again from its beginning, and goes on."""
    async with open_rig() as rig:
        rig.outbox.tell(SubscribeThread("t", 0, 0))
        rig.tell(thought(1), text(0, "abcdef"))
        assert [frame["type"] for frame in await rig.frames(2)] == ["agent_thinking", "partial_result"]
        await wait_all_tasks_blocked()
        rig.snapshots.clear()
        rig.outbox.tell(SubscribeThread("t", 1, 1))
        await wait_all_tasks_blocked()
        assert rig.snapshots == ["t"]
        rig.tell(text(0, "abcdef"), text(6, "g"))
        assert (await rig.frames(1))[0]["data"] == {"text": "abcdefg", "offset": 0}


async def test_a_thread_that_begins_anew_is_not_told_from_the_old_ones_log() -> None:
    """A page that was on its way when the thread was given up, and followed again under its name, is thrown away."""
    async with open_rig() as rig:
        rig.log.events = [thought(seq, text="old") for seq in (1, 2, 3)]
        rig.log.gate = trio.Event()
        rig.outbox.tell(SubscribeThread("t", 0, 3))
        await wait_all_tasks_blocked()
        page, rig.log.events = rig.log.events, []
        rig.outbox.tell(UnsubscribeThread("t"))
        rig.outbox.tell(SubscribeThread("t", None, 0))
        rig.log.events = page  # what the read that waits brings
        await wait_all_tasks_blocked()
        rig.log.gate.set()
        await wait_all_tasks_blocked()
        rig.log.events = [thought(seq, text="new") for seq in (1, 2)]
        rig.tell(*rig.log.events)
        deleted, *frames = await rig.frames(3)
        assert (deleted["type"], deleted["data"]["code"]) == ("error", "not_found")  # for the events that were not read
        assert [(frame["seq"], frame["data"]["thought"]) for frame in frames] == [(1, "new"), (2, "new")]
