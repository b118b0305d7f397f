"""Runs an agent of another server by AG-UI: `POST` the conversation, and read the events of its run.

1. The remote's run has the id of ours, so that a server that can be rejoined (another understudy) continues it after a
   cut connection, or after a restart here: it sends its messages so far as a snapshot, of which shown text is skipped.
   Any other server would run twice, so a cut ends the run.
2. Interrupts are asked as questions of our run, which are durable; the replies resume the remote's run.
"""

import codecs
import io
import json
import logging
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing, suppress
from typing import Any, Final

import httpx2
import trio
from attrs import define, field

from understudy.agents.turn import AgentTurn
from understudy.content.texts import is_blank
from understudy.extensions.remote import wording
from understudy.extensions.remote.remote import CONNECT_S, MAX_ROUNDS, Remote
from understudy.models.items import MessageItem
from understudy.models.model import ModelUnavailable
from understudy.tools.errors import QuestionUnanswered
from understudy.tools.form import Question
from understudy.wire.events import ANSWER

log = logging.getLogger(__name__)

MAX_LINE: Final = 4 * 1024 * 1024
"""Limit of characters of one event; the longest of our own server is a result of 256 KiB."""
MAX_MESSAGES: Final = 10_000
"""Limit of messages of a conversation and a run; with more the remote is given up."""
JOIN_S: Final = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Delays in seconds before the attempts to rejoin a server."""
OURS: Final = "understudy"
"""The key in the metadata of RUN_STARTED that marks a server which can be rejoined."""
THOUGHTS: Final = frozenset({"REASONING_MESSAGE_CONTENT", "REASONING_MESSAGE_CHUNK", "THINKING_TEXT_MESSAGE_CONTENT"})
"""Types of events with a piece of a thought, which ends with any other event."""
ON_INTERRUPT: Final = "on_interrupt"
"""The name of the event by which LangGraph's server asks. It expects the answer as the command to resume."""
ANY_OBJECT: Final = {"type": "object", "properties": {"answer": {"type": "string", "title": "Answer"}}}


class _Cut(Exception):
    """The connection ended before the run did."""


