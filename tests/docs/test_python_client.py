"""The page on the Python client: its code runs against a real server, and it names the whole public API."""

import inspect
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import trio

import understudy.client
from tests.rigs.doc_tables import DOCS, code, table
from tests.rigs.documented_server import served, socket_url
from transport.wire.errors import Unauthenticated
from understudy.client import Client, FileOutbox, Status, open_client

PAGE = "how-to/use-the-python-client.md"
TEXT = (DOCS / PAGE).read_text()
BLOCKS = dict(re.findall(r'```python title="(\w+)\.py"\n(.*?)```', TEXT, re.DOTALL))


def example(name: str) -> Any:
    module = ModuleType(name)
    exec(compile(BLOCKS[name], f"{name}.py", "exec"), vars(module))
    return module


async def test_a_question_is_answered_and_watched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with served(tmp_path) as running:
        with trio.fail_after(60):
            assert await example("ask").ask(socket_url(running)) == "15% of 80 = 12"
            async with open_client(socket_url(running)) as client:
                assert await example("watch").watch(client, "What is 15% of 80?") == "15% of 80 = 12"
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "calls calculate"
    assert lines[-1] == "15% of 80 = 12"


async def test_a_session_is_asked_for(tmp_path: Path) -> None:
    module = example("token")
    async with served(tmp_path) as running:
        with trio.fail_after(60):
            async with open_client(socket_url(running)) as client:
                await client.answer("What is 1 + 1?")
                token = client.token
            assert await module.signed_in(socket_url(running), module.Session([token])) == "1 + 1 = 2"
            with pytest.raises(Unauthenticated):
                await module.signed_in(socket_url(running), module.Session([]))


async def test_unsent_messages_are_kept_in_the_outbox(tmp_path: Path) -> None:
    path = tmp_path / "outbox.json"
    await example("keep").tell("ws://127.0.0.1:9/ws", "token", path, "remember this")
    assert [message["payload"]["content"] for message in await FileOutbox(path).load()] == ["remember this"]


async def test_states_are_shown(tmp_path: Path) -> None:
    states: list[str] = []
    async with trio.open_nursery() as nursery, served(tmp_path) as running:

        async def show(client: Client) -> None:
            states.extend(await example("stand").stand(client))

        with trio.fail_after(60):
            async with open_client(socket_url(running)) as client:
                nursery.start_soon(show, client)
                await client.answer("What is 1 + 1?")
    assert states == ["connecting", "online", "closed"]
    assert code("\n".join(row["status"] for row in table(PAGE, "Show how it stands"))) == [str(word) for word in Status]


def test_everything_public_is_on_the_page() -> None:
    named = set(re.findall(r"\w+", TEXT))
    assert [name for name in understudy.client.__all__ if name not in named] == []
    public = {name: item for name, item in inspect.getmembers(Client) if not name.startswith("_")}
    assert [name for name in public if name not in named] == []
    rows = {name for row in table(PAGE, "What can be said") for name in code(row["method"])}
    assert {name for name, item in public.items() if inspect.isfunction(item)} == rows | {"exchange", "text", "states"}


def test_everything_public_says_what_it_is() -> None:
    for name in understudy.client.__all__:
        exported = getattr(understudy.client, name)
        assert name == "TokenSource" or inspect.getdoc(exported)
    for name, member in inspect.getmembers(Client):
        if not name.startswith("_"):
            assert inspect.getdoc(member), name
