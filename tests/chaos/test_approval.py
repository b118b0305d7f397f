"""Actors of every kind are killed while a tool call waits for approval: each run still has exactly one end."""

import random
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.chaos.killer import check_log, it_goes_on, kill_at_random, seeds, wait_for, whole
from tests.rigs.actor_kinds import KINDS, find
from tests.rigs.chat_client import check_arc, connected
from tests.rigs.http import new_token
from tests.rigs.scripted_model import Call, Say, scripted
from tests.rigs.serving import serving
from understudy.app.server import Running

MAIL = ("send_mail", {"to": "anna"})


def unanswered(events: list[dict[str, Any]]) -> list[str]:
    """Return the questions about interrupted calls that wait for their user."""
    asked = {event["data"]["question_id"] for event in events if event["type"] == "question_asked"}
    return sorted(asked - {event["data"]["question_id"] for event in events if event["type"] == "question_answered"})


def undecided(events: list[dict[str, Any]]) -> list[str]:
    asked = {event["data"]["call_id"] for event in events if event["type"] == "approval_required"}
    over = {event["data"]["call_id"] for event in events if event["type"] in ("approval_decided", "tool_completed")}
    return sorted(asked - over)


async def answered(running: Running, token: str, runs: int = 1, decision: str = "allow") -> list[dict[str, Any]]:
    """Return the log's events once `runs` runs have ended. A client allows every call that still waits."""
    with trio.fail_after(180):  # a run killed four times backs off for twenty seconds in total
        while True:
            try:
                async with connected(running.address, token) as client:
                    resume = {"type": "resume", "payload": {"threads": {"t": 0}}}
                    await client.send(resume)
                    while (events := whole(client, runs)) is None:
                        event = {"type": ""}
                        with trio.move_on_after(1.0):
                            event = await client.read()
                        for question_id in unanswered(client.durable()):
                            skip = {"question_id": question_id, "answer": {"choice": "skip"}}
                            await client.send({"type": "answer", "payload": skip})
                        if not event["type"]:  # a decision may be lost with its run: the user repeats it
                            for call_id in undecided(client.durable()):
                                await client.send({"type": "approve", "call_id": call_id, "decision": decision})
                        elif event["type"] == "approval_required":
                            call_id = event["data"]["call_id"]
                            await client.send({"type": "approve", "call_id": call_id, "decision": decision})
                        elif event["type"] == "error" and event.get("seq") is None:
                            if not client.durable():
                                await client.send(resume)
                            for call_id in undecided(client.durable()):  # the run was restarting when the decision came
                                await trio.sleep(0.05)
                                await client.send({"type": "approve", "call_id": call_id, "decision": decision})
                    return events
            except Exception as error:
                # Its connection may be killed, or its thread not exist yet: reconnect.
                if isinstance(error, trio.TooSlowError | AssertionError):
                    raise
                await trio.sleep(0.05)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_waiting_run_ends_exactly_once_whichever_actor_is_killed(serve: Any, kind: str) -> None:
    calls = [("wait", {}), MAIL] if kind == "tool call" else [MAIL]
    running = await serve(scripted(Call(calls), Say("done"), timeout_s=20.0))
    token = await new_token(running)
    async with connected(running.address, token) as client:
        await client.say("go", agent_type="script", thread_id="t")
        await client.until("approval_required")
        if kind == "tool call":
            await wait_for(lambda: find(running, KINDS[kind]))
        for ref in find(running, KINDS[kind]):
            ref.kill()
        events = await answered(running, token)
    check_arc(events)
    mail = next(e["data"] for e in events if e["type"] == "tool_completed" and e["data"]["tool_name"] == "send_mail")
    decided = [event["data"]["decision"] for event in events if event["type"] == "approval_decided"]
    assert (mail["status"], decided, events[-1]["type"]) == ("ok", ["allow"], "final_response")
    await it_goes_on(running, token)


async def test_a_server_that_stops_while_a_call_waits_leaves_it_to_the_next_start(tmp_path: Path) -> None:
    agent = scripted(Call([MAIL]), Say("done"))
    with trio.fail_after(120):
        async with serving(tmp_path, agent) as running:
            token = await new_token(running)
            async with connected(running.address, token) as client:
                await client.say("go", agent_type="script", thread_id="t")
                await client.until("approval_required")
        async with serving(tmp_path, agent) as running:
            events = await answered(running, token)
    check_arc(events)
    mail = next(event["data"] for event in events if event["type"] == "tool_completed")
    assert (mail["status"], events[-1]["type"]) == ("ok", "final_response")


@pytest.mark.parametrize("seed", seeds(6))
async def test_random_kills_around_decisions_never_break_a_promise(serve: Any, seed: int) -> None:
    """Seeded: calls wait, are decided and run while random actors are killed; a denied call never runs."""
    chance = random.Random(seed)
    running = await serve(scripted(Call([MAIL, ("echo", {"text": "x"}), MAIL]), Say("a few words"), timeout_s=5.0))
    tokens = [await new_token(running) for _ in range(3)]

    async def user(token: str, decision: str) -> None:
        for number in range(2):
            while True:
                try:
                    async with connected(running.address, token) as client:
                        await client.say(f"{number}", agent_type="script", thread_id="t", message_id=f"m{number}")
                        event = await client.read()
                        while event["type"] not in ("message_accepted", "error"):
                            event = await client.read()
                    if event["type"] == "message_accepted":
                        break
                except Exception:
                    await trio.sleep(0.02)  # its connection was killed
        events = await answered(running, token, runs=2, decision=decision)
        check_log(events, runs=2)
        refused = {e["data"]["call_id"] for e in events if e["data"].get("decision") == "deny"}
        ran = [e["data"] for e in events if e["type"] == "tool_completed" and e["data"]["status"] == "ok"]
        assert not refused & {data["call_id"] for data in ran}

    async with trio.open_nursery() as nursery:
        nursery.start_soon(kill_at_random, running, chance, 12, 0.04)
        for number, token in enumerate(tokens):
            nursery.start_soon(user, token, ("allow", "deny")[number % 2])
    await it_goes_on(running, tokens[0])
