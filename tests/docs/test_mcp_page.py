"""The page on MCP servers: its agent uses the reference server for times, and its tables are right."""

import inspect
import os
import sys
from pathlib import Path

import pytest
import trio
from attrs import evolve

from tests.docs.blocks import defined_by
from tests.rigs.doc_tables import DOCS, code, table
from tests.rigs.mcp_signed_in import BACK, accounts_in
from tests.servers.mcp_oauth import Provider, serving
from understudy import Agent, McpServer, mcp
from understudy.extensions.mcp import definitions, link, user_links
from understudy.extensions.mcp.check import check_mcp_servers
from understudy.extensions.mcp.oauth.flow import start
from understudy.testing import Call, Say, ScriptedModel, run_agent

PAGE = "extensions/mcp.md"
TEXT = (DOCS / PAGE).read_text()


@pytest.fixture
def agents(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    return defined_by(PAGE)


async def test_the_agent_of_the_page_tells_the_time(agents: dict[str, object]) -> None:
    arguments = {"source_timezone": "Europe/Berlin", "time": "12:00", "target_timezone": "Asia/Tokyo"}
    model = ScriptedModel(Call([("time_convert_time", arguments)]), Say("Done"))
    clock = agents["clock"]
    assert isinstance(clock, Agent)
    run = await run_agent(evolve(clock, model=model), "When is noon in Tokyo?", timeout_s=60)
    (call,) = run.calls
    assert (call.tool, call.status) == ("time_convert_time", "ok")
    assert "Asia/Tokyo" in str(call.result)


def test_doctor_says_what_servers_offer(agents: dict[str, object]) -> None:
    clock = agents["clock"]
    assert isinstance(clock, Agent)
    broken = Agent("broken", tools=[mcp("no-such-program")])
    fine, unreachable = check_mcp_servers([clock, broken])
    assert (fine.name, fine.state) == ("MCP time", "ok")
    assert "2 tools" in fine.text
    assert (unreachable.state, "there is no program no-such-program" in unreachable.text) == ("mend", True)
    assert check_mcp_servers([]) == []


def test_the_tables_and_numbers_are_right(agents: dict[str, object]) -> None:
    desk = agents["desk"]
    assert isinstance(desk, Agent)
    assert [server.name for server in desk.servers] == ["everything", "example"]
    options = [name for row in table(PAGE, "Use MCP servers") for name in code(row["option"])]
    declared = [option.name for option in inspect.signature(mcp).parameters.values() if option.name != "target"]
    assert sorted(options) == sorted(declared)
    for sentence, number in (
        ("32 KiB", definitions.MAX_BYTES / 1024),
        ("32 levels", definitions.MAX_DEPTH),
        ("128 tools", definitions.MAX_TOOLS),
        ("10 s at most", link.WAIT_S),
    ):
        assert sentence in TEXT
        assert int(sentence.split()[0]) == number


async def test_the_users_of_the_page_sign_in_where_it_says(agents: dict[str, object], tmp_path: Path) -> None:
    """The given client is used for a sign-in, and the paths and numbers of the page are those of the code."""
    personal, issues = agents["personal"], agents["issues"]
    assert isinstance(personal, Agent)
    assert isinstance(issues, McpServer)
    assert [(server.name, server.per_user) for server in personal.servers] == [("linear", True)]
    with trio.fail_after(60):
        async with serving(Provider()) as url, accounts_in(tmp_path) as accounts:
            began = await start(accounts, "ada", evolve(issues, url=url), "https://here/api/mcp/issues/callback", BACK)
    assert all(part in began.url for part in ("client_id=understudy", "scope=read+write", "code_challenge_method=S256"))
    assert "/api/mcp/NAME/callback" in TEXT
    assert f"{user_links.IDLE_S / 60:g} minutes after its last call. {user_links.CONNECTED} of them" in TEXT
