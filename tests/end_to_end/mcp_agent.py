"""An agent with tools of the demo MCP server, for servers that are killed: it looks, which may be done twice."""

import os
import sys
from pathlib import Path

from tests.end_to_end.resumable_agent import CALLS
from tests.end_to_end.scripted_model import Call, Say, ScriptedModel
from understudy import Agent, mcp

DEMO = Path(__file__).resolve().parents[1] / "servers" / "mcp_demo.py"

agent = Agent(
    "looker",
    tools=[mcp([sys.executable, str(DEMO)], name="demo", env={"DEMO_NOTES": os.environ.get(CALLS, os.devnull)})],
    model=ScriptedModel(Call([("demo_look", {})]), Say("Done")),
)
