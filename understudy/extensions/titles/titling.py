"""The part of conversations that has titles made after answers (see `made_titles`), and stores them."""

import logging
from functools import partial

import trio
from attrs import define, field

from understudy.chat.conversation.active_run import ActiveRun, spent_in
from understudy.chat.conversation.thread_part import ThreadPart
from understudy.chat.effects import Attempt
from understudy.chat.messages import OwnershipLost, RunRequest
from understudy.extensions.titles.made_titles import LIMIT_S, TitleMade, make_title, model_for_titles, usage_step
from understudy.storage.errors import Fenced, StorageError
from understudy.storage.thread_writes import rename_thread
from understudy.wire.events import Envelope, ThreadTitled

log = logging.getLogger(__name__)


@define(eq=False)
class Titling(ThreadPart):
    """Makes the title of a thread. `due`: it must be made after the next answer."""

    due: bool = field(default=True, init=False)
    _at_work: tuple[Attempt, trio.CancelScope] | None = field(default=None, init=False)

    def run_starts(self, live: ActiveRun) -> None:
        """Give up the title that is being made, as a model server with one slot would make the run wait for it. The
        title is due again after the answer."""
        if self._at_work is not None:
            self._at_work[1].cancel()
            self._at_work, self.due = None, True

    async def run_answered(self, request: RunRequest) -> None:
        """Ask the model of a run's agent for the title, beside other work, if one is due."""
        if not self.due:
            return
        self.due = False
        titler = model_for_titles(self.thread.services, request)
        if titler is not None:
            scope = trio.CancelScope()
            work = partial(make_title, self.thread.services, request, *titler, scope)
            attempt = Attempt("title", "title", request.run_id, request.run_id, LIMIT_S, work)
            self._at_work = attempt, scope
            await self.workers.start_attempt(attempt, partial(self._made, attempt))

    async def _made(self, attempt: Attempt) -> None:
        """Record the usage of a title, and store the title unless the user has renamed the thread meanwhile."""
        made, thread, now = attempt.answer, self.thread, self.thread.now
        if self._at_work is not None and self._at_work[0] is attempt:
            self._at_work = None
        if not isinstance(made, TitleMade):  # the attempt failed, and has logged that
            return
        try:
            if made.usage is not None:
                step = usage_step(attempt.run_id, await thread.store.steps(attempt.run_id), made, now)
                await thread.commit(thread.change(steps=(step,), spent=(spent_in(thread.owner, step, made.usage),)))
            rename = rename_thread(thread.owner, thread.thread_id, made.title, made.derived)
            renamed = made.title and await thread.store.commit(rename)
        except Fenced:
            self.workers.context.ref.tell(OwnershipLost())
        except StorageError as error:
            log.info("title.not_stored", extra={"run_id": attempt.run_id, "reason": str(error)})
        else:
            if renamed:
                event = Envelope(ThreadTitled(made.title), now, thread_id=thread.thread_id)
                thread.subscribers.deliver(thread.subscribers.restore(event))
            elif made.title:
                log.info("title.not_stored", extra={"run_id": attempt.run_id, "reason": "renamed meanwhile"})
