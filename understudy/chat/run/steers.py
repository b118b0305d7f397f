"""The steers of a run, as the run knows them: those that it has taken, and those that are to end its turn.

A steer enters the input before a request to the model, or before the run would end. One that ends a turn stops the
model between two pieces of text; the pieces so far are kept as the text of a finished turn. Running tool calls are not
stopped, because the effects of a stopped call would be unknown.
"""

from collections.abc import Callable

from attrs import define, field

from understudy.chat.conversation.run_log import RunLog
from understudy.chat.run.executor import ToolExecutor
from understudy.chat.run.history import steer_item
from understudy.chat.run_state.past import Past
from understudy.models.model import Item, Origin


@define(eq=False)
class Steers:
    """The ids of the steers that the run has `taken`, and of those that are `urgent`: they end its turn.

    `end_turn` ends the present request to the model; None between requests.
    """

    log: RunLog
    tools: ToolExecutor
    past: Past
    taken: set[str] = field(factory=set, init=False)
    urgent: set[str] = field(factory=set, init=False)
    end_turn: Callable[[], None] | None = field(default=None, init=False, repr=False)

    def hurry(self, steer_id: str, *, redirects: bool) -> None:
        """End the turn of the model, so that a steer enters now, unless the run has taken it already.

        `redirects`: calls that wait for approval are denied, so that it need not wait for them.
        """
        if steer_id not in self.taken:
            self.urgent.add(steer_id)
            self.tools.set_redirected(redirects)
            if self.end_turn is not None:
                self.end_turn()

    async def take(self, turn: int, origin: Origin, recorded: int | None = None, *, over: bool = False) -> list[Item]:
        """Return the messages of the steers that enter before this turn: the recorded ones, and those that wait now.

        A steer that waits does not enter before one of the first `recorded` turns: by default the finished turns in
        the log, and the one that was cut. Nor does it enter before the turn that closes a run which is `over`.
        """
        past, was_urgent = self.past, bool(self.urgent)
        logged = [steer for steer in past.steers if steer.turn == turn and steer.steer_id not in self.taken]
        entering = [(steer.steer_id, steer.text) for steer in logged]
        recorded = len(past.turns) + (past.cut is not None) if recorded is None else recorded
        if turn >= recorded and not over:
            entering += [(steer.steer_id, steer.content) for steer in await self.log.take_steers(turn)]
        self.taken.update(steer_id for steer_id, _ in entering)
        self.urgent -= self.taken
        if was_urgent:
            self.tools.set_redirected(bool(self.urgent))
        return [steer_item(text, origin) for _, text in entering]
