"""The page on MCP servers: its agent uses the reference server for times, and its tables are right."""

import inspect
import os
import re
import sys
from pathlib import Path

import pytest
from attrs import evolve

from tests.docs.tables import DOCS, code, table
from understudy import Agent, mcp
from understudy.cli.doctor import check_mcp_servers
from understudy.testing import Call, Say, ScriptedModel, run_agent
from understudy.tools.mcp import definitions, link

PAGE = "how-to/use-mcp-servers.md"
TEXT = (DOCS / PAGE).read_text()


@pytest.fixture
def agents(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Return what the Python blocks of the page define."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    found: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        exec(compile(block, PAGE, "exec"), found)
    return found


@pytest.mark.slow
async def test_the_agent_of_the_page_tells_the_time(agents: dict[str, object]) -> None:
    asked = {"source_timezone": "Europe/Berlin", "time": "12:00", "target_timezone": "Asia/Tokyo"}
    model = ScriptedModel(Call([("time_convert_time", asked)]), Say("Done"))
    clock = agents["clock"]
    assert isinstance(clock, Agent)
    run = await run_agent(evolve(clock, model=model), "When is noon in Tokyo?", timeout_s=60)
    (call,) = run.calls
    assert (call.tool, call.status) == ("time_convert_time", "ok")
    assert "Asia/Tokyo" in str(call.result)


@pytest.mark.slow
def test_doctor_says_what_servers_offer(agents: dict[str, object]) -> None:
    clock = agents["clock"]
    assert isinstance(clock, Agent)
    broken = Agent("broken", tools=[mcp("no-such-program")])
    fine, gone = check_mcp_servers([clock, broken])
    assert (fine.name, fine.state) == ("MCP time", "ok")
    assert "2 tools" in fine.text
    assert (gone.state, "there is no program no-such-program" in gone.text) == ("mend", True)
    assert check_mcp_servers([]) == []


def test_the_tables_and_numbers_are_right(agents: dict[str, object]) -> None:
    desk = agents["desk"]
    assert isinstance(desk, Agent)
    assert [each.name for each in desk.servers] == ["everything", "example"]
    options = [each for row in table(PAGE, "Use MCP servers") for each in code(row["option"])]
    declared = [each.name for each in inspect.signature(mcp).parameters.values() if each.name != "target"]
    assert sorted(options) == sorted(declared)
    for said, number in (
        ("32 KiB", definitions.MAX_BYTES / 1024),
        ("32 levels", definitions.MAX_DEPTH),
        ("128 tools", definitions.MAX_TOOLS),
        ("10 s at most", link.WAIT_S),
    ):
        assert said in TEXT
        assert int(said.split()[0]) == number
