"""The page on OpenAI's clients: its code is run by the stock client."""

import re
from pathlib import Path

import pytest
import trio

from tests.rigs.doc_tables import DOCS
from tests.rigs.documented_server import served
from tests.rigs.http import new_token
from understudy import Agent
from understudy.testing.script import Call, Say, ScriptedModel

TEXT = (DOCS / "extensions/responses.md").read_text()
ADDRESS = "http://127.0.0.1:8002"


async def test_the_page_is_right(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planner = Agent("planner", model=ScriptedModel(Call([("weather", {"city": "Rome"})]), Say("A hat")))
    blocks = re.findall(r"```python[^\n]*\n(.*?)```", TEXT, re.DOTALL)
    async with served(tmp_path, [planner]) as running:
        token = await new_token(running)

        def run() -> None:
            names: dict[str, object] = {"TOKEN": token}
            for block in blocks:
                exec(block.replace(ADDRESS, running.address), names)
            names["client"].close()  # type: ignore[attr-defined]

        await trio.to_thread.run_sync(run)
    printed = capsys.readouterr().out
    for text in ("12", "12.8", "5", "A hat"):
        assert text in printed