@define
class _Answer:
    """The answer of a run so far: the texts of its messages by id, and the state, which is the answer without any text.
    `others` are the ids of messages that are no answer: those of the conversation, and of other roles."""

    others: set[str]
    texts: dict[str, str] = field(factory=dict, init=False, repr=False)
    state: Any = field(default=None, init=False, repr=False)
    _latest: str = field(default="", init=False)
    _changed: int = field(default=0, init=False)  # bytes of changes of the state

    @property
    def text(self) -> str:
        return wording.PARAGRAPH.join(filter(None, self.texts.values()))

    def add(self, event: Mapping[str, Any]) -> None:
        """Add the start or a piece of a message. A piece without an id belongs to the previous message."""
        name = self._latest = str(event.get("messageId") or self._latest)
        if event.get("role", "assistant") != "assistant":
            self.others.add(name)
        if name not in self.others:
            self.texts[name] = self.texts.get(name, "") + str(event.get("delta") or "")

    def add_whole(self, messages: Iterable[Mapping[str, Any]]) -> None:
        """Add the messages of a snapshot. Each replaces the pieces with its id, as a guardrail may have rewritten them.

        A text that came in pieces already is skipped, because some servers send it under another id in the snapshot.
        """
        texts = set(self.texts.values())
        for message in messages:
            name, content = str(message.get("id") or f"#{len(self.texts)}"), message.get("content")
            if isinstance(content, list):
                content = "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
            is_answer = message.get("role") == "assistant" and name not in self.others
            if is_answer and isinstance(content, str) and content not in texts and not is_blank(content):
                self.texts[name] = content
                texts.add(content)

    def change_state(self, operations: Any) -> None:
        """Apply the additions, replacements and removals of a JSON Patch (RFC 6902); skip those that do not fit."""
        whole = {"": self.state}
        for operation in operations if isinstance(operations, list) else ():
            with suppress(AttributeError, IndexError, KeyError, TypeError, ValueError):
                *parents, name = (part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/"))
                target: Any = whole
                for part in parents:
                    target = target[int(part) if isinstance(target, list) else part]
                key: Any = (len(target) if name == "-" else int(name)) if isinstance(target, list) else name
                match operation["op"]:
                    case "remove":
                        del target[key]
                    case "add" if isinstance(target, list):
                        target.insert(key, operation["value"])
                    case "add" | "replace":
                        target[key] = operation["value"]
        self._changed += len(json.dumps(operations))
        self.state = whole.get("") if self._changed < wording.MAX_TEXT else None


@define
class AguiWork:
    """One run of a remote agent for one turn."""

    remote: Remote
    turn: AgentTurn
    shown: wording.ShownText = field(factory=wording.ShownText, init=False)
    thought: int = field(default=0, init=False)  # number of thoughts that are shown
    thought_length: int = field(default=0, init=False)  # characters of these thoughts
    others: set[str] = field(factory=set, init=False)  # ids of messages that are no answer
    joinable: bool = field(default=False, init=False)

    async def run(self) -> None:
        """Work until the remote's run has ended.

        Raises:
            ModelUnavailable: The remote cannot be reached, refuses, was cut off, or does not speak AG-UI; or its run
                failed, and the sentence is the remote's.
        """
        timeout = httpx2.Timeout(CONNECT_S, read=self.remote.idle_s)
        async with httpx2.AsyncClient(headers=dict(self.remote.headers), timeout=timeout) as client:
            resume: list[dict[str, Any]] = []
            for number in range(MAX_ROUNDS):
                interrupts = await self._joined(client, number, resume)
                if not interrupts:
                    return
                resume = [await self._ask(interrupt) for interrupt in interrupts]
        raise ModelUnavailable("The remote agent asked too many questions.")

    async def _joined(self, client: httpx2.AsyncClient, number: int, resume: list[dict[str, Any]]) -> list[Any]:
        """Send one request, again after a cut if the server can be rejoined. Return its interrupts."""
        for delay_s in (*JOIN_S, None):
            try:
                return await self._request(client, number, resume)
            except (_Cut, httpx2.TransportError) as error:
                if delay_s is None or not self.joinable:
                    raise self._unavailable(error) from error
                log.warning("remote.cut", extra={"run_id": self.turn.run_id, "reason": type(error).__name__})
                await trio.sleep(delay_s)
        raise AssertionError("unreachable")

    def _unavailable(self, error: Exception) -> ModelUnavailable:
        if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
            sentence = wording.UNREACHABLE
        elif isinstance(error, httpx2.TimeoutException):
            sentence = f"The remote agent was silent for {self.remote.idle_s:g} s."
        else:
            sentence = wording.CUT
        return ModelUnavailable(sentence, detail=repr(error))

    async def _request(self, client: httpx2.AsyncClient, number: int, resume: list[dict[str, Any]]) -> list[Any]:
        """Send one request and show its events. Return the interrupts with which it ended, none if the run ended."""
        answer, thoughts, thought, custom_interrupts = _Answer(self.others), 0, "", []
        body = json.dumps(self._input(number, resume))
        accept = {"Accept": "text/event-stream", "Accept-Encoding": "identity", "Content-Type": "application/json"}
        async with client.stream("POST", self.remote.url, content=body, headers=accept) as response:
            await self._check(response)
            async with aclosing(_events(response)) as events:
                async for event in events:
                    kind = event.get("type")
                    if thought and kind not in THOUGHTS:
                        thoughts, thought = await self._think(thoughts, thought), ""
                    match kind:
                        case "RUN_STARTED":
                            self.joinable = OURS in (event.get("metadata") or {})
                        case "MESSAGES_SNAPSHOT":
                            thoughts = await self._snapshot(answer, event.get("messages"))
                        case "STATE_SNAPSHOT":
                            answer.state = event.get("snapshot")
                        case "STATE_DELTA":
                            answer.change_state(event.get("delta"))
                        case "TEXT_MESSAGE_START" | "TEXT_MESSAGE_CONTENT" | "TEXT_MESSAGE_CHUNK":
                            answer.add(event)
                            await self._show(answer)
                        case str() if kind in THOUGHTS:
                            thought += str(event.get("delta") or "")
                            self._bound(len(thought))
                        case "TOOL_CALL_START" | "TOOL_CALL_CHUNK" if event.get("toolCallName"):
                            thoughts = await self._think(thoughts, f"Calls {event['toolCallName']}.")
                        case "CUSTOM" if event.get("name") == ON_INTERRUPT:
                            custom_interrupts = [{"id": ON_INTERRUPT, "message": event.get("value")}]
                        case "RUN_ERROR":
                            raise ModelUnavailable(wording.words_of(event) or "The remote agent failed.")
                        case "RUN_FINISHED":
                            interrupts = self._interrupts(event) or custom_interrupts
                            if not interrupts:
                                await self._end(answer, event.get("result"), resumed=number > 0)
                            elif not self.joinable:  # the reply starts another run, whose answer begins anew
                                self.shown, self.thought = wording.ShownText(), 0
                                self.others.update(answer.texts)
                            return interrupts
        raise _Cut

    async def _show(self, answer: _Answer) -> None:
        """Show the new text of the answer; show nothing if it does not continue the shown text."""
        text = answer.text
        self._bound(len(text), len(answer.texts) + len(self.others))
        if fresh := self.shown.take_more(text):
            await self.turn.say(fresh)

    def _bound(self, length: int, number: int = 0) -> None:
        """Raise ModelUnavailable if a text is too long or messages are too many: the remote seems to be endless."""
        if length > wording.MAX_TEXT or number > MAX_MESSAGES:
            raise ModelUnavailable(wording.ENDLESS)

    async def _end(self, answer: _Answer, result: Any, *, resumed: bool) -> None:
        """Show the rest of an answer; without any text show the result of the run, or else the state.

        Raises:
            ModelUnavailable: The answer is empty, and the run was not `resumed`.
        """
        state = answer.state
        if isinstance(state, dict):
            state = {name: value for name, value in state.items() if name != OURS}
        value = result or state
        text = answer.text
        if is_blank(text):
            text = value if isinstance(value, str) else wording.block(value) if value else ""
        if is_blank(text + self.shown.text) and not resumed:
            raise ModelUnavailable(wording.NOTHING, retryable=False)
        if unsent := self.shown.take_rest(text):
            await self.turn.say(unsent)

    async def _snapshot(self, answer: _Answer, messages: Any) -> int:
        """Show the new parts of a snapshot of the run's messages. Return the number of thoughts in it."""
        objects = [message for message in messages if isinstance(message, dict)] if isinstance(messages, list) else []
        self._bound(0, len(objects))
        begin = max((index for index, message in enumerate(objects, 1) if message.get("role") == "user"), default=0)
        thoughts = 0
        for message in objects[begin:]:
            match message:
                case {"role": "reasoning", "content": str(content)}:
                    thoughts = await self._think(thoughts, content)
                case {"toolCalls": [*calls]}:
                    for call in calls:
                        match call:
                            case {"function": {"name": name}}:
                                thoughts = await self._think(thoughts, f"Calls {name}.")
        answer.add_whole(objects[begin:])
        await self._show(answer)
        return thoughts

    async def _think(self, number: int, thought: str) -> int:
        """Show thought `number`, unless it was shown before the connection was cut. Return the next number."""
        if number >= self.thought:
            self.thought, self.thought_length = number + 1, self.thought_length + len(thought)
            self._bound(self.thought_length, number)
            await self.turn.think(thought)
        return number + 1

    def _interrupts(self, finished: Mapping[str, Any]) -> list[Any]:
        match finished:
            case {"outcome": {"type": "interrupt", "interrupts": [*interrupts]}}:
                return [interrupt for interrupt in interrupts if isinstance(interrupt, dict)]
        return []

    async def _ask(self, interrupt: Mapping[str, Any]) -> dict[str, Any]:
        """Ask the user the question of an interrupt. Return the entry of `resume` with the reply."""
        schema = interrupt.get("responseSchema")
        if not isinstance(schema, dict) or schema.get("type") != "object":
            schema = ANY_OBJECT
        question = Question(str(interrupt.get("message") or "The remote agent asks")[:300], schema)
        resumed: dict[str, Any] = {"interruptId": str(interrupt.get("id"))}
        try:
            payload = await self.turn.means.asker(question, lambda _: None)  # the remote checks it
        except QuestionUnanswered:
            return resumed | {"status": "cancelled"}
        return resumed | {"status": "resolved", "payload": dict(payload)}

    def _input(self, number: int, resume: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the input of the remote's run: the conversation as texts, the user's message last."""
        turn = self.turn
        texts = [item for item in turn.items if isinstance(item, MessageItem) and item.content]
        messages = [
            {"id": text.origin.message_id if text.role == "user" else f"{ANSWER}{text.origin.run_id}-{index}",
             "role": text.role, "content": text.content}
            for index, text in enumerate(texts)
        ]  # fmt: skip
        self.others.update(message["id"] for message in messages)
        run_input = {
            "threadId": self.remote.conversation_id(turn),
            "runId": turn.run_id if number == 0 else f"{turn.run_id}-{number}",
            "messages": messages,
            "tools": [],
            "context": [],
            "state": {},
            "forwardedProps": {"interrupts": True},
        }
        match resume:
            case [{"interruptId": str(name), **reply}] if name == ON_INTERRUPT:
                answer = reply.get("payload", {}).get("answer", reply["status"])
                return run_input | {"forwardedProps": {"command": {"resume": answer}}}
        return run_input | ({"resume": resume} if resume else {})

    async def _check(self, response: httpx2.Response) -> None:
        """Raise ModelUnavailable if the answer is no event stream."""
        works = response.status_code == httpx2.codes.OK
        if works and response.headers.get("content-encoding", "identity") != "identity":  # which was not accepted
            raise ModelUnavailable(wording.TOO_MUCH, retryable=False)
        if works and response.headers.get("content-type", "").lower().startswith("text/event-stream"):
            return
        body = b""
        async for piece in response.aiter_raw():  # not decompressed, as it may be a decompression bomb
            body += piece
            if len(body) > wording.MAX_REFUSAL:
                break
        words = wording.words_of(body)
        if works:
            sentence = f"The remote agent refused: {words}" if words else "The remote address does not speak AG-UI."
            raise ModelUnavailable(sentence, retryable=False)
        raise wording.refusal(response.status_code, words)


async def _events(response: httpx2.Response) -> AsyncGenerator[dict[str, Any]]:
    """Yield the events of a response. Raises _Cut if one is not JSON, and ModelUnavailable if one is too long."""
    data = ""
    async with aclosing(_lines(response)) as lines:
        async for line in lines:
            if line.startswith("data:"):
                data += line[5:] + "\n"
            elif not line and data.strip():
                try:
                    event = json.loads(data)
                except ValueError as error:
                    raise _Cut from error
                if isinstance(event, dict):
                    yield event
                data = ""
            if len(data) > MAX_LINE:
                raise ModelUnavailable(wording.TOO_MUCH, retryable=False)


async def _lines(response: httpx2.Response) -> AsyncGenerator[str]:
    """Yield the lines of a response, ended by LF, CR or CRLF, and an empty line at the end."""
    newlines = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8")("replace"), translate=True)
    line = ""
    async for piece in response.aiter_bytes():
        more, *others = newlines.decode(piece).split("\n")
        line += more
        if len(line) > MAX_LINE or response.num_bytes_downloaded > wording.MAX_RESPONSE:
            raise ModelUnavailable(wording.TOO_MUCH, retryable=False)
        for other in others:
            yield line
            line = other
    yield line
    yield ""
