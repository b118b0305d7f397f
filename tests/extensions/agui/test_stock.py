"""The stock AG-UI client (`@ag-ui/client` from npm) against a server."""

from pathlib import Path
from typing import Any

import pytest
import trio

from tests.extensions.agui.stock_client import STOCK, calls_of, node
from tests.rigs.http import new_token
from tests.rigs.scripted_model import Call, Gate, Say, scripted
from tests.servers.npm import install
from understudy.app.server import Running

pytestmark = pytest.mark.proof("clients")


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(STOCK, tmp_path_factory.mktemp("stock") / "agui") / "agent.mjs"


async def play(stock: Path, running: Running, scenario: str) -> Any:
    return await node(str(stock), running.address, await new_token(running), scenario)


def contents(messages: list[dict[str, Any]]) -> list[Any]:
    """Return what a page shows of a conversation, but the user's own messages and the names of calls and thoughts."""
    texts = [(item["role"], item["content"]) for item in messages if "content" in item and item["role"] != "tool"]
    return [calls_of(messages), sorted(texts)]


TURNS = Call([("echo", {"text": "hi"})]), Say("one two")
ECHOED = ['echo {"text":"hi"} "hi"']


async def test_the_stock_client_has_the_answer_and_the_calls(serve: Any, stock: Path) -> None:
    output = await play(stock, await serve(scripted(*TURNS)), "answered")
    assert (output["errors"], output["failed"]) == ([], None)
    assert (output["kinds"][0], output["kinds"][-1]) == ("RUN_STARTED", "RUN_FINISHED")
    assert calls_of(output["messages"]) == ECHOED
    assert output["messages"][-1]["content"] == "one two "


@pytest.mark.promise("wire.agui-refused")
async def test_the_stock_client_gets_a_refusal_as_a_failed_run(serve: Any, stock: Path) -> None:
    output = await play(stock, await serve(scripted(Say("one"))), "refused")
    assert output["errors"] == [{"code": "empty_message", "message": "The message is empty."}]
    assert (output["kinds"], output["failed"]) == (["RUN_ERROR"], None)


@pytest.mark.promise("wire.agui-repeat")
async def test_the_stock_client_joins_a_run_with_its_calls(serve: Any, stock: Path) -> None:
    gate = Gate(open_after=1)
    turns = Call([("echo", {"text": "hi"})]), Call([("echo", {"text": "ho"})]), Say("one two", gate)
    running = await serve(scripted(*turns))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_open_once_left, trio.Path(stock.parent / "left"), gate)
        output = await play(stock, running, "rejoined")
    assert "RUN_FINISHED" not in output["left"]["kinds"]
    again, complete = output["again"], output["whole"]
    assert (again["errors"], again["failed"]) == ([], None)
    assert calls_of(again["messages"]) == [ECHOED[0], 'echo {"text":"ho"} "ho"']
    assert contents(again["messages"]) == contents(complete["messages"])
    assert output["thread"]["kinds"] == ["RUN_STARTED", "MESSAGES_SNAPSHOT", "STATE_SNAPSHOT", "RUN_FINISHED"]
    assert contents(output["thread"]["messages"]) == contents(complete["messages"])


async def _open_once_left(mark: trio.Path, gate: Gate) -> None:
    """Let the run end once the client, which then writes a file, has left it twice."""
    while not await mark.exists():  # noqa: ASYNC110 - another process writes it
        await trio.sleep(0.02)
    gate.opened.set()


@pytest.mark.promise("wire.agui-interrupts")
async def test_the_stock_client_answers_interrupts(serve: Any, stock: Path) -> None:
    turns = Call([("send_mail", {"to": "anna@example.org"}), ("pay", {"amount": 200})]), Say("done")
    output = await play(stock, await serve(scripted(*turns)), "interrupted")
    assert (output["errors"], output["failed"], output["rounds"] > 0) == ([], None, True)
    results = [message["content"] for message in output["messages"] if message["role"] == "tool"]
    assert sorted(results) == ['"sent to anna@example.org"', "200.0"]
    assert output["messages"][-1]["content"] == "done "


@pytest.mark.promise("wire.agui-client-tools")
async def test_the_stock_client_makes_a_call_itself(serve: Any, stock: Path) -> None:
    turns = Call([("weather", {}), ("echo", {"text": "hi"})]), Say("sunny")
    output = await play(stock, await serve(scripted(*turns)), "tools")
    of_run = output["told"]
    assert (of_run["errors"], of_run["failed"], of_run["pending"]) == ([], None, [])
    assert of_run["messages"][-1]["content"] == "sunny "
    results = [message for message in of_run["messages"] if message["role"] == "tool"]
    assert sorted(message["content"] for message in results) == ['"hi"', "20 °C"]
    assert [message["content"] for message in results if message["toolCallId"] == output["call"]] == ["20 °C"]


async def test_ten_threads_of_the_stock_client_run_at_once(serve: Any, stock: Path) -> None:
    output = await play(stock, await serve(scripted(*TURNS)), "ten")
    assert [(thread["errors"], thread["failed"], thread["messages"][-1]["content"]) for thread in output] == [
        ([], None, "one two ")
    ] * 10
