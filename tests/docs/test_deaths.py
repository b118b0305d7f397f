"""What docs/reference/failures.md says of one node: each actor dies, and its user sees what the table says."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from actors import ActorRef, TreeNode
from tests.rigs.doc_tables import table
from tests.rigs.documented_server import Peer, connected, served
from understudy import Agent, tool
from understudy.app.server import Running
from understudy.models.model import Reply, TextDelta, ToolRequest, Turn
from understudy.storage.limits import Limits


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
    """A model that calls the tool named by the user's message."""

    name = "obedient"
    notice = "Does what it is told."

    async def respond(self, turn: Turn, emit: object) -> Reply:
        if not turn.work:
            return Reply("", (ToolRequest("1", turn.request, {}, ""),))
        await emit(TextDelta("That is over."))  # type: ignore[operator]
        return Reply("That is over.")


BRIEF = Limits(approval_s=0.3, approval_unseen_s=0.3)
WORKER = Agent("worker", tools=[hold, crash], model=Obedient())


def nodes(running: Running) -> Iterator[TreeNode]:
    return running.system.tree().walk()


def the(running: Running, kind: str) -> ActorRef:
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


async def test_a_killed_tool_call_is_a_result_too(tmp_path: Path) -> None:
    async with served(tmp_path, [WORKER]) as running, connected(running) as peer:
        await held(peer)
        the(running, "ToolCall").kill()
        answer = await peer.until("final_response", "error")
        assert peer.all("tool_completed")[0]["data"]["status"] == "killed"
        assert answer["type"] == "final_response"
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
        assert [end["run_id"] for end in (first, second)] == [event["run_id"] for event in peer.all("message_accepted")]


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


def test_the_table_names_every_kind_of_actor() -> None:
    listed = " ".join(row["failure"] for row in table("reference/failures.md", "In one node"))
    for name in ("tool call", "run", "conversation", "outbox", "connection", "writer", "recovery", "supervisor"):
        assert name in listed
