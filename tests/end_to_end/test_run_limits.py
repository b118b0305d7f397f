"""Permits for running: queued runs get their position, and beyond the queue's bound messages are `busy`."""

import time
from typing import Any

import pytest
import trio

from tests.rigs.chat_client import ChatClient, check_arc, connected
from tests.rigs.http import get, new_token, request
from tests.rigs.scripted_model import Call, Gate, Say, lingering, scripted
from tests.servers.postgresql import Postgres
from understudy import Agent
from understudy.chat import registry
from understudy.chat.run import executor
from understudy.storage.changes import Change
from understudy.storage.errors import StorageUnavailable
from understudy.storage.limits import Limits
from understudy.storage.writer import StoreWriter
from understudy.wire.codes import ERRORS


def gated() -> tuple[Agent, Gate]:
    gate = Gate()
    return scripted(Say("word", gate)), gate


async def accepted(client: ChatClient, thread_id: str, **payload: Any) -> str:
    await client.say("go", agent_type="script", thread_id=thread_id, **payload)
    return str((await client.until("message_accepted"))["run_id"])


def notes(client: ChatClient, thread_id: str) -> list[str]:
    texts = [event["data"]["note"] for event in client.seen if event["type"] == "agent_progress"]
    kept = [event["thread_id"] for event in client.seen if event["type"] == "agent_progress"]
    return list(dict.fromkeys(note for note, thread in zip(texts, kept, strict=True) if thread == thread_id))


def number(place: int) -> str:
    return f"Waiting for a free place: number {place} in line"


@pytest.mark.promise("wire.arc-place")
async def test_a_queued_run_reports_its_position_as_it_moves_up(serve_client: Any) -> None:
    agent, gate = gated()
    async with serve_client(agent, limits=Limits(runs_per_user=1)) as client:
        runs = [await accepted(client, thread) for thread in "abcd"]
        await gate.reached.wait()
        await client.until("agent_progress", note=number(3))
        gate.opened.set()
        ends = [await client.until_end() for _ in runs]
    assert [end["run_id"] for end in ends] == runs
    assert notes(client, "b") == [number(1)]
    assert notes(client, "c")[:2] == [number(2), number(1)]
    assert notes(client, "d")[:3] == [number(3), number(2), number(1)]
    for run_id in runs:
        check_arc(sorted(client.durable(run_id), key=lambda event: event["seq"]))


END = "final_response"


@pytest.mark.promise("wire.limit-waiting", "wire.error-busy")
async def test_beyond_the_queue_a_message_is_refused_and_not_stored(serve_guest: Any) -> None:
    agent, gate = gated()
    running, token = await serve_guest(agent, limits=Limits(runs_per_user=1, runs_waiting=2))
    async with connected(running.address, token) as client:
        runs = [await accepted(client, "a"), await accepted(client, "b"), await accepted(client, "a")]
        for thread in ("c", "a"):
            await client.say("go", agent_type="script", thread_id=thread, message_id="late")
            with trio.fail_after(60):  # progress events would keep `until` waiting
                refused = await client.until("error", code="busy")
            assert refused["data"]["retryable"] is True
            assert refused["data"]["retry_after"] > 0
            assert (refused["message_id"], refused["thread_id"], refused.get("seq")) == ("late", thread, None)
        assert (await request(running.address, "GET", "/api/threads/c", token=token))[0] == 404
        gate.opened.set()
        assert {(await client.until_end())["run_id"] for _ in runs} == set(runs)
        await accepted(client, "c", message_id="late")
        assert (await client.until_end())["type"] == END


async def test_a_cancelled_queued_run_frees_its_position(serve_client: Any) -> None:
    agent, gate = gated()
    async with serve_client(agent, limits=Limits(runs_per_user=1, runs_waiting=2)) as client:
        await accepted(client, "a")
        waiting = await accepted(client, "b")
        await accepted(client, "c")
        await client.until("agent_progress", note=number(2))
        await client.send({"type": "cancel", "payload": {"run_id": waiting}})
        assert (await client.until_end())["data"]["status"] == "cancelled"
        await client.until("agent_progress", note=number(1))
        check_arc(sorted(client.durable(waiting), key=lambda event: event["seq"]))
        await accepted(client, "d")
        gate.opened.set()
        assert [(await client.until_end())["thread_id"] for _ in "acd"] == ["a", "c", "d"]


@pytest.mark.promise("wire.limit-run")
async def test_queue_time_does_not_count_towards_the_deadline(serve_client: Any) -> None:
    slow = scripted(Call([("wait", {})]), timeout_s=2.0)
    quick = scripted(Say("word"), name="quick", timeout_s=1.0)
    async with serve_client(slow, quick, limits=Limits(runs_per_user=1)) as client:
        await accepted(client, "a")
        await client.until("tool_executing")
        await client.say("go", agent_type="quick", thread_id="b")
        first, *others = [await client.ask("go", agent_type="quick", thread_id="a") for _ in range(3)]
    assert first["data"]["code"] == "agent_timeout"
    assert [event["type"] for event in others] == [END, END]


