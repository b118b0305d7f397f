"""The steers of a run, on its side: which it has taken, and which are to end its turn.

Steers enter before a request to the model, and before the run would end. One that ends a turn stops its model between
two pieces of text; the pieces so far are kept as the text of a finished turn. Running tool calls are not stopped,
because the effects of a stopped call would be unknown.
"""

from collections.abc import Callable

from attrs import define, field

from understudy.chat.run.call import ToolExecutor
from understudy.chat.run.history import steer_item
from understudy.chat.run.recorder import Recorder
from understudy.chat.run.replay import Replay
from understudy.models.model import Item, Origin


@define(eq=False)
class Steers:
    """The ids of the steers that the run has `taken`, and of those that are `urgent`: they end its turn.

    `end_turn` ends the request that its model is asked now, None if it is asked nothing.
    """

    recorder: Recorder
    tools: ToolExecutor
    replay: Replay
    taken: set[str] = field(factory=set, init=False)
    urgent: set[str] = field(factory=set, init=False)
    end_turn: Callable[[], None] | None = field(default=None, init=False, repr=False)

    def hurry(self, steer_id: str, *, redirects: bool) -> None:
        """End the turn of the model, as a steer is to enter now, unless it was taken already.

        `redirects`: calls that wait for their user give way to it.
        """
        if steer_id not in self.taken:
            self.urgent.add(steer_id)
            self.tools.set_redirected(redirects)
            if self.end_turn is not None:
                self.end_turn()

    async def take(self, turn: int, origin: Origin, recorded: int | None = None, *, over: bool = False) -> list[Item]:
        """Return the messages of the steers that enter before this turn: the recorded ones, and those that wait now.

        None that waits enters before one of the first `recorded` turns, or before one that closes the run, which is
        `over`. By default these are the turns that were recorded, or whose text was shown.
        """
        before, urgent = self.replay, bool(self.urgent)
        taken = [(each.steer_id, each.text) for each in before.steers if each.turn == turn]
        taken = [each for each in taken if each[0] not in self.taken]
        recorded = len(before.turns) + (before.interrupted_step is not None) if recorded is None else recorded
        if turn >= recorded and not over:
            taken += [(each.steer_id, each.content) for each in await self.recorder.take_steers(turn)]
        self.taken.update(steer_id for steer_id, _ in taken)
        self.urgent -= self.taken
        if urgent:
            self.tools.set_redirected(bool(self.urgent))
        return [steer_item(text, origin) for _, text in taken]
