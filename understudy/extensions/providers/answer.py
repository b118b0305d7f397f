"""Builds a reply from the stream of a provider, of any API: reads and bounds its text, calls, end and usage.

1. Every wait has a deadline, by trio's clock; only events that bring the answer forward move it.
2. The stream is closed however a turn ends; cancelling a turn closes its connection.
3. Errors raised here contain neither the key, nor the address, nor the provider's own text.
4. A stream that ends without a reason for it is a failure, not a short answer.
"""

import logging
import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar, Final, TypeAlias

import msgspec
import trio
from attrs import define, evolve, field
from msgspec import UNSET

from understudy.extensions.providers.overheard import Overheard
from understudy.models.faults import SENTENCES, error_in, failure_of, is_error_in_words
from understudy.models.model import (
    Emit,
    Handoff,
    ModelEvent,
    ModelFault,
    ModelUnavailable,
    ProviderState,
    ReasoningDelta,
    Reply,
    TextDelta,
    TextDropped,
    Thought,
    ToolRequest,
    Turn,
)
from understudy.models.prompt import hand_over_name
from understudy.models.think_tags import TaggedText, ThinkTags
from understudy.tools.written import Contradictory, read_object
from understudy.wire.events import Usage

log = logging.getLogger(__name__)

MAX_TEXT: Final = 1_000_000
"""Limit of characters of one answer, far more than models write; a longer one is cut off there."""
MAX_CALLS: Final = 64
MAX_ARGUMENTS: Final = 1_000_000
"""Limits of calls of one turn, and of characters of their arguments together; beyond them the turn fails."""
MAX_REASONING: Final = 20_000
"""Characters of a model's reasoning that are stored with its reply, unless its provider needs all of it back."""
MAX_STATE: Final = 256 * 1024
"""Limit of bytes of a provider's state that is stored with a reply; a larger one is dropped. Encrypted reasoning has
some 6 bytes per token, so this is enough for some 40,000 tokens."""
MAX_COUNT: Final = 10**9
"""Largest plausible number of tokens of one turn; a larger number is ignored."""

CUT: Final = "\n\n*(The answer was cut here: it reached the model's length limit.)*"
FILTERED: Final = "\n\n*(The answer was stopped here by the provider's content filter.)*"
REFUSED: Final = "\n\n*(The language model refused this request.)*"
INCOMPLETE: Final = "\n\n*(The provider stopped the answer here.)*"
"""Notes that are appended to an incomplete answer."""
FAILED: Final = "failed"
_ENDS: Final = tuple(
    (re.compile(words), meaning)
    for words, meaning in (
        (r"malformed|unexpected|missing|too_many|error|abort|cancel|fail|insufficient|time_?out|rate_limit", FAILED),
        (r"refus", REFUSED),
        (r"filter|safety|recitation|prohibit|block|spii|sensitive|guardrail|moderat|policy|^language$", FILTERED),
        (r"length|max_?|limit|window|truncat", CUT),
        (r"^incomplete$", INCOMPLETE),
        (r"stop|eos|eot|</s>|im_end|^end|end$|tool|function|action|(?<!in)complete|done|finished", ""),
    )
)
"""The note for a reason why an answer ended; the first pattern that matches counts. The reasons are those of OpenAI,
Anthropic and Gemini, whose compatible API sends `content_filter: RECITATION`, and those that other servers made up."""
_NO_REASONS: Final = ("", "null", "none", "undefined", "unspecified", "finish_reason_unspecified")
_COUNTS: Final[Mapping[str, Sequence[str]]] = {
    "input": ("prompt_tokens", "input_tokens"),
    "output": ("completion_tokens", "output_tokens"),
    "cached": ("cached_tokens", "cache_read_input_tokens", "prompt_cache_hit_tokens"),
    "reasoning": ("reasoning_tokens", "thinking_tokens"),
    "cache_written": ("cache_creation_input_tokens",),
}
"""The providers' names for each number of a usage, also within its details."""

