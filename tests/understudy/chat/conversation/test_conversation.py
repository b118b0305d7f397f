"""A conversation actor over a real store, with a follower that writes down what it is told."""

import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest
import trio
import trio.testing
from attrs import define, evolve, field

from actors import Actor, ActorRef, ActorSystem, ChildSpec, Context, Normal, Restart, Supervisor
from sanitization import STANDARD
from tests.end_to_end.scripted_model import Gate, Say, scripted
from transport.auth.identity import Identity
from transport.connection.limits import Limits
from transport.wire.commands import Say as SayCommand
from transport.wire.events import (
    AgentCompleted,
    AgentProgress,
    AgentStarted,
    AgentThinking,
    AnswerText,
    Envelope,
    FinalResponse,
    MessageAccepted,
    SanitizationSummary,
)
from transport.wire.messages import Deliver, Reply, UnsubscribeThread
from understudy.chat.answer.html import AnswerHtml
from understudy.chat.attachments import Attachments
from understudy.chat.commands import CommandDispatcher
from understudy.chat.run_limiter import RunLimiter
from understudy.chat.services import Services
from understudy.content.filter import ContentFilter
from understudy.models.model import Model
from understudy.observe.metrics import Metrics
from understudy.storage.files import FolderFiles
from understudy.storage.records import Change, Write
from understudy.storage.sqlite import open_database
from understudy.storage.store import Store
from understudy.storage.writer import StoreWriter

ADA = Identity("ada", "s")


class Follower(Actor):
    """An outbox that keeps the events it is handed, and after how many of them it was told to forget which thread."""

    def __init__(self, told: list[Envelope], dismissed: list[tuple[str, int]]) -> None:
        self.told = told
        self.dismissed = dismissed

    async def receive(self, message: object, context: Context) -> None:
        """Keep it."""
        match message:
            case Deliver():
                self.told += message.envelopes
            case Reply(envelope=envelope):
                self.told.append(envelope)
            case UnsubscribeThread(thread_id):
                self.dismissed.append((thread_id, len(self.told)))


class NoServer:
    """A view of a server that tools of these tests do not look at."""

    def health(self) -> dict[str, object]:
        """Nothing to tell."""
        return {}

    def tree(self) -> dict[str, object]:
        """Nothing to tell."""
        return {}


@define
class Rig:
    """The desk, a follower and what it was told."""

    desk: CommandDispatcher
    services: Services
    system: ActorSystem
    outbox: ActorRef
    told: list[Envelope] = field(factory=list)
    dismissed: list[tuple[str, int]] = field(factory=list)

    async def until(self, kind: type, count: int = 1) -> list[Envelope]:
        """Wait until so many events of this kind were told."""
        with trio.fail_after(5):
            while len(found := [each for each in self.told if isinstance(each.event, kind)]) < count:
                await trio.testing.wait_all_tasks_blocked(0.005)
        return found


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """One agent that passes a gate before each word, one place for runs in all, and frequent signs of life."""
    database = await trio.to_thread.run_sync(open_database, tmp_path)
    told: list[Envelope] = []
    dismissed: list[tuple[str, int]] = []
    children = [
        ChildSpec("writer", lambda: StoreWriter(database)),
        ChildSpec("conversations", lambda: Supervisor([], intensity=100)),
        ChildSpec("outbox", lambda: Follower(told, dismissed), restart=Restart.TEMPORARY),
    ]
    async with ActorSystem("s", children) as system:
        store = Store(database, lambda: system.find("/s/writer"))
        outbox = system.find("/s/outbox")
        conversations = system.find("/s/conversations")
        assert outbox is not None
        assert conversations is not None
        agent, metrics = scripted(Say("word", Gate())), Metrics()
        content_filter = await trio.to_thread.run_sync(ContentFilter, STANDARD, metrics)
        services = Services(
            store=store,
            agents={agent.name: agent},
            model_of=model_of,
            content_filter=content_filter,
            html=AnswerHtml(),
            limits=Limits(),
            limiter=RunLimiter(per_user=1, total=1),
            attachments=lambda owner: Attachments(
                owner, store, FolderFiles(tmp_path / "files", store.add_file), content_filter
            ),
            server=lambda owner, roles: NoServer(),
            outboxes=lambda owner, thread_id: (outbox,),
            metrics=metrics,
            clock=time.time,
            silence_s=0.05,
            idle_s=60.0,  # longer than any test: a conversation ends only in tests that shorten it
        )
        yield Rig(CommandDispatcher(services, lambda: conversations), services, system, outbox, told, dismissed)
    database.close()


def model_of(model: str | Model | None) -> Model:
    """The agent's own model."""
    assert model is not None
    assert not isinstance(model, str)
    return model


def say(text: str, thread: str) -> SayCommand:
    """A message to the scripted agent."""
    return evolve(SayCommand(text), agent_type="script", thread_id=thread)


