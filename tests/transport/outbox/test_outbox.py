"""The outbox over a real socket: order, loss, slow readers, batches and ends."""

import json
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked
from websockets.frames import Opcode

from tests.transport.outbox_rig import open_rig, text, thought
from transport.outbox.outbox import GetBacklog, OutboxLimits
from transport.wire.codec import encode
from transport.wire.events import Error, Pong
from transport.wire.messages import CloseWhenDrained, Deliver, Reply, SubscribeThread, UnsubscribeThread
from transport.wire.payloads import ClientCapabilities
from understudy.wire.dialects import Dialect
from understudy.wire.events import AgentProgress, Alert, Envelope, FinalResponse, RunStatus, Usage
from understudy.wire.vocabulary import VOCABULARY


def answer(seq: int) -> Envelope:
    event = FinalResponse("done", RunStatus.SUCCESS, Usage())
    return Envelope(event, 1.0, seq=seq, thread_id="t", run_id="r", message_id="m")


async def test_events_go_out_as_they_come() -> None:
    """In order, encoded for the dialect, and each is counted with its lag."""
    async with open_rig() as rig:
        rig.outbox.tell(SubscribeThread("t", 0, 0))
        rig.tell(thought(1), text(0, "Hello"), answer(2))
        frames = await rig.frames(3)
        assert [frame["type"] for frame in frames] == ["agent_thinking", "partial_result", "final_response"]
        assert frames[0] == json.loads(encode(thought(1), Dialect.CANONICAL) or b"")
        await wait_all_tasks_blocked()
        assert rig.counts.sent == ["agent_thinking", "partial_result", "final_response"]
        assert rig.counts.lags == [2.5, 2.5, 2.5]
        assert rig.log.reads == []


async def test_a_burst_is_one_write() -> None:
    """Eight events in one message: one read of the client has them all."""
    async with open_rig() as rig:
        rig.outbox.tell(SubscribeThread("t", 0, 0))
        rig.tell(*(thought(seq) for seq in range(1, 9)))
        await wait_all_tasks_blocked()
        data = await rig.client.stream.receive_some(65536)
        assert data.count(b'"agent_thinking"') == 8


@pytest.mark.promise("wire.resume-no-gap")
async def test_resuming_replays_the_log_and_goes_on_live() -> None:
    """Pages of the log, then live events: no gap and no repeat at the join. Then the running text is asked for."""
    async with open_rig(page_events=3) as rig:
        rig.log.events = [thought(seq) for seq in range(1, 9)]
        rig.log.gate = trio.Event()
        rig.outbox.tell(SubscribeThread("t", 2, 8))
        await wait_all_tasks_blocked()
        for seq in (9, 10):
            rig.log.events.append(thought(seq))
            rig.tell(thought(seq))
        rig.log.gate.set()
        assert await rig.seqs(8) == list(range(3, 11))
        rig.tell(thought(11))
        assert await rig.seqs(1) == [11]
        await wait_all_tasks_blocked()
        assert rig.snapshots == ["t"]
        rig.tell(text(0, "So far"))
        assert (await rig.frames(1))[0]["data"] == {"text": "So far", "offset": 0}


async def test_the_answer_to_a_repeated_command_does_not_overtake_the_events_before_it() -> None:
    """It waits for them if the client is behind, and is sent once; one that was sent is sent again."""
    async with open_rig() as rig:
        rig.log.events = [thought(seq) for seq in range(1, 5)]
        rig.log.gate = trio.Event()
        rig.outbox.tell(SubscribeThread("t", 0, 2))
        rig.outbox.tell(Reply(thought(3), 4))
        await wait_all_tasks_blocked()
        rig.log.gate.set()
        assert await rig.seqs(4) == [1, 2, 3, 4]
        rig.outbox.tell(Reply(thought(3), 4))
        rig.tell(thought(5))
        assert await rig.seqs(2) == [3, 5]


