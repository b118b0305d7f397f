"""What a run says: the text of its model, shown as it comes, and kept a moment later.

1. Text is shown before it is kept, so that nobody waits for the disk; a server that dies loses a moment of it at most.
2. One piece at a time: what is held back in a pause comes before what follows, and nothing after the end.
3. Of a turn that was cut, text goes on where it was shown, or takes its place (`understudy.chat.answer.resume`).
"""

import trio
from attrs import define, evolve, field

from sanitization import Direction, Finding, Scrubbed
from transport.wire.events import SanitizationSummary
from understudy.chat.answer.resume import Continuation, Fresh
from understudy.chat.answer.scrubbed import Answer, Piece
from understudy.chat.messages import Job
from understudy.chat.run.recorder import Recorder
from understudy.chat.run.replay import SEPARATOR, Replay, begun_kept
from understudy.chat.services import Services
from understudy.content.summary import summary_of
from understudy.storage.rows import Step

PAUSE_S = 0.5
"""After how long without a word of the model what is held back of its answer is shown as far as it can be."""
FOUND = 200
"""Findings that are kept with the text they were in; as many as a user is told of."""
KEEP_S = 0.25
KEEP_SIZE = 2048
"""After how long, or how many characters, new text of a turn is kept. Of a long text, where that takes longer, a
thirty-second part: keeping it means writing all of it."""


@define
class Speech:
    """The text of one run, turn by turn. `before` is what was said of it on another day."""

    job: Job
    services: Services
    recorder: Recorder
    before: Replay
    answer: Answer = field(init=False)
    _said: str = field(default="", init=False, repr=False)  # the text of the turns that are over
    _continuation: Continuation = field(factory=lambda: Continuation(""), init=False, repr=False)
    _step: Step | None = field(default=None, init=False, repr=False)  # of the turn that is under way
    _kept: tuple[float, int] = field(default=(0.0, 0), init=False)  # when, and how much of the answer
    _held: trio.Event | None = field(default=None, init=False)
    _releasing: trio.Event | None = field(default=None, init=False)
    _writing: bool = field(default=False, init=False)
    _written_at: float = field(default=0.0, init=False)
    _over: bool = field(default=False, init=False)

    _found: tuple[Finding, ...] = field(init=False)  # in what was said before the present answer

    def __attrs_post_init__(self) -> None:
        before = self.before
        self.answer = self._new_answer()
        self._found = (*before.found, *(before.found_since if before.goes_on else ()))

    @property
    def found(self) -> tuple[Finding, ...]:
        """What was found in all that was said so far, up to a bound."""
        return (*self._found, *self.answer.findings)[:FOUND]

    async def show_again(self) -> None:
        """Show what was shown before, so that it goes on from there on every screen."""
        if not self.before.started:
            return
        # Also where nothing was kept: a word may have been shown.
        text = self.before.text if self.before.goes_on else self.before.said
        await self._show(await self.answer.resume(text), anew=True)
        if not self.before.goes_on:
            self.answer.pause()

    def begin_turn(self, step: Step, begun: str) -> None:
        """The model is asked; `begun` is what was shown of its answer to this turn, and `step` is where it is kept."""
        self._continuation, self._step = Continuation(begun), step
        self._kept = (trio.current_time(), len(self._said) + len(begun))

    async def hear(self, text: str) -> None:
        """The model says this next.

        Raises:
            Blocked: It holds what is not let pass. What was shown before stays.
        """
        await self._write(self._continuation.feed(text))
        self._checkpoint()

    async def end_turn(self) -> str:
        """The model has said all of this turn; returns it. Raises as `hear`."""
        await self._write(self._continuation.finish())
        self._step = None
        self.answer.pause()
        return self._continuation.text

    def take(self, kept: str) -> None:
        """A turn is over: `kept` is its text as it is stored."""
        self._said = SEPARATOR.join(part for part in (self._said, kept) if part)

    async def finish(self) -> tuple[str, SanitizationSummary | None]:
        """All is said: returns the answer, and the event that tells what was found in it. Raises as `hear`."""
        if self._releasing is not None:
            await self._releasing.wait()
        self._over = True
        await self._show(await self.answer.finish())
        return self.answer.text, self._summary()

    def end(self) -> None:
        """Nothing more is shown; count what was found."""
        self._over = True
        self._count()

    async def release_in_pauses(self) -> None:
        """When a model stops in the middle of a word, show what can be shown of what was held back."""
        while True:
            self._held = trio.Event()
            await self._held.wait()
            self._held = None
            until = self._written_at + PAUSE_S
            while not self._over and (trio.current_time() < until or self._writing):
                await trio.sleep_until(max(until, trio.current_time() + PAUSE_S / 2))
                until = self._written_at + PAUSE_S
            if self._over:
                return
            self._releasing = trio.Event()
            await self.recorder.piece(*await self.answer.release())
            self._releasing.set()
            self._releasing = None

    def _new_answer(self) -> Answer:
        guard, job = self.services.guard, self.job
        return Answer(guard.stream(), guard.vault.get(job.owner, job.thread_id), job.owner)

    async def _write(self, fresh: Fresh) -> None:
        """Show the next piece of the answer. One at a time: a release that has begun comes first."""
        if not (fresh.text or fresh.anew):
            return
        if self._releasing is not None:
            await self._releasing.wait()
        self._writing = True  # and stays so when this is cancelled: then nothing more is shown
        text = fresh.text
        if fresh.anew:
            self._count()
            self._found = self.found
            self.answer = self._new_answer()
            text = SEPARATOR.join(part for part in (self._said, text) if part)
        await self._show(await self.answer.feed(text), anew=fresh.anew)
        self._writing, self._written_at = False, trio.current_time()
        if self._held is not None and self.answer.holds:
            self._held.set()

    async def _show(self, piece: Piece, *, anew: bool = False) -> None:
        await self.recorder.piece(*piece, anew=anew)
        if self.answer.blocked:
            findings, failures = self.answer.findings, self.answer.failures
            if (summary := self._summary()) is not None:
                await self.recorder.record(summary)
            raise self.services.guard.blocked(
                "The answer was stopped, and what was shown of it stays",
                [Scrubbed("", findings, blocked=True, failures=failures)],
            )

    def _checkpoint(self) -> None:
        """Have the text of this turn kept, if there is enough that is new."""
        now, length = trio.current_time(), self.answer.length
        kept_at, kept = self._kept
        new = length - kept
        if self._step is None or new < length / 32 or (new < KEEP_SIZE and (not new or now < kept_at + KEEP_S)):
            return
        text, said = self.answer.text, self._said and self._said + SEPARATOR
        if text.startswith(said):  # else something of it was taken out, and it is told again from the turn's beginning
            self._kept = (now, length)
            self.recorder.checkpoint(evolve(self._step, result=begun_kept(text[len(said) :], self.found)))

    def _summary(self) -> SanitizationSummary | None:
        """The event that tells what was found in the answer, once it is as much as is told of."""
        found = (*self._found, *self.answer.findings)
        return summary_of("outbound", found, self.services.summary_from, omitted=self.answer.omitted)

    def _count(self) -> None:
        answer = self.answer
        self.services.guard.count(Direction.OUTBOUND, answer.findings, answer.omitted, answer.failures, answer.seconds)
