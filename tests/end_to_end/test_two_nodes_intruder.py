"""An attacker reads and writes the Redis of two servers, without their secret or a token."""

import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import coredis
import pytest
import trio

from tests.end_to_end.chat_client import connected
from tests.end_to_end.http import request
from tests.end_to_end.scripted_model import Call, Gate, Say, ScriptedModel, scripted
from tests.end_to_end.server_pair import SECRET, Begin, eventually, resume, token_of
from tests.end_to_end.test_two_nodes import on_both, said
from tests.servers.needed import program
from tests.servers.redis import Redis
from transport.auth.tokens import Tokens
from transport.wire.events import Envelope, PartialResult
from understudy import Agent
from understudy.chat import messages as chat
from understudy.chat.placement import Deleted, actor_name
from understudy.cluster import codec, redis_stream
from understudy.cluster.broker import inbox_name
from understudy.cluster.messages import Ephemeral, Events, RpcRequest, command_from_message
from understudy.tools.server import supervision_tree

KEY = "ghp_" + "a1B2c3D4" * 4 + "e5F6"
HOSTILE = '<img src=x onerror="alert(1)"><p>forged</p>'


@asynccontextmanager
async def monitored(redis: Redis, folder: Path) -> AsyncIterator[Path]:
    """Record every command that Redis receives, as escaped text, in the file that is yielded."""
    path = folder / "monitored"
    command = [program("redis", "redis-cli"), "-p", str(redis.port), "MONITOR"]
    with path.open("wb") as file:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(trio.run_process, command, stdout=file, check=False))
            await eventually(lambda: path.read_bytes().startswith(b"OK"))
            yield path
            nursery.cancel_scope.cancel()


async def test_nothing_of_a_conversation_is_in_the_clear(begin: Begin, redis: Redis, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("k" * 40)
    two = await begin(scripted(Say("the answer is PURPLE")), store_raw=True, raw_key_file=tmp_path / "key")
    async with monitored(redis, tmp_path) as path:
        async with on_both(two) as (on_a, on_b):
            await said(on_a)
            await on_a.until_end()
            await resume(on_b)
            await on_b.until_end()
            await on_b.say(f"my key is {KEY}", thread_id="t", agent_type="script")
            await on_b.until_end()
            await on_a.until_end()
            _, _, raw = await request(two.a.address, "GET", "/api/threads/t/export?raw=true", token=token_of())
            assert any(KEY in (each["raw"] or "") for each in raw["messages"])
        told = path.read_bytes()
    assert told.count(b"understudy:inbox:") > 3
    assert not [word for word in (b"PURPLE", b"ghp_", b"script", b"message_accepted") if word in told]
    assert not re.search(rb"(?<![0-9A-Za-z])ada(?![0-9A-Za-z])", told)  # digests and escapes (`\xad` and an `a`) may


async def test_forged_messages_change_nothing(begin: Begin, redis: Redis, caplog: pytest.LogCaptureFixture) -> None:
    """Forged packets delete no thread, and deliver no event and no text; the servers keep working."""
    gate = Gate(open_after=1)
    two = await begin(scripted(Say("one two three", gate)))
    async with on_both(two) as (on_a, on_b), coredis.Redis("127.0.0.1", redis.port) as intruder:
        accepted = await said(on_a)
        await gate.reached.wait()
        await resume(on_b)
        await on_b.until("partial_result")
        nodes = [each.decode() for each in await intruder.smembers(redis_stream.NODES_WITH_STREAM)]
        thread = actor_name("ada", "t")
        piece = PartialResult(HOSTILE, 4)
        shown = Envelope(piece, time.time(), None, "t", accepted["run_id"], "m", "c", "script", None, "forged")
        request_to_delete = RpcRequest("x", "ada", "t", 30.0, command_from_message(chat.Delete()))
        for node in nodes:
            for sender in nodes:
                now = time.time()
                passing = [Ephemeral(thread, 2, [codec.encode_ephemeral(shown)])]
                forged = codec.encode_packet(
                    sender, 10_000, [request_to_delete, Events(thread, 3, [b"{}"])], made_at=now
                )
                await intruder.xadd(inbox_name(node), {redis_stream.FIELD: forged})
                await intruder.publish(
                    f"understudy:deltas:{node}:0", codec.encode_packet(sender, 10_000, passing, made_at=now)
                )
                await intruder.publish(
                    "understudy:news:0", codec.encode_news(sender, 10_000, Deleted("ada", "t"), made_at=now)
                )

        await eventually(lambda: caplog.messages.count("inbox.dropped") == 16)
        gate.opened.set()
        assert (await on_a.until_end())["data"]["message"] == "one two three "
        assert (await on_b.until_end())["data"]["message"] == "one two three "
        assert not [event for event in on_b.seen if "forged" in str(event)]
        status, _, _ = await request(two.b.address, "GET", "/api/threads/t", token=token_of())
        assert status == 200


async def test_an_agent_has_its_users_rights_on_any_node(begin: Begin) -> None:
    """The conversation is on one server, and its user's operator token is used on the other."""
    agent = Agent(
        "script", tools=(supervision_tree,), model=ScriptedModel(Call([("supervision_tree", {})]), Say("done"))
    )
    two = await begin(agent)
    operator = Tokens(SECRET, time.time).issue("ada", "s2", roles=("operator",), ttl_s=600)
    statuses: list[Any] = []
    async with connected(two.a.address, token_of()) as on_a, connected(two.b.address, operator) as on_b:
        for client in (on_a, on_b):
            await said(client)
            while (event := await client.read())["type"] != "tool_completed":
                pass
            statuses.append(event["data"]["status"])
            await client.until_end()
            if client is on_a:
                await resume(on_b)
                await on_b.until_end()
    assert statuses == ["failed", "ok"]
