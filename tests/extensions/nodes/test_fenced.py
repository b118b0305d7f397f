"""A conversation whose thread another node has claimed: it stops, and stores and sends nothing more."""

from typing import Any

import pytest
import trio
from attrs import define, field

from actors import ActorRef, ChildSpec, Normal, Restart, StartChild
from tests.rigs.conversation import ADA, Follower, Rig, say
from tests.rigs.conversation import rig as rig
from transport.wire.commands import Resume
from transport.wire.errors import CommandRejected
from transport.wire.events import Resync
from understudy.chat.commands.dispatcher import CommandDispatcher
from understudy.chat.conversation.conversation import Conversation
from understudy.chat.messages import OwnershipLost
from understudy.chat.placement import Moved
from understudy.extensions.nodes import storage as nodes
from understudy.extensions.nodes.membership import Member, join
from understudy.extensions.nodes.storage import join_nodes, leave_nodes
from understudy.storage import queries
from understudy.storage.changes import Change
from understudy.storage.records import Fence, LoggedEvent, RunEnd
from understudy.storage.store import Store
from understudy.wire.events import AgentStarted, FinalResponse


@define
class Shared:
    """A rig whose server is one of several nodes."""

    rig: Rig
    desk: CommandDispatcher
    node: Member
    moved: list[tuple[str, str, ActorRef]] = field(factory=list)

    @property
    def store(self) -> Any:
        return self.rig.services.store

    @property
    def conversation(self) -> ActorRef:
        return self.rig.conversation

    async def answered(self) -> None:
        """Have a message answered in thread `t`."""
        self.rig.open_gate()
        await self.desk.dispatch(ADA, say("hello", "t"), self.rig.outbox)
        await self.rig.until(FinalResponse)

    async def at_work(self) -> None:
        """Start a run of thread `t`, which waits for the gate."""
        await self.desk.dispatch(ADA, say("hello", "t"), self.rig.outbox)
        await self.rig.until(AgentStarted)

    async def lose(self) -> Fence:
        """Have another node claim thread `t`, as if this one were dead."""
        await self.store.commit_urgent(leave_nodes(self.node.id))
        await self.store.commit_urgent(join_nodes("other", lease_s=60.0))
        fence = await nodes.claim(self.store, "ada", "t", "other")
        return fence

    async def go_on(self, fence: Fence) -> int:
        """Store an event of thread `t` that its conversation here does not know. Return its number."""
        (heads,) = (await self.store.read(queries.last_seqs, "ada", ["t"])).values()
        await self.store.commit(Change("ada", "t", (LoggedEvent(heads + 1, "note", None, b"{}"),), fence=fence))
        return int(heads) + 1

    async def stored(self) -> tuple[list[Any], list[Any]]:
        return await self.store.events("ada", "t", 0), await self.store.unfinished_runs("ada", "t")


@pytest.fixture
async def shared(rig: Rig) -> Shared:
    node = Member(rig.services.store)
    await join(node, lease_s=60.0)
    shared = Shared(rig, CommandDispatcher(rig.services, lambda: rig.conversations), node)
    shared.desk.join(node)
    rig.services.on_relocated = lambda *moved: shared.moved.append(moved)
    return shared


async def ended(conversation: ActorRef) -> object:
    with trio.fail_after(60):
        return await conversation.wait_stopped()


async def test_a_fenced_conversation_ends_without_a_word(shared: Shared, caplog: pytest.LogCaptureFixture) -> None:
    await shared.at_work()
    conversation, before = shared.conversation, await shared.stored()
    count = len(shared.rig.told)
    assert len(before[1]) == 1
    await shared.lose()
    shared.rig.open_gate()
    assert isinstance(await ended(conversation), Normal)
    assert await shared.stored() == before
    numbered = [envelope for envelope in shared.rig.told[count:] if envelope.seq is not None]
    assert numbered == []
    assert shared.moved == [("ada", "t", conversation)]
    assert [record.runs for record in caplog.records if record.message == "conversation.fenced"] == [1]
    assert await shared.store.read(nodes.owner_node, "ada", "t") == "other"
    assert not any("crashed" in record.getMessage() for record in caplog.records)