async def test_a_replayed_event_is_no_delivery() -> None:
    """Events older than the connection's wish for them are counted as sent, and have no lag."""
    async with open_rig(page_events=3) as rig:
        rig.log.events = [thought(seq) for seq in range(1, 9)]
        rig.outbox.tell(SubscribeThread("t", 2, 8))
        assert await rig.seqs(6) == list(range(3, 9))
        rig.outbox.tell(Reply(thought(8)))
        assert await rig.seqs(1) == [8]
        await wait_all_tasks_blocked()
        assert (len(rig.counts.sent), rig.counts.lags) == (7, [])
        rig.tell(thought(9), thought(10))
        assert await rig.seqs(2) == [9, 10]
        await wait_all_tasks_blocked()
        assert (len(rig.counts.sent), rig.counts.lags) == (9, [2.5, 2.5])


async def test_a_late_event_is_a_delivery_though_it_is_read_from_the_log() -> None:
    """An event that happened after the connection asked for it counts with its lag, whichever way it takes."""
    async with open_rig() as rig:
        rig.log.events = [thought(seq) for seq in range(1, 4)]
        rig.log.gate = trio.Event()
        rig.outbox.tell(SubscribeThread("t", 0, 3))
        await wait_all_tasks_blocked()
        for seq in (4, 5):  # while the log is read
            rig.log.events.append(thought(seq))
            rig.tell(thought(seq))
        rig.log.gate.set()
        assert await rig.seqs(5) == [1, 2, 3, 4, 5]
        await wait_all_tasks_blocked()
        assert (len(rig.counts.sent), rig.counts.lags) == (5, [2.5, 2.5])


@pytest.mark.promise("wire.outbox-bounded")
async def test_a_lost_event_is_read_from_the_log() -> None:
    async with open_rig() as rig:
        rig.outbox.tell(SubscribeThread("t", 0, 0))
        rig.log.events = [thought(seq) for seq in range(1, 6)]
        rig.tell(thought(1), thought(1), thought(4))
        assert await rig.seqs(5) == [1, 2, 3, 4, 5]
        rig.tell(thought(5), thought(6))
        assert await rig.seqs(1) == [6]


@pytest.mark.promise("wire.resume-trimmed")
async def test_a_trimmed_log_is_a_resync() -> None:
    async with open_rig() as rig:
        rig.log.events = [thought(seq) for seq in range(1, 9)]
        rig.log.trimmed = 5
        rig.outbox.tell(SubscribeThread("t", 2, 8))
        (frame,) = await rig.frames(1)
        assert (frame["type"], frame["thread_id"], frame["data"]) == ("resync", "t", {"last_seq": 8})
        rig.tell(thought(9))
        assert await rig.seqs(1) == [9]


@pytest.mark.promise("wire.close-1013")
@pytest.mark.parametrize(("failure", "level"), [(OSError("away"), "WARNING"), (ValueError("wrong"), "ERROR")])
async def test_a_log_that_cannot_be_read_ends_the_connection_with_1013(
    caplog: pytest.LogCaptureFixture, failure: Exception, level: str
) -> None:
    """One log record, and close code 1013. A store that is away, which all connections meet, is no traceback."""
    async with open_rig() as rig:
        rig.log.failure = failure
        rig.outbox.tell(SubscribeThread("t", 0, 3))
        assert await rig.close_code() == 1013
        await rig.outbox.wait_stopped()
    (record,) = (record for record in caplog.records if record.name == "transport.outbox.outbox")
    assert (record.getMessage(), record.levelname) == ("outbox.log_unreadable", level)
    assert vars(record)["reason"] == str(failure)
    assert (record.exc_info is not None) is (level == "ERROR")