GOODBYE_S: Final = 1.0
"""Seconds that a stream has to end after its answer; then its connection is closed, and the next turn opens another."""
WHOLE: Final = "whole"
"""The member of an event for a reader that contains a whole answer, which came as one object."""
Next: TypeAlias = Callable[[Any, float], Awaitable[Any]]
"""Returns the next event of a stream within so many seconds, None at its end. Raises `ModelUnavailable`."""
WrittenCall: TypeAlias = tuple[str, str, Sequence[str]]
"""The id and the name of a call as its provider sent them, and the pieces of its arguments as the model wrote them."""


@define
class AnswerReader:
    """The part of an answer that has arrived. Each API has a subclass that reads its events.

    `size` counts characters, and one more per event, so that it bounds any stream; `progress` counts the pieces that
    brought the answer forward. `writes`: a text is being written, so the next piece follows within seconds. `ended`:
    the answer has ended, with a `note` if it is incomplete; `over`: only the end of the stream follows. `refusal` is an
    event in the form of an error, which counts if the answer does not end.
    """

    tags: ThinkTags = field(factory=ThinkTags)
    texts: list[str] = field(factory=list)
    thoughts: list[str] = field(factory=list)
    size: int = 0
    progress: int = 0
    writes: bool = False
    usage: Usage = field(factory=lambda: Usage(turns=1))
    ended: bool = False
    over: bool = False
    note: str = ""
    refusal: Mapping[str, Any] | None = None
    most_reasoning: ClassVar[int] = MAX_REASONING

    def read(self, event: Mapping[str, Any]) -> list[ModelEvent]:
        """Read an event of the API, and return the events of the model in it. Raises `ModelUnavailable`."""
        raise NotImplementedError

    def calls(self) -> list[WrittenCall]:
        """Return the calls of a complete answer. Raises `ModelUnavailable` if they contradict each other."""
        raise NotImplementedError

    def add(self, event: Any) -> list[ModelEvent]:
        """Add an event of the API, as JSON or as an SDK's object, and return the events of the model in it.

        Raises `ModelUnavailable` if it is an error, or cannot be read.
        """
        self.size += 1
        try:
            members = event.to_dict(warnings=False) if hasattr(event, "to_dict") else event
            content = (members.get(WHOLE) or members) if isinstance(members, Mapping) else {}
            if not (error := error_in(content)):
                self.refusal = content if is_error_in_words(content) else self.refusal
                return self.read(members)
            failure = failure_of(error)
        except (AttributeError, TypeError, LookupError, ValueError):  # the event was not validated
            failure = unreadable("no event")
        raise failure

    def say(self, text: str = "", reasoning: str = "") -> list[ModelEvent]:
        """Add text and reasoning, and return their events. `tags` separate reasoning within the text."""
        self.size += len(text) + len(reasoning)
        self.progress += bool(text or reasoning)
        parts = self.tags.feed(text) if text else TaggedText()
        return self._take(TaggedText(reasoning + parts.reasoning, parts.text, parts.dropped))

    def _take(self, parts: TaggedText) -> list[ModelEvent]:
        events: list[ModelEvent] = []
        if parts.dropped:
            self.texts.clear()
            events.append(TextDropped())
        if parts.reasoning:
            self.thoughts.append(parts.reasoning)
            events.append(ReasoningDelta(parts.reasoning))
        if parts.text:
            self.texts.append(parts.text)
            events.append(TextDelta(parts.text))
        return events

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self.texts)

    @property
    def reasoning(self) -> str:
        """The reasoning so far."""
        return "".join(self.thoughts)

    async def hear(self, stream: Any, next_event: Next, first_token_s: float, idle_s: float, emit: Emit) -> None:
        """Read a stream to its end, or to the limit of an answer; `next_event` returns its next event.

        Progress must come within `first_token_s` until the answer begins and while the model thinks, and within
        `idle_s` while it writes; a ping is no progress. Raises `ModelUnavailable` with the usage so far.
        """
        began, seen, self.ended, self.over = trio.current_time(), self.progress, False, False
        try:
            async with stream as events, Overheard(events.response) as overheard:
                while self.size <= MAX_TEXT and not self.over:
                    left_s = began + (idle_s if self.writes else first_token_s) - trio.current_time()
                    try:
                        event = await next_event(events, max(0.0, left_s))
                    except ModelUnavailable:
                        if not self.ended:
                            raise
                        break  # the answer is complete; only the end marker is missing
                    if event is None:
                        break
                    overheard.stop()
                    for said_event in self.add(event):
                        await emit(said_event)
                    if self.progress != seen:
                        began, seen = trio.current_time(), self.progress
                else:
                    if not self.over:
                        self.ended, self.note = True, CUT
                    with suppress(ModelUnavailable):  # read the end of the stream, so that its connection can be reused
                        await next_event(events, min(GOODBYE_S, idle_s) if self.over else 0.0)
            if (whole := overheard.whole()) is not None:
                for said_event in self.add({WHOLE: whole}):
                    await emit(said_event)
            if not self.ended and self.refusal:
                raise failure_of(self.refusal)
            if not self.ended and self.progress:
                raise ModelUnavailable("The language model stopped in the middle of its answer.", True, "cut short")
            if not self.ended:
                raise ModelUnavailable("The language model sent no answer; try again in a moment.", True, "no answer")
        except ModelUnavailable as error:
            error.used = self.usage if self.size else None
            raise

    async def reply(self, turn: Turn, emit: Emit) -> tuple[Reply, list[WrittenCall]]:
        """Return the reply of an answer that has ended, and its calls as the model wrote them. Emit the remaining
        events: text that `tags` held back, the note, the thought about the calls.

        An answer with a `note` is incomplete, and its calls are dropped. Raises `ModelUnavailable` for a handoff to an
        unknown colleague, for too many or contradictory calls, and for calls without a name.
        """
        try:
            for event in self._take(self.tags.finish(cut=self.note == CUT)):
                await emit(event)
            if not self.note:
                calls = self.calls()
                return await _whole_reply(turn, self, read_calls(calls), emit), calls
            if self.note in (FILTERED, REFUSED) and not self.text:  # in the history it would end later answers too
                sentence = SENTENCES[ModelFault.FILTERED]
                raise ModelUnavailable(sentence, False, "filtered", fault=ModelFault.FILTERED)
        except ModelUnavailable as error:
            error.used = self.usage
            raise
        text, cut = self.text, self.note in (CUT, INCOMPLETE)  # a cut answer can be continued
        note = self.note if text else self.note.lstrip()
        await emit(TextDelta(note))
        reasoning = self.reasoning[: self.most_reasoning]
        return Reply(text + note, usage=self.usage, reasoning=reasoning, cut=note if cut else ""), []


