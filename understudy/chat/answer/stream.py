"""What a run says: the text of its model, shown as it comes, and kept a moment later.

1. Text is shown before it is kept, so that nobody waits for the disk; a server that dies loses a moment of it at most.
2. One piece at a time: what is held back in a pause comes before what follows, and nothing after the end.
3. Of a turn that was cut, text goes on where it was shown, or takes its place (`understudy.chat.answer.resume`).
"""

import trio
from attrs import define, evolve, field

from sanitization import Direction, Finding, Sanitized
from transport.wire.events import SanitizationSummary
from understudy.chat.answer.resume import NewText, ResumedText
from understudy.chat.answer.sanitized import Piece, SanitizedAnswer
from understudy.chat.messages import RunRequest
from understudy.chat.run.recorder import Recorder
from understudy.chat.run.replay import SEPARATOR, Replay, encode_partial
from understudy.chat.services import Services
from understudy.content.summary import build_summary
from understudy.storage.rows import StepRecord

PAUSE_S = 0.5
"""After how long without a word of the model what is held back of its answer is shown as far as it can be."""
MAX_FINDINGS = 200
"""Findings that are kept with the text they were in; as many as a user is told of."""
CHECKPOINT_S = 0.25
CHECKPOINT_SIZE = 2048
"""After how long, or how many characters, new text of a turn is kept. Of a long text, where that takes longer, a
thirty-second part: keeping it means writing all of it."""


@define
class AnswerStream:
    """The text of one run, turn by turn. `before` is what was said of it on another day."""

    job: RunRequest
    services: Services
    recorder: Recorder
    replay: Replay
    answer: SanitizedAnswer = field(init=False)
    _finished_text: str = field(default="", init=False, repr=False)  # the text of the turns that are over
    _continuation: ResumedText = field(factory=lambda: ResumedText(""), init=False, repr=False)
    _step: StepRecord | None = field(default=None, init=False, repr=False)  # of the turn that is under way
    _checkpointed: tuple[float, int] = field(default=(0.0, 0), init=False)  # when, and how much of the answer
    _release_wanted: trio.Event | None = field(default=None, init=False)
    _releasing: trio.Event | None = field(default=None, init=False)
    _writing: bool = field(default=False, init=False)
    _written_at: float = field(default=0.0, init=False)
    _closed: bool = field(default=False, init=False)

    _earlier_findings: tuple[Finding, ...] = field(init=False)  # in what was said before the present answer

    def __attrs_post_init__(self) -> None:
        before = self.replay
        self.answer = self._new_answer()
        self._earlier_findings = (*before.findings, *(before.partial_findings if before.continues else ()))

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found in all that was said so far, up to a bound."""
        return (*self._earlier_findings, *self.answer.findings)[:MAX_FINDINGS]

    async def restore(self) -> None:
        """Show what was shown before, so that it goes on from there on every screen."""
        if not self.replay.agents:
            return
        # Also where nothing was kept: a word may have been shown.
        text = self.replay.shown_text if self.replay.continues else self.replay.recorded_text
        await self._show(await self.answer.resume(text), anew=True)
        if not self.replay.continues:
            self.answer.pause()

    def begin_turn(self, step: StepRecord, begun: str) -> None:
        """The model is asked; `begun` is what was shown of its answer to this turn, and `step` is where it is kept."""
        self._continuation, self._step = ResumedText(begun), step
        self._checkpointed = (trio.current_time(), len(self._finished_text) + len(begun))

    async def feed(self, text: str) -> None:
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

    def add_finished_turn(self, kept: str) -> None:
        """A turn is over: `kept` is its text as it is stored."""
        self._finished_text = SEPARATOR.join(part for part in (self._finished_text, kept) if part)

    async def finish(self) -> tuple[str, SanitizationSummary | None]:
        """All is said: returns the answer, and the event that tells what was found in it. Raises as `hear`."""
        if self._releasing is not None:
            await self._releasing.wait()
        self._closed = True
        await self._show(await self.answer.finish())
        return self.answer.text, self._summary()

    def close(self) -> None:
        """Nothing more is shown; count what was found."""
        self._closed = True
        self._report_metrics()

    async def release_in_pauses(self) -> None:
        """When a model stops in the middle of a word, show what can be shown of what was held back."""
        while True:
            self._release_wanted = trio.Event()
            await self._release_wanted.wait()
            self._release_wanted = None
            until = self._written_at + PAUSE_S
            while not self._closed and (trio.current_time() < until or self._writing):
                await trio.sleep_until(max(until, trio.current_time() + PAUSE_S / 2))
                until = self._written_at + PAUSE_S
            if self._closed:
                return
            self._releasing = trio.Event()
            await self.recorder.send_delta(*await self.answer.release())
            self._releasing.set()
            self._releasing = None

    def _new_answer(self) -> SanitizedAnswer:
        content_filter, job = self.services.content_filter, self.job
        placeholders = content_filter.vault.get(job.owner, job.thread_id)
        return SanitizedAnswer(content_filter.answer_stream(), self.services.html, placeholders, job.owner)

    async def _write(self, fresh: NewText) -> None:
        """Show the next piece of the answer. One at a time: a release that has begun comes first."""
        if not (fresh.text or fresh.restart):
            return
        if self._releasing is not None:
            await self._releasing.wait()
        self._writing = True  # and stays so when this is cancelled: then nothing more is shown
        text = fresh.text
        if fresh.restart:
            self._report_metrics()
            self._earlier_findings = self.findings
            self.answer = self._new_answer()
            text = SEPARATOR.join(part for part in (self._finished_text, text) if part)
        await self._show(await self.answer.feed(text), anew=fresh.restart)
        self._writing, self._written_at = False, trio.current_time()
        if self._release_wanted is not None and self.answer.holds_text:
            self._release_wanted.set()

    async def _show(self, piece: Piece, *, anew: bool = False) -> None:
        await self.recorder.send_delta(*piece, anew=anew)
        if self.answer.blocked:
            findings, failures = self.answer.findings, self.answer.failures
            if (summary := self._summary()) is not None:
                await self.recorder.record(summary)
            raise self.services.content_filter.blocked_error(
                "The answer was stopped, and what was shown of it stays",
                [Sanitized("", findings, blocked=True, failures=failures)],
            )

    def _checkpoint(self) -> None:
        """Have the text of this turn kept, if there is enough that is new."""
        now, length = trio.current_time(), self.answer.length
        kept_at, kept = self._checkpointed
        new = length - kept
        if (
            self._step is None
            or new < length / 32
            or (new < CHECKPOINT_SIZE and (not new or now < kept_at + CHECKPOINT_S))
        ):
            return
        text, said = self.answer.text, self._finished_text and self._finished_text + SEPARATOR
        if text.startswith(said):  # else something of it was taken out, and it is told again from the turn's beginning
            self._checkpointed = (now, length)
            self.recorder.save_checkpoint(evolve(self._step, result=encode_partial(text[len(said) :], self.findings)))

    def _summary(self) -> SanitizationSummary | None:
        """The event that tells what was found in the answer, once it is as much as is told of."""
        found = (*self._earlier_findings, *self.answer.findings)
        return build_summary("outbound", found, self.services.summary_from, omitted=self.answer.omitted)

    def _report_metrics(self) -> None:
        answer = self.answer
        self.services.content_filter.record(
            Direction.OUTBOUND, answer.findings, answer.omitted, answer.failures, answer.seconds
        )
