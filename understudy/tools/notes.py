"""`save_note`: saves a note as a text file of the user, after the user's approval."""

from typing import Annotated, Any, Final

from understudy.tools.errors import ToolError
from understudy.tools.result import ToolResult
from understudy.tools.schema import Param
from understudy.tools.tool import ToolContext, tool

MAX_NOTE: Final = 10_000
"""Characters of a note: well within the 64 KiB of JSON that a request for approval shows whole."""
MAX_TITLE: Final = 80
_TITLE_WORDS: Final = 6


@tool(approval=True)
async def save_note(
    text: Annotated[str, Param("What the note says.", format="text")],
    context: ToolContext,
    title: Annotated[str, Param("Its name; left out, its first words.")] = "",
) -> ToolResult:
    """Save a note for later, once the user has agreed."""
    if not text.strip():
        raise ToolError("invalid_arguments", "There is nothing to save in that note.")
    if len(text) > MAX_NOTE:
        raise ToolError("invalid_arguments", f"A note has at most {MAX_NOTE:,} characters.")
    name = " ".join((title or " ".join(text[: 4 * MAX_TITLE].split()[:_TITLE_WORDS])).split())[:MAX_TITLE]
    try:
        file = await context.files.save(f"{name.rstrip('. ')}.txt", "text/plain", text.encode())
    except UnicodeEncodeError:
        raise ToolError("invalid_arguments", "That note holds characters that cannot be stored.") from None
    except ValueError:
        raise ToolError("file_too_large", "The note is larger than this server accepts.") from None
    value: dict[str, Any] = {"file_id": file.id, "name": file.name, "size": file.size}
    return ToolResult(value, f"Saved as {file.name}")