def oversized() -> ModelUnavailable:
    """Return the error for a turn with too many calls, or too long arguments."""
    return ModelUnavailable("The language model asked for more than this server takes.", False, "oversized call")


def unreadable(why: str) -> ModelUnavailable:
    """Return the error for an answer that cannot be read, or contradicts itself; `why` is for the log."""
    return ModelUnavailable("The language model sent something unreadable.", True, why)


def is_reason(reason: Any) -> bool:
    """Return whether this is a reason for an end, and not a placeholder, which servers also send before the end."""
    return reason is not None and str(reason).strip().lower() not in _NO_REASONS


def note_of_end(reason: Any) -> str:
    """Return the note for an answer that ended for `reason`, empty if it is complete. An unknown reason counts as that
    of an incomplete answer. Raises `ModelUnavailable` if the model failed."""
    word = str(reason).strip().lower().replace("-", "_")
    note = next((meaning for words, meaning in _ENDS if words.search(word)), None)
    shown = word if re.fullmatch(r"[a-z_: ]{1,64}", word) else "other words"  # the log must not get arbitrary text
    if note == FAILED:
        raise ModelUnavailable("The language model failed; try again in a moment.", True, f"it ended by {shown}")
    if note is None:
        log.warning("model.unknown_end", extra={"reason": shown})
    return INCOMPLETE if note is None else note


