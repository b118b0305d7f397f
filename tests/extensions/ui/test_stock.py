"""The stock client of the Vercel AI SDK (`ai` from npm) against a server."""

from pathlib import Path
from typing import Any

import pytest
import trio

from tests.extensions.agui.stock_client import node
from tests.rigs.http import new_token, request
from tests.rigs.scripted_model import Call, Gate, Say, scripted
from tests.servers.npm import install
from understudy.app.server import Running

pytestmark = pytest.mark.proof("clients")

STOCK = Path(__file__).resolve().parents[2] / "stock_ui"


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the scenarios, with the client installed from the lock file."""
    return install(STOCK, tmp_path_factory.mktemp("stock") / "ui") / "chat.mjs"


async def play(stock: Path, running: Running, scenario: str, token: str | None = None) -> Any:
    token = token or await new_token(running)
    return await node(str(stock), running.address, token, scenario)


def parts(output: Any) -> list[str]:
    short = {"text": lambda part: part["text"], "dynamic-tool": lambda part: f"{part['toolName']} {part['state']}"}
    visible = [part for part in output["messages"][-1]["parts"] if part["type"] in short]
    return [short[part["type"]](part) for part in visible]


async def test_the_stock_client_has_the_answer_the_thoughts_and_the_calls(serve: Any, stock: Path) -> None:
    output = await play(stock, await serve(scripted(Call([("echo", {"text": "hi"})]), Say("one two"))), "answered")
    assert (output["status"], output["error"]) == ("ready", None)
    assert parts(output) == ["echo output-available", "one two "]
    message = output["messages"][-1]
    assert message["metadata"]["status"] == "success"
    assert any(part["type"] == "reasoning" and part["text"] for part in message["parts"])
    (call,) = (part for part in message["parts"] if part["type"] == "dynamic-tool")
    assert (call["input"], call["output"]) == ({"text": "hi"}, "hi")


async def test_the_stock_client_gets_a_refusal_as_a_sentence(serve: Any, stock: Path) -> None:
    output = await play(stock, await serve(scripted(Say("one"))), "refused")
    assert (output["status"], output["error"]) == ("error", "The message is empty.")


async def test_the_stock_client_asks_for_another_answer(serve: Any, stock: Path) -> None:
    output = await play(stock, await serve(scripted(Say("one"))), "regenerated")
    assert ([message["role"] for message in output["messages"]], output["error"]) == (["user", "assistant"], None)
    assert parts(output) == ["one "]


async def test_the_stock_client_decides_about_a_call(serve: Any, stock: Path) -> None:
    turns = Call([("echo", {"text": "hi"})]), Call([("send_mail", {"to": "ann"})]), Say("sent")
    output = await play(stock, await serve(scripted(*turns)), "decided")
    assert (output["status"], output["error"]) == ("ready", None)
    assert [message["role"] for message in output["messages"]] == ["user", "assistant"]
    assert parts(output) == ["echo output-available", "send_mail output-available", "sent "]


async def test_the_stock_client_resumes_a_run_at_work(serve_guest: Any, stock: Path) -> None:
    gate = Gate()
    running, token = await serve_guest(scripted(Call([("echo", {"text": "hi"})]), Say("one two", gate=gate)))
    async with trio.open_nursery() as nursery:

        async def open_later() -> None:
            title = None
            while title != "back":
                await trio.sleep(0.05)
                title = (await request(running.address, "GET", "/api/threads/t", token=token))[2].get("title")
            gate.opened.set()

        nursery.start_soon(open_later)
        output = await play(stock, running, "resumed", token)
    assert parts(output) == ["echo output-available", "one two "]
    assert output["idle"] == {"messages": [], "status": "ready", "error": None}
