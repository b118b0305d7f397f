"""`remember`, `search_memory` and `forget`: a user has agents remember facts over conversations, and look them up.

What is remembered is shown: as the call, in the page and by `/api/memory`, where its user changes or deletes it.
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
"""Characters of a fact: 50 of them nearly fit into a model's input."""
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
    before = await context.recall(name)
    await context.remember(name, text, days * DAY_S)
    instead = "" if before in (None, text) else ", in place of what was remembered under that name"
    sentence = f"Remembered as {name} for {days} days{instead}"
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
    names = (
        [kept.name for kept in await context.memory.search("", VALUES)] if everything else [await _meant(what, context)]
    )
    gone = [name for name in names if await context.forget(name)]
    return ToolResult({"forgotten": gone}, f"Forgotten: {', '.join(gone)}" if gone else "Nothing was remembered")


async def _meant(what: str, context: ToolContext) -> str:
    """Return the name of the one value that is called so, has all these words, or some of them."""
    entries = await context.memory.search("", VALUES)
    words = [part for part in what.replace("_", " ").split() if part.lower().strip(".,!?") not in _STOP]
    if not words:
        raise ToolError("invalid_arguments", "Say what to forget, by its name or some words of it.")
    called = [entry for entry in entries if entry.name.lower() == "_".join(what.lower().split())]
    exact = called or [entry for entry in entries if all(ranked([entry], word) for word in words)]
    fitting = [entry.name for entry in exact or ranked(entries, " ".join(words))]
    if not fitting:
        raise ToolError("not_found", "Nothing like that is remembered.")
    if len(fitting) > 1:
        raise ToolError("invalid_arguments", f"Several fit that; forget one by its name: {', '.join(fitting)}.")
    return fitting[0]


async def _free_name(fact: str, context: ToolContext) -> str:
    """Return a name made of the fact: after "my … is" that of its subject, else of its first words, if not taken."""
    if (subject := _OF.match(f"{fact} ")) and (words := _WORDS.findall(subject[1])):
        return "_".join(words).lower()[:64]
    words = [word for word in _WORDS.findall(fact) if word.lower() not in _STOP][:_NAME_WORDS]
    stem = "_".join(words).lower()[:60] or "fact"
    for number in range(1, VALUES + 2):
        name = stem if number == 1 else f"{stem}_{number}"
        if await context.recall(name) in (None, fact):
            return name
    return stem
