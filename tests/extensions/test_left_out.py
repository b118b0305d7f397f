"""The kernel alone is a server, and each extension can be left out by itself; user data of all is known."""

import re
from pathlib import Path
from typing import Any, Final

import pytest
import trio

from tests.rigs.chat_client import ChatClient, connected
from tests.rigs.http import request
from tests.rigs.process import started
from tests.rigs.web_app import paths
from understudy.installed import brought, installed
from understudy.storage import schema

OF_KERNEL: Final = {
    "threads", "messages", "words", "runs", "events",
    "memberships", "spending",
}  # fmt: skip
"""Tables with an owner that `understudy.extensions.privacy` knows itself."""
OWNERS: Final = ("owner", "user_id", "user")
"""Names of columns that hold whose a row is."""


def needing(name: str) -> list[str]:
    """Return an extension with all that require it."""
    names = [name]
    for extension in installed().values():
        if set(extension.requires) & set(names):
            names += needing(extension.name)
    return names


async def token_of(server: Any) -> str:
    _, _, session = await request(server.address, "POST", "/api/sessions")
    return str(session["session_token"])


async def calculated(client: ChatClient) -> str:
    """Have the server calculate by its tool. Return the tool's result."""
    await client.ask("15% of 80", thread_id="t")
    (completed,) = [event["data"] for event in client.seen if event["type"] == "tool_completed"]
    return str(completed["result_summary"])


async def test_the_kernel_alone_answers_by_a_tool_and_survives_a_kill(tmp_path: Path) -> None:
    alone = {"UNDERSTUDY_EXTENSIONS": "none"}
    async with started(tmp_path / "data", **alone) as server:
        token = await token_of(server)
        async with connected(server.address, token) as client:
            assert await calculated(client) == "15% of 80 = 12"
            await client.say("Tell me a story", agent_type="story", thread_id="s")
            await client.until("agent_started")
            await server.kill()
    async with started(tmp_path / "data", **alone) as server:
        assert (await request(server.address, "GET", "/api/extensions", token=token))[2] == {"extensions": []}
        with trio.fail_after(60):
            while True:
                _, _, body = await request(server.address, "GET", "/api/threads/s/messages", token=token)
                if [message for message in body["messages"] if message["role"] == "assistant"]:
                    break
                await trio.sleep(0.1)
        assert (await request(server.address, "GET", "/healthz"))[2]["status"] == "ok"


@pytest.mark.parametrize("name", list(installed()))
async def test_each_can_be_left_out(name: str, tmp_path: Path) -> None:
    """The server answers without it, serves its page, writes its documents, and does not know its paths."""
    others = installed().keys() - set(needing(name))
    off = ",".join(f"-{extension}" for extension in needing(name))
    async with started(tmp_path / "data", UNDERSTUDY_EXTENSIONS=off) as server:
        token = await token_of(server)
        async with connected(server.address, token) as client:
            assert await calculated(client) == "15% of 80 = 12"
        on = (await request(server.address, "GET", "/api/extensions", token=token))[2]["extensions"]
        assert set(on) == others
        exports = ("/api/me/export",) if "privacy" in others else ()
        documents = ("/openapi.json", "/asyncapi.json") if "references" in others else ()
        for path in ("/", *documents, *exports):
            assert (await request(server.address, "GET", path, token=token))[0] == 200, path
        left = paths(tmp_path, others)
        for path, method in sorted(paths(tmp_path, installed()) - left):
            status, _, _ = await request(server.address, method, re.sub("<.*?>", "x", path), token=token)
            assert status == (405 if path in dict(left) else 404), (method, path)


def test_no_row_of_a_user_is_missed_by_erasure_and_export() -> None:
    """Each table with an owner is one that the kernel's privacy knows, or an extension's `user_data` names."""
    owned = {name for name, table in schema.whole().tables.items() if set(OWNERS) & set(table.columns.keys())}
    tables = {kind.table.name for extension in installed().values() for kind in brought(extension.user_data)}
    keys = [key for table in schema.whole().tables.values() for key in table.foreign_key_constraints]
    gone = {key.table.name for key in keys if key.referred_table.name in tables and key.ondelete == "CASCADE"}
    assert owned - tables - gone - OF_KERNEL == set()
    assert OF_KERNEL - owned == set(), "gone, or an extension's now"
    assert not tables & OF_KERNEL
    for name in tables:
        keys = {key.parent.name: key for key in schema.whole().tables[name].foreign_keys}
        assert keys["owner"].ondelete == "CASCADE", f"what {name} keeps goes with its user, whatever happens"
