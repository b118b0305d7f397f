"""The pages on agents of others and on A2A clients: their code is run against real servers."""

import re
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.docs.served import served
from tests.docs.tables import DOCS
from tests.end_to_end.chat_client import connected
from tests.end_to_end.scripted_model import Call, Say, scripted
from tests.end_to_end.test_stream import session

pytestmark = pytest.mark.filterwarnings(
    "ignore:Async generator:ResourceWarning", "ignore:Async generator '(httpx2|httpcore):ResourceWarning"
)


def blocks(page: str) -> list[str]:
    """Return the page's blocks of Python."""
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)


def run(code: str, **replaced: str) -> dict[str, Any]:
    """Run a block with these addresses and tokens in place of its own. Return what it defines."""
    for old, new in replaced.items():
        assert old in code
        code = code.replace(old, new)
    defined: dict[str, Any] = {"__name__": "page"}
    exec(compile(code, "page", "exec"), defined)
    return defined


async def test_the_agents_of_others_answer(tmp_path: Path) -> None:
    travel, weather = blocks("how-to/ask-agents-of-others.md")
    async with served(tmp_path / "there", [scripted(Say("Sunny."))]) as there:
        key = f"Bearer {await session(there)}"
        ours = {"https://agents.example.org/travel": f"{there.address}/api/agui?agent=script", "Bearer …": key}
        agents = [run(travel, **ours)["travel"]]
        ours = {"https://agents.example.org": f"{there.address}/a2a/script", "Bearer …": key}
        agents.append(run(weather, **ours)["weather"])
        async with served(tmp_path / "here", agents) as here, connected(here.address, await session(here)) as client:
            for agent in agents:
                await client.say("go", agent_type=agent.name, thread_id=agent.name)
                assert (await client.until("final_response"))["data"]["message"].strip() == "Sunny."


async def test_the_stock_client_asks_as_on_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask = run(blocks("how-to/serve-a2a-clients.md")[0])["ask"]
    turns = Call([("echo", {"text": "hi"})]), Say("one two")
    async with served(tmp_path, [scripted(*turns, name="guide")]) as running:
        with trio.fail_after(30):
            await ask(running.address, await session(running), "go")
    told = capsys.readouterr().out
    assert "TASK_STATE_COMPLETED" in told
    assert 'artifact_id: "answer"' in told
