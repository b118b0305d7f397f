"""Makes a reply of what a provider has sent: reads its calls and its handoff, and bounds what it may send."""

from collections.abc import Sequence
from typing import Final

import msgspec

from transport.wire.events import Usage
from understudy.models.model import (
    Emit,
    Handoff,
    ModelUnavailable,
    Reply,
    TextDelta,
    Thought,
    ToolRequest,
    Turn,
)
from understudy.models.prompt import hand_over_name

MAX_TEXT: Final = 1_000_000
"""Characters of one answer, far more than models write; a longer one is cut off there."""
MAX_CALLS: Final = 64
MAX_ARGUMENTS: Final = 1_000_000
"""Calls of one turn, and characters of the arguments of one call; beyond them the turn fails."""
MAX_REASONING: Final = 20_000
"""Characters of a model's reasoning that are kept with its reply."""
MAX_STATE: Final = 256 * 1024
"""Bytes of a provider's own state that are kept with a reply; more is dropped. Encrypted reasoning has some 6 bytes for
each of its tokens, so this is the reasoning of some 40,000."""

CUT: Final = "\n\n*(The answer was cut here: it reached the model's length limit.)*"
FILTERED: Final = "\n\n*(The answer was stopped here by the provider's content filter.)*"
REFUSED: Final = "\n\n*(The language model refused this request.)*"
INCOMPLETE: Final = "\n\n*(The provider stopped the answer here.)*"
"""Notes at the end of an answer that is not whole."""


def oversized() -> ModelUnavailable:
    """Return the error of a turn with more calls, or longer arguments, than a turn may have."""
    return ModelUnavailable("The language model asked for more than this server takes.", False, "oversized call")


def read_call(call_id: str, name: str, arguments: str) -> ToolRequest:
    """Return a call with its arguments, which are JSON as the model wrote it. Bad ones are a `problem` of the call."""
    try:
        read = msgspec.json.decode(arguments or "{}")
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        read = None
    problem = ""
    if not isinstance(read, dict):
        what = "not valid JSON" if read is None else "not a JSON object"
        shown = arguments[:200] + ("…" if len(arguments) > 200 else "")
        read, problem = {}, f"The arguments of {name[:64]} are {what}: {shown}"
    words = name.replace("_", " ").replace("-", " ").strip().capitalize()
    return ToolRequest(call_id, name, read, words, problem)


async def whole_reply(turn: Turn, text: str, calls: Sequence[ToolRequest], usage: Usage, emit: Emit) -> Reply:
    """Return the reply of a complete answer; emit the thought about its calls.

    Raises `ModelUnavailable` for a handoff to an unknown colleague.
    """
    handoff = next((each for each in calls if each.name == hand_over_name(turn.tools)), None)
    if turn.colleagues and handoff is not None:
        to, reason = handoff.arguments.get("to"), handoff.arguments.get("reason")
        if not any(each.name == to for each in turn.colleagues):
            sentence = "The language model asked for a colleague that does not exist."
            raise ModelUnavailable(sentence, True, "unknown colleague")
        reason = reason if isinstance(reason, str) and reason else f"{to} has better tools for this."
        return Reply(text, handoff=Handoff(str(to), reason), usage=usage)
    if calls:
        await emit(Thought("Next: " + ", ".join(each.description for each in calls)))
    return Reply(text, tuple(calls), usage=usage)


async def cut_reply(text: str, note: str, usage: Usage, emit: Emit) -> Reply:
    """Return the reply of an answer that is not whole: its text and the note. Its calls are dropped."""
    can_go_on = note in (CUT, INCOMPLETE)
    note = note if text else note.lstrip()
    await emit(TextDelta(note))
    return Reply(text + note, usage=usage, cut=note if can_go_on else "")
