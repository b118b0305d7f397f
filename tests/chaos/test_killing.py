"""Actors of every kind are killed during a run: the run's arc stays complete."""

import random
from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing

from actors import ActorRef, TreeNode
from tests.end_to_end.chat_client import TERMINAL, ChatClient, check_arc, connected
from tests.end_to_end.http import new_token, request
from tests.end_to_end.scripted_model import Call, Gate, Say, scripted
from understudy.app.server import Running
from understudy.storage.limits import Limits

BRIEF = Limits(approval_s=0.3, approval_unseen_s=0.3)
"""What became of a call that was interrupted is asked, and nobody answers; its user may have no connection then."""

# Path patterns below the root, by the kind of actor; "*" stands for a name made at run time.
KINDS = {
    "tool call": "conversations/*/*/*",
    "run": "conversations/*/*",
    "conversation": "conversations/*",
    "all conversations": "conversations",
    "outbox": "connections/*/outbox",
    "connection": "connections/*",
    "all connections": "connections",
    "store writer": "storage/writer",
    "storage": "storage",
    "recovery": "observe/recovery",
    "observe": "observe",
}


def find(running: Running, pattern: str) -> list[ActorRef]:
    names = pattern.split("/")

    def fits(node: TreeNode) -> bool:
        parts = node.path.strip("/").split("/")[1:]
        return len(parts) == len(names) and all(n in ("*", p) for n, p in zip(names, parts, strict=True))

    found = [running.system.find(node.path) for node in running.system.tree().walk() if fits(node)]
    return [ref for ref in found if ref is not None]


async def outcome(running: Running, token: str, thread: str, runs: int = 1) -> list[dict[str, Any]]:
    """Return the log's events once `runs` runs have ended, as read by a new client."""
    with trio.fail_after(180):
        while True:
            try:
                async with connected(running.address, token) as client:
                    resume = {"type": "resume", "payload": {"threads": {thread: 0}}}
                    await client.send(resume)
                    while (events := whole(client, runs)) is None:
                        event = await client.read()
                        assert event["type"] != "resync", "nothing was trimmed"
                        if event["type"] == "error" and event.get("seq") is None:  # retryable: repeat it
                            await client.send(resume)
                    return events
            except Exception as error:
                # Its connection may be killed, or its thread not exist yet: reconnect.
                if isinstance(error, trio.TooSlowError | AssertionError):
                    raise
                await trio.sleep(0.05)


def whole(client: ChatClient, runs: int) -> list[dict[str, Any]] | None:
    """Return this client's events from 1 without gap and with `runs` ends, or None while some are missing.

    Live events may come before the replay that was requested; their numbers order them.
    """
    by_number = {event["seq"]: event for event in client.durable() if event["thread_id"] == "t"}
    events = [by_number[number] for number in range(1, len(by_number) + 1) if number in by_number]
    ends = sum(event["type"] in TERMINAL for event in events)
    return events if len(events) == len(by_number) and ends >= runs else None


def seeds(number: int) -> list[Any]:
    """Return this many seeds of random kills, of which `make test` plays the first three."""
    return [*range(3), *(pytest.param(seed, marks=pytest.mark.proof("chaos")) for seed in range(3, number))]


@pytest.mark.promise("wire.arc-tools-paired", "wire.arc-agents-paired", "wire.arc-one-end")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("moment", ["in a tool", "in the answer"])
async def test_a_run_ends_exactly_once_whichever_actor_is_killed(
    clock: trio.testing.MockClock, serve: Any, kind: str, moment: str
) -> None:
    """One kind of actor is killed while a tool runs or the answer streams: one complete arc, and the server
    works on.
    """
    gate = Gate(open_after=2)
    turns = [Call([("wait", {})])] if moment == "in a tool" else [Say("one two three four", gate)]
    if kind == "tool call" and moment == "in the answer":
        turns = [Call([("echo", {"text": "x"})]), *turns]
    running = await serve(scripted(*turns, timeout_s=2.0), limits=BRIEF)
    token = await new_token(running)
    async with connected(running.address, token) as client:
        await client.say("go", agent_type="script", thread_id="t")
        if moment == "in a tool":
            await client.until("tool_executing")
            await wait_for(lambda: find(running, KINDS["tool call"]))
        else:
            await gate.reached.wait()
        for ref in find(running, KINDS[kind]):
            ref.kill()
        gate.opened.set()
        clock.rate = 5.0  # backoffs, and the time limit of a tool that waits
        events = await outcome(running, token, "t")
    clock.rate = 1.0
    check_arc(events)
    await it_goes_on(running, token)


