"""Actions of users and operators that a server writes down before it does them."""

import json
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, closing
from pathlib import Path
from types import MappingProxyType
from typing import Any

import trio
from attrs import frozen

from tests.rigs.chat_client import connected
from tests.rigs.http import request
from tests.rigs.marked_text import MARKER
from tests.rigs.mcp_sign_in import agents_of
from tests.rigs.scripted_model import Say, scripted
from tests.rigs.tokens import SECRET, token
from tests.servers.mcp_oauth import Provider, serving
from understudy.app.server import Running
from understudy.extensions.permissions.consents import allow_tool
from understudy.storage.sqlite import FILE_NAME

REFUSE = "CREATE TRIGGER refuse BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no'); END"
ADA, OPERATOR, AUDITOR = token("ada"), token("op", "operator"), token("eve", "auditor")


async def ask(running: Running, who: str, method: str, path: str, /, **body: Any) -> tuple[int, Any]:
    """Send a request. Return the status and the decoded body."""
    return (await request(running.address, method, path, token=who, body=body or b""))[::2]


async def read(running: Running, query: str = "", who: str = AUDITOR) -> list[dict[str, Any]]:
    """Return the entries of the audit log."""
    status, answer = await ask(running, who, "GET", f"/api/audit{query}")
    assert status == 200, answer
    entries: list[dict[str, Any]] = answer["entries"]
    return entries


async def nothing(_: Running) -> dict[str, str]:
    """Do nothing before the action."""
    return {}


async def talked(running: Running) -> dict[str, str]:
    """Have a thread of ada's with an answer, and a tool that is always allowed there."""
    async with connected(running.address, ADA) as client:
        await client.ask(MARKER, agent_type="script", thread_id="t")
    await running.store.commit(allow_tool("ada", "t", "send_mail", 5.0))
    return {}


@frozen
class Case:
    """An action by one request: who sends it, after what, and what its entry says."""

    action: str
    request: tuple[str, str]
    body: Mapping[str, Any] = MappingProxyType({})
    detail: Mapping[str, Any] = MappingProxyType({})
    before: Callable[[Running], Awaitable[dict[str, str]]] = nothing
    by: str = "ada"
    target: str | None = "ada"
    status: int = 200


def write(folder: Path, statement: str) -> None:
    """Run a statement in the database past the server."""
    with closing(sqlite3.connect(folder / "data" / FILE_NAME)) as connection:
        connection.execute(statement)
        connection.commit()


async def check_case(serve: Any, case: Case, tmp_path: Path, **settings: Any) -> None:
    """While no entry can be stored the action is refused, and can then be done as if it had not been asked for. The
    entry has no text of the user's."""
    async with AsyncExitStack() as stack:
        agents = [scripted(Say("one"), Say("two"))]
        if case.action.startswith("mcp."):
            agents += agents_of(await stack.enter_async_context(serving(Provider())))
        running = await serve(*agents, secret=SECRET, observer_kill=True, **settings)
        names = await case.before(running)
        who = OPERATOR if case.by == "op" else ADA
        method, path = case.request[0], case.request[1].format(**names)
        count = len(await read(running, f"?action={case.action}"))
        await trio.to_thread.run_sync(write, tmp_path, REFUSE)
        status, answer = await ask(running, who, method, path, **case.body)
        assert (status, answer["error"]["code"]) == (503, "storage_unavailable")
        await trio.to_thread.run_sync(write, tmp_path, "DROP TRIGGER refuse")
        assert len(await read(running, f"?action={case.action}")) == count
        assert (await ask(running, who, method, path, **case.body))[0] == case.status
        entry, *rest = await read(running, f"?action={case.action}")
    assert len(rest) == count
    assert {name: entry[name] for name in ("user", "target", "role", "way")} == {
        "user": case.by, "target": case.target, "role": "operator" if case.by == "op" else None, "way": "http",
    }  # fmt: skip
    assert entry["detail"] == {
        name: entry["detail"][name] if value is ... else value for name, value in case.detail.items()
    }
    assert MARKER not in json.dumps(entry)
