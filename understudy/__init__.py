"""A chat server for agents in which every connection, conversation, run and tool call is a supervised actor.

```python
from understudy import Agent, serve, tool

@tool
async def lookup(order_id: str) -> dict: ...

serve(Agent("support", instructions="…", tools=[lookup]))
```
"""

# ruff: noqa: E402 - the handling of Ctrl-C is set before anything is imported

import signal
import sys

# While the command loads, Ctrl-C ends the process without a traceback. Then `understudy.cli.main` handles it. Programs
# that import this package as a library are not affected.
_program = "".join(sys.orig_argv[-len(sys.argv) :][:1])  # the name of a script, or of the module after -m
if _program.rpartition("/")[2] == "understudy" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from importlib.metadata import version

import understudy.wire.codes as _codes  # noqa: F401 - registers the error codes of the chat
from understudy.agents.agent import Agent as Agent
from understudy.agents.budget import Budget as Budget
from understudy.agents.turn import AgentTurn as AgentTurn
from understudy.app.serve import serve as serve
from understudy.extension import Extension as Extension
from understudy.models.model import Emit as Emit
from understudy.models.model import Model as Model
from understudy.models.model import ModelLimits as ModelLimits
from understudy.models.model import ModelSettings as ModelSettings
from understudy.models.model import ModelUnavailable as ModelUnavailable
from understudy.models.model import Reply as Reply
from understudy.models.model import TextDelta as TextDelta
from understudy.models.model import ToolRequest as ToolRequest
from understudy.models.model import Turn as Turn
from understudy.tools.arithmetic import calculate as calculate
from understudy.tools.effects import Done as Done
from understudy.tools.effects import NotDone as NotDone
from understudy.tools.effects import Unknown as Unknown
from understudy.tools.errors import QuestionDeclined as QuestionDeclined
from understudy.tools.errors import QuestionExpired as QuestionExpired
from understudy.tools.errors import QuestionUnanswered as QuestionUnanswered
from understudy.tools.lifespan import Lifespan as Lifespan
from understudy.tools.mcp_server import McpServer as McpServer
from understudy.tools.mcp_server import mcp as mcp
from understudy.tools.offers import NextStep as NextStep
from understudy.tools.offers import Starter as Starter
from understudy.tools.remembering import forget as forget
from understudy.tools.remembering import remember as remember
from understudy.tools.remembering import search_memory as search_memory
from understudy.tools.response import chat_response as chat_response
from understudy.tools.schema import Secret as Secret
from understudy.tools.tool import Param as Param
from understudy.tools.tool import StoredFile as StoredFile
from understudy.tools.tool import Tool as Tool
from understudy.tools.tool import ToolContext as ToolContext
from understudy.tools.tool import ToolError as ToolError
from understudy.tools.tool import ToolResult as ToolResult
from understudy.tools.tool import tool as tool

__version__ = version("understudy-server")

__all__ = [
    "Agent",
    "AgentTurn",
    "Budget",
    "Done",
    "Emit",
    "Extension",
    "Lifespan",
    "Model",
    "ModelLimits",
    "ModelSettings",
    "ModelUnavailable",
    "NextStep",
    "NotDone",
    "Param",
    "QuestionDeclined",
    "QuestionExpired",
    "QuestionUnanswered",
    "Reply",
    "Secret",
    "Starter",
    "StoredFile",
    "TextDelta",
    "Tool",
    "ToolContext",
    "ToolError",
    "ToolRequest",
    "ToolResult",
    "Turn",
    "Unknown",
    "__version__",
    "calculate",
    "chat_response",
    "forget",
    "remember",
    "search_memory",
    "serve",
    "tool",
]
