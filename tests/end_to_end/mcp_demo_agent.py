"""Agents with tools of the demo MCP server, and the file into which it writes what happens to it."""

import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.rigs.chat_client import ChatClient, check_arc
from tests.rigs.scripted_model import Call, Say, ScriptedModel
from understudy import Agent, McpServer, mcp

DEMO = Path(__file__).resolve().parents[1] / "servers" / "mcp_demo.py"


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """Return the file into which the demo server writes what happens to it."""
    path = tmp_path / "notes"
    path.touch()
    return path


def demo(notes: Path, **options: Any) -> McpServer:
    """Return the demo server over stdio."""
    return mcp([sys.executable, str(DEMO)], name="demo", env={"DEMO_NOTES": str(notes)}, **options)


def calling(server: McpServer, *calls: tuple[str, dict[str, Any]], **options: Any) -> Agent:
    """Return an agent whose model makes these calls one after another, for every message, and then answers."""
    model = ScriptedModel(*(Call([call]) for call in calls), Say("Done"))
    return Agent("script", tools=[server], model=model, **options)


async def ended(client: ChatClient) -> dict[str, Any]:
    final = await client.until_end()
    check_arc(client.durable(final["run_id"]))
    return final


def results(client: ChatClient) -> dict[str, dict[str, Any]]:
    """Return the data of the last completed call of each tool."""
    return {event["data"]["tool_name"]: event["data"] for event in client.seen if event["type"] == "tool_completed"}


def lines_of(notes: Path) -> list[str]:
    return notes.read_text().splitlines()


async def noted(notes: Path, line: str) -> None:
    with trio.fail_after(60):
        while line not in lines_of(notes):  # noqa: ASYNC110 - another process writes it
            await trio.sleep(0.05)
