"""Tracks the open calls at one MCP server, and passes the server's questions in them to the calls' users.

In older protocols a question does not name its call, unless it concerns a task. It is then asked only if a single call
is open, and else declined.
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
"""Seconds between two progress notes of a call, because nobody reads faster."""
MAX_NOTE: Final = 300
"""Limit in characters of a server's progress note, log message, error text and title."""
RELATED_TASK: Final = "io.modelcontextprotocol/related-task"
"""Key of the task that a question concerns, in the question's metadata."""

_open_call: Final[ContextVar["ServerCall | None"]] = ContextVar("understudy.mcp_call", default=None)


@define(eq=False)
class ServerCall:
    """An open call. `questions` wait for its user; `task_id` is its task's, if the server makes it as a task."""

    context: ToolContext
    task_id: str | None = None
    questions: set[trio.CancelScope] = field(factory=set)
    noted_at: float = -math.inf

    async def progress(self, name: str, done: float, total: float | None, message: str | None) -> None:
        """Show the server's progress note of the call, at most one per `PROGRESS_S`."""
        now = trio.current_time()
        if now >= self.noted_at + PROGRESS_S or (total is not None and done >= total):
            self.noted_at = now
            self.context.progress(done, total, f"{name}: {message[:MAX_NOTE]}" if message else name)


@define(eq=False)
class OpenCalls:
    """The open calls at the server of this name."""

    server: str
    all: set[ServerCall] = field(factory=set, init=False)

    @asynccontextmanager
    async def opened(self, call: ServerCall) -> AsyncIterator[ServerCall]:
        """Pass the questions of a call to its user during the block, and cancel them at its end."""
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
        """Ask a question of the server to the user of its call. Decline it if the call is unknown or the user does."""
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
