"""Actors of every kind are killed during a run: the run's arc stays complete."""

import random
from typing import Any

import pytest
import trio
import trio.testing

from tests.chaos.killer import check_log, it_goes_on, kill_at_random, seeds, wait_for, whole
from tests.rigs.actor_kinds import KINDS, find
from tests.rigs.chat_client import check_arc, connected
from tests.rigs.http import new_token, request
from tests.rigs.scripted_model import Call, Gate, Say, scripted
from understudy.app.server import Running
from understudy.storage.limits import Limits

BRIEF = Limits(approval_s=0.3, approval_unseen_s=0.3)
"""What became of a call that was interrupted is asked, and nobody answers; its user may have no connection then."""


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