async def test_who_waits_is_told_its_place_again_and_again(rig: Rig) -> None:
    """Behind another run of the thread, and for a free place of the server: nobody is left looking at silence."""
    await rig.desk.dispatch(ADA, say("first", "t"), rig.outbox)
    await rig.desk.dispatch(ADA, say("second", "t"), rig.outbox)
    await rig.desk.dispatch(ADA, say("elsewhere", "u"), rig.outbox)
    notes = [each.event.note for each in await rig.until(AgentProgress, 8) if isinstance(each.event, AgentProgress)]
    assert notes.count("Waiting: 1 before this one in this conversation") > 1
    assert notes.count("Waiting for a free place: number 1 in line") > 1


@pytest.mark.parametrize("comes", [False, True])
async def test_an_answer_is_rendered_for_a_client_that_comes_while_it_is_stored(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, *, comes: bool
) -> None:
    """Before it is sent; and not at all without a client that shows HTML."""
    ended, commit = list[bool](), Store.commit

    async def commit_noted(store: Store, write: Write, deadline_s: float | None = None) -> int:
        answer = await commit(store, write, deadline_s)
        ended.append(isinstance(write, Change) and write.run_end is not None)
        return answer

    async def prefetch(_: AnswerHtml, answers: Iterable[AnswerText], owner: str) -> None:
        assert owner == "ada"
        assert not [each for each in rig.told if isinstance(each.event, FinalResponse)]
        rendered.extend(each.text for each in answers)

    rendered = list[str]()
    monkeypatch.setattr(Store, "commit", commit_noted)
    monkeypatch.setattr(AnswerHtml, "prefetch", prefetch)
    rig.services.shows_html = lambda *_: comes and any(ended)
    rig.services.agents["script"].model.turns[0].gate.opened.set()  # type: ignore[union-attr]
    await rig.desk.dispatch(ADA, say("first", "t"), rig.outbox)
    await rig.until(FinalResponse)
    assert set(rendered) == ({"word "} if comes else set())


async def test_a_thread_that_begins_is_none_that_was_followed_before(rig: Rig) -> None:
    """Whoever followed one of its name, and was not told of its end, is so before the first event, and once."""
    await rig.desk.dispatch(ADA, say("first", "t"), rig.outbox)
    await rig.desk.dispatch(ADA, say("second", "t"), rig.outbox)
    await rig.until(AgentProgress)
    assert rig.dismissed == [("t", 0)]


async def test_a_server_that_stops_can_wait_until_no_run_is_left(rig: Rig) -> None:
    """Neither at work nor in line; no longer than it wants to."""
    assert await rig.desk.registry.wait_idle(1.0)
    await rig.desk.dispatch(ADA, say("first", "t"), rig.outbox)
    await rig.desk.dispatch(ADA, say("second", "t"), rig.outbox)
    assert not await rig.desk.registry.wait_idle(0.05)
    rig.services.agents["script"].model.turns[0].gate.opened.set()  # type: ignore[union-attr]
    assert await rig.desk.registry.wait_idle(5.0)
    assert len(await rig.until(FinalResponse, 2)) == 2


async def test_what_was_found_in_a_message_is_told_by_whoever_begins_to_work_on_it(rig: Rig) -> None:
    """Also where its server, or its conversation, died before: once, right after the agent began, in one with that."""
    await rig.desk.dispatch(ADA, say("first", "t"), rig.outbox)
    await rig.desk.dispatch(ADA, say(f"my key is ghp_{'a1B2c3D4' * 4}e5F6, keep it", "t"), rig.outbox)
    await rig.until(AgentStarted)
    (conversation,) = rig.system.find("/s/conversations").children()  # type: ignore[union-attr]
    conversation.kill()
    rig.services.agents["script"].model.turns[0].gate.opened.set()  # type: ignore[union-attr]
    await rig.until(FinalResponse, 2)
    events = await rig.services.store.events("ada", "t", 0)
    second = next(each.run_id for each in reversed(events) if each.type == MessageAccepted.type)
    kinds = [each.type for each in events if each.run_id == second]
    assert kinds == [
        each.type
        for each in (
            MessageAccepted,
            AgentStarted,
            SanitizationSummary,
            AgentThinking,
            AgentCompleted,
            FinalResponse,
        )
    ]
    told = [each.event for each in rig.told if isinstance(each.event, SanitizationSummary)]
    assert [(each.direction, dict(each.counts)) for each in told] == [("inbound", {"secret": 1})]


async def test_a_conversation_ends_when_nothing_runs(rig: Rig) -> None:
    """Its followers do not keep it in memory: they are told of the next message, with which it begins anew."""
    rig.services.idle_s = 0.1
    await rig.desk.dispatch(ADA, say("hello", "t"), rig.outbox)
    await rig.until(AgentStarted)
    (conversation,) = rig.system.find("/s/conversations").children()  # type: ignore[union-attr]
    rig.services.agents["script"].model.turns[0].gate.opened.set()  # type: ignore[union-attr]
    await rig.until(FinalResponse)
    with trio.fail_after(5):
        assert isinstance(await conversation.wait_stopped(), Normal)
    await rig.desk.dispatch(ADA, say("again", "t"), None)
    await rig.until(FinalResponse, 2)
