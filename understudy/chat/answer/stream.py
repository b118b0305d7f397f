"""The answer of a run as a stream: published as the model writes it, and checkpointed shortly after.

1. Text is published before it is saved, so that readers do not wait for the disk. A crash loses the text since the last
   checkpoint.
2. Pieces are published one at a time: text released in a pause precedes later text, and nothing follows the end.
3. After a restart the text of an interrupted turn continues, or replaces, what was shown (`chat.answer.resume`).
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
"""Seconds without text from the model after which held-back text is released as far as the policy allows."""
MAX_FINDINGS = 200
"""Findings that are saved with the text; further ones are dropped. A user is shown no more either."""
CHECKPOINT_S = 0.25
CHECKPOINT_SIZE = 2048
"""Seconds, or characters, of new text after which a turn is checkpointed. A checkpoint writes the whole text, so a long
one waits until a thirty-second part of it is new."""


@define
class AnswerStream:
    """The text of one run, turn by turn. `replay` is its recorded progress."""

    job: RunRequest
    services: Services
    recorder: Recorder
    replay: Replay
    answer: SanitizedAnswer = field(init=False)
    _finished_text: str = field(default="", init=False, repr=False)  # the text of the finished turns
    _continuation: ResumedText = field(factory=lambda: ResumedText(""), init=False, repr=False)
    _step: StepRecord | None = field(default=None, init=False, repr=False)  # of the current turn
    _checkpointed: tuple[float, int] = field(
        default=(0.0, 0), init=False
    )  # at this time, with this length of the answer
    _release_wanted: trio.Event | None = field(default=None, init=False)
    _releasing: trio.Event | None = field(default=None, init=False)
    _writing: bool = field(default=False, init=False)
    _written_at: float = field(default=0.0, init=False)
    _closed: bool = field(default=False, init=False)

    _earlier_findings: tuple[Finding, ...] = field(init=False)  # in the text before that of `answer`

    def __attrs_post_init__(self) -> None:
        before = self.replay
        self.answer = self._new_answer()
        self._earlier_findings = (*before.findings, *(before.partial_findings if before.continues else ()))

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings in the text so far, at most `MAX_FINDINGS`."""
        return (*self._earlier_findings, *self.answer.findings)[:MAX_FINDINGS]

    async def restore(self) -> None:
        """Publish the text shown before the restart again, so that every client continues from it."""
        if not self.replay.agents:
            return
        # Also if nothing was saved: text may have been shown since.
        text = self.replay.shown_text if self.replay.continues else self.replay.recorded_text
        await self._show(await self.answer.resume(text), anew=True)
        if not self.replay.continues:
            self.answer.pause()

    def begin_turn(self, step: StepRecord, begun: str) -> None:
        """Start a turn of the model. `begun` is its text that was shown before, `step` is where its text is saved."""
        self._continuation, self._step = ResumedText(begun), step
        self._checkpointed = (trio.current_time(), len(self._finished_text) + len(begun))

    async def feed(self, text: str) -> None:
        """Publish the next text of the model.

        Raises:
            Blocked: The content policy blocks it. Text shown before stays.
        """
        await self._write(self._continuation.feed(text))
        self._checkpoint()

    async def end_turn(self) -> str:
        """Finish the turn of the model and return its text. Raises `Blocked` as `feed` does."""
        await self._write(self._continuation.finish())
        self._step = None
        self.answer.pause()
        return self._continuation.text

    def add_finished_turn(self, kept: str) -> None:
        """Add the text of a finished turn, as it is stored."""
        self._finished_text = SEPARATOR.join(part for part in (self._finished_text, kept) if part)

    async def finish(self) -> tuple[str, SanitizationSummary | None]:
        """Finish the answer. Return its text and the summary of its findings. Raises `Blocked` as `feed` does."""
        if self._releasing is not None:
            await self._releasing.wait()
        self._closed = True
        await self._show(await self.answer.finish())
        return self.answer.text, self._summary()

    def close(self) -> None:
        """Publish nothing more, and count the findings."""
        self._closed = True
        self._report_metrics()

    async def release_in_pauses(self) -> None:
        """Release held-back text whenever the model pauses for `PAUSE_S`, until the answer is closed."""
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
        """Publish the next piece of the answer, after a release that is under way."""
        if not (fresh.text or fresh.restart):
            return
        if self._releasing is not None:
            await self._releasing.wait()
        self._writing = True  # stays set if this is cancelled: then nothing more is published
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
        """Save the text of this turn if enough of it is new."""
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
        if text.startswith(said):  # else some of it was redacted, and a resumed run starts the turn from its beginning
            self._checkpointed = (now, length)
            self.recorder.save_checkpoint(evolve(self._step, result=encode_partial(text[len(said) :], self.findings)))

    def _summary(self) -> SanitizationSummary | None:
        """Return the summary of the answer's findings; None below `summary_from`."""
        found = (*self._earlier_findings, *self.answer.findings)
        return build_summary("outbound", found, self.services.summary_from, omitted=self.answer.omitted)

    def _report_metrics(self) -> None:
        answer = self.answer
        self.services.content_filter.record(
            Direction.OUTBOUND, answer.findings, answer.omitted, answer.failures, answer.seconds
        )
