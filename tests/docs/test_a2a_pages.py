"""The pages on agents of others and on A2A clients: their code is run against real servers."""

import re
from pathlib import Path
from typing import Any

import pytest
import trio
from typed_settings import SecretStr

from tests.docs.blocks import defined_by
from tests.rigs.a2a_client import client
from tests.rigs.chat_client import connected
from tests.rigs.doc_tables import DOCS
from tests.rigs.documented_server import served
from tests.rigs.http import new_token
from tests.rigs.receiver import WEBHOOK_SECRET, Receiver
from tests.rigs.scripted_model import Call, Say, scripted
from understudy.extensions.notices.settings import WebhookSettings

pytestmark = pytest.mark.filterwarnings(
    "ignore:Async generator:ResourceWarning", "ignore:Async generator '(httpx2|httpcore):ResourceWarning"
)


def blocks(page: str) -> list[str]:
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
    travel, weather = blocks("extensions/remote.md")
    async with served(tmp_path / "there", [scripted(Say("Sunny."))]) as remote:
        key = f"Bearer {await new_token(remote)}"
        ours = {"https://agents.example.org/travel": f"{remote.address}/api/agui?agent=script", "Bearer …": key}
        agents = [run(travel, **ours)["travel"]]
        ours = {"https://agents.example.org": f"{remote.address}/a2a/script", "Bearer …": key}
        agents.append(run(weather, **ours)["weather"])
        async with served(tmp_path / "here", agents) as here, connected(here.address, await new_token(here)) as client:
            for agent in agents:
                await client.say("go", agent_type=agent.name, thread_id=agent.name)
                assert (await client.until("final_response"))["data"]["message"].strip() == "Sunny."


async def test_the_client_of_the_page_is_told_of_its_task(tmp_path: Path, nursery: trio.Nursery) -> None:
    page: dict[str, Any] = defined_by("extensions/a2a.md")
    receiver = Receiver()
    await receiver.start(nursery)
    allowed = {WebhookSettings: WebhookSettings([receiver.url], SecretStr(WEBHOOK_SECRET), True)}
    async with served(tmp_path, [scripted(Say("one two"))], own=allowed) as running:
        with trio.fail_after(60):
            async with client(running, await new_token(running), streaming=False) as agent:
                task_id = await page["start"](agent, "go", receiver.url, "t0ken")
            while not receiver.got or "task" not in receiver.got[-1][1]:  # noqa: ASYNC110 - they come over a socket
                await trio.sleep(0.01)
    head, body = receiver.got[-1]
    assert (body["task"]["id"], head["x-a2a-notification-token"]) == (task_id, "t0ken")
    assert len({head["webhook-id"] for head, _ in receiver.got}) == len(receiver.got)


async def test_the_stock_client_asks_as_on_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask = run(blocks("extensions/a2a.md")[0])["ask"]
    turns = Call([("echo", {"text": "hi"})]), Say("one two")
    async with served(tmp_path, [scripted(*turns, name="guide")]) as running:
        with trio.fail_after(60):
            await ask(running.address, await new_token(running), "go")
    output = capsys.readouterr().out
    assert "TASK_STATE_COMPLETED" in output
    assert 'artifact_id: "answer"' in output
