"""Users who sign in at an MCP server by OAuth: a real authorization server, and the browser's way there and back."""

import json
from typing import Any

import pytest
import trio

from tests.end_to_end.mcp_demo_agent import ended, results
from tests.rigs.caller import Caller
from tests.rigs.chat_client import ChatClient, connected
from tests.rigs.http import get, new_token, request
from tests.rigs.mcp_sign_in import agents_of, begin, come_back, go, signed_in
from tests.servers.mcp_oauth import Provider, serving
from understudy.chat.messages import AUTOMATIC
from understudy.extensions.mcp.oauth import storage as sign_ins
from understudy.storage.queries import Scope

pytestmark = pytest.mark.filterwarnings("ignore:Async generator '(httpx2|httpcore):ResourceWarning")


async def state_of(running: Any, token: str, thread_id: str) -> str:
    (row,) = (await get(running, f"/api/threads/{thread_id}/servers", token))["servers"]
    assert row["auth"] == "user"
    return str(row["state"])


async def asked_to_sign_in(client: ChatClient) -> str:
    question = (await client.until("question_asked"))["data"]
    assert (question["sign_in"], question["schema"]) == ("notes", {"type": "object", "properties": {}})
    return str(question["question_id"])


async def test_a_run_waits_until_its_user_has_signed_in(serve: Any) -> None:
    provider = Provider()
    with trio.fail_after(120):
        async with serving(provider) as url:
            running = await serve(*agents_of(url))
            token, other = await new_token(running), await new_token(running)
            async with connected(running.address, token) as client:
                await client.say("go", agent_type="first", thread_id="a")
                question = await asked_to_sign_in(client)
                assert await state_of(running, token, "a") == "signed_out"
                status, headers, _ = await signed_in(running, token, question_id=question, return_to="/?x=1#a")
                assert (status, headers["location"]) == (303, "/?x=1#a")
                await ended(client)
            subject = results(client)["notes_whose"]["result"]["result"]
            assert subject in {row[2] for row in provider.access.values()}
            assert await state_of(running, token, "a") == "ready"
            async with connected(running.address, other) as client:
                await client.say("go", agent_type="first", thread_id="b")
                question = await asked_to_sign_in(client)
                assert await state_of(running, other, "b") == "signed_out"
                await signed_in(running, other, question_id=question)
                await ended(client)
            assert results(client)["notes_whose"]["result"]["result"] != subject
            export = await get(running, "/api/me/export", token)
            assert [sign_in["server"] for sign_in in export["sign_ins"]] == ["notes"]
            assert not any(secret in json.dumps(export) for secret in (*provider.access, *provider.fresh))
            assert export["user"] in [row.owner for row in await running.store.read(sign_ins.of_all, 9, Scope())]
            body = json.dumps({"confirm": export["user"]}).encode()
            assert (await request(running.address, "DELETE", "/api/me", token=token, body=body))[0] == 200
            assert export["user"] not in [row.owner for row in await running.store.read(sign_ins.of_all, 9, Scope())]


async def test_an_expired_token_is_renewed_in_a_run_and_a_lost_sign_in_asks_again(serve_guest: Any) -> None:
    """So does a sign-in that is not for all scopes of a call."""
    provider = Provider()
    with trio.fail_after(120):
        async with serving(provider) as url:
            running, token = await serve_guest(*agents_of(url))
            assert (await signed_in(running, token))[0] == 200
            async with connected(running.address, token) as client:
                for expire in (lambda: None, provider.expire):
                    expire()
                    await client.say("go", agent_type="asker", thread_id="a")
                    await ended(client)
                    assert results(client)["notes_whose"]["status"] == "ok"
                assert (provider.asked, provider.refreshed) == (1, 1)
                for needs, end, state in (
                    ({"whose": "write"}, lambda: None, "ready"),
                    ({}, provider.end, "signed_out"),
                ):
                    provider.needs = needs
                    end()
                    await client.say("go", agent_type="asker", thread_id="a")
                    question = await asked_to_sign_in(client)
                    assert await state_of(running, token, "a") == state
                    assert (await signed_in(running, token, question_id=question))[0] == 200
                    await ended(client)
                    assert results(client)["notes_whose"]["status"] == "ok"
                status, _, _ = await request(running.address, "DELETE", "/api/mcp/notes/sign-in", token=token)
                assert (status, provider.access) == (204, {})
                await client.say("go", agent_type="asker", thread_id="a")
                refused = {"question_id": await asked_to_sign_in(client), "decline": True}
                await client.send({"type": "answer", "payload": refused})
                await ended(client)
            failed = results(client)["notes_whose"]
            assert (failed["status"], "You are not signed in to notes." in failed["result_summary"]) == ("failed", True)


async def test_the_way_back_is_for_the_browser_that_began_and_leads_nowhere_else(serve_guest: Any) -> None:
    provider = Provider()
    with trio.fail_after(120):
        async with serving(provider) as url:
            running, token = await serve_guest(*agents_of(url))
            for path in ("https://evil.example/", "//evil.example", "/\\evil.example", "evil", "/a b", "/\r\nx"):
                status, _, body = await begin(running, token, return_to=path)
                assert (status, body["error"]["code"]) == (400, "invalid_command"), path
            status, headers, body = await begin(running, token)
            cookie = headers["set-cookie"]
            assert "HttpOnly" in cookie
            assert "SameSite=Lax" in cookie
            path = await go(body["url"])
            status, headers, page = await come_back(running, path, "understudy_sign_in=of-another")
            assert (status, "another browser" in page, "location" in headers) == (403, True, False)
            status, _, page = await come_back(running, path, cookie)
            assert (status, "finished already" in page) == (404, True)
            status, _, page = await come_back(running, "/api/mcp/notes/callback?state=<script>", "")
            assert (status, "<script>" in page) == (404, False)
            status, _, body = await request(running.address, "GET", "/api/mcp/notes/client.json")
            way = running.address.replace("http:", "https:") + "/api/mcp/notes/"
            assert (body["client_id"], body["redirect_uris"]) == (f"{way}client.json", [f"{way}callback"])
            provider.refuse = True
            status, _, page = await signed_in(running, token)
            assert (status, "was not allowed" in page, "forbidden" in page) == (403, True, True)
            status, _, body = await request(running.address, "POST", "/api/mcp/notes/sign-in", body=b"{}")
            assert status == 401
            assert (await request(running.address, "POST", "/api/mcp/else/sign-in", token=token, body=b"{}"))[0] == 404


async def test_automatic_messages_go_on_while_their_user_is_away_and_fail_once_the_sign_in_is_lost(serve: Any) -> None:
    provider = Provider()
    with trio.fail_after(120):
        async with serving(provider) as url:
            running = await serve(*agents_of(url))
            ada = Caller(running, await new_token(running))
            assert (await signed_in(running, ada.token))[0] == 200

            async def called(number: int) -> Any:
                async with connected(running.address, ada.token) as client:
                    end = await client.ask("go", agent_type="asker", thread_id="s", message_id=f"{AUTOMATIC}{number}")
                events = (await ada.get(f"/api/runs/{end['run_id']}/events"))["events"]
                (done,) = [event["data"] for event in events if event["type"] == "tool_completed"]
                return done

            provider.expire()
            assert (await called(1))["status"] == "ok"
            assert (provider.asked, provider.refreshed) == (1, 1)
            provider.end()
            done = await called(2)
            assert "You are not signed in to notes." in done["result_summary"]
            assert not any(provider.access)
