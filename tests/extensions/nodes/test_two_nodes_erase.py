"""Two servers: erased data is readable on neither, whatever the other one has in memory or in Redis."""

import re
import time
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.rigs.chat_client import ChatClient, connected, ended
from tests.rigs.detectors import PEOPLE_ONLY, PERSON, WITH_PLACEHOLDERS, policy
from tests.rigs.http import get, request
from tests.rigs.scripted_model import Gate, Say, scripted
from tests.rigs.server_pair import Begin, ServerPair, eventually, token_of, two_servers
from tests.servers.postgresql import Postgres
from tests.servers.redis import Redis
from understudy import Agent
from understudy.app.server import Running

BACK = "You are [email-1]."
"""An answer that shows the original of the thread's first placeholder, if it is still known."""


@pytest.fixture
def begin(serve: Any, tmp_path: Path, postgres: Postgres, template: str, redis: Redis) -> Begin:
    """Return a function that starts two servers that use placeholders, over the backends that all tests share."""
    redis.flush()
    policy_settings = policy(tmp_path, WITH_PLACEHOLDERS)

    async def start(*agents: Agent, **settings: Any) -> ServerPair:
        shared = {"detectors": PEOPLE_ONLY, "scrub_policy": policy_settings} | settings
        return await two_servers(serve, tmp_path, postgres.create(template), redis.url, *agents, **shared)

    return start


async def talk(client: ChatClient, text: str, thread_id: str = "t") -> dict[str, Any]:
    return await client.ask(text, thread_id=thread_id, agent_type="script")


async def delete(running: Running, path: str = "/api/threads/t") -> int:
    return (await request(running.address, "DELETE", path, token=token_of()))[0]


async def placeholders(running: Running) -> str:
    page = await running.store.messages("ada", "t")
    names = {placeholder for message in page.items for placeholder in re.findall(r"\[email-\d+\]", message.content)}
    assert len(names) == 2, "one of each server"
    return " ".join(names)


async def erase(running: Running) -> int:
    return (await request(running.address, "DELETE", "/api/me", token=token_of(), body=b'{"confirm": "ada"}'))[0]


@pytest.mark.parametrize("kind", ["thread", "user"])
@pytest.mark.parametrize("node", ["a", "b"])
async def test_placeholders_of_erased_data_no_longer_resolve(begin: Begin, node: str, kind: str) -> None:
    two = await begin(scripted(Say(BACK)))
    async with connected(two.a.address, token_of()) as on_a, connected(two.b.address, token_of()) as on_b:
        await talk(on_a, f"I am {PERSON}")
        await on_b.until_end()
        await talk(on_b, f"Really, I am {PERSON}")
        assert PERSON in (await on_a.until_end())["data"]["message"], "on the server that accepted it first"
        placeholder = await placeholders(two.a)
        running = getattr(two, node)
        if kind == "thread":
            assert await delete(running) == 204
            await nobody_known(two, on_a, on_b, placeholder)
            return
        assert await erase(running) == 200
        for client in (on_a, on_b):  # an erased user is signed out and gets a new session
            assert await client.until_closed() == 4401
    async with connected(two.a.address, token_of()) as on_a, connected(two.b.address, token_of()) as on_b:
        await nobody_known(two, on_a, on_b, placeholder)


async def nobody_known(two: ServerPair, on_a: ChatClient, on_b: ChatClient, placeholder: str) -> None:
    for client, other in ((on_a, on_b), (on_b, on_a)):
        end = await talk(client, f"Who am I? {placeholder}")
        assert await other.until_end() == end
        assert PERSON not in str(client.durable(end["run_id"]) + other.durable(end["run_id"]))
        for node in two.both:
            assert PERSON not in str(await get(node, "/api/threads/t/messages", token_of()))


@pytest.mark.parametrize("runs", [True, False])
async def test_a_thread_of_another_server_is_removed_by_age_only_while_nothing_goes_on_in_it(
    begin: Begin, runs: bool
) -> None:
    """The server that expires old threads does not own the thread: it asks the owner, which knows the active runs."""
    gate = Gate(open_after=0 if runs else 100)
    two = await begin(scripted(Say("one two three", gate)))
    retention = two.a.system.find("/system/privacy/retention")
    eraser = retention._cell.incarnation.actor.eraser
    async with connected(two.b.address, token_of()) as on_b:
        await on_b.say("go", thread_id="t", agent_type="script")
        if runs:
            await gate.reached.wait()
        else:
            await on_b.until_end()
        assert not await eraser.thread("ada", "t", unless_since=time.time() - 60.0)
        assert await eraser.thread("ada", "t", unless_since=time.time() + 60.0) is not runs
        gate.opened.set()
        if runs:
            assert (await on_b.until_end())["data"]["status"] == "success"
        assert (await request(two.a.address, "GET", "/api/threads/t", token=token_of()))[0] == (200 if runs else 404)


async def test_nothing_of_a_user_is_left_in_redis(begin: Begin, redis: Redis) -> None:
    two = await begin(scripted(Say("A word of kumquatology.")))
    async with connected(two.a.address, token_of()) as on_a, connected(two.b.address, token_of()) as on_b:
        await talk(on_a, "Tell me of kumquatology")
        await on_b.until_end()
        for node in two.both:
            for path in ("/api/threads", "/api/threads/t/messages", "/api/threads/t/events"):
                assert "kumquatology" in str((await request(node.address, "GET", path, token=token_of()))[2])
        await eventually(lambda: b":answers" in redis.dump())
        assert b"kumquatology" not in redis.dump()
        assert await erase(two.b) == 200
        assert b":answers" not in redis.dump()


async def test_what_is_said_on_one_while_the_other_deletes_is_answered_or_refused(begin: Begin) -> None:
    two = await begin(scripted(Say("hello")))
    async with connected(two.a.address, token_of()) as on_a, connected(two.b.address, token_of()) as on_b:
        for number in range(12):
            thread, (client, running) = f"t{number}", ((on_b, two.a), (on_a, two.b))[number % 2]
            holder = (on_a, on_b)[number // 2 % 2]
            await talk(holder, "first", thread)
            if holder is not client:
                await ended(client, thread)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(delete, running, f"/api/threads/{thread}")
                await client.say("second", agent_type="script", thread_id=thread)
            await ended(client, thread)
            await client.say("third", agent_type="script", thread_id=thread)
            await ended(client, thread)
            seqs = [event["seq"] for event in client.durable() if event["thread_id"] == thread]
            begun = len(seqs) - seqs[::-1].index(1) - 1
            assert seqs[begun:] == list(range(1, len(seqs) - begun + 1)), "from its first event, each once"


async def test_what_was_kept_of_reads_is_not_given_after_it_was_erased(
    serve: Any, tmp_path: Path, own_postgres: Postgres, redis: Redis
) -> None:
    """The database fails right after the erasure: neither server has a cached read of the data."""
    redis.flush()
    two = await two_servers(serve, tmp_path, own_postgres.create(), redis.url, scripted(Say("hello")))
    paths = ("/api/threads", "/api/threads/t", "/api/threads/t/messages", "/api/threads/t/events")
    async with connected(two.a.address, token_of()) as on_a:
        await talk(on_a, "kumquatology")
    for node in two.both:
        for path in paths:
            assert (await request(node.address, "GET", path, token=token_of()))[0] == 200
    assert await erase(two.b) == 200
    await trio.to_thread.run_sync(own_postgres.stop)
    for node in two.both:
        for path in paths:
            assert (await request(node.address, "GET", path, token=token_of()))[0] == 503
    await trio.to_thread.run_sync(own_postgres.start)
