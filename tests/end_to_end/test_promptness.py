"""How soon events reach their clients, in processor time: other load on the machine hardly changes that."""

import bisect
import gc
import json
import time
import uuid
from datetime import datetime
from typing import Any

import pytest
import trio

from tests.rigs.chat_client import check_arc, connected

PROMISED_S = 0.1


class Clocks(trio.abc.Instrument):
    """What the processor time of this process was at each time of day."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.spent: list[float] = []

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.times.append(time.time())
        self.spent.append(time.process_time())

    def at(self, moment: float) -> float:
        """Return the processor time in seconds at this time of day."""
        return self.spent[max(0, bisect.bisect(self.times, moment) - 1)]


@pytest.mark.parametrize(("users", "over_s"), [(10, 2.0), pytest.param(100, 10.0, marks=pytest.mark.proof("timing"))])
async def test_users_get_their_own_events_within_a_tenth_of_a_second(serve: Any, users: int, over_s: float) -> None:
    """99 of 100 events, of the server and its clients in one process; nobody has an event of another."""
    running, clocks, lags = await serve(), Clocks(), list[float]()

    async def one(number: int) -> None:
        await trio.sleep(over_s * number / users)
        async with connected(running.address) as client:
            secret = f"zebra{number}-{uuid.uuid4().hex}"
            await client.say(f"Repeat the word {secret} and compute 2+{number}.")
            while client.seen[-1]["type"] not in ("final_response", "error"):
                event = await client.read()
                happened = datetime.fromisoformat(event["timestamp"]).timestamp()
                lags.append(time.process_time() - clocks.at(happened))
            check_arc(client.durable())
            text = json.dumps(client.seen)
            assert text.count("zebra") == text.count(secret)

    gc.collect()
    gc.freeze()  # as a server does at its start: this process holds what all other tests have left
    trio.lowlevel.add_instrument(clocks)
    try:
        async with trio.open_nursery() as nursery:
            for number in range(users):
                nursery.start_soon(one, number)
    finally:
        trio.lowlevel.remove_instrument(clocks)
        gc.unfreeze()
    lags.sort()
    assert len(lags) >= 8 * users
    assert lags[int(len(lags) * 0.99) - 1] < PROMISED_S
