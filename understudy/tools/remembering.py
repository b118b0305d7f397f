"""`remember`, `search_memory` and `forget`: agents remember facts about a user across conversations, on request.

The user sees all entries, as calls, in the page and by `/api/memory`, and can change or delete them there.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

from understudy.tools.errors import ToolError
from understudy.tools.memory import DAY_S, FOUND, VALUES, ranked
from understudy.tools.result import ToolResult
from understudy.tools.schema import Param
from understudy.tools.tool import ToolContext, tool

MAX_FACT: Final = 1_000
"""Characters of a fact; a longer one is refused. The 50 entries of a user then nearly fit into a model's input."""
KEPT_DAYS: Final = 365
_NAME_WORDS: Final = 4
_OF: Final = re.compile(r"(?:that\s+)?my\s+(\S{1,30}(?:\s\S{1,30}){0,7}?)\s+(?:is|are|was)\s", re.IGNORECASE)
_WORDS: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_STOP: Final = frozenset(
    [
        *("a", "am", "an", "and", "are", "be", "for", "has", "have", "i", "in", "is", "it", "me", "my", "of", "on"),
        *("our", "please", "that", "the", "to", "want", "was", "we", "with", "would"),
    ]
)


@tool(retry_safe=True)
async def remember(
    fact: Annotated[str, Param("What to remember, in the user's words.")],
    context: ToolContext,
    name: Annotated[str, Param("A short name for it, as favourite_colour; one of that name is replaced.")] = "",
    days: Annotated[int, Param("How long, in days.", minimum=1, maximum=366)] = KEPT_DAYS,
) -> ToolResult:
    """Remember a fact about the user or a wish of theirs for later conversations, when they ask for it themselves."""
    text = " ".join(fact.split())
    if not text:
        raise ToolError("invalid_arguments", "There is nothing to remember in that.")
    if len(text) > MAX_FACT:
        raise ToolError("invalid_arguments", f"A fact has at most {MAX_FACT:,} characters.")
    name = name or await _free_name(text, context)
    previous = await context.recall(name)
    await context.remember(name, text, days * DAY_S)
    replaced = "" if previous in (None, text) else ", in place of what was remembered under that name"
    sentence = f"Remembered as {name} for {days} days{replaced}"
    return ToolResult({"name": name, "fact": text}, sentence)


@tool(retry_safe=True)
async def search_memory(
    context: ToolContext,
    query: Annotated[str, Param("Words to look for; left out, everything that is remembered.")] = "",
    limit: Annotated[int, Param("How many at most.", minimum=1, maximum=VALUES)] = FOUND,
) -> ToolResult:
    """Look up what is remembered about the user from earlier conversations."""
    entries = await context.memory.search(query, limit)
    rows = [{"name": entry.name, "value": entry.value} for entry in entries]
    if not rows:
        return ToolResult(rows, "Nothing like that is remembered" if query else "Nothing is remembered")
    return ToolResult(rows, f"Remembered: {', '.join(entry.name for entry in entries)}")


def _is_everything(arguments: Mapping[str, Any]) -> bool:
    return arguments.get("everything") is True


@tool(approval=_is_everything)
async def forget(
    context: ToolContext,
    what: Annotated[str, Param("The name of what to forget, or words of it.")] = "",
    everything: Annotated[bool, Param("Forget all; the user is asked first.")] = False,
) -> ToolResult:
    """Forget something that is remembered about the user, when they ask for it themselves."""
    if everything:
        names = [entry.name for entry in await context.memory.search("", VALUES)]
    else:
        names = [await _find(what, context)]
    names = [name for name in names if await context.forget(name)]
    return ToolResult({"forgotten": names}, f"Forgotten: {', '.join(names)}" if names else "Nothing was remembered")


async def _find(what: str, context: ToolContext) -> str:
    """Return the name of the only entry of that name, else with all these words, else with some of them."""
    entries = await context.memory.search("", VALUES)
    words = [part for part in what.replace("_", " ").split() if part.lower().strip(".,!?") not in _STOP]
    if not words:
        raise ToolError("invalid_arguments", "Say what to forget, by its name or some words of it.")
    by_name = [entry for entry in entries if entry.name.lower() == "_".join(what.lower().split())]
    exact = by_name or [entry for entry in entries if all(ranked([entry], word) for word in words)]
    matches = [entry.name for entry in exact or ranked(entries, " ".join(words))]
    if not matches:
        raise ToolError("not_found", "Nothing like that is remembered.")
    if len(matches) > 1:
        raise ToolError("invalid_arguments", f"Several fit that; forget one by its name: {', '.join(matches)}.")
    return matches[0]


async def _free_name(fact: str, context: ToolContext) -> str:
    """Return a name made of the fact: of the subject in "my … is", else of the first words, with a number if taken."""
    if (subject := _OF.match(f"{fact} ")) and (words := _WORDS.findall(subject[1])):
        return "_".join(words).lower()[:64]
    words = [word for word in _WORDS.findall(fact) if word.lower() not in _STOP][:_NAME_WORDS]
    stem = "_".join(words).lower()[:60] or "fact"
    for number in range(1, VALUES + 2):
        name = stem if number == 1 else f"{stem}_{number}"
        if await context.recall(name) in (None, fact):
            return name
    return stem
