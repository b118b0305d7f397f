"""A conversation actor over a real store, with a follower that writes down what it is told."""

import pytest
import trio
import trio.testing
from sqlalchemy import Connection

from actors import Normal
from tests.rigs.conversation import ADA, Rig, say
from tests.rigs.conversation import rig as rig
from transport.wire.events import PartialResult
from understudy import Agent
from understudy.models.model import Emit, MessageItem, TextDelta, Turn
from understudy.models.model import Reply as ModelReply
from understudy.storage import queries
from understudy.storage.records import History
from understudy.wire.events import (
    AgentCompleted,
    AgentProgress,
    AgentStarted,
    AgentThinking,
    FinalResponse,
    MessageAccepted,
    SanitizationSummary,
)


async def test_a_waiting_run_is_sent_its_position_again_and_again(rig: Rig) -> None:
    await rig.desk.dispatch(ADA, say("first", "t"), rig.outbox)
    await rig.desk.dispatch(ADA, say("second", "t"), rig.outbox)
    await rig.desk.dispatch(ADA, say("elsewhere", "u"), rig.outbox)
    notes = [sent.event.note for sent in await rig.until(AgentProgress, 8) if isinstance(sent.event, AgentProgress)]
    assert notes.count("Waiting: 1 before this one in this conversation") > 1
    assert notes.count("Waiting for a free place: number 1 in line") > 1


async def test_a_thread_that_begins_is_none_that_was_followed_before(rig: Rig) -> None:
    """Whoever followed one of its name, and was not told of its end, is so before the first event, and once."""
    await rig.desk.dispatch(ADA, say("first", "t"), rig.outbox)
    await rig.desk.dispatch(ADA, say("second", "t"), rig.outbox)
    await rig.until(AgentProgress)
    assert rig.dismissed == [("t", 0)]


async def test_a_server_that_stops_can_wait_until_no_run_is_left(rig: Rig) -> None:
    assert await rig.desk.registry.wait_idle(1.0)
    await rig.desk.dispatch(ADA, say("first", "t"), rig.outbox)
    await rig.desk.dispatch(ADA, say("second", "t"), rig.outbox)
    assert not await rig.desk.registry.wait_idle(0.05)
    rig.open_gate()
    assert await rig.desk.registry.wait_idle(5.0)
    assert len(await rig.until(FinalResponse, 2)) == 2


async def test_findings_of_a_message_are_sent_when_its_run_begins(rig: Rig) -> None:
    """Also where its server, or its conversation, died before: once, right after the agent began, in one with that."""
    await rig.desk.dispatch(ADA, say("first", "t"), rig.outbox)
    await rig.desk.dispatch(ADA, say(f"my key is ghp_{'a1B2c3D4' * 4}e5F6, keep it", "t"), rig.outbox)
    await rig.until(AgentStarted)
    rig.conversation.kill()
    rig.open_gate()
    await rig.until(FinalResponse, 2)
    events = await rig.services.store.events("ada", "t", 0)
    second = next(event.run_id for event in reversed(events) if event.type == MessageAccepted.type)
    kinds = [event.type for event in events if event.run_id == second]
    assert kinds == [
        kind.type
        for kind in (MessageAccepted, AgentStarted, SanitizationSummary, AgentThinking, AgentCompleted, FinalResponse)
    ]
    summaries = [envelope.event for envelope in rig.told if isinstance(envelope.event, SanitizationSummary)]
    assert [(summary.direction, dict(summary.counts)) for summary in summaries] == [("inbound", {"secret": 1})]


async def test_a_conversation_ends_when_nothing_runs(rig: Rig) -> None:
    rig.services.settings.idle_s = 0.1
    await rig.desk.dispatch(ADA, say("hello", "t"), rig.outbox)
    await rig.until(AgentStarted)
    conversation = rig.conversation
    rig.open_gate()
    await rig.until(FinalResponse)
    with trio.fail_after(60):
        assert isinstance(await conversation.wait_stopped(), Normal)
    await rig.desk.dispatch(ADA, say("again", "t"), None)
    await rig.until(FinalResponse, 2)


class Bursts:
    """A model that writes many pieces at once, then one, and waits after each."""

    name = "bursts"
    notice = ""

    def __init__(self, *bursts: list[str]) -> None:
        self.bursts = bursts
        self.go_on = trio.Semaphore(0)

    async def respond(self, turn: Turn, emit: Emit) -> ModelReply:
        for burst in self.bursts:
            await self.go_on.acquire()
            for piece in burst:
                await emit(TextDelta(piece))
        await self.go_on.acquire()
        return ModelReply(text="".join(piece for burst in self.bursts for piece in burst))


async def test_pieces_that_wait_are_sent_as_one(rig: Rig) -> None:
    rig.services.settings.silence_s = 60.0  # a heartbeat would send what was left behind
    words = ["Word after word. "] * 64
    model = Bursts(words[:63], words[63:])
    rig.services.agents["script"] = Agent("script", model=model)
    await rig.desk.dispatch(ADA, say("go", "t"), rig.outbox)
    for text in (words[:63], words):
        model.go_on.release()
        with trio.fail_after(60):
            while "".join(piece.text for piece in pieces(rig)) != "".join(text):
                await trio.testing.wait_all_tasks_blocked(0.005)
    offset = 0
    for piece in pieces(rig):
        assert piece.offset == offset
        offset += len(piece.text)
    assert 2 <= len(pieces(rig)) <= 16, "one for each turn of the event loop"
    model.go_on.release()
    await rig.until(FinalResponse)


def pieces(rig: Rig) -> list[PartialResult]:
    return [envelope.event for envelope in rig.told if isinstance(envelope.event, PartialResult)]


async def test_earlier_messages_are_read_once(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at all in a new thread; by the first message after the conversation began again. The model has it all."""
    read, history = list[str](), queries.history

    def history_noted(connection: Connection, owner: str, message_id: str, limit: int) -> History:
        read.append(message_id)
        return history(connection, owner, message_id, limit)

    monkeypatch.setattr(queries, "history", history_noted)
    rig.open_gate()
    for number in range(1, 5):
        await rig.answered(f"said {number}", number)
        contents = [item.content for item in rig.model.inputs[-1].items if isinstance(item, MessageItem)]
        assert contents == [word for n in range(1, number) for word in (f"said {n}", "word ")] + [f"said {number}"]
        assert len(read) == (number > 2)
        if number == 2:
            rig.conversation.kill()
