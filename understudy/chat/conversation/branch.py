"""The branch of a thread that its newest run ended, kept from what the conversation commits. Pure.

A message that follows it, as nearly all do, is answered without a read of the store.

1. It is what `queries.history` would return for such a message, or it is not known.
2. It is bounded: of a branch of more than `KEPT_BYTES`, or with a summary of what came before, nothing is known.
3. It is encoded, in one block: an exchange is some 75 objects, and thousands of idle conversations keep theirs for
   minutes. As objects they lie scattered, and the process keeps the memory around those that outlive them.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from attrs import define, evolve, field

from understudy.storage.changes import Change
from understudy.storage.records import WIDGET, AnsweredMessage, History, Message, StepRecord
from understudy.wire.events import ANSWER

KEPT_BYTES: Final = 64 * 1024
"""About twenty exchanges with a tool call each: what 2,000 conversations keep fits into 128 MiB."""
ROW_BYTES: Final = 512
"""What a message or a step takes beside its texts."""
NO_EXCHANGES: Final = msgspec.msgpack.encode(())
_UNPACK: Final = msgspec.msgpack.Decoder(tuple[AnsweredMessage, ...]).decode


@define(eq=False)
class _Open:
    """A run without an end, the message that it answers, and the run whose answer that message follows.

    `message` is None if this conversation has not seen it. `read` is False once what a read of the store returned for
    the run may be outdated.
    """

    message: Message | None
    after: str | None
    steps: dict[int, StepRecord] = field(factory=dict)
    read: bool = True


@define(eq=False)
class RecentBranch:
    """The exchanges up to the end of the run `tip`; nothing is known if that is None."""

    tip: str | None = field(default=None, init=False)
    _packed: bytes = field(default=NO_EXCHANGES, init=False, repr=False)
    step_bytes: int = field(default=0, init=False)
    _open: dict[str, _Open] = field(factory=dict, init=False, repr=False)

    @property
    def exchanges(self) -> tuple[AnsweredMessage, ...]:
        """The exchanges, decoded anew."""
        return _UNPACK(self._packed)

    def before(self, run_id: str) -> History | None:
        """Return the path to the message that a run answers, None if it is not known."""
        live = self._open.get(run_id)
        if live is None or live.message is None:
            return None
        if live.after is None:
            return History(())
        return History(self.exchanges, 0, self.step_bytes) if live.after == self.tip else None

    def read(self, run_id: str, history: History) -> None:
        """Keep what was read of the store for an unfinished run, unless it may be outdated."""
        live = self._open.get(run_id)
        if live is not None and live.message is not None and live.read and not history.left_out:
            self._keep(live.after, history.exchanges, history.step_characters)

    def committed(self, change: Change) -> None:
        """Take over a change that is stored."""
        if (run := change.run) is not None:
            said = next((each for each in change.messages if each.id == run.message_id), None)
            after = None if said is None or said.parent_id is None else said.parent_id.removeprefix(ANSWER)
            self._open[run.id] = _Open(said, after)
        for step in change.steps:
            self._add(step)
        end = change.run_end
        if end is None or (live := self._open.pop(end.run_id, None)) is None or live.message is None:
            return
        if live.after is not None and live.after != self.tip:
            return  # the run is on another branch
        before, step_bytes = (self.exchanges, self.step_bytes) if live.after is not None else ((), 0)
        if not live.message.id.startswith(WIDGET):
            answer = next((each for each in change.messages if each.id == ANSWER + end.run_id), None)
            steps = tuple(live.steps[number] for number in sorted(live.steps))
            before = (*before, AnsweredMessage(live.message, end.run_id, end.status, answer, steps))
            step_bytes += _step_bytes(steps)
        self._keep(end.run_id, before, step_bytes)

    def _add(self, step: StepRecord) -> None:
        if (live := self._open.get(step.run_id)) is not None:
            live.steps[step.number] = step
        elif any(each.run_id == step.run_id for each in self.exchanges):  # as of an undo
            changed = list(self.exchanges)
            for place, each in enumerate(changed):
                if each.run_id == step.run_id:
                    steps = {**{old.number: old for old in each.steps}, step.number: step}
                    changed[place] = evolve(each, steps=tuple(steps[number] for number in sorted(steps)))
            self._keep(self.tip, changed, self.step_bytes + _step_bytes((step,)))
        else:
            for live in self._open.values():
                live.read = False

    def _keep(self, tip: str | None, exchanges: Sequence[AnsweredMessage], step_bytes: int) -> None:
        self.tip, self._packed, self.step_bytes = None, NO_EXCHANGES, 0
        size = step_bytes
        for each in exchanges:
            answered = 0 if each.answer is None else len(each.answer.content)
            size += len(each.message.content) + answered + ROW_BYTES * (2 + len(each.steps))
            if size > KEPT_BYTES or not each.whole or any(step.kind == "summary" for step in each.steps):
                return
        self.tip, self._packed, self.step_bytes = tip, msgspec.msgpack.encode(exchanges), step_bytes


def _step_bytes(steps: Sequence[StepRecord]) -> int:
    return sum(len(msgspec.json.encode((each.arguments, each.result))) for each in steps)