def read_usage(counted: Any) -> Usage:
    """Return the usage of a turn as a provider counted it. Values that cannot be counts are skipped and logged."""
    usage: dict[str, int] = {}
    top = counted if isinstance(counted, Mapping) else {}
    details = [detail for detail in top.values() if isinstance(detail, Mapping)]
    odd = [] if counted is None or isinstance(counted, Mapping) else ["usage"]
    for name, names in _COUNTS.items():
        for key, value in ((key, part[key]) for part in (top, *details) for key in names if part.get(key) is not None):
            number = _count(value)
            if number is None:
                odd.append(key)
            else:
                usage.setdefault(name, number)
    if odd:
        log.warning("model.usage_odd", extra={"fields": ", ".join(odd)})
    more: dict[str, Any] = {name: usage.get(name, UNSET) for name in ("cached", "reasoning", "cache_written")}
    return Usage(usage.get("input", 0), usage.get("output", 0), 1, **more)


def _count(value: Any) -> int | None:
    """Return a number of tokens, which may come as a float or a text; None if the value is no such number."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return round(number) if math.isfinite(number) and 0 <= number <= MAX_COUNT else None


def read_call(call_id: str, name: str, pieces: Sequence[str]) -> ToolRequest:
    """Return a call with its decoded arguments. If they cannot be decoded, the call has a `problem`.

    Raises `ModelUnavailable` if they contradict themselves.
    """
    read, problem = {}, ""
    try:
        try:
            read = read_object(pieces)
        except ValueError:
            text = "".join(pieces)
            begin, end = text.find("{"), text.rfind("}") + 1
            if not 0 <= begin < end or "[" in text[:begin] + text[end:]:
                raise
            read = read_object([text[begin:end]])  # ignore words around the object
    except Contradictory:
        problem = "contradictory"
    except ValueError as error:
        arguments = "".join(pieces)
        arguments = arguments[:200] + ("…" if len(arguments) > 200 else "")
        problem = f"The arguments of {name[:64]} are {error}: {arguments}"
    if problem == "contradictory":
        raise unreadable("two arguments of a call")
    words = name.replace("_", " ").replace("-", " ").strip().capitalize()
    return ToolRequest(call_id, name, read, words, problem)


def make_state(provider: str, model: str, value: Any, calls: Sequence[WrittenCall]) -> ProviderState | None:
    """Return the state to send back with a reply: `value`, and the ids of its calls. None if it is empty or too
    large."""
    ids = tuple(call_id for call_id, *_ in calls)
    try:
        size = len(msgspec.json.encode((value, ids)))
    except UnicodeEncodeError:  # lone surrogates cannot be stored
        return None
    if not (value or any(ids)) or size > MAX_STATE:
        return None
    return ProviderState(provider, model, value, ids)


def read_calls(calls: Sequence[WrittenCall]) -> list[ToolRequest]:
    """Return the calls of an answer, each with an id of its own. Raises `ModelUnavailable`."""
    if len(calls) > MAX_CALLS:
        raise oversized()
    read: list[ToolRequest] = []
    for number, (call_id, name, pieces) in enumerate(calls):
        if not name:
            raise unreadable("a call of nothing")
        taken = {call.id for call in read}
        unique = call_id if call_id and call_id not in taken else f"{call_id or 'call'}-{number}"
        read.append(read_call(unique, name, pieces))
    return read


async def _whole_reply(turn: Turn, answer: AnswerReader, calls: Sequence[ToolRequest], emit: Emit) -> Reply:
    reply = Reply(answer.text, usage=answer.usage, reasoning=answer.reasoning[: answer.most_reasoning])
    handoff = next((call for call in calls if call.name == hand_over_name(turn.tools)), None)
    if turn.colleagues and handoff is not None:
        to, reason = handoff.arguments.get("to"), handoff.arguments.get("reason")
        if not any(colleague.name == to for colleague in turn.colleagues):
            sentence = "The language model asked for a colleague that does not exist."
            raise ModelUnavailable(sentence, True, "unknown colleague")
        reason = reason if isinstance(reason, str) and reason else f"{to} has better tools for this."
        return evolve(reply, handoff=Handoff(str(to), reason))
    if calls:
        await emit(Thought("Next: " + ", ".join(call.description for call in calls)))
    return evolve(reply, calls=tuple(calls))
