"""`chat_response`: the answer of a run as a tool call, for models that act by calls only."""

from typing import Annotated

from understudy.tools.errors import ToolError
from understudy.tools.result import ToolResult
from understudy.tools.schema import Param
from understudy.tools.tool import tool


@tool(retry_safe=True)
async def chat_response(message: Annotated[str, Param("The whole answer to the user, in Markdown.")]) -> ToolResult:
    """Answer the user. The answer is what `message` says, and the work on the request ends with it."""
    if not message.strip():
        raise ToolError("invalid_arguments", "There is nothing to answer in that message.")
    return ToolResult(summary="Answered", answer=message)
