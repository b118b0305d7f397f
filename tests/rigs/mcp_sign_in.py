"""Signing in at an MCP server whose tools act for a user."""

from typing import Any
from urllib.parse import urlsplit

from tests.rigs.http import request
from tests.rigs.scripted_model import Call, Say, ScriptedModel
from transport.auth.fetch import request as fetch
from understudy import Agent, mcp


def agents_of(url: str) -> tuple[Agent, Agent]:
    """Return one that signs its user in and then asks whose notes these are, and one that asks at once."""
    notes = mcp(url, name="notes", auth="user")
    first = ScriptedModel(Call([("notes_sign_in", {})]), Call([("notes_whose", {})]), Say("Done"))
    return (
        Agent("first", tools=[notes], model=first),
        Agent("asker", tools=[notes], model=ScriptedModel(Call([("notes_whose", {})]), Say("Done"))),
    )


async def begin(running: Any, token: str, **body: Any) -> tuple[int, dict[str, str], Any]:
    """Begin to sign in. Return the answer of the server, which has the address to go to."""
    headers = {"Origin": running.address}
    return await request(running.address, "POST", "/api/mcp/notes/sign-in", token=token, body=body, headers=headers)


async def go(url: str) -> str:
    """Go to an address as a browser does; return the path and query of where it sends us."""
    where = urlsplit(url)
    address = (where.hostname or "", where.port or 0)
    answer = await fetch("GET", url, headers={}, connect_to=[address], max_bytes=9999, within_s=20)
    back = urlsplit(answer.headers["location"])
    return f"{back.path}?{back.query}"


async def come_back(running: Any, path: str, cookie: str) -> tuple[int, dict[str, str], Any]:
    """Come back from the authorization server, with the cookie of the beginning."""
    return await request(running.address, "GET", path, headers={"Cookie": cookie.partition(";")[0]})


async def signed_in(running: Any, token: str, **body: Any) -> tuple[int, dict[str, str], Any]:
    """Sign in. Return the last answer of the server."""
    status, headers, answer = await begin(running, token, **body)
    assert status == 200, answer
    return await come_back(running, await go(answer["url"]), headers["set-cookie"])
