"""Take-overs of runs by operators, and their end: each is an event of the run, committed before it is acknowledged."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from attrs import define, field

from actors import Ask
from transport.wire.errors import CommandRejected
from understudy.chat.conversation.thread_log import refusal_of
from understudy.chat.conversation.thread_part import ThreadPart
from understudy.chat.run_state.endings import operators_act
from understudy.chat.run_state.state import RunState
from understudy.storage.errors import StorageUnavailable, Unstorable
from understudy.wire.events import HANDED_BACK, TAKEN_OVER, AgentThinking


@define(eq=False)
class TakeOver(Ask[bool]):
    """To a conversation: an operator takes over a run. The reply is False if the same operator has done so before.

    A queued run stays in the queue, and starts as it would have. `by` is the operator's id. Fails with
    `CommandRejected` (`run_ended`, `taken_over`, `storage_unavailable`), with nothing stored.
    """

    must_finish = True

    run_id: str
    by: str
    reason: str = field(repr=False)


@define(eq=False)
class HandBack(Ask[bool]):
    """To a conversation: an operator hands a run back to its user. The reply is False if it is not taken over.

    `by` is the operator's id; it may be another operator than the one who took it over. Fails with `CommandRejected`
    (`run_ended`, `storage_unavailable`), with nothing stored.
    """

    must_finish = True

    run_id: str
    by: str


class TakenRuns(ThreadPart):
    """Commits take-overs of a thread's runs, and their ends."""

    messages = (TakeOver, HandBack)

    def handlers(self) -> Mapping[type[Any], Callable[[Any], Awaitable[None]]]:
        """As `ThreadPart.handlers`."""
        return {TakeOver: self._commit, HandBack: self._commit}

    async def _commit(self, ask: TakeOver | HandBack) -> None:
        """Commit that an operator takes over a run, queued or at work, or hands it back. The user is notified."""
        live = self.thread.runs.get(ask.run_id)
        try:
            await self.thread.check_queued(ask.run_id)
            if live is None or live.state.end is not None or live.stopped or ask.run_id in self.queue.unfinished:
                raise CommandRejected("run_ended", "That run has ended already.")
            notice = self._notice(ask, live.state)
            if notice is not None:
                await self.thread.append(live, [notice])
        except (CommandRejected, StorageUnavailable, Unstorable) as error:
            ask.fail(refusal_of(error))
        else:
            ask.reply(notice is not None)

    def _notice(self, ask: TakeOver | HandBack, run: RunState) -> AgentThinking | None:
        """Return the event of an operator's act, None if it changes nothing. Raises CommandRejected (`taken_over`)."""
        agent_id = run.open_agents[-1].agent_id if run.open_agents else ""
        if isinstance(ask, HandBack):
            if run.operator is None:
                return None
            return AgentThinking(agent_id, operators_act("handed back", None), self.thread.now, HANDED_BACK, ask.by)
        if run.operator is not None:
            if run.operator != ask.by:
                raise CommandRejected("taken_over")
            return None
        sentence = operators_act("taken over", ask.reason)
        return AgentThinking(agent_id, sentence, self.thread.now, TAKEN_OVER, ask.by, ask.reason)
