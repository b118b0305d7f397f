"""The conversations of a server with one agent, and an outbox that keeps what it is handed."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio.testing
from attrs import define, evolve, field

from actors import Actor, ActorRef, ActorSystem, ChildSpec, Context, Restart, Supervisor
from sanitization import STANDARD
from tests.rigs.scripted_model import Gate, Say, ScriptedModel, scripted
from transport.auth.identity import Identity
from transport.wire.messages import Deliver, Reply, UnsubscribeThread
from understudy.chat.commands.dispatcher import CommandDispatcher
from understudy.chat.presence import Presence
from understudy.chat.run_limiter import RunLimiter
from understudy.chat.services import ChatSettings, Services
from understudy.chat.user_files import FilesOfUsers
from understudy.content.filter import ContentFilter
from understudy.extension import Parts
from understudy.extensions.files.attachments import Attachments
from understudy.extensions.files.folder import FolderFiles
from understudy.extensions.files.stores import BoundedFiles, FileQuotas
from understudy.models.registry import Models
from understudy.observe.health import ServerStatus
from understudy.observe.metrics import Metrics
from understudy.storage.limits import Limits
from understudy.storage.sqlite import open_database
from understudy.storage.store import Store
from understudy.storage.writer import StoreWriter
from understudy.wire.commands import Say as SayCommand
from understudy.wire.events import Envelope, FinalResponse

ADA = Identity("ada", "s")


class OneForAll(Presence):
    """Outboxes that have the events of every user."""

    def __init__(self, *outboxes: ActorRef) -> None:
        super().__init__(1)
        self.all = outboxes

    def outboxes(self, user: str, thread_id: str | None) -> tuple[ActorRef, ...]:
        return self.all

    def opened(self, user: str, thread_id: str) -> dict[ActorRef, float]:
        return dict.fromkeys(self.all, 0.0)

    def users(self) -> tuple[str, ...]:
        return ("ann",)


class Follower(Actor):
    """An outbox that keeps the events it is handed, and after how many of them it was told to forget which thread."""

    def __init__(self, envelopes: list[Envelope], dismissed: list[tuple[str, int]]) -> None:
        self.told = envelopes
        self.dismissed = dismissed

    async def receive(self, message: object, context: Context) -> None:
        match message:
            case Deliver():
                self.told += message.envelopes
            case Reply(envelope=envelope):
                self.told.append(envelope)
            case UnsubscribeThread(thread_id):
                self.dismissed.append((thread_id, len(self.told)))


@define
class Rig:
    """The desk, a follower and what it was told."""

    desk: CommandDispatcher
    services: Services
    system: ActorSystem
    outbox: ActorRef
    told: list[Envelope] = field(factory=list)
    dismissed: list[tuple[str, int]] = field(factory=list)

    @property
    def model(self) -> ScriptedModel:
        return self.services.agents["script"].model  # type: ignore[return-value]

    @property
    def conversations(self) -> ActorRef:
        supervisor = self.system.find("/s/conversations")
        assert supervisor is not None
        return supervisor

    @property
    def conversation(self) -> ActorRef:
        (conversation,) = self.conversations.children()
        return conversation

    def open_gate(self) -> None:
        self.model.turns[0].gate.opened.set()  # type: ignore[union-attr]

    async def answered(self, text: str = "hello", count: int = 1) -> None:
        """Say something in thread `t`, and wait for the answer, which is the conversation's `count`th."""
        await self.desk.dispatch(ADA, say(text, "t"), self.outbox)
        await self.until(FinalResponse, count)

    async def until(self, kind: type, count: int = 1) -> list[Envelope]:
        """Wait until so many events of this kind were told."""
        with trio.fail_after(60):
            while len(envelopes := [envelope for envelope in self.told if isinstance(envelope.event, kind)]) < count:
                await trio.testing.wait_all_tasks_blocked(0.005)
        return envelopes


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """One agent that passes a gate before each word, one place for runs in all, and frequent signs of life."""
    database = await trio.to_thread.run_sync(open_database, tmp_path)
    envelopes: list[Envelope] = []
    dismissed: list[tuple[str, int]] = []
    children = [
        ChildSpec("writer", lambda: StoreWriter(database)),
        ChildSpec("conversations", lambda: Supervisor([], intensity=100)),
        ChildSpec("outbox", lambda: Follower(envelopes, dismissed), restart=Restart.TEMPORARY),
    ]
    async with ActorSystem("s", children) as system:
        store = Store(database, lambda: system.find("/s/writer"))
        outbox = system.find("/s/outbox")
        conversations = system.find("/s/conversations")
        assert outbox is not None
        assert conversations is not None
        agent, metrics = scripted(Say("word", Gate())), Metrics()
        content_filter = await trio.to_thread.run_sync(ContentFilter, STANDARD, metrics.findings)
        bounded = BoundedFiles(FolderFiles(tmp_path / "files", store.commit), FileQuotas.of(store, Limits()))
        parts = Parts()
        parts.add(object(), ServerStatus)
        parts.add(FilesOfUsers(lambda owner: Attachments(owner, store, bounded, content_filter)))
        services = Services(
            store=store,
            agents={agent.name: agent},
            models=Models("offline", 50),
            content_filter=content_filter,
            limiter=RunLimiter(per_user=1, total=1),
            presence=OneForAll(outbox),
            parts=parts,
            metrics=metrics.runs,
            clock=time.time,
            settings=ChatSettings(silence_s=0.05, idle_s=60.0),  # longer than any test but those that shorten it
        )
        yield Rig(CommandDispatcher(services, lambda: conversations), services, system, outbox, envelopes, dismissed)
    database.close()


def say(text: str, thread: str) -> SayCommand:
    """Return a message of a user to the agent `script`."""
    return evolve(SayCommand(text), agent_type="script", thread_id=thread)
