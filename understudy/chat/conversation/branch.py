"""The newest branch of a thread: the exchanges up to the end of its newest run, kept as they are committed. Pure.

Nearly every message follows that branch, and is then answered without a read of the store.

1. It is what `queries.history` would return for such a message, or it is not known.
2. It is bounded: of a branch of more than `KEPT_BYTES`, or with a summary of what came before, nothing is known.
3. It is encoded, in one block: an exchange is some 75 objects, and thousands of idle conversations keep theirs for
   minutes. As objects they lie scattered, and the process keeps the memory around those that outlive them. What a run
   adds is appended to the block.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from attrs import define, evolve, field, frozen

from understudy.storage.changes import Change
from understudy.storage.records import WIDGET, AnsweredMessage, History, Message, StepRecord
from understudy.wire.events import ANSWER

KEPT_BYTES: Final = 64 * 1024
"""About twenty exchanges with a tool call each: what 2,000 conversations keep fits into 128 MiB."""
ROW_BYTES: Final = 512
"""What a message or a step takes beside its texts."""
ARRAY: Final = b"\xdd"
"""Begins an array of MessagePack whose length follows in four bytes."""
_UNPACK: Final = msgspec.msgpack.Decoder(tuple[AnsweredMessage, ...]).decode


@define(eq=False)
class _OpenRun:
    """A run without an end. `message` is the one that it answers, None if this conversation did not store it itself.

    `after` is the run whose answer the message follows, None for the first message of a thread. `steps` are by number.
    `fresh` is False once a step was stored that a read of the store, begun before, may lack.
    """

    message: Message | None
    after: str | None
    steps: dict[int, StepRecord] = field(factory=dict)
    fresh: bool = True


@frozen
class _Kept:
    """`count` exchanges, one after the other as MessagePack. `size` is about their bytes as objects, `step_bytes` are
    those of their steps as JSON."""

    packed: bytes = b""
    count: int = 0
    size: int = 0
    step_bytes: int = 0


@define(eq=False)
class RecentBranch:
    """The exchanges up to the end of the run `tip`; nothing is known if that is None."""

    tip: str | None = field(default=None, init=False)
    _kept: _Kept = field(factory=_Kept, init=False, repr=False)
    _open: dict[str, _OpenRun] = field(factory=dict, init=False, repr=False)

    @property
    def exchanges(self) -> tuple[AnsweredMessage, ...]:
        """The exchanges, decoded anew."""
        return _UNPACK(ARRAY + self._kept.count.to_bytes(4, "big") + self._kept.packed)

    def before(self, run_id: str) -> History | None:
        """Return the path to the message that a run answers, None if it is not known."""
        active = self._open.get(run_id)
        if active is None or active.message is None:
            return None
        if active.after is None:
            return History(())
        return History(self.exchanges, 0, self._kept.step_bytes) if active.after == self.tip else None

    def read(self, run_id: str, history: History) -> None:
        """Keep what was read of the store for an unfinished run, unless it may be outdated."""
        active = self._open.get(run_id)
        if active is not None and active.message is not None and active.fresh and not history.left_out:
            self._keep(_Kept(), active.after, history.exchanges, history.step_characters)

    def committed(self, change: Change) -> None:
        """Take over a change that was stored: a run begins, steps are added, or a run ends and becomes the tip."""
        if (run := change.run) is not None:
            request = next((message for message in change.messages if message.id == run.message_id), None)
            after = None if request is None or request.parent_id is None else request.parent_id.removeprefix(ANSWER)
            self._open[run.id] = _OpenRun(request, after)
        for step in change.steps:
            self._add(step)
        end = change.run_end
        if end is None or (active := self._open.pop(end.run_id, None)) is None or active.message is None:
            return
        if active.after is not None and active.after != self.tip:
            return  # the run is on another branch
        added: list[AnsweredMessage] = []
        if not active.message.id.startswith(WIDGET):
            answer = next((message for message in change.messages if message.id == ANSWER + end.run_id), None)
            steps = tuple(active.steps[number] for number in sorted(active.steps))
            added.append(AnsweredMessage(active.message, end.run_id, end.status, answer, steps))
        before = _Kept() if active.after is None else self._kept
        self._keep(before, end.run_id, added, sum(_step_bytes(exchange.steps) for exchange in added))

    def _add(self, step: StepRecord) -> None:
        """Add a step to its run: an open one, or, as of an undo, one of the branch; of any other run only note it."""
        if (active := self._open.get(step.run_id)) is not None:
            active.steps[step.number] = step
        elif any(exchange.run_id == step.run_id for exchange in self.exchanges):
            changed = list(self.exchanges)
            for index, exchange in enumerate(changed):
                if exchange.run_id == step.run_id:
                    steps = {**{old.number: old for old in exchange.steps}, step.number: step}
                    changed[index] = evolve(exchange, steps=tuple(steps[number] for number in sorted(steps)))
            self._keep(_Kept(), self.tip, changed, self._kept.step_bytes + _step_bytes((step,)))
        else:
            for active in self._open.values():
                active.fresh = False

    def _keep(self, before: _Kept, tip: str | None, exchanges: Sequence[AnsweredMessage], step_bytes: int) -> None:
        """Know these exchanges after those `before`, up to the end of the run `tip`."""
        self.tip, self._kept = None, _Kept()
        size, packed = before.size + step_bytes, [before.packed]
        for exchange in exchanges:
            answered = 0 if exchange.answer is None else len(exchange.answer.content)
            size += len(exchange.message.content) + answered + ROW_BYTES * (2 + len(exchange.steps))
            if size > KEPT_BYTES or not exchange.whole or any(step.kind == "summary" for step in exchange.steps):
                return
            packed.append(msgspec.msgpack.encode(exchange))
        count = before.count + len(exchanges)
        self.tip, self._kept = tip, _Kept(b"".join(packed), count, size, before.step_bytes + step_bytes)


def _step_bytes(steps: Sequence[StepRecord]) -> int:
    return sum(len(msgspec.json.encode((step.arguments, step.result))) for step in steps)
