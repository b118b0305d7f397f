"""The page on AG-UI: its agent is served, and its client's code is run by the stock client."""

import json
import re
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import evolve

from tests.extensions.agui.stock_client import STOCK, calls_of, run_script
from tests.rigs.doc_tables import DOCS
from tests.rigs.documented_server import served
from tests.rigs.http import new_token, request
from tests.servers.npm import install
from understudy.models.model import Emit, Reply, Turn
from understudy.testing.script import Call, Say, ScriptedModel

TEXT = (DOCS / "extensions/agui.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


class Waiter(ScriptedModel):
    """Calls what a message is about before it answers, and answers at once about a receipt."""

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        calls = Call([("send_mail", {"to": "anna"}), ("order", {})])
        if "receipt" in turn.request:
            turns: list[Call | Say] = [Say("Soup")]
        elif "page" in turn.request:
            turns = [Call([("page_title", {})]), Say("It is the menu")]
        else:
            turns = [calls, Say("Done")]
        return await ScriptedModel(*turns).respond(turn, emit)


@pytest.mark.needs("npm")
@pytest.mark.proof("clients")
async def test_the_page_is_right(tmp_path: Path) -> None:
    page = types.ModuleType("page")
    exec(blocks("python")[0], page.__dict__)
    agent = evolve(page.agent, model=Waiter())
    folder = await trio.to_thread.run_sync(install, STOCK, tmp_path / "client")
    async with served(tmp_path / "server", [agent]) as running:
        token = await new_token(running)
        variables: Mapping[str, Any] = {"server": running.address, "token": token, "receipt": "UE5H"}
        head = f"const {{ server, token, receipt }} = {json.dumps(variables)};\n"
        ask, answer, tools, again, more = blocks("js")
        tail = "console.log(JSON.stringify({ first: agent.messages, second: again.messages, state: agent.state }));\n"
        output = await run_script(folder, ask.replace("\n\n", f"\n\n{head}", 1) + answer + tools + again + more + tail)
        first, second = output["first"], output["second"]
        results = sorted(message["content"] for message in second if message["role"] == "tool")
        assert results == ['"2 x funghi"', '"sent to anna"', "The menu"]
        assert calls_of(second) == calls_of(first)
        answers = [message["content"] for message in first if message["role"] == "assistant" and "content" in message]
        assert answers == ["Done", "It is the menu", "Soup"]
        assert (output["state"]["table"], output["state"]["understudy"]["run"]["status"]) == (7, "success")
        address = re.findall(r'"\$SERVER(.+?)"', blocks("console")[0])[0]
        assert (await request(running.address, "GET", address, token=token))[2]["identity"]["name"] == "waiter"
