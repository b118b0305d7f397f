"""A server with a file of permissions, and users whom its rules tell apart."""

from pathlib import Path
from typing import Any

import pytest
import trio

from tests.rigs.chat_client import check_arc, connected
from tests.rigs.http import get
from tests.rigs.tokens import SECRET, token
from understudy import Agent, tool
from understudy.app.server import Running

STAFF = token("ada", groups=["staff"])
OTHER = token("bob")
CALLED: list[str] = []


@tool(allow=["group:staff"])
async def payout() -> str:
    """Pay."""
    CALLED.append("payout")
    return "paid"


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """Return a file of permissions that knows the group staff and has no rule. Forget the calls of `payout`."""
    CALLED.clear()
    path = tmp_path / "permissions.toml"
    path.write_text('groups = ["staff"]')
    return path


def add(path: Path, text: str, group: str = "staff") -> None:
    """Write the file anew, with these rules."""
    path.write_text(f'groups = ["{group}"]\n{text}')


async def start(serve: Any, rules: Path, *agents: Agent, **settings: Any) -> Running:
    """Start a server with these agents and the file."""
    usual = {"builtin_agents": [], "secret": SECRET, "permissions_file": rules}
    running: Running = await serve(*agents, **usual | settings)
    return running


async def answer(running: Running, who: str, agent: str, **more: Any) -> list[dict[str, Any]]:
    """Ask an agent. Return the events of its run, which are a whole arc."""
    async with connected(running.address, who) as client:
        end = await client.ask("go", agent_type=agent, **more)
        events = client.durable(end["run_id"])
    check_arc(events)
    return events


async def nothing_open(running: Running, who: str) -> bool:
    """Return whether a user has a run, and none is at work."""
    runs = await get(running, "/api/runs", who)
    return bool(runs["runs"]) and all(run["ended_at"] is not None for run in runs["runs"])


async def until(condition: Any) -> None:
    """Wait until an awaited condition holds."""
    for _ in range(600):
        if await condition():
            return
        await trio.sleep(0.05)
    raise AssertionError("the condition did not come to hold within 30 s")
