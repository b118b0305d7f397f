"""The calls of a run that wait for their user, for approval or an answer. If no other call works, the run is paused."""

from attrs import define, field

from understudy.chat.messages import Decide
from understudy.chat.run.approval import Approval
from understudy.chat.run.deadline import PausableDeadline

AWAITING_APPROVAL = "Waiting for your consent to"


@define(eq=False)
class CallWaits:
    """The calls of a run, and of the subagents that it asks: `unfinished` are those of the turns at work.

    `for_approval` maps those of them that wait for approval, or for a permit after it, to the names of their tools;
    `for_answer` those whose question is open to a line about it. `approvals` maps call ids to approvals; after a
    restart a decision may arrive before its call is resumed.
    """

    deadline: PausableDeadline
    unfinished: set[str] = field(factory=set, init=False)
    for_approval: dict[str, str] = field(factory=dict, init=False)
    for_answer: dict[str, str] = field(factory=dict, init=False)
    approvals: dict[str, Approval] = field(factory=dict, init=False)

    def decide(self, ask: Decide) -> None:
        """Accept the user's decision about a call that waits according to the log."""
        self.approval(ask.call_id).accept_decision(ask)

    def note(self) -> str:
        """Return a line about the permit or approval that the run waits for; empty if it does not wait."""
        if note := self.deadline.waiting_note:
            return note
        asked = [name for call_id, name in self.for_approval.items() if self.approval(call_id).decision is None]
        return f"{AWAITING_APPROVAL} {', '.join(asked)}" if asked else next(iter(self.for_answer.values()), "")

    def approval(self, call_id: str) -> Approval:
        """Return the approval of a call, which is made when it is first named."""
        return self.approvals.setdefault(call_id, Approval())

    def pause_if_all_wait(self) -> None:
        """Suspend the run's deadline if calls wait for the user, and no other call is running."""
        waiting = self.for_approval.keys() | self.for_answer.keys()
        if waiting and self.unfinished <= waiting:
            self.deadline.pause()
