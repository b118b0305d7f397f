"""Commits that succeed although their confirmation is lost: no event is lost or duplicated."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from tests.rigs.chat_client import check_arc, connected
from tests.rigs.scripted_model import Call, Say, scripted
from understudy.app.server import Running
from understudy.storage.changes import Change
from understudy.storage.errors import StorageUnavailable
from understudy.storage.limits import Limits


def lose_answer(running: Running, kind: str) -> None:
    """Store the next commit that has an event of this kind, then raise as if the connection had been lost."""
    real = running.store.commit
    lost = False

    async def commit(change: Change) -> None:
        nonlocal lost
        await real(change)
        if not lost and isinstance(change, Change) and any(event.type == kind for event in change.events):
            lost = True
            raise StorageUnavailable("the answer was lost")

    running.store.commit = commit  # type: ignore[method-assign]


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert [record.getMessage() for record in caplog.get_records("call") if record.levelno >= logging.ERROR] == []


@pytest.mark.usefixtures("quiet")
async def test_a_message_whose_acceptance_was_in_doubt_still_ends(serve: Any) -> None:
    running = await serve(scripted(Say("hello")))
    lose_answer(running, "message_accepted")
    async with connected(running.address) as client:
        await client.say("go", agent_type="script", thread_id="t", message_id="m")
        refused = await client.read()
        assert (refused["data"]["code"], refused["data"]["retryable"]) == ("storage_unavailable", True)
        await client.say("go", agent_type="script", thread_id="t", message_id="m")
        end = await client.until_end()
        assert end["type"] == "final_response"
        # A repeated message gets its acceptance again.
        check_arc(list({event["seq"]: event for event in client.durable(end["run_id"])}.values()))
        await client.say("again", agent_type="script", thread_id="t", message_id="m2")
        assert (await client.until_end())["type"] == "final_response"


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("kind", ["agent_thinking", "tool_executing", "tool_completed", "final_response"])
async def test_a_step_whose_recording_was_in_doubt_leaves_one_whole_arc(serve: Any, kind: str) -> None:
    """The conversation restarts from the log and, unless the run has ended, the run is resumed.

    A call that may have begun is not repeated: its user, who is asked about it, does not answer in time.
    """
    limits = Limits(approval_s=0.3, approval_unseen_s=0.3)
    running = await serve(scripted(Call([("echo", {"text": "x"})]), Say("done")), limits=limits)
    lose_answer(running, kind)
    async with connected(running.address) as client:
        await client.say("go", agent_type="script", thread_id="t", message_id="m")
        assert (await client.until_end())["type"] == "final_response"
        titles = [event["data"]["title"] for event in client.seen if event["type"] == "question_asked"]
        assert titles == (["Did echo take effect?"] if kind in ("agent_thinking", "tool_executing") else [])
    async with connected(running.address, client.seen[0]["data"]["session_token"]) as again:
        await again.send({"type": "resume", "payload": {"threads": {"t": 0}}})
        await again.until_end()
        check_arc(again.durable())
        await again.say("go on", agent_type="script", thread_id="t")
        assert (await again.until_end())["type"] == "final_response"
