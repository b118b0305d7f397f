"""Runs an agent of another server by A2A 1.0: a message starts a task there, whose work and answer are shown here.

1. Each sent message is a recorded step of the run. So after a crash of this server the run continues its task, and
   sends nothing twice. If the crash came before the id of the task was known, the task is looked up among those of the
   conversation; if the server offers no such list, the message is sent again under the same id.
2. A task that requires input asks the user of this run. Question, answer and reply are recorded too.
3. A task is cancelled when its run is stopped, out of time or given up, but not when this server ends.
"""

import json
import logging
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, aclosing
from functools import partial
from typing import Any, Final, TypeVar

import trio
from attrs import Factory, define, field

from understudy.agents.turn import AgentTurn
from understudy.content.texts import is_blank
from understudy.extensions.remote.a2a_connection import A2aServer, RemoteCut, RemoteUnreachable, connect, same_origin
from understudy.extensions.remote.a2a_task import (
    COMPLETED,
    DECISION,
    INPUT_REQUIRED,
    MAX_FILE_BYTES,
    BadTask,
    RemoteTask,
)
from understudy.extensions.remote.remote import CONVERSATIONS, MAX_ROUNDS, Remote
from understudy.extensions.remote.wording import CUT, NOTHING, PARAGRAPH
from understudy.models.model import ModelUnavailable
from understudy.tools.errors import QuestionUnanswered, ToolError
from understudy.tools.form import Question
from understudy.tools.schema import Misfit

log = logging.getLogger(__name__)

T = TypeVar("T")