@pytest.mark.promise("wire.close-1013")
async def test_a_page_of_the_log_that_does_not_come_in_time_ends_the_connection_with_1013(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_rig(log_s=5.0) as rig:
        rig.log.gate = trio.Event()
        rig.outbox.tell(SubscribeThread("t", 0, 1))
        began = trio.current_time()
        assert await rig.close_code() == 1013
        assert trio.current_time() - began == pytest.approx(5.0, abs=0.1)


async def test_threads_that_are_behind_take_turns() -> None:
    """Two threads of five events, pages of three: a page of each, then the rest of each."""
    async with open_rig(page_events=3) as rig:
        rig.log.events = [thought(seq, thread_id) for thread_id in "ab" for seq in range(1, 6)]
        rig.outbox.tell(SubscribeThread("a", 0, 5))
        rig.outbox.tell(SubscribeThread("b", 0, 5))
        frames = [(frame["thread_id"], frame["seq"]) for frame in await rig.frames(10)]
        assert frames == [*(("a", seq) for seq in (1, 2, 3)), *(("b", seq) for seq in (1, 2, 3)), ("a", 4), ("a", 5),
                          ("b", 4), ("b", 5)]  # fmt: skip
        assert rig.log.reads == [("a", 0, 3), ("b", 0, 3), ("a", 3, 3), ("b", 3, 3)]


async def test_only_a_subscribed_thread_that_is_behind_is_read() -> None:
    """One thread has all its events, one is deleted before it is read: its client is told, and the log is not asked."""
    async with open_rig() as rig:
        rig.outbox.tell(SubscribeThread("t", 5, 5))
        rig.outbox.tell(SubscribeThread("u", 0, 5))
        rig.outbox.tell(UnsubscribeThread("u"))
        rig.tell(thought(6))
        first, event = await rig.frames(2)
        assert (first["type"], first["thread_id"], first["data"]["code"]) == ("error", "u", "not_found")
        assert event["seq"] == 6
        await wait_all_tasks_blocked()
        assert rig.log.reads == []


async def test_queued_events_of_a_deleted_thread_are_sent() -> None:
    """The end of its last run is among it."""
    async with open_rig() as rig:
        rig.outbox.tell(SubscribeThread("t", 5, 5))
        rig.tell(thought(6))
        rig.outbox.tell(UnsubscribeThread("t"))
        rig.tell(thought(7))
        assert await rig.seqs(1) == [6]


NEXT = SubscribeThread("t", None, 3, True, 2.0)


@pytest.mark.parametrize(
    "messages",
    [
        (UnsubscribeThread("t", 1.0), NEXT),
        (UnsubscribeThread("t", 1.0), SubscribeThread("t", 2, 3, True, 2.0)),
        (NEXT,),
        (UnsubscribeThread("t"), NEXT, UnsubscribeThread("t", 1.0)),
    ],
    ids=["from the end", "from a late message", "deletion missed", "late word of the deletion"],
)
async def test_the_next_thread_of_a_deleted_ones_id_is_sent_from_its_first_event(messages: tuple[object, ...]) -> None:
    """After event 9 of a thread, whose deletion may be missed: the next one's subscription says when it was created."""
    async with open_rig(defer_s=0.0) as rig:
        rig.log.events = [thought(seq) for seq in (1, 2, 3)]
        rig.outbox.tell(SubscribeThread("t", 8, 8, incarnation=1.0))
        rig.tell(thought(9))
        for message in messages:
            rig.outbox.tell(message)
        assert await rig.seqs(4) == [9, 1, 2, 3]
        rig.log.incarnation = 2.0
        rig.tell(thought(4), thought(5))
        assert await rig.seqs(2) == [4, 5]


async def test_a_page_of_another_threads_log_is_not_sent_after_the_events_of_an_earlier_one() -> None:
    """The log has 12 events of the next thread: events 10 to 12 are none that follow event 9 of the deleted one."""
    async with open_rig() as rig:
        rig.outbox.tell(SubscribeThread("t", 8, 8, incarnation=1.0))
        rig.tell(thought(9))
        assert await rig.seqs(1) == [9]
        rig.log.events, rig.log.incarnation = [thought(seq) for seq in range(1, 13)], 2.0
        rig.outbox.tell(SubscribeThread("t", None, 12, implicit=True))
        deleted, *events = await rig.frames(13)
        assert deleted["data"]["code"] == "not_found"
        assert [event["seq"] for event in events] == list(range(1, 13))


async def test_a_client_that_was_behind_in_a_deleted_thread_is_told_so_when_its_log_is_read() -> None:
    """Before the word of the deletion comes, which may be lost; then once."""
    async with open_rig() as rig:
        rig.log.exists = False
        rig.outbox.tell(SubscribeThread("t", 3, 5))
        (deleted,) = await rig.frames(1)
        assert deleted["data"]["code"] == "not_found"
        rig.outbox.tell(UnsubscribeThread("t"))
        rig.log.exists, rig.log.events = True, [thought(1)]
        rig.outbox.tell(SubscribeThread("t", None, 1))
        assert await rig.seqs(1) == [1]


async def test_an_acceptance_that_was_sent_is_not_repeated_unless_its_client_asked_again() -> None:
    async with open_rig() as rig:
        rig.outbox.tell(SubscribeThread("t", 0, 0))
        rig.tell(thought(1), thought(2))
        rig.outbox.tell(Reply(thought(1), 2, resend=False))
        rig.outbox.tell(Reply(thought(1), 2))
        rig.tell(thought(3))
        assert await rig.seqs(4) == [1, 2, 1, 3]


@pytest.mark.promise("wire.order", "wire.outbox-bounded")
async def test_a_slow_reader_costs_a_bounded_queue_and_loses_nothing() -> None:
    """Events beyond the bound are not kept: they are read from the log when the client reads again."""
    async with open_rig(queue_events=20, queue_bytes=40_000, write_bytes=8_000) as rig:
        rig.outbox.tell(SubscribeThread("t", 0, 0))
        for seq in range(1, 401):
            event = thought(seq, text="x" * 2_000)
            rig.log.events.append(event)
            rig.tell(event)
            if seq % 50 == 0:
                await wait_all_tasks_blocked()
        assert await rig.seqs(400) == list(range(1, 401))
        assert rig.log.reads
        rig.log.events.append(thought(401))
        rig.tell(thought(401))
        assert await rig.seqs(1) == [401]


@pytest.mark.promise("wire.outbox-bounded")
async def test_a_page_of_the_log_is_queued_as_far_as_there_is_room_for_it() -> None:
    """An event may have a quarter of a megabyte, and a page hundreds of events."""
    async with open_rig(page_events=250, queue_bytes=100_000) as rig:
        rig.log.events = [thought(seq, text="x" * 20_000) for seq in range(1, 101)]
        rig.outbox.tell(SubscribeThread("t", 0, 100))
        await wait_all_tasks_blocked()
        backlog = await rig.outbox.ask(GetBacklog())
        assert 0 < backlog.bytes < 100_000 + 2 * 20_000
        assert await rig.seqs(100) == list(range(1, 101))


@pytest.mark.promise("wire.merge")
async def test_text_is_merged_while_the_socket_is_busy() -> None:
    """Neighbouring pieces leave as one; an overlap is trimmed; a hole asks for a snapshot."""
    async with open_rig() as rig:
        rig.outbox.tell(SubscribeThread("t", 0, 0))
        rig.tell(text(0, "abc"), text(3, "def"), text(4, "efgh"), thought(1), text(8, "i"))
        frames = await rig.frames(3)
        assert [frame["data"].get("text") for frame in frames] == ["abcdefgh", None, "i"]
        await wait_all_tasks_blocked()
        rig.snapshots.clear()
        rig.tell(text(12, "mno"))
        await wait_all_tasks_blocked()
        assert rig.snapshots == ["t"]
        rig.tell(text(0, "abcdefghijklmno"))
        assert (await rig.frames(1))[0]["data"] == {"text": "jklmno", "offset": 9}


async def test_text_waits_until_its_thread_has_caught_up() -> None:
    """Text of a thread that is behind would overtake the events before it: it is asked for afterwards."""
    async with open_rig() as rig:
        rig.log.events = [thought(1), thought(2)]
        rig.log.gate = trio.Event()
        rig.outbox.tell(SubscribeThread("t", 0, 2))
        rig.tell(text(0, "early"))
        await wait_all_tasks_blocked()
        assert rig.snapshots == []
        rig.log.gate.set()
        assert await rig.seqs(2) == [1, 2]
        await wait_all_tasks_blocked()
        assert rig.snapshots == ["t"]


@pytest.mark.parametrize("behind", [False, True])
async def test_an_answer_that_is_written_again_is_sent_from_its_beginning(behind: bool) -> None:
    """The other text is shorter than the one before: it is sent from offset 0, also if the thread is behind."""
    async with open_rig() as rig:
        rig.outbox.tell(SubscribeThread("t", 0, 0))
        rig.tell(text(0, "abcdef"))
        assert (await rig.frames(1))[0]["data"] == {"text": "abcdef", "offset": 0}
        await wait_all_tasks_blocked()
        rig.snapshots.clear()
        if behind:
            rig.log.gate = trio.Event()
            rig.log.events = [thought(1)]
            rig.outbox.tell(SubscribeThread("t", None, 1, implicit=True))
        rig.tell(text(0, "abc", epoch="2"), text(3, "xyz", epoch="2"))
        if behind:
            await wait_all_tasks_blocked()
            assert rig.log.gate is not None
            rig.log.gate.set()
            assert await rig.seqs(1) == [1]
            await wait_all_tasks_blocked()
            assert rig.snapshots == ["t"]
            rig.tell(text(0, "abcxyz", epoch="2"))
        assert (await rig.frames(1))[0]["data"] == {"text": "abcxyz", "offset": 0}


@pytest.mark.promise("wire.priority", "wire.alert")
async def test_lanes() -> None:
    """Alerts overtake everything, answers to the client come next, progress last; a thread's story keeps its order."""
    async with open_rig() as rig:
        rig.outbox.tell(SubscribeThread("t", 0, 0))
        await wait_all_tasks_blocked()
        failed = Envelope(Error("agent_failed", "No.", True, "e"), 1.0, seq=2, thread_id="t")
        rig.tell(
            Envelope(AgentProgress(1, "going on"), 1.0, thread_id="t"),
            thought(1),
            failed,
            Envelope(Pong("n"), 1.0),
            Envelope(Alert("fire"), 1.0),
        )
        kinds = [frame["type"] for frame in await rig.frames(5)]
        assert kinds == ["alert", "pong", "agent_thinking", "error", "agent_progress"]


@pytest.mark.promise("wire.merge")
async def test_events_without_seq_are_dropped_when_there_is_no_room() -> None:
    async with open_rig(queue_events=5) as rig:
        rig.tell(*(Envelope(AgentProgress(done, "…"), 1.0) for done in range(9)))
        assert [frame["data"]["done"] for frame in await rig.frames(5)] == [0, 1, 2, 3, 4]
        assert rig.counts.dropped == ["agent_progress"] * 4


async def test_progress_does_not_overtake_the_events_that_are_read_from_the_log() -> None:
    """It is dropped until the snapshot is requested, which has what a queued run waits for."""
    async with open_rig() as rig:
        rig.log.events, rig.log.gate = [thought(1)], trio.Event()
        rig.outbox.tell(SubscribeThread("t", 0, 1))
        rig.tell(Envelope(AgentProgress(1, "early"), 1.0, thread_id="t"))
        rig.tell(Envelope(AgentProgress(1, "other"), 1.0, thread_id="u"))
        assert (await rig.frames(1))[0]["thread_id"] == "u"
        assert rig.snapshots == []
        rig.log.gate.set()
        assert await rig.seqs(1) == [1]
        await wait_all_tasks_blocked()
        assert rig.snapshots == ["t"]
        rig.tell(Envelope(AgentProgress(1, "late"), 1.0, thread_id="t"))
        assert (await rig.frames(1))[0]["data"]["note"] == "late"


@pytest.mark.usefixtures("one_batch")
async def test_events_of_other_threads_are_not_sent() -> None:
    async with open_rig() as rig:
        rig.tell(thought(1), text(0, "no"))
        rig.outbox.tell(SubscribeThread("t", 0, 0))
        rig.tell(thought(1))
        rig.outbox.tell(UnsubscribeThread("t"))
        rig.tell(thought(2), Envelope(Pong("end"), 1.0))
        assert [frame["type"] for frame in await rig.frames(1)] == ["pong"]


@pytest.mark.usefixtures("one_batch")
async def test_following_again_starts_where_the_client_says() -> None:
    """A second resume goes back; queued events are not sent twice. Subscribing without a cursor changes nothing."""
    async with open_rig() as rig:
        rig.log.events = [thought(seq) for seq in range(1, 5)]
        rig.outbox.tell(SubscribeThread("t", 0, 0))
        rig.tell(thought(1), thought(2))
        rig.outbox.tell(SubscribeThread("t", 0, 4))
        assert await rig.seqs(4) == [1, 2, 3, 4]
        rig.outbox.tell(SubscribeThread("t", None, 4))
        rig.outbox.tell(SubscribeThread("u", None, 7))
        rig.tell(thought(5), thought(8, "u"))
        assert await rig.seqs(2) == [5, 8]


@pytest.mark.promise("wire.resume-no-gap")
async def test_a_resume_gets_exactly_what_follows_it_whenever_it_comes(autojump_clock: trio.testing.MockClock) -> None:
    """A thread joined unasked, its live events and the client's resume, in every order and from every place."""
    steps = range(5)  # joined unasked at 5, then 6, 7, 8, and the resume before the first, the second …
    cases = {f"{at}-{after}": (at, after) for at in steps for after in range(9)}
    async with open_rig() as rig:
        rig.log.events = [thought(seq, name) for name in cases for seq in range(1, 9)]
        orders: list[list[Any]] = []
        for name, (at, after) in cases.items():
            head = max(5, 4 + at)
            arrivals: list[Any] = [
                SubscribeThread(name, None, 5, implicit=True),
                *(Deliver(thought(s, name)) for s in (6, 7, 8)),
            ]
            orders.append([*arrivals[:at], SubscribeThread(name, min(after, head), head), *arrivals[at:]])
        for messages in zip(*orders, strict=True):
            for message in messages:
                rig.outbox.tell(message)
            await wait_all_tasks_blocked()  # what may be written is written now
        expected = {name: list(range(min(after, max(5, 4 + at)) + 1, 9)) for name, (at, after) in cases.items()}
        frames = await rig.frames(sum(map(len, expected.values())))
        await trio.sleep(5)
        rig.tell(Envelope(Pong("end"), 1.0))
        assert [frame["type"] for frame in await rig.frames(1)] == ["pong"]
    seqs: dict[str, list[int]] = {name: [] for name in cases}
    for frame in frames:
        seqs[frame["thread_id"]].append(frame["seq"])
    assert seqs == expected


async def test_a_client_that_never_resumes_gets_its_events_a_little_later(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """An implicit subscription starts after `defer_s`, from where it was made; its text is requested; later ones start
    at once.
    """
    async with open_rig() as rig:
        started = trio.current_time()
        rig.log.events = [thought(seq) for seq in range(1, 8)]
        rig.outbox.tell(SubscribeThread("t", 4, 5, implicit=True))
        rig.outbox.tell(SubscribeThread("t", None, 6, implicit=True))
        rig.tell(thought(6), text(0, "early"), thought(7))
        assert await rig.seqs(3) == [5, 6, 7]
        assert trio.current_time() - started == pytest.approx(OutboxLimits().defer_s, abs=0.5)
        rig.tell(thought(8))
        assert await rig.seqs(1) == [8]
        assert rig.snapshots == ["t"]
        rig.outbox.tell(SubscribeThread("u", 2, 2, implicit=True))
        rig.tell(thought(3, "u"))
        started = trio.current_time()
        assert await rig.seqs(1) == [3]
        assert trio.current_time() == pytest.approx(started, abs=0.1)


async def test_speaking_in_a_thread_that_is_held_back_lets_it_go() -> None:
    async with open_rig(defer_s=1000) as rig:
        rig.log.events = [thought(seq) for seq in range(1, 8)]
        rig.outbox.tell(SubscribeThread("t", 4, 4, implicit=True))
        rig.tell(thought(5), thought(6))
        rig.outbox.tell(SubscribeThread("t", None, 6))
        rig.tell(thought(7))
        assert await rig.seqs(3) == [5, 6, 7]
        rig.outbox.tell(SubscribeThread("u", 0, 3, implicit=True))
        rig.outbox.tell(UnsubscribeThread("u"))
        rig.tell(thought(1, "u"), Envelope(Pong("end"), 1.0))
        assert [frame["type"] for frame in await rig.frames(1)] == ["pong"]


async def test_a_late_resume_goes_where_the_client_says(autojump_clock: trio.testing.MockClock) -> None:
    async with open_rig() as rig:
        rig.log.events = [thought(seq) for seq in range(1, 8)]
        rig.outbox.tell(SubscribeThread("t", 5, 5, implicit=True))
        rig.tell(thought(6), thought(7))
        assert await rig.seqs(2) == [6, 7]
        rig.outbox.tell(SubscribeThread("t", 3, 7))
        assert await rig.seqs(4) == [4, 5, 6, 7]


async def test_batches_are_the_clients_choice() -> None:
    async with open_rig() as rig:
        rig.outbox.tell(ClientCapabilities(batch=True))
        rig.outbox.tell(SubscribeThread("t", 0, 0))
        rig.tell(thought(1), answer(2))
        ((first, second),) = await rig.frames(1)
        assert (first["seq"], second["data"]["message"]) == (1, "done")
        rig.tell(thought(3))
        assert await rig.seqs(1) == [3]


async def test_a_dialect_shows_what_it_shows() -> None:
    """The agent response dialect sends answers only, and the cursor moves on all the same."""
    async with open_rig(Dialect.AGENT_RESPONSE) as rig:
        rig.outbox.tell(SubscribeThread("t", 0, 0))
        rig.tell(thought(1), text(0, "do"), answer(2))
        (frame,) = await rig.frames(1)
        assert (frame["type"], frame["message"]) == ("message", "done")
        await wait_all_tasks_blocked()
        assert rig.log.reads == []


async def test_an_event_that_cannot_be_shown_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    async with open_rig() as rig:
        rig.outbox.tell(SubscribeThread("t", 0, 0))
        rig.tell(Envelope(FinalResponse("x", RunStatus.SUCCESS, Usage(), {"bad": object()}), 1.0, 1, "t"), thought(2))
        assert await rig.seqs(1) == [2]
    assert [record.getMessage() for record in caplog.records if record.name == "transport.outbox.outbox"] == [
        "outbox.unencodable"
    ]


async def test_finish_sends_what_is_queued_and_nothing_later() -> None:
    async with open_rig() as rig:
        rig.outbox.tell(SubscribeThread("t", 0, 0))
        rig.tell(thought(1))
        rig.outbox.tell(CloseWhenDrained(4403, "enough"))
        rig.tell(thought(2))
        rig.outbox.tell(CloseWhenDrained(1000, "twice"))
        assert await rig.seqs(1) == [1]
        frame = await rig.client.frame()
        await rig.client.flush()
        assert (frame.opcode, bytes(frame.data)[2:]) == (Opcode.CLOSE, b"enough")
        with trio.fail_after(5):
            await rig.outbox.wait_stopped()


def test_an_event_is_encoded_once_for_all() -> None:
    """A shared message for several outboxes: one encoding per dialect; otherwise one per outbox."""
    canonical, flat = VOCABULARY.encoder_for(Dialect.CANONICAL), VOCABULARY.encoder_for(Dialect.FLAT)
    message = Deliver(thought(1), answer(2), shared=True)
    frames = [message.frames(canonical)[1] for _ in range(3)]
    assert frames[0] is frames[1] is frames[2]
    assert message.frames(flat)[1] != frames[0]
    assert json.loads(message.frames(canonical)[0] or b"")["type"] == "agent_thinking"
    assert VOCABULARY.encoder_for(Dialect.AGENT_RESPONSE)(thought(1)) is None
    alone = Deliver(answer(2))
    assert alone.frames(canonical) == [frames[0]]
    assert alone.frames(canonical)[0] is not frames[0]


def test_event_streams_share_their_frames_too() -> None:
    """An encoder with a wrapping function is one object for all of them."""
    wrapped: list[Envelope] = []

    def wrap(envelope: Envelope, frame: bytes) -> bytes:
        wrapped.append(envelope)
        return b"data: " + frame

    message = Deliver(thought(1), thought(2), shared=True)
    first, second = (message.frames(VOCABULARY.encoder_for(Dialect.CANONICAL, wrap_frame=wrap)) for _ in range(2))
    assert first is second
    assert wrapped == [thought(1), thought(2)]
    assert first[0] is not None
    assert first[0].startswith(b"data: {")