async def test_a_message_to_a_fenced_conversation_is_not_stored(shared: Shared) -> None:
    await shared.answered()
    before = await shared.stored()
    await shared.lose()
    with pytest.raises(CommandRejected) as refused:
        await shared.desk.dispatch(ADA, say("more", "t"), shared.rig.outbox)
    assert refused.value.code == "storage_unavailable"
    assert await shared.stored() == before


async def test_who_has_seen_more_is_not_told_to_forget_it_by_a_fenced_conversation(shared: Shared) -> None:
    await shared.answered()
    conversation = shared.conversation
    last_seq = await shared.go_on(await shared.lose())
    with pytest.raises(CommandRejected) as refused:
        await shared.desk.dispatch(ADA, Resume({"t": last_seq}), shared.rig.outbox)
    assert refused.value.code == "storage_unavailable"
    assert isinstance(await conversation.wait_stopped(), Normal)
    assert not any(isinstance(envelope.event, Resync) for envelope in shared.rig.told)


async def test_who_has_seen_what_was_stored_after_all_is_not_told_to_forget_it(shared: Shared) -> None:
    await shared.answered()
    thread, _ = await shared.store.read(queries.thread_with_open_runs, "ada", "t")
    last_seq = await shared.go_on(Fence(thread.node, thread.fence))
    await shared.desk.dispatch(ADA, Resume({"t": last_seq}), shared.rig.outbox)
    assert not any(isinstance(envelope.event, Resync) for envelope in shared.rig.told)
    await shared.desk.dispatch(ADA, Resume({"t": last_seq + 1}), shared.rig.outbox)
    (resync,) = await shared.rig.until(Resync)
    assert resync.event == Resync(last_seq)


async def test_a_message_finds_who_has_the_thread_now(shared: Shared) -> None:
    await shared.answered()
    await shared.lose()
    await shared.store.commit_urgent(leave_nodes("other"))
    await shared.store.commit_urgent(join_nodes(shared.node.id, lease_s=60.0))
    await shared.desk.dispatch(ADA, say("more", "t"), shared.rig.outbox)
    await shared.rig.until(FinalResponse, 2)
    events, unfinished = await shared.stored()
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert unfinished == []


async def test_a_conversation_that_comes_back_after_its_thread_was_taken_ends(shared: Shared) -> None:
    await shared.answered()
    conversation = shared.conversation
    await shared.lose()
    conversation.kill()
    await ended(conversation)
    assert [(owner, thread_id) for owner, thread_id, _ in shared.moved] == [("ada", "t")]


