"""Kills actors of a running server at random, and checks what its clients then have."""

import random
from collections.abc import Callable
from typing import Any

import pytest
import trio.testing

from tests.rigs.actor_kinds import KINDS, find
from tests.rigs.chat_client import TERMINAL, ChatClient, connected
from understudy.app.server import Running


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
