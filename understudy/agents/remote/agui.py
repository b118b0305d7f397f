"""An agent of another server, by AG-UI: `POST` the conversation, and read the events of its run.

1. The remote's run has the id of ours, so that a server that knows how to be joined again (another understudy) goes on
   where it was, after a cut connection and after our own restart: it sends its messages so far in a snapshot, and what
   was shown is left out.
   Another server would run twice, so a cut ends the run there.
2. Interrupts are asked as questions of our run, which are durable; the replies resume the remote's run.
"""

import json
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Final

import httpx2
import trio
from attrs import define, field

from transport.wire.events import ANSWER
from understudy.agents.remote.remote import Remote
from understudy.agents.turn import AgentTurn
from understudy.models.items import MessageItem
from understudy.models.model import ModelUnavailable
from understudy.tools.errors import QuestionUnanswered
from understudy.tools.form import Question

log = logging.getLogger(__name__)

CONNECT_S: Final = 10.0
MAX_LINE: Final = 4 * 1024 * 1024
"""Bytes of one event; the longest of our own server is a result of 256 KiB."""
MAX_TEXT: Final = 2_000_000
"""Characters of an answer, beyond which the remote is given up: it does not stop."""
MAX_ROUNDS: Final = 50
"""Interrupts of one run, one after the other."""
JOIN_S: Final = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Delays in seconds before a server is joined again."""
OURS: Final = "understudy"
"""The key in the metadata of RUN_STARTED by which a server is known that can be joined again."""
PARAGRAPH: Final = "\n\n"
ANY_OBJECT: Final = {"type": "object", "properties": {"answer": {"type": "string", "title": "Answer"}}}


class _Cut(Exception):
    """The connection ended before the run."""


@define
class AguiWork:
    """One run of a remote agent for one turn."""

    remote: Remote
    turn: AgentTurn
    said: int = field(default=0, init=False)  # characters of the answer that are shown
    thought: int = field(default=0, init=False)  # thoughts that are shown
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
                resume = [await self._ask(each) for each in interrupts]
        raise ModelUnavailable("The remote agent asked too many questions.")

    async def _joined(self, client: httpx2.AsyncClient, number: int, resume: list[dict[str, Any]]) -> list[Any]:
        """Have one request worked on, again after a cut if the server can be joined. Return its interrupts."""
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
            sentence = "The remote agent cannot be reached."
        elif isinstance(error, httpx2.TimeoutException):
            sentence = f"The remote agent was silent for {self.remote.idle_s:g} s."
        else:
            sentence = "The connection to the remote agent was cut."
        return ModelUnavailable(sentence, detail=repr(error))

    async def _request(self, client: httpx2.AsyncClient, number: int, resume: list[dict[str, Any]]) -> list[Any]:
        """Send one request and show its events. Return the interrupts with which it ended, none if the run ended."""
        flat, thoughts, thought = "", 0, ""
        given = json.dumps(self._input(number, resume))
        accept = {"Accept": "text/event-stream", "Content-Type": "application/json"}
        async with client.stream("POST", self.remote.url, content=given, headers=accept) as response:
            await self._check(response)
            async with aclosing(_events(response)) as events:
                async for event in events:
                    kind = event.get("type")
                    match kind:
                        case "RUN_STARTED":
                            self.joinable = OURS in (event.get("metadata") or {})
                        case "MESSAGES_SNAPSHOT" if self.joinable:
                            flat, thoughts = await self._snapshot(event.get("messages"))
                        case "TEXT_MESSAGE_START" if flat:
                            flat += PARAGRAPH
                        case "TEXT_MESSAGE_CONTENT" | "TEXT_MESSAGE_CHUNK":
                            flat += str(event.get("delta") or "")
                            await self._show(flat)
                        case "REASONING_MESSAGE_CONTENT" | "THINKING_TEXT_MESSAGE_CONTENT":
                            thought += str(event.get("delta") or "")
                        case "REASONING_MESSAGE_END" | "THINKING_TEXT_MESSAGE_END" if thought:
                            thoughts, thought = await self._think(thoughts, thought), ""
                        case "TOOL_CALL_START":
                            thoughts = await self._think(thoughts, f"Calls {event.get('toolCallName')}.")
                        case "RUN_ERROR":
                            sentence = str(event.get("message") or "The remote agent failed.")
                            raise ModelUnavailable(sentence[:1000])
                        case "RUN_FINISHED":
                            return self._interrupts(event)
        raise _Cut

    async def _show(self, text: str) -> None:
        """Show what is new of the answer."""
        if len(text) > MAX_TEXT:
            raise ModelUnavailable("The remote agent does not stop to answer.")
        if len(text) > self.said:
            fresh, self.said = text[self.said :], len(text)
            await self.turn.say(fresh)

    async def _snapshot(self, messages: Any) -> tuple[str, int]:
        """Show what is new in the messages of the run so far. Return its text and the number of its thoughts."""
        of_run: list[dict[str, Any]] = []
        for each in messages if isinstance(messages, list) else ():
            if isinstance(each, dict):
                of_run = [] if each.get("role") == "user" else [*of_run, each]
        texts, thoughts = [], 0
        for each in of_run:
            content, calls = each.get("content"), each.get("toolCalls")
            if each.get("role") == "reasoning" and isinstance(content, str):
                thoughts = await self._think(thoughts, content)
            for call in calls if isinstance(calls, list) else ():
                function = call.get("function") if isinstance(call, dict) else None
                name = function.get("name") if isinstance(function, dict) else None
                thoughts = await self._think(thoughts, f"Calls {name}.")
            if each.get("role") == "assistant" and isinstance(content, str) and content:
                texts.append(content)
        flat = PARAGRAPH.join(texts)
        await self._show(flat)
        return flat, thoughts

    async def _think(self, number: int, thought: str) -> int:
        """Show a thought, unless it was before the connection was cut. Return the number of thoughts."""
        if number >= self.thought:
            self.thought = number + 1
            await self.turn.think(thought)
        return number + 1

    def _interrupts(self, finished: Mapping[str, Any]) -> list[Any]:
        outcome = finished.get("outcome")
        if not isinstance(outcome, dict) or outcome.get("type") != "interrupt":
            return []
        if not self.joinable:
            self.said = self.thought = 0  # what follows is another run, which does not begin with what was shown
        interrupts = outcome.get("interrupts")
        return [each for each in interrupts if isinstance(each, dict)] if isinstance(interrupts, list) else []

    async def _ask(self, interrupt: Mapping[str, Any]) -> dict[str, Any]:
        """Ask the user what an interrupt asks. Return the entry of `resume`."""
        schema = interrupt.get("responseSchema")
        if not isinstance(schema, dict) or schema.get("type") != "object":
            schema = ANY_OBJECT
        question = Question(str(interrupt.get("message") or "The remote agent asks")[:300], schema)
        name = str(interrupt.get("id"))
        try:
            payload = await self.turn.asker(question, _any)
        except QuestionUnanswered:
            return {"interruptId": name, "status": "cancelled"}
        return {"interruptId": name, "status": "resolved", "payload": dict(payload)}

    def _input(self, number: int, resume: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the input of the remote's run: the conversation as texts, the message last."""
        turn = self.turn
        texts = [each for each in turn.items if isinstance(each, MessageItem) and each.content]
        messages = [
            {"id": each.origin.message_id if each.role == "user" else f"{ANSWER}{each.origin.run_id}-{place}",
             "role": each.role, "content": each.content}
            for place, each in enumerate(texts)
        ]  # fmt: skip
        given = {
            "threadId": self.remote.conversation_id(turn),
            "runId": turn.run_id if number == 0 else f"{turn.run_id}-{number}",
            "messages": messages,
            "tools": [],
            "context": [],
            "state": {},
            "forwardedProps": {"interrupts": True},
        }
        return given | ({"resume": resume} if resume else {})

    async def _check(self, response: httpx2.Response) -> None:
        """Raise ModelUnavailable if the answer is no event stream."""
        kind = response.headers.get("content-type", "")
        if response.status_code == httpx2.codes.OK and kind.startswith("text/event-stream"):
            return
        if response.status_code in (401, 403):
            raise ModelUnavailable("The remote agent does not accept this server's key.", retryable=False)
        sentence = f"The remote agent answered with the status {response.status_code}."
        if response.status_code == httpx2.codes.OK:
            sentence = "The remote address does not speak AG-UI."
        raise ModelUnavailable(sentence, retryable=response.status_code >= 500 or response.status_code == 429)


def _any(_: Mapping[str, Any]) -> None:
    """Accept any answer: the remote checks it."""


async def _events(response: httpx2.Response) -> AsyncGenerator[dict[str, Any]]:
    """Yield the events of a response. Raises _Cut for one that is no JSON object, or too long."""
    line = bytearray()
    async for piece in response.aiter_bytes():
        *ended, rest = piece.split(b"\n")
        for each in ended:
            line += each
            if line.startswith(b"data:"):
                try:
                    event = json.loads(line[5:])
                except ValueError as error:
                    raise _Cut from error
                if isinstance(event, dict):
                    yield event
            line.clear()
        line += rest
        if len(line) > MAX_LINE:
            raise _Cut
