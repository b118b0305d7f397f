"""The runs of a thread that operators take over, and hand back: each act is an event of its run, committed at once."""

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
    """To a conversation: an operator takes over this run. The reply is False if the same operator has done so before.

    A queued run keeps its place, and starts as it would have. `by` is the operator's id. Fails with `CommandRejected`
    (`run_ended`, `taken_over`, `storage_unavailable`); nothing was stored then.
    """

    must_finish = True

    run_id: str
    by: str
    reason: str = field(repr=False)


@define(eq=False)
class HandBack(Ask[bool]):
    """To a conversation: an operator hands this run back to its user. The reply is False if nobody has taken it over.

    `by` is the operator's id, who need not be the one that took it over. Fails with `CommandRejected` (`run_ended`,
    `storage_unavailable`); nothing was stored then.
    """

    must_finish = True

    run_id: str
    by: str


class TakenRuns(ThreadPart):
    """Takes over runs of a thread for operators."""

    messages = (TakeOver, HandBack)

    def handlers(self) -> Mapping[type[Any], Callable[[Any], Awaitable[None]]]:
        """As `ThreadPart.handlers`."""
        return {TakeOver: self._commit, HandBack: self._commit}

    async def _commit(self, ask: TakeOver | HandBack) -> None:
        """Commit that an operator has taken over a run, queued or at work, or hands it back. Its user is told."""
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
        """Return what the user is told of an operator's act, None if it was done before. Raises CommandRejected."""
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
