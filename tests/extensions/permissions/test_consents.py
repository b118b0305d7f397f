"""Remembered consents: on both databases, and through a server that has permissions on, off, and on again."""

from pathlib import Path
from typing import Any

import pytest

from tests.rigs.approvals import approve, asked, completed, mailing
from tests.rigs.chat_client import connected
from tests.rigs.http import get, new_token, request
from tests.rigs.serving import serving
from tests.rigs.tokens import SECRET, token
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


@pytest.mark.promise("wire.approve-always")
async def test_a_tool_is_allowed_always_in_one_thread_until_that_is_taken_back(serve_guest: Any) -> None:
    running, token = await serve_guest(mailing())
    async with connected(running.address, token) as client:
        required = await asked(client, thread_id="a")
        payload = {"call_id": required["data"]["call_id"], "decision": "allow", "remember": True}
        await client.send({"type": "approve", "payload": payload})
        await client.until_end()
        client.seen.clear()
        await client.ask("again", agent_type="script", thread_id="a", checked=True)
        decided = next(event["data"] for event in client.seen if event["type"] == "approval_decided")
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


async def test_off_each_call_is_asked_about_and_on_again_what_was_allowed_is_there(tmp_path: Path) -> None:
    ada, path, held = token("ada"), "/api/threads/a/consents", dict[str, Any]()
    for off in ((), ("-permissions",), ()):
        async with (
            serving(tmp_path / "data", mailing(), secret=SECRET, extensions=off) as running,
            connected(running.address, ada) as client,
        ):
            assert (await get(running, "/api/agents", ada))["allow_always"] is not bool(off)
            if held and not off:
                await client.ask("go", agent_type="script", thread_id="a")
                decided = next(event["data"] for event in client.seen if event["type"] == "approval_decided")
                assert decided["door"] == "remembered"
                assert await get(running, path, ada) == held
                continue
            required = await asked(client, thread_id="a")
            always = {"call_id": required["data"]["call_id"], "decision": "allow", "remember": True}
            await client.send({"type": "approve", "payload": always})
            if off:
                for command in (None, {"type": "disallow", "thread_id": "a", "tool_name": "send_mail"}):
                    if command is not None:
                        await client.send(command)
                    refused = (await client.until("error"))["data"]
                    assert (refused["code"], refused["message"]) == ("forbidden", NOT_REMEMBERED)
                assert (await request(running.address, "GET", path, token=ada))[0] == 404
                await approve(client, required, "allow")
            await client.until_end()
            exported = await get(running, "/api/threads/a/export", ada)
            held = held or await get(running, path, ada)
            assert exported["consents"] == held["consents"]
            assert [consent["tool_name"] for consent in exported["consents"]] == ["send_mail"]