ASK: Final = "ask the remote agent"
ANSWER: Final = "answer the remote agent"
JOIN_S: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Delays in seconds before the attempts to reconnect to a task, as the other server may be restarting."""
STEADY_S: Final = 30.0
"""Seconds after which a connection counts as steady: after the next cut the delays begin with the first again."""
CANCEL_S: Final = 5.0
"""Timeout of cancelling a task, and of closing a stream."""
ENDINGS: Final = {
    "FAILED": "The remote agent failed.",
    "CANCELED": "The remote agent has stopped its task.",
    "REJECTED": "The remote agent did not take the task.",
    "AUTH_REQUIRED": "The remote agent wants a sign-in, which cannot be given from here.",
}
"""By state: the sentence for a task that ends in it without a sentence of its own."""
MAX_SCHEMA: Final = 16 * 1024
"""Limit of characters of the JSON schema of a question; a task with a longer one is refused."""


class _Ended(Exception):
    """The task has ended, or the remote has answered at once without a task."""


@define(eq=False)
class A2aWork:
    """One task of a remote agent for one turn."""

    remote: Remote
    turn: AgentTurn
    server: A2aServer = field(init=False)
    task: RemoteTask = field(
        default=Factory(lambda self: RemoteTask(partial(same_origin, self.remote.url)), takes_self=True), init=False
    )
    _events: AsyncGenerator[dict[str, Any]] | None = field(default=None, init=False)  # responses to the last message
    _first: dict[str, Any] | None = field(default=None, init=False)  # the first of these, until it is shown
    _asked: bool = field(default=False, init=False)  # the task has asked the user a question
    _new: bool = field(default=False, init=False)  # the next message cannot have been sent before a crash

    async def run(self) -> None:
        """Work until the task has ended.

        Raises:
            ModelUnavailable: The remote cannot be reached, refuses, was cut off, or does not keep to the protocol; or
                its task failed, and the sentence is the remote's.
        """
        await self._mark(ASK)
        async with AsyncExitStack() as stack:
            try:
                self.server = await self._patiently(lambda: stack.enter_async_context(connect(self.remote)))
                await self._work()
            except RemoteCut as cut:
                raise ModelUnavailable(str(cut), detail=repr(cut.__cause__)) from cut
            except BadTask as error:
                await self._cancel()
                raise ModelUnavailable(str(error), retryable=False) from error
            except ModelUnavailable:
                await self._cancel()
                raise
            except trio.Cancelled:
                if self._given_up():
                    await self._cancel()
                raise
            finally:
                await self._close()

    async def _patiently(self, act: Callable[[], Awaitable[T]]) -> T:
        """Call `act`, again while the remote cannot be reached, if a task may be at work there. Return its result."""
        at_work = self.task.id or not self._new
        for delay_s in JOIN_S if at_work else ():
            try:
                return await act()
            except RemoteUnreachable as cut:
                log.warning("remote.cut", extra={"run_id": self.turn.run_id, "reason": str(cut)})
            await trio.sleep(delay_s)
        return await act()

    async def _work(self) -> None:
        try:
            await self._send(ASK, self._begin)
            for _ in range(MAX_ROUNDS):
                wait = await self.turn.step("hear the remote agent", self._follow)
                reply, self._asked = await self._ask(wait), True
                await self._mark(ANSWER)
                await self._send(ANSWER, partial(self._reply, wait, reply))
        except _Ended:
            await self._end()
            return
        raise ModelUnavailable("The remote agent asked too many questions.", retryable=False)

    # Sending once

    async def _mark(self, name: str) -> None:
        """Record that a message is about to be sent, unless that was recorded before a crash."""
        self._new = False
        await self.turn.step(f"{name}: begun", self._note_new)

    async def _send(self, name: str, send: Callable[[], Awaitable[Mapping[str, str]]]) -> None:
        """Send a message as a recorded step, so that it is not sent again after a crash."""
        sent = await self.turn.step(name, send)
        if not self.task.id:
            self.task.id, self.task.context_id = sent["task"], sent["context"]
        self.task.reply_sent()

    async def _note_new(self) -> bool:
        self._new = True
        return True

    async def _begin(self) -> dict[str, str]:
        """Start the task, unless that was done before a crash. Return its ids."""
        turn = self.turn
        context_id, message_id = self.remote.conversation_id(turn), str(uuid.uuid5(CONVERSATIONS, turn.step_id))
        if not self._new and (task_id := await self.server.find(context_id, message_id)) is not None:
            return {"task": task_id, "context": context_id}
        message = {"messageId": message_id, "contextId": context_id, "role": "ROLE_USER"}
        await self._open(message | {"parts": [{"text": turn.message}]})
        return {"task": self.task.id, "context": self.task.context_id}

    async def _reply(self, question: Mapping[str, Any], reply: Mapping[str, Any]) -> dict[str, str]:
        """Send the user's reply to the task, unless that was done before a crash. Return the task's ids."""
        ids = {"task": self.task.id, "context": self.task.context_id}
        if not self._new:
            self.task.apply(await self.server.task(self.task.id))
            if self.task.state != INPUT_REQUIRED or _bounded(self.task.question()) != question:
                return ids
        message_id = str(uuid.uuid5(CONVERSATIONS, self.turn.step_id))
        message = {"messageId": message_id, "taskId": ids["task"], "contextId": ids["context"], "role": "ROLE_USER"}
        await self._open(message | {"parts": [dict(reply)]})
        return ids

    async def _open(self, message: Mapping[str, Any]) -> None:
        """Send a message, keep the stream of responses, and wait for the first. Raises _Ended if it is an answer."""
        await self._close()
        self._first = await self._patiently(partial(self._request, message))
        if "message" in self._first:
            self.task.apply(self._first)
            raise _Ended
        self.task.identify(self._first)

    async def _request(self, message: Mapping[str, Any]) -> dict[str, Any]:
        self._events = self.server.send(message)
        try:
            return await anext(self._events)
        except StopAsyncIteration:
            raise RemoteCut(CUT) from None

    async def _close(self) -> None:
        if self._events is not None:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + CANCEL_S):
                await self._events.aclose()
            self._events = None

    # Listening

    async def _follow(self) -> dict[str, Any]:
        """Show the task's work until it asks a question. Return the question.

        Raises:
            _Ended: The task has ended. An error is not recorded, so after a crash the task's end is read again.
        """
        delays, first = iter(JOIN_S), self._first
        while True:
            joined_at = trio.current_time()
            try:
                events, self._events = self._events or self.server.follow(self.task.id), None
                async with aclosing(events):
                    if first is not None:
                        await self._show(first)
                        first = self._first = None
                    while not self.task.rests:
                        await self._show(await anext(events))
                break
            except (RemoteCut, StopAsyncIteration) as cut:
                if trio.current_time() - joined_at > STEADY_S:
                    delays = iter(JOIN_S)
                delay_s = next(delays, None)
                if delay_s is None:
                    raise ModelUnavailable(str(cut) or CUT, detail=repr(cut.__cause__)) from cut
                log.warning("remote.cut", extra={"run_id": self.turn.run_id, "reason": str(cut)})
                await trio.sleep(delay_s)
        if self.task.state != INPUT_REQUIRED:
            raise _Ended
        return _bounded(self.task.question())

    async def _show(self, event: Mapping[str, Any]) -> None:
        for thought in self.task.apply(event):
            await self.turn.think(thought)
        if fresh := self.task.take_text():
            await self.turn.say(fresh)

    async def _end(self) -> None:
        """Show the rest of an answer, and save its files. Raises ModelUnavailable if the task has failed."""
        task = self.task
        if task.answer is None and task.state != COMPLETED:
            raise ModelUnavailable(task.sentence() or ENDINGS.get(task.state, NOTHING), retryable=False)
        if unsent := task.take_rest():
            await self.turn.say(unsent)
        if is_blank(task.shown.text) and not (task.files or self._asked):
            raise ModelUnavailable(NOTHING, retryable=False)
        saved, room = [], MAX_FILE_BYTES
        for file in task.files:
            try:
                content = await self.server.download(file.url, room) if file.url else file.content
                saved.append((await self.turn.files.save(file.name, file.media_type, content)).name)
                room -= len(content)
            except (ValueError, ToolError, RemoteCut, ModelUnavailable) as error:
                log.warning("remote.file_refused", extra={"run_id": self.turn.run_id, "reason": str(error)})
                task.left_out += 1
        notes = [f"Saved to your files: {', '.join(saved)}"] if saved else []
        if task.left_out:
            notes.append(f"Left out, as they are too large, too many or not to be had: {task.left_out} of its files")
        if notes:
            await self.turn.say((PARAGRAPH if task.shown.text else "") + PARAGRAPH.join(notes))

    # Asking the user, and giving up

    async def _ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Ask the user the task's question. Return the part of a message with the reply."""
        schema, kind = question["schema"], question["kind"]
        reply: Mapping[str, Any] = {"decision": "deny"}  # the reply if the user does not answer
        try:
            reply = await self.turn.means.asker(Question(question["title"], schema), partial(_check, schema))
        except QuestionUnanswered:
            if schema != DECISION:
                raise ModelUnavailable("The remote agent's question was not answered.", retryable=False) from None
        if kind == "text":
            return {"text": str(reply["answer"])}
        answer = dict(reply) if schema == DECISION and kind == "call_id" else {"answer": dict(reply)}
        return {"data": {kind: question["id"], **answer}}

    def _given_up(self) -> bool:
        try:
            return self.turn.given_up()
        except (TimeoutError, trio.RunFinishedError):  # the server's event loop is ending
            return False

    async def _cancel(self) -> None:
        """Cancel the task, if it has an id and has not ended; a failure is logged."""
        if not self.task.id or self.task.ended:
            return
        with trio.move_on_after(CANCEL_S, shield=True):
            try:
                await self.server.cancel(self.task.id)
            except (RemoteCut, ModelUnavailable) as error:
                log.info("remote.not_cancelled", extra={"run_id": self.turn.run_id, "reason": str(error)})


def _bounded(question: dict[str, Any]) -> dict[str, Any]:
    """Return the question unchanged. Raises BadTask if its schema is too large."""
    if len(json.dumps(question["schema"])) > MAX_SCHEMA:
        raise BadTask("The remote agent asked for more than can be asked here.")
    return question


def _check(schema: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
    """Raise Misfit if a required field is missing; the remote checks the rest."""
    for name in schema.get("required", ()):
        if name not in answer:
            raise Misfit(str(name), f"{name} is missing")
