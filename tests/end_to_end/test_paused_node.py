"""A server that is paused (SIGSTOP, a sleeping machine) and resumes as another node."""

import os
import signal
from pathlib import Path

import pytest
import trio

from tests.rigs.chat_client import check_arc, connected
from tests.rigs.http import request
from tests.rigs.process import started
from tests.rigs.server_pair import backends_environment, resume, token_of
from tests.rigs.telling_agent import TELLER, long_text
from tests.servers.postgresql import Postgres
from tests.servers.redis import Redis

HELD_S = float(os.environ.get("UNDERSTUDY_TEST_HELD_S", "6"))
"""Longer than a lease and every timeout between nodes; manual runs may use a minute."""


@pytest.mark.proof("timing")
async def test_a_node_that_was_held_for_longer_than_its_lease_goes_on(
    tmp_path: Path, postgres: Postgres, redis: Redis
) -> None:
    shared, token = backends_environment(postgres, redis, 3), token_of()
    redis.flush()
    log = tmp_path / "log"
    async with started(tmp_path / "a", TELLER, log=log, **shared) as a, started(tmp_path / "b", TELLER, **shared) as b:
        async with connected(a.address, token) as on_a, connected(b.address, token) as on_b:
            await on_a.say(long_text(40), thread_id="t", agent_type="teller", context={"pause_s": 0.2})
            await on_a.until("partial_result")
            await on_b.until("partial_result")
            a.process.send_signal(signal.SIGSTOP)
            with trio.fail_after(HELD_S + 20):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(on_b.until_end)
                    await trio.sleep(HELD_S)
                a.process.send_signal(signal.SIGCONT)
                while (await request(a.address, "GET", "/readyz"))[0] != 200:  # noqa: ASYNC110 - it is another process
                    await trio.sleep(0.05)
            assert "node.lapsed" in log.read_text(), (
                "it said that it is ready before it knew that it was taken for dead"
            )
            whole, held = on_b.durable(), on_a.durable()
            check_arc(whole)
            async with connected(a.address, token) as back:  # after a minute the server closed the connection
                await resume(back, after=held[-1]["seq"])
                await back.until_end()
                assert held + back.durable() == whole
                for client, other in ((back, on_b), (on_b, back)):
                    end = await client.ask("It is over.", thread_id="t", agent_type="teller")
                    assert end["type"] == "final_response"
                    assert await other.until_end() == end
        for node in (a, b):
            assert await node.terminate() == 0
