"""Remembered consents: on both databases, and through a server that has permissions on, off, and on again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.rigs.approvals import approve, asked, completed, mailing
from tests.rigs.chat_client import ChatClient, connected
from tests.rigs.http import get, new_token, request
from tests.rigs.serving import serving
from tests.rigs.tokens import SECRET, token
from understudy.app.server import Running
from understudy.chat.consents import NOT_REMEMBERED
from understudy.extensions.permissions.consents import Consent, allow_tool, disallow_tool, of_thread
from understudy.storage.errors import NotStored


async def test_a_tool_is_allowed_in_one_thread_of_one_user(store, make) -> None:
    await store.commit(make.opening())
    await store.commit(make.opening("bob", "t2", "r2"))
    with pytest.raises(NotStored):
        await store.commit(allow_tool("ann", "t2", "pay", 1.0))
    await store.commit(allow_tool("ann", "t1", "send_mail", 1.0))
    await store.commit(allow_tool("ann", "t1", "send_mail", 2.0))
    await store.commit(allow_tool("ann", "t1", "pay", 3.0))
    await store.commit(allow_tool("bob", "t2", "pay", 4.0))
    assert await store.read(of_thread, "ann", "t1") == [Consent("pay", 3.0), Consent("send_mail", 1.0)]
    assert [await store.commit(disallow_tool("ann", "t1", "pay")) for _ in range(2)] == [True, False]
    assert await store.read(of_thread, "bob", "t2") == [Consent("pay", 4.0)]
    await store.commit(allow_tool("ann", "t1", "mcp_add", 5.0, "one"))
    await store.commit(allow_tool("ann", "t1", "mcp_add", 6.0, "one"))
    assert (await store.read(of_thread, "ann", "t1"))[0] == Consent("mcp_add", 5.0, "one")
    await store.commit(allow_tool("ann", "t1", "mcp_add", 7.0, "two"))
    assert (await store.read(of_thread, "ann", "t1"))[0] == Consent("mcp_add", 7.0, "two")
    assert await store.delete_thread("ann", "t1")
    await store.commit(make.opening())
    assert await store.read(of_thread, "ann", "t1") == []


async def allow_always(client: ChatClient, required: dict[str, Any]) -> None:
    payload = {"call_id": required["data"]["call_id"], "decision": "allow", "remember": True}
    await client.send({"type": "approve", "payload": payload})


def decision(client: ChatClient) -> Any:
    """Return the first decision about a call that the client has seen."""
    return next(event["data"] for event in client.seen if event["type"] == "approval_decided")


@pytest.mark.promise("wire.approve-always")
async def test_a_tool_is_allowed_always_in_one_thread_until_that_is_taken_back(serve_guest: Any) -> None:
    running, token = await serve_guest(mailing())
    async with connected(running.address, token) as client:
        await allow_always(client, await asked(client, thread_id="a"))
        await client.until_end()
        client.seen.clear()
        await client.ask("again", agent_type="script", thread_id="a", checked=True)
        decided = decision(client)
        assert (decided["decision"], decided["door"], completed(client)["status"]) == ("allow", "remembered", "ok")
        other = await asked(client, thread_id="b")
        await approve(client, other, "deny")
        await client.until_end()
        path = "/api/threads/a/consents"
        assert [consent["tool_name"] for consent in (await get(running, path, token))["consents"]] == ["send_mail"]
        assert (await request(running.address, "GET", path, token=await new_token(running)))[0] == 404
        await client.send({"type": "disallow", "thread_id": "a", "tool_name": "send_mail"})
        await approve(client, await asked(client, thread_id="a"), "deny")
        await client.until_end()
        assert (await request(running.address, "DELETE", f"{path}/send_mail", token=token))[0] == 404


async def test_consents_are_kept_but_not_used_while_permissions_are_off(tmp_path: Path) -> None:
    ada, path = token("ada"), "/api/threads/a/consents"

    @asynccontextmanager
    async def chat(*extensions: str) -> AsyncIterator[tuple[Running, ChatClient]]:
        folder = tmp_path / "data"
        async with (
            serving(folder, mailing(), secret=SECRET, extensions=extensions) as running,
            connected(running.address, ada) as client,
        ):
            assert (await get(running, "/api/agents", ada))["allow_always"] is not bool(extensions)
            yield running, client

    async with chat() as (running, client):
        await allow_always(client, await asked(client, thread_id="a"))
        await client.until_end()
        stored = await get(running, path, ada)
        assert [consent["tool_name"] for consent in stored["consents"]] == ["send_mail"]
        assert (await get(running, "/api/threads/a/export", ada))["consents"] == stored["consents"]
    async with chat("-permissions") as (running, client):
        required = await asked(client, thread_id="a")
        await allow_always(client, required)
        refused = [await client.until("error")]
        await client.send({"type": "disallow", "thread_id": "a", "tool_name": "send_mail"})
        refused.append(await client.until("error"))
        for error in refused:
            assert (error["data"]["code"], error["data"]["message"]) == ("forbidden", NOT_REMEMBERED)
        assert (await request(running.address, "GET", path, token=ada))[0] == 404
        await approve(client, required, "allow")
        await client.until_end()
        assert (await get(running, "/api/threads/a/export", ada))["consents"] == stored["consents"]
    async with chat() as (running, client):
        await client.ask("go", agent_type="script", thread_id="a")
        assert decision(client)["door"] == "remembered"
        assert await get(running, path, ada) == stored