async def test_a_message_that_could_not_be_stored_holds_no_permit(serve: Any) -> None:
    running = await serve(scripted(Say("word")), limits=Limits(runs_per_user=1, runs_waiting=1))
    real, refusals = running.store.commit, [1, 2]

    async def commit(change: Change) -> None:
        if refusals and isinstance(change, Change):  # not the housekeeping of the start
            refusals.pop()
            raise StorageUnavailable("the disk is away")
        await real(change)

    running.store.commit = commit
    async with connected(running.address) as client:
        for thread in "ab":
            await client.say("go", agent_type="script", thread_id=thread)
            await client.until("error", code="storage_unavailable")
        await accepted(client, "a")
        assert (await client.until_end())["type"] == END
    assert not notes(client, "a")


async def test_a_run_ends_without_a_tool_that_shields_itself(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "STOP_S", 0.1)
    over = trio.Event()
    running = await serve(lingering(over), scripted(Say("hello"), name="other"))
    try:
        async with connected(running.address) as client:
            run_id = await accepted(client, "t")
            await client.until("tool_executing")
            await client.send({"type": "cancel", "payload": {"run_id": run_id}})
            end = await client.until_end()
            assert (end["run_id"], end["data"]["status"]) == (run_id, "cancelled")
            check_arc(client.durable(run_id))
            assert (await client.ask("go", agent_type="other", thread_id="u"))["type"] == "final_response"
    finally:
        over.set()


async def test_messages_behind_a_tool_that_shields_itself_say_what_they_wait_for(
    serve_guest: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "STOP_S", 0.1)
    over = trio.Event()
    running, token = await serve_guest(lingering(over))
    waits, behind = "Waiting for linger, which cannot be interrupted", "Waiting: 1 before this one in this conversation"
    try:
        async with connected(running.address, token) as client:
            cancelled = await accepted(client, "t")
            await client.until("tool_executing")
            early = await accepted(client, "t")
            await client.send({"type": "cancel", "payload": {"run_id": cancelled}})
            assert (await client.until_end())["run_id"] == cancelled
            with trio.fail_after(60):
                assert (await client.until("agent_progress", note=waits))["run_id"] == early
                late = await accepted(client, "t")
                assert (await client.until("agent_progress", note=waits))["run_id"] == early
                assert (await client.until("agent_progress", note=behind))["run_id"] == late
            async with connected(running.address, token) as page:
                seq = client.durable()[-1]["seq"]
                await page.send({"type": "resume", "payload": {"threads": {"t": seq}}})
                with trio.fail_after(60):
                    assert (await page.until("agent_progress", note=waits))["run_id"] == early
            over.set()
            assert {(await client.until_end())["run_id"] for _ in range(2)} == {early, late}
    finally:
        over.set()


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_of_a_crowd_on_a_slow_store_each_is_answered_or_told_that_it_is_too_much(
    serve: Any, monkeypatch: pytest.MonkeyPatch, postgres: Postgres, template: str, database: str
) -> None:
    """Forty users send at one instant, of whom four at a time are admitted, and each commit takes 50 ms."""
    commit = StoreWriter._commit

    def slow(self: StoreWriter, *group: Any) -> Any:
        time.sleep(0.05)
        return commit(self, *group)

    monkeypatch.setattr(StoreWriter, "_commit", slow)
    monkeypatch.setattr(registry, "AT_A_TIME", 4)
    monkeypatch.setattr(registry, "WAIT_S", 0.2)
    running = await serve(
        scripted(Say("word")), **({} if database == "sqlite" else {"database_url": postgres.create(template)})
    )
    outcomes: dict[str, list[Any]] = {"accepted": [], "refused": []}
    ready, go = trio.Semaphore(0), trio.Event()

    async def send(number: int) -> None:
        async with connected(running.address) as client:
            ready.release()
            await go.wait()
            await client.say("go", agent_type="script", thread_id="t", message_id=f"m{number}")
            while (event := await client.read())["type"] not in ("message_accepted", "error"):
                pass
            if event["type"] == "message_accepted":
                await client.until("final_response")
                check_arc(client.durable())
                outcomes["accepted"].append(number)
            else:
                outcomes["refused"].append((event["data"]["code"], event["data"]["retry_after"] > 0))
                assert "run_id" not in event

    async with trio.open_nursery() as nursery:
        for number in range(40):
            nursery.start_soon(send, number)
        for _ in range(40):
            await ready.acquire()
        go.set()
    assert len(outcomes["accepted"]) >= 4
    assert outcomes["refused"] == [("busy", True)] * (40 - len(outcomes["accepted"]))


DOORS: dict[str, tuple[str, Any]] = {
    "commands": ("/api/commands", {"type": "user_message", "payload": {"content": "go", "thread_id": "t"}}),
    "runs": ("/api/runs", {"message": "go", "agent": "script"}),
}


@pytest.mark.parametrize("door", DOORS)
async def test_requests_are_told_that_it_is_too_much(serve: Any, monkeypatch: pytest.MonkeyPatch, door: str) -> None:
    monkeypatch.setattr(registry, "AT_A_TIME", 0)
    monkeypatch.setattr(registry, "WAIT_S", 0.05)
    running = await serve(scripted(Say("word")))
    token = await new_token(running)
    path, body = DOORS[door]
    status, headers, refusal = await request(running.address, "POST", path, token=token, body=body)
    assert status == 503
    assert "retry-after" in headers
    assert ERRORS["busy"].text in str(refusal)
    assert (await get(running, "/api/threads", token))["threads"] == []
