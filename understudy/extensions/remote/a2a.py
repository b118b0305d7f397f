"""An agent of another server, by A2A 1.0: a message starts a task there, whose work and answer are shown here.

1. What was sent is a recorded step of the run. So after a crash of this server the run finds its task again and goes
   on with it, and sends nothing twice. If the crash came before the task had an id, it is looked for among those of the
   conversation; a server that cannot be asked is sent the same message, under the same id.
2. A task that asks for input asks the user of this run. Question, answer and reply are recorded, too.
3. A task is cancelled when its run is stopped or out of time, and when it is given up; not when this server ends.
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
"""Delays in seconds before a task is joined again: a server that is started anew takes a while."""
STEADY_S: Final = 30.0
"""Seconds after which a connection counts as one that held: the next cut begins with the first delay again."""
CANCEL_S: Final = 5.0
ENDINGS: Final = {
    "FAILED": "The remote agent failed.",
    "CANCELED": "The remote agent has stopped its task.",
    "REJECTED": "The remote agent did not take the task.",
    "AUTH_REQUIRED": "The remote agent wants a sign-in, which cannot be given from here.",
}
"""The sentence for a task that ends so without one of its own."""
MAX_SCHEMA: Final = 16 * 1024
"""Bytes of the JSON schema of a question."""


class _Ended(Exception):
    """The task has ended, or there was none and the remote has answered at once."""


@define(eq=False)
class A2aWork:
    """One task of a remote agent for one turn."""

    remote: Remote
    turn: AgentTurn
    server: A2aServer = field(init=False)
    task: RemoteTask = field(
        default=Factory(lambda self: RemoteTask(partial(same_origin, self.remote.url)), takes_self=True), init=False
    )
    _events: AsyncGenerator[dict[str, Any]] | None = field(default=None, init=False)  # of the last message
    _first: dict[str, Any] | None = field(default=None, init=False)  # of these, which is not shown yet
    _asked: bool = field(default=False, init=False)  # whether the user was asked something
    _new: bool = field(default=False, init=False)  # whether the next message was not sent before a crash

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
        """Do what needs the remote; again while it cannot be reached, if a task may be at work there."""
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
        """Have a message sent, once: after a crash its recorded step stands for it."""
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

    async def _reply(self, asked: Mapping[str, Any], reply: Mapping[str, Any]) -> dict[str, str]:
        """Tell the task what its user said, unless that was done before a crash. Return its ids."""
        ids = {"task": self.task.id, "context": self.task.context_id}
        if not self._new:
            self.task.apply(await self.server.task(self.task.id))
            if self.task.state != INPUT_REQUIRED or _bounded(self.task.question()) != asked:
                return ids
        message_id = str(uuid.uuid5(CONVERSATIONS, self.turn.step_id))
        message = {"messageId": message_id, "taskId": ids["task"], "contextId": ids["context"], "role": "ROLE_USER"}
        await self._open(message | {"parts": [dict(reply)]})
        return ids

    async def _open(self, message: Mapping[str, Any]) -> None:
        """Send a message, and keep the stream of its responses. The first one shows that it has arrived."""
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
        """Show the task's work until it asks. Return its question.

        Raises:
            _Ended: The task has ended. So that is not recorded: it comes again after a crash, with the whole text.
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
        """Show the rest of an answer, and keep its files. Raises ModelUnavailable if the task has failed."""
        task = self.task
        if task.answer is None and task.state != COMPLETED:
            raise ModelUnavailable(task.sentence() or ENDINGS.get(task.state, NOTHING), retryable=False)
        if rest := task.take_rest():
            await self.turn.say(rest)
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

    async def _ask(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Ask the user what the task asks. Return the part of a message that replies."""
        schema, kind = asked["schema"], asked["kind"]
        reply: Mapping[str, Any] = {"decision": "deny"}  # of a question that is not answered
        try:
            reply = await self.turn.means.asker(Question(asked["title"], schema), partial(_check, schema))
        except QuestionUnanswered:
            if schema != DECISION:
                raise ModelUnavailable("The remote agent's question was not answered.", retryable=False) from None
        if kind == "text":
            return {"text": str(reply["answer"])}
        answer = dict(reply) if schema == DECISION and kind == "call_id" else {"answer": dict(reply)}
        return {"data": {kind: asked["id"], **answer}}

    def _given_up(self) -> bool:
        try:
            return self.turn.given_up()
        except (TimeoutError, trio.RunFinishedError):  # the server's loop ends
            return False

    async def _cancel(self) -> None:
        """Cancel the task, as far as that can be done now."""
        if not self.task.id or self.task.ended:
            return
        with trio.move_on_after(CANCEL_S, shield=True):
            try:
                await self.server.cancel(self.task.id)
            except (RemoteCut, ModelUnavailable) as error:
                log.info("remote.not_cancelled", extra={"run_id": self.turn.run_id, "reason": str(error)})


def _bounded(asked: dict[str, Any]) -> dict[str, Any]:
    """Return a question as it is recorded. Raises BadTask if its schema is too large."""
    if len(json.dumps(asked["schema"])) > MAX_SCHEMA:
        raise BadTask("The remote agent asked for more than can be asked here.")
    return asked


def _check(schema: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
    """Raise Misfit if a required field is missing; the remote checks the rest."""
    for name in schema.get("required", ()):
        if name not in answer:
            raise Misfit(str(name), f"{name} is missing")
