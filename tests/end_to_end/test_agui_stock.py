"""The stock AG-UI client (`@ag-ui/client` from npm) against a server."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.end_to_end.scripted_model import Call, Say, scripted
from tests.end_to_end.test_stream import session
from tests.servers.needed import program
from understudy.app.server import Running

pytestmark = pytest.mark.slow

STOCK = Path(__file__).resolve().parents[1] / "stock_agui"
INSTALL_S, RUN_S = 120, 60


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the scenarios, with the client installed from the lock file."""
    npm, folder = program("npm", "npm"), tmp_path_factory.mktemp("stock") / "agui"
    shutil.copytree(STOCK, folder)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder / "agent.mjs"


async def play(stock: Path, running: Running, scenario: str) -> Any:
    """Run a scenario. Return what the client received."""
    command = [str(program("node", "nodejs")), str(stock), running.address, await session(running), scenario]
    with trio.fail_after(RUN_S):
        done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return json.loads(done.stdout)


def calls_of(messages: list[dict[str, Any]]) -> list[str]:
    """Return the tool calls that the application was shown, with their results."""
    named = [call["function"] for each in messages for call in each.get("toolCalls", [])]
    results = [each["content"] for each in messages if each["role"] == "tool"]
    return [f"{call['name']} {call['arguments']} {result}" for call, result in zip(named, results, strict=True)]


TURNS = Call([("echo", {"text": "hi"})]), Say("one two")
ECHOED = ['echo {"text":"hi"} "hi"']


async def test_the_stock_client_has_the_answer_and_the_calls(serve: Any, stock: Path) -> None:
    told = await play(stock, await serve(scripted(*TURNS)), "answered")
    assert (told["errors"], told["failed"]) == ([], None)
    assert (told["kinds"][0], told["kinds"][-1]) == ("RUN_STARTED", "RUN_FINISHED")
    assert calls_of(told["messages"]) == ECHOED
    assert told["messages"][-1]["content"] == "one two "


@pytest.mark.promise("wire.agui-refused")
async def test_the_stock_client_gets_a_refusal_as_a_failed_run(serve: Any, stock: Path) -> None:
    told = await play(stock, await serve(scripted(Say("one"))), "refused")
    assert told["errors"] == [{"code": "empty_message", "message": "The message is empty."}]
    assert (told["kinds"], told["failed"]) == (["RUN_ERROR"], None)


@pytest.mark.promise("wire.agui-repeat")
async def test_the_stock_client_joins_a_run_with_its_calls(serve: Any, stock: Path) -> None:
    turns = Call([("echo", {"text": "hi"})]), Call([("hang", {})]), Say("one two")
    told = await play(stock, await serve(scripted(*turns)), "rejoined")
    assert "RUN_FINISHED" not in told["left"]["kinds"]
    again = told["again"]
    assert (again["errors"], again["failed"]) == ([], None)
    assert calls_of(again["messages"])[0] == ECHOED[0]
    assert again["messages"][-1]["content"] == "one two "


async def test_ten_threads_of_the_stock_client_run_at_once(serve: Any, stock: Path) -> None:
    told = await play(stock, await serve(scripted(*TURNS)), "ten")
    assert [(each["errors"], each["failed"], each["messages"][-1]["content"]) for each in told] == [
        ([], None, "one two ")
    ] * 10