@pytest.mark.promise("wire.arc-one-end", "wire.seq")
@pytest.mark.parametrize("seed", seeds(12))
async def test_random_kills_never_break_a_promise(serve: Any, seed: int) -> None:
    """Seeded: three users chat while random actors are killed; every accepted message ends once, every log is
    gapless.
    """
    chance = random.Random(seed)
    turns = [Call([("echo", {"text": "x"}), ("tell_progress", {"steps": 3})]), Say("a few words of an answer")]
    running = await serve(scripted(*turns, timeout_s=3.0), limits=BRIEF)
    tokens = []
    for _ in range(3):
        _, _, session = await request(running.address, "POST", "/api/sessions")
        tokens.append(session["session_token"])

    async def user(token: str) -> None:
        accepted = 0
        while accepted < 3:
            try:
                async with connected(running.address, token) as client:
                    await client.say(
                        f"message {accepted}", agent_type="script", thread_id="t", message_id=f"m{accepted}"
                    )
                    with trio.fail_after(180):
                        while not any(event["type"] == "message_accepted" for event in client.seen):
                            event = await client.read()
                            assert event["type"] != "error" or event["data"]["retryable"], event
                            if event["type"] == "error" and "seq" not in event:
                                break
                        else:
                            accepted += 1
            except Exception:
                # Its connection was killed: the client reconnects and repeats the message_id.
                await trio.sleep(0.02)
        check_log(await outcome(running, token, "t", runs=3), runs=3)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(kill_at_random, running, chance, 15, 0.03)
        for token in tokens:
            nursery.start_soon(user, token)
    await it_goes_on(running, tokens[0])


async def kill_at_random(running: Running, chance: random.Random, times: int, longest_s: float) -> None:
    """Try `times` to kill an actor of a random kind of `KINDS`, each after a pause of at most `longest_s`."""
    for _ in range(times):
        await trio.sleep(chance.uniform(0.0, longest_s))
        victims = find(running, KINDS[chance.choice(list(KINDS))])
        if victims:
            chance.choice(victims).kill()


def check_log(events: list[dict[str, Any]], runs: int) -> None:
    """Check a thread's whole log: numbers from 1 without gap, and a complete arc for each run."""
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    for run_id in {event["run_id"] for event in events}:
        kinds = [event["type"] for event in events if event["run_id"] == run_id]
        assert kinds[:2] == ["message_accepted", "agent_started"], kinds
        assert sum(kind in TERMINAL for kind in kinds) == 1, kinds
        assert kinds[-1] in TERMINAL, kinds
        assert kinds.count("tool_executing") == kinds.count("tool_completed"), kinds
        assert kinds.count("agent_started") == kinds.count("agent_completed"), kinds
    assert len({event["run_id"] for event in events}) == runs


async def it_goes_on(running: Running, token: str) -> None:
    """Check that the server answers a new message as usual."""
    with trio.fail_after(180):
        while True:
            try:
                async with connected(running.address, token) as client:
                    await client.say("What is 2 + 2?")
                    assert (await client.until_end())["type"] == "final_response"
                    return
            except Exception as error:
                if isinstance(error, AssertionError | trio.TooSlowError):
                    raise
                await trio.sleep(0.05)


async def wait_for(condition: Callable[[], object]) -> None:
    """Let other tasks run until the condition holds."""
    with trio.fail_after(180):
        while not condition():
            await trio.testing.wait_all_tasks_blocked(0.005)
