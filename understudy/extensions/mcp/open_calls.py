"""The calls at work at one MCP server, and the server's questions in them, which are asked of the calls' users.

A connection of the handshake era does not say in which call a question came, unless it concerns a task: then it is
asked only if one call is at work, and else declined.
"""

import logging
import math
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, Final

import mcp_types as types
import trio
from attrs import define, field

from understudy.extensions.mcp.elicitation import QuestionRefused, check_answer, to_question
from understudy.tools.context import ToolContext
from understudy.tools.errors import QuestionDeclined, QuestionUnanswered, ToolError

log = logging.getLogger(__name__)

PROGRESS_S: Final = 0.1
"""Seconds between two progress notes of a call; a person reads no faster."""
MAX_NOTE: Final = 300
"""Characters of a server's progress note and log message, of an error's text, and of its own name."""
RELATED_TASK: Final = "io.modelcontextprotocol/related-task"
"""Key of the metadata that names the task which a question concerns."""

_open_call: Final[ContextVar["ServerCall | None"]] = ContextVar("understudy.mcp_call", default=None)


@define(eq=False)
class ServerCall:
    """A call at work, with the questions in it that wait for its user; `task_id` if the server makes it as a task."""

    context: ToolContext
    task_id: str | None = None
    questions: set[trio.CancelScope] = field(factory=set)
    noted_at: float = -math.inf

    async def progress(self, name: str, done: float, total: float | None, message: str | None) -> None:
        """Show what the server says of the progress of the call, not too often."""
        now = trio.current_time()
        if now >= self.noted_at + PROGRESS_S or (total is not None and done >= total):
            self.noted_at = now
            self.context.progress(done, total, f"{name}: {message[:MAX_NOTE]}" if message else name)


@define(eq=False)
class OpenCalls:
    """The calls at work at the server of this name."""

    server: str
    all: set[ServerCall] = field(factory=set, init=False)

    @asynccontextmanager
    async def opened(self, call: ServerCall) -> AsyncIterator[ServerCall]:
        """Have the questions of a call asked of its user during the block; they end with it."""
        self.all.add(call)
        token = _open_call.set(call)
        try:
            yield call
        finally:
            _open_call.reset(token)
            self.all.discard(call)
            for question in call.questions:
                question.cancel()

    async def ask_user(
        self, params: types.ElicitRequestParams, meta: Mapping[str, Any]
    ) -> types.ElicitResult | types.ErrorData:
        """Ask the user of the call a question of the server; decline if that is unknown, or the user gives none."""
        call = _open_call.get() or self._call_of_task(meta.get(RELATED_TASK))
        if call is None and len(self.all) == 1:
            (call,) = self.all
        if call is None or not isinstance(params, types.ElicitRequestFormParams):
            return types.ElicitResult(action="decline")
        if not call.context.attended:
            return types.ElicitResult(action="cancel")
        try:
            question = to_question(self.server, params.message, params.requested_schema)
        except QuestionRefused as error:
            log.warning("mcp.question_refused", extra={"server": self.server, "why": str(error)})
            return types.ElicitResult(action="decline")
        with trio.CancelScope() as scope:
            call.questions.add(scope)
            try:
                answer = await call.context.means.asker(question, partial(check_answer, question.schema))
                return types.ElicitResult(action="accept", content=dict(answer))
            except QuestionDeclined:
                return types.ElicitResult(action="decline")
            except (QuestionUnanswered, ToolError):
                return types.ElicitResult(action="cancel")
            finally:
                call.questions.discard(scope)
        return types.ElicitResult(action="cancel")

    def _call_of_task(self, related: object) -> ServerCall | None:
        task_id = related.get("taskId") if isinstance(related, Mapping) else None
        return next((call for call in self.all if task_id is not None and call.task_id == task_id), None)
