"""Agents with tools of MCP servers, for servers that are killed: one call may be made twice, one is a task."""

import os
import sys
from pathlib import Path

from tests.rigs.resumable_agent import CALLS
from tests.rigs.scripted_model import Call, Say, ScriptedModel
from understudy import Agent, mcp

DEMO = Path(__file__).resolve().parents[1] / "servers" / "mcp_demo.py"

agent = Agent(
    "looker",
    tools=[mcp([sys.executable, str(DEMO)], name="demo", env={"DEMO_NOTES": os.environ.get(CALLS, os.devnull)})],
    model=ScriptedModel(Call([("demo_look", {})]), Say("Done")),
)

counter = Agent(
    "counter",
    tools=[mcp(os.environ.get("TASKS_ADDRESS", "http://127.0.0.1:9/mcp"), name="tasks", timeout_s=120)],
    model=ScriptedModel(Call([("tasks_count", {"to": 3})]), Say("Done")),
)
