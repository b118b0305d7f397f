"""A guide whose starters save notes, with approval, and tell at length: it needs no language model."""

from understudy import Agent, ToolContext, ToolResult, tool
from understudy.tools.arithmetic import calculate
from understudy.tools.offers import Starter

NOTES = ("buy milk", "never mind", "paint the fence", "feed the cat", "sell the house", "stop me")


@tool(approval=True)
async def save_note(text: str, context: ToolContext) -> ToolResult:
    """Save a note, once the user has agreed."""
    file = await context.files.save(f"{text}.txt", "text/plain", text.encode())
    return ToolResult({"file_id": file.id, "name": file.name}, f"Saved as {file.name}")


@tool(retry_safe=True)
def tell(things: int) -> ToolResult:
    """Tell about so many things, which is written word by word."""
    text = " ".join(f"Thing {n} matters because of reason {n} 🎭." for n in range(things))
    return ToolResult({"text": text}, f"Told about {things} things.")


guide = Agent(
    "guide",
    tools=(calculate, save_note, tell),
    starters=(
        *(Starter(f"Save a note: {text}", "save_note", {"text": text}) for text in NOTES),
        *(Starter(f"Tell about {things} things", "tell", {"things": things}) for things in (40, 60)),
    ),
)
