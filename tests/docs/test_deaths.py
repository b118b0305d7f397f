"""Each row of the failure table in docs/explanation/tree.md."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from trio_websocket import ConnectionClosed

from actors import ActorRef, TreeNode
from tests.docs.served import Peer, connected, served
from tests.docs.tables import table
from transport.connection.limits import Limits
from understudy import Agent, tool
from understudy.app.server import Running
from understudy.models.model import Reply, TextDelta, ToolRequest, Turn


@tool
async def hold() -> str:
    """Wait forever."""
    await trio.sleep_forever()
    return "never"


@tool
async def crash() -> str:
    """Raise."""
    raise RuntimeError("a tool that breaks")


class Obedient:
    """A model that calls the tool named by the user's message; on `fail` it raises."""

    name = "obedient"
    notice = "Does what it is told."

    async def respond(self, turn: Turn, emit: object) -> Reply:
        if turn.request == "fail":
            raise RuntimeError("a model that breaks")
        if not turn.work:
            return Reply("", (ToolRequest("1", turn.request, {}, ""),))
        await emit(TextDelta("That is over."))  # type: ignore[operator]
        return Reply("That is over.")


BRIEF = Limits(approval_s=0.3, approval_unseen_s=0.3)
WORKER = Agent("worker", tools=[hold, crash], model=Obedient())


def nodes(running: Running) -> Iterator[TreeNode]:
    """Yield every actor that is alive."""
    return running.system.tree().walk()


def the(running: Running, kind: str) -> ActorRef:
    """Return the only actor of a class."""
    (path,) = [node.path for node in nodes(running) if node.type == kind]
    ref = running.system.find(path)
    assert ref is not None
    return ref


async def held(peer: Peer) -> None:
    """Start a run and leave it in the middle of a tool call."""
    await peer.say("hold", "worker")
    await peer.until("tool_executing")


def assert_whole(peer: Peer) -> None:
    """Check that the arc of the run is complete and numbered without a gap."""
    numbered = [event for event in peer.events if "seq" in event]
    assert [event["seq"] for event in numbered] == list(range(1, len(numbered) + 1))
    assert len(peer.all("agent_started")) == len(peer.all("agent_completed"))
    assert len(peer.all("tool_executing")) == len(peer.all("tool_completed"))
    assert len(peer.all("final_response")) + len(peer.all("error")) == 1


async def test_a_tool_that_raises_is_a_failed_result(tmp_path: Path) -> None:
    """The run continues and answers."""
    async with served(tmp_path, [WORKER]) as running, connected(running) as peer:
        answer = await peer.ask("crash", "worker")
        assert peer.all("tool_completed")[0]["data"]["status"] == "failed"
        assert answer["type"] == "final_response"
        assert_whole(peer)


async def test_a_killed_tool_call_is_a_result_too(tmp_path: Path) -> None:
    """The run continues and answers."""
    async with served(tmp_path, [WORKER]) as running, connected(running) as peer:
        await held(peer)
        the(running, "ToolCall").kill()
        answer = await peer.until("final_response", "error")
        assert peer.all("tool_completed")[0]["data"]["status"] == "killed"
        assert answer["type"] == "final_response"
        assert_whole(peer)


async def test_a_run_that_raises_ends_in_agent_failed(tmp_path: Path) -> None:
    async with served(tmp_path, [WORKER]) as running, connected(running) as peer:
        ended = await peer.ask("fail", "worker")
        assert ended["data"]["code"] == "agent_failed"
        assert_whole(peer)


@pytest.mark.parametrize("kind", ["Run", "Conversation"])
async def test_a_killed_run_goes_on_and_asks_about_its_call(tmp_path: Path, kind: str) -> None:
    """It goes on without an answer, also if its conversation is killed."""
    async with served(tmp_path, [WORKER], limits=BRIEF) as running, connected(running) as peer:
        await held(peer)
        the(running, kind).kill()
        await peer.until("question_asked")
        await peer.until("final_response")
        assert_whole(peer)


async def test_the_next_queued_run_waits_for_the_end_of_a_killed_run(tmp_path: Path) -> None:
    async with served(tmp_path, [WORKER], limits=BRIEF) as running, connected(running) as peer:
        await held(peer)
        await peer.say("crash", "worker")
        await peer.until("agent_progress")
        the(running, "Run").kill()
        first = await peer.until("final_response")
        second = await peer.until("final_response")
        assert [each["run_id"] for each in (first, second)] == [each["run_id"] for each in peer.all("message_accepted")]


async def test_recovery_resumes_the_runs_of_all_conversations(tmp_path: Path) -> None:
    """The supervisor of all conversations is killed: within seconds the run goes on, on the same connection."""
    async with served(tmp_path, [WORKER], limits=BRIEF) as running, connected(running) as peer:
        await held(peer)
        conversations = running.system.find("/system/conversations")
        assert conversations is not None
        conversations.kill()
        await peer.until("question_asked")
        await peer.until("final_response")
        assert_whole(peer)


@pytest.mark.parametrize(("kind", "code"), [("Outbox", 1011), ("WebSocketConnection", 1006)])
async def test_a_client_comes_back_after_its_connection_died(tmp_path: Path, kind: str, code: int) -> None:
    """The socket is closed or dropped; the client reconnects without losing an event."""
    async with served(tmp_path, [WORKER]) as running, connected(running) as peer:
        token = peer.events[0]["data"]["session_token"]
        await held(peer)
        the(running, kind).kill()
        with pytest.raises(ConnectionClosed) as closed:
            await peer.until("never")
        assert closed.value.reason.code == code
        the(running, "ToolCall").kill()
        async with connected(running, token) as again:
            await again.send("resume", threads={peer.thread_id: peer.events[-1]["seq"]})
            await again.until("final_response")
            peer.events += again.events[1:]
        assert_whole(peer)


async def test_the_writer_may_die_unnoticed(tmp_path: Path) -> None:
    """Unanswered writes are repeated."""
    async with served(tmp_path, [WORKER]) as running, connected(running) as peer:
        the(running, "StoreWriter").kill()
        answer = await peer.ask("crash", "worker")
        assert answer["type"] == "final_response"
        assert_whole(peer)


async def test_a_restarted_server_asks_about_what_was_cut_off(tmp_path: Path) -> None:
    """A cancelled server leaves an open run; the next one goes on with it, and the client resumes."""
    async with served(tmp_path, [WORKER]) as running, connected(running) as peer:
        token = peer.events[0]["data"]["session_token"]
        await held(peer)
    async with served(tmp_path, [WORKER], limits=BRIEF) as running, connected(running, token) as again:
        await again.send("resume", threads={peer.thread_id: peer.events[-1]["seq"]})
        await again.until("question_asked")
        await again.until("final_response")
        peer.events += again.events[1:]
        assert_whole(peer)


def test_the_table_names_every_kind_of_actor() -> None:
    listed = " ".join(row["dies"] for row in table("explanation/tree.md", "Failures and recovery"))
    for name in ("tool call", "run", "conversation", "outbox", "connection", "writer", "recovery", "process"):
        assert name in listed
