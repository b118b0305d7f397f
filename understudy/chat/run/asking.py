"""Questions of calls to the user: recorded, waited for while other calls run, and their answers recorded."""

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import trio
from attrs import define, evolve

from actors import Context
from understudy.chat.messages import RunRequest
from understudy.chat.run.call_waits import CallWaits
from understudy.chat.run.deadline import suspend_deadlines
from understudy.chat.run.questions import MAX_QUESTIONS, Check, LoggedQuestion, Questions, question_id
from understudy.chat.run.recorder import Recorder
from understudy.chat.run.tool_outcome import ToolOutcome
from understudy.chat.services import Services
from understudy.storage.errors import StorageUnavailable
from understudy.tools.errors import QuestionDeclined, QuestionExpired, ToolError
from understudy.tools.form import Question, secret_fields
from understudy.tools.threads import tool_threads
from understudy.wire.codes import ERRORS
from understudy.wire.events import AnswerOutcome, QuestionAnswered, QuestionAsked

if TYPE_CHECKING:
    from understudy.chat.run.client_tools import ClientWait

AWAITING_ANSWER = "Waiting for your answer:"
CHECK_S: Final = 5.0
"""Seconds for the check of an answer: as long as the command that brought it waits."""


@define(eq=False)
class Asking:
    """Asks the user of a run. While a call waits for its answer, another one has its slot among `slots`."""

    job: RunRequest
    services: Services
    recorder: Recorder
    waits: CallWaits
    questions: Questions
    slots: trio.Semaphore

    async def ask(
        self,
        name: str,
        question: Question,
        check: Check,
        asked_by: str,
        call_id: str,
        agent_id: str,
        context: Context,
        wait: "ClientWait | None" = None,
    ) -> QuestionAnswered:
        """Ask the user a question of a call, under the id `name`. Return the answer, which the log may have already.

        An answer with secret fields is not in the log whole: then the question is asked again, under another id.

        `check` raises `Misfit` for an answer that does not fit. `asked_by` is `tool`, `server` or `client`, which
        comes with a `wait`. The run's deadline is suspended as for an approval.

        A hand-written agent asks under its own id, `agent_id`, instead of a call's.

        Raises:
            StorageUnavailable: The question or its answer could not be recorded.
            ToolError: `tool_failed`: the log has another question under that id.
        """
        now, patience = self.services.clock(), self.services.patience
        # A client's program answers at once, or not any more.
        present = wait is not None or bool(self.services.presence.outboxes(self.job.owner, self.job.thread_id))
        while (logged := await self._logged(name)) and logged.answered and logged.answered.withheld:
            name = f"{name}.again"
        if logged is not None and logged.asked.schema != question.schema:
            raise ToolError("tool_failed", "The tool asks something else than before the server restarted.")
        if logged is not None and logged.answered is not None:
            self.questions.confirm_early(logged.answered)
            return logged.answered
        if logged is None:
            event = QuestionAsked(
                question_id=name,
                agent_id=agent_id,
                title=question.title,
                schema=question.schema,
                expires_at=now + patience.wait_s(self.job.owner, present=present),
                asked_by=asked_by,
                call_id=None if call_id == agent_id else call_id,
                text=question.text or None,
                choices=question.choices or None,
                calls=None if wait is None else wait.calls,
                said=None if wait is None else wait.said,
                usage=None if wait is None else wait.usage,
                sign_in=question.sign_in,
            )
        else:
            event = logged.asked
        left_s = min(max(0.0, event.expires_at - now), patience.longest_s())
        deadline = trio.current_time() + left_s
        waiting = self.questions.ask(name, check, secret_fields(question.schema))
        self.questions.logged[name] = LoggedQuestion(event)  # a call that is made again asks under the same id
        self.waits.for_answer[call_id] = f"{AWAITING_ANSWER} {event.title}"
        patience.begin(self.job.owner, left_s)
        self.slots.release()  # other calls run while this one waits for its user
        try:
            if logged is None:
                await self._record(name, event)
            self.waits.pause_if_all_wait()
            reply = await waiting.wait(deadline)
            try:
                await self._record(name, reply)
            except StorageUnavailable as error:
                waiting.fail_stored(error)
                raise
            waiting.confirm_stored()
            self.questions.logged[name] = LoggedQuestion(event, reply)
            await self.waits.deadline.resume(context.ref)
        finally:
            patience.end(self.job.owner, left_s)
            self.questions.abandon(waiting)
            del self.waits.for_answer[call_id]
            with trio.CancelScope(shield=True):  # the slot of this call, which its caller releases
                await self.slots.acquire()
        return evolve(reply, answer=waiting.given)

    async def _record(self, name: str, event: QuestionAsked | QuestionAnswered) -> None:
        """Commit an event of the question `name`. Raises `StorageUnavailable`."""
        self.questions.unsure.add(name)
        await self.recorder.record(event)
        self.questions.unsure.discard(name)

    async def _logged(self, name: str) -> LoggedQuestion | None:
        """Return the question `name` if it is in the log, with its answer if the log has one."""
        known = self.questions.logged.get(name)
        if known is not None and name in self.questions.unsure:
            stored = (await self.recorder.log.read_protocol()).questions.get(name)
            known = None if stored is None else evolve(known, answered=stored.answer)
            self.questions.unsure.discard(name)
            if known is None:
                del self.questions.logged[name]
            else:
                self.questions.logged[name] = known
        return known

    async def ask_for_tool(
        self,
        outcome: ToolOutcome,
        agent_id: str,
        context: Context,
        question: Question,
        check: Callable[[Mapping[str, Any]], object],
        wait: "ClientWait | None" = None,
        which: str = "",
    ) -> Mapping[str, Any]:
        """Ask a question of a running tool, whose time limits are suspended meanwhile. Return the answer.

        `wait` is given for a tool of the client's. `which` names the question, if it is not known by its number.

        `check` is code of the tool's author: it runs in a worker thread.
        """
        owner, label = self.job.owner, f"form of {outcome.request.name}"

        async def check_aside(answer: Mapping[str, Any]) -> None:
            await tool_threads().run(functools.partial(check, answer), owner, label, CHECK_S)

        async with outcome.asking:
            outcome.questions += 1
            if outcome.questions > MAX_QUESTIONS:
                raise ToolError("tool_failed", f"A tool may ask {MAX_QUESTIONS} questions in one call.")
            content_filter = self.services.content_filter
            shown = await content_filter.filter_value([question.title, question.text], content_filter.tool)
            if shown.blocked:
                raise ToolError("content_blocked", content_filter.blocked_error("Not asked", shown.texts).message)
            question = evolve(question, title=shown.value[0], text=shown.value[1])
            name = question_id(self.job.run_id, outcome.call_id, which or outcome.questions)
            began = self.services.clock()
            with suspend_deadlines(outcome.limits):
                try:
                    asked_by = "tool" if wait is None else "client"
                    ids = (outcome.call_id, agent_id)
                    reply = await self.ask(name, question, check_aside, asked_by, *ids, context, wait)
                except StorageUnavailable:
                    raise ToolError("storage_unavailable", ERRORS["storage_unavailable"].text) from None
                finally:
                    outcome.waited_s += max(0.0, self.services.clock() - began)
        if reply.answer is not None:
            return reply.answer
        declined = reply.outcome is AnswerOutcome.DECLINED
        sentence = f"The user {'declined to answer' if declined else 'did not answer in time'}: {question.title}"
        if not shown.findings:  # in the title, which is the tool's; the rest is the server's own
            outcome.unanswered = sentence
        raise (QuestionDeclined if declined else QuestionExpired)("forbidden", sentence)
