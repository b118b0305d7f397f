"""The tool `recall_result`: shows a model an earlier result of the thread that it is shown shortened."""

from typing import Annotated, Any, Final

import msgspec

from understudy.chat.run.replay import RECALL, RecordedResult
from understudy.storage import queries
from understudy.storage.store import Store
from understudy.tools.errors import ToolError
from understudy.tools.result import ToolResult
from understudy.tools.schema import Param
from understudy.tools.tool import Tool, ToolContext, tool

PART: Final = 8_000
"""Characters of a result in one answer; `offset` leads to the next part."""


def recall_tool(store: Store) -> Tool:
    """Return the tool. It reads results of the thread it is called in, and of its owner only."""

    @tool(name=RECALL, retry_safe=True, timeout_s=10.0)
    async def recall_result(
        context: ToolContext,
        call_id: Annotated[str, Param("The call_id of a result that was folded or cut.")],
        offset: Annotated[int, Param("Where to begin, in characters.", minimum=0)] = 0,
    ) -> ToolResult:
        """Show the result of an earlier tool call of this conversation, of which only the beginning was shown."""
        found = await store.read(queries.step_of_call, call_id)
        if found is None or (found[1].owner, found[1].thread_id) != (context.owner, context.thread_id):
            raise ToolError("not_found", f"There is no result of a call {call_id[:64]} in this conversation.")
        step, _ = found
        try:
            kept: Any = msgspec.convert(step.result, RecordedResult)
        except (msgspec.ValidationError, TypeError):
            raise ToolError("not_found", f"The call {call_id[:64]} has no result.") from None
        whole = msgspec.json.encode(kept.value).decode()
        part = whole[offset : offset + PART]
        more = max(0, len(whole) - offset - len(part))
        value = {"tool": step.name, "status": step.status, "part": part, "offset": offset, "more_characters": more}
        return ToolResult(value, f"{len(part):,} of {len(whole):,} characters of the result of {step.name}")

    return recall_result