async def test_a_conversation_that_comes_back_before_its_last_commit_reads_the_log_again(
    shared: Shared, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is killed while the end of its run is being stored, and the next one reads the run before that."""
    await shared.at_work()
    conversation, read = shared.conversation, shared.store.read

    async def read_too_early(query: Any, *of: Any) -> Any:
        rows = await read(query, *of)
        if query is queries.thread_with_open_runs:
            monkeypatch.undo()
            thread, runs = rows
            end, fence = RunEnd(runs[0].id, "success", 1.0), Fence(thread.node, thread.fence)
            await shared.store.commit(Change(*of, run_end=end, fence=fence))
        return rows

    monkeypatch.setattr(shared.store, "read", read_too_early)
    conversation.kill()
    await ended(conversation)
    assert [(owner, thread_id) for owner, thread_id, _ in shared.moved] == [("ada", "t")]
    assert [record.why for record in caplog.records if record.message == "conversation.outrun"] == ["NotStored"]


async def test_a_conversation_that_stands_down_is_taken_up_again(shared: Shared) -> None:
    await shared.at_work()
    first = shared.conversation
    first.tell(OwnershipLost())
    await ended(first)
    assert await shared.store.read(nodes.owner_node, "ada", "t") is None
    (run,) = (await shared.stored())[1]
    await shared.store.commit_urgent(leave_nodes(shared.node.id))
    shared.node.rename()
    await join(shared.node, lease_s=60.0)
    await shared.desk.registry.ensure_running("ada", "t", run.id)
    assert await shared.store.read(nodes.owner_node, "ada", "t") == shared.node.id
    shared.rig.open_gate()
    await shared.rig.until(FinalResponse)
    events, unfinished = await shared.stored()
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert [event.type for event in events].count(FinalResponse.type) == 1
    assert unfinished == []


async def test_one_that_begins_too_late_ends(shared: Shared) -> None:
    await shared.at_work()
    before = await shared.stored()
    first = shared.conversation
    first.tell(OwnershipLost())
    await ended(first)
    stale = await nodes.claim(shared.store, "ada", "t", shared.node.id)
    await shared.lose()
    make = lambda: Conversation("ada", "t", shared.rig.services, stale)  # noqa: E731
    late = await shared.rig.conversations.ask(StartChild(ChildSpec("late", make, restart=Restart.TRANSIENT)))
    shared.rig.open_gate()
    assert isinstance(await ended(late), Normal)
    assert await shared.stored() == before
    assert await shared.store.read(nodes.owner_node, "ada", "t") == "other"


async def test_a_thread_at_rest_is_let_go_of(shared: Shared) -> None:
    shared.rig.services.settings.idle_s = 0.1
    await shared.at_work()
    conversation = shared.conversation
    assert await shared.store.read(nodes.owner_node, "ada", "t") == shared.node.id
    shared.rig.open_gate()
    await shared.rig.until(FinalResponse)
    await ended(conversation)
    assert await shared.store.read(nodes.owner_node, "ada", "t") is None


async def test_a_run_whose_thread_another_server_has_is_left_to_it(shared: Shared) -> None:
    await shared.at_work()
    conversation = shared.conversation
    await shared.lose()
    conversation.tell(OwnershipLost())
    await ended(conversation)
    await shared.store.commit_urgent(join_nodes(shared.node.id, lease_s=60.0))
    (run,) = (await shared.stored())[1]
    requests: list[str] = []

    def make_proxy(owner: str, thread_id: str, owner_node: str, after: int | None, since: float) -> Any:
        requests.append(owner_node)
        return Follower([], [])

    conversations = shared.rig.conversations
    desk = CommandDispatcher(shared.rig.services, lambda: conversations)
    desk.join(shared.node, make_proxy)
    threads = desk.registry
    await threads.ensure_running("ada", "t", run.id)
    with pytest.raises(Moved):
        await threads.get_local("ada", "t")
    assert (requests, conversations.children()) == ([], [])
    assert (await threads.get_or_start("ada", "t")).is_proxy, "for whoever follows the thread here"
    assert requests == ["other"]


async def test_a_conversation_that_begins_as_its_server_gets_another_name_ends(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim, names = nodes.claim, [shared.node.id]

    async def claims(store: Store, owner: str, thread_id: str, node: str) -> Any:
        fence = await claim(store, owner, thread_id, node)
        if len(names) == 1:
            await shared.store.commit_urgent(leave_nodes(shared.node.id))
            shared.node.rename()
            names.append(shared.node.id)
            await join(shared.node, lease_s=60.0)
        return fence

    monkeypatch.setattr(nodes, "claim", claims)
    await shared.answered()
    assert await shared.store.read(nodes.owner_node, "ada", "t") == names[1]


async def test_of_threads_that_moved_those_that_cannot_be_had_do_not_hold_up_the_others(shared: Shared) -> None:
    threads, outbox = shared.desk.registry, shared.rig.outbox
    for name in "tuv":
        threads.mark_relocated("ada", name, outbox)
    with trio.move_on_after(0.01):
        await threads.resubscribe(("ada", "t"), outbox)
    assert [key[1] for key, _ in threads.relocated] == ["u", "v", "t"]
    await outbox.stop()
    await threads.resubscribe(("ada", "u"), outbox)
    assert [key[1] for key, _ in threads.relocated] == ["v", "t"]
