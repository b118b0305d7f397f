"""The answer of a run as a stream: sanitized as the model writes it, and checkpointed shortly after.

1. Text is published before it is saved, so that readers do not wait for the disk. A crash loses the text since the last
   checkpoint.
2. Pieces are published one at a time: text released in a pause precedes later text, and nothing follows the end.
3. After a restart the text of an interrupted turn continues, or replaces, what was shown (`chat.answer.resume`).
4. Long work stays off the event loop: sanitizing if a piece, and what is held back and read with it, is long.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

import trio
from attrs import define, evolve, field

from sanitization import Direction, Finding, Placeholders, StreamSanitizer
from understudy.agents.framework import AgentFailed
from understudy.chat.answer.resume import ResumedText
from understudy.chat.conversation.run_log import RunLog, RunTimer
from understudy.chat.messages import RunRequest
from understudy.chat.run_state.past import Past
from understudy.chat.run_state.turns import SEPARATOR, encode_partial
from understudy.content.summary import build_summary
from understudy.content.texts import FOREIGN, INLINE, run_off_loop, weigh_text
from understudy.content.vault import PlaceholderRestorer
from understudy.observe.logs import new_error_id
from understudy.storage.records import StepRecord
from understudy.wire.events import SanitizationSummary

MAX_ANSWER: Final = 1_000_000
"""Characters of an answer. It is whole in one event, and a client reads 16 MiB in one frame."""
PAUSE_S: Final = 0.5
"""Seconds without text from the model after which held-back text is released as far as the policy allows."""
MAX_FINDINGS: Final = 200
"""Findings that are saved with the text; further ones are dropped. A user is shown no more either."""
CHECKPOINT_S: Final = 0.5
CHECKPOINT_SIZE: Final = 2048
"""Seconds, or characters, of new text after which a turn is checkpointed. A checkpoint writes the whole text, so a long
one waits until a thirty-second part of it is new."""


class Piece(NamedTuple):
    """Output of an answer: the text to show, and the text to store if different."""

    text: str
    stored: str | None = None


NOTHING: Final = Piece("")


class SanitizedAnswer:
    """Takes text as the model streams it, and returns safe text.

    Output is never taken back. Calls must not overlap, and none may follow a cancelled call. With `placeholders`,
    those of the thread are restored in the shown text and stay in the stored text. `sanitizer` has the findings.
    `length` is that of `text`.
    """

    def __init__(self, sanitizer: StreamSanitizer, placeholders: Placeholders | None = None) -> None:
        self.sanitizer = sanitizer
        self.length = 0
        self._restorer = None if placeholders is None else PlaceholderRestorer(placeholders)
        self._pieces: list[str] = []
        self._has_text = False
        self._separator = ""

    async def feed(self, text: str) -> Piece:
        """Add text. Return the text that may be shown now, possibly none."""
        if text:
            text, self._separator, self._has_text = self._separator + text, "", True
        size = self.sanitizer.to_read(len(text))
        long = size * FOREIGN > INLINE and weigh_text(text) + FOREIGN * (size - len(text)) > INLINE
        return await self._sanitize(partial(self.sanitizer.feed, text), long=long)

    async def resume(self, text: str) -> Piece:
        """Add the text that was shown before a restart. Return as much of it as may be shown without more text."""
        piece = await self.feed(text)
        end = await self.release()
        stored = None if piece.stored is None and end.stored is None else (piece.stored or "") + (end.stored or "")
        return Piece(piece.text + end.text, stored)

    async def release(self) -> Piece:
        """Return the held-back text that may be shown, because the model pauses."""
        return await self._sanitize(self.sanitizer.pause, long=self.sanitizer.held * FOREIGN > INLINE)

    def pause(self) -> None:
        """End a turn of the model: text that follows starts a new paragraph."""
        if self._has_text:
            self._separator = SEPARATOR

    async def finish(self) -> Piece:
        """Return the text held back until now."""
        piece = await self._sanitize(self.sanitizer.flush, long=self.sanitizer.held * FOREIGN > INLINE)
        if self._restorer is not None and (flushed := self._restorer.flush()):
            return Piece(piece.text + flushed, piece.stored)
        return piece

    @property
    def text(self) -> str:
        """The output so far, as it is stored."""
        return "".join(self._pieces)

    async def _sanitize(self, step: Callable[[], str], *, long: bool) -> Piece:
        """Run a step of the sanitizer, a `long` one in a thread. Return its output as it is shown and stored."""
        stored = await run_off_loop(step) if long else step()
        if stored:
            self._pieces.append(stored)
            self.length += len(stored)
        if self._restorer is None:
            return Piece(stored) if stored else NOTHING
        return Piece(await run_off_loop(self._restorer.feed, stored) if long else self._restorer.feed(stored), stored)


@define
class AnswerStream:
    """The text of one run, turn by turn, in its log."""

    request: RunRequest
    log: RunLog
    answer: SanitizedAnswer = field(init=False)
    _finished_text: str = field(default="", init=False, repr=False)  # the text of the finished turns
    _resumed: ResumedText | None = field(default=None, init=False, repr=False)  # an interrupted turn
    _step: StepRecord | None = field(default=None, init=False, repr=False)  # of the current turn
    _checkpointed: tuple[float, int] = field(default=(0.0, 0), init=False)  # time, and length of the answer then
    _waking: bool = field(default=False, init=False)  # a call of `release_if_paused` is due
    _releasing: trio.Event | None = field(default=None, init=False)
    _written_at: float = field(default=0.0, init=False)  # infinite while a piece is being written
    closed: bool = field(default=False, init=False)
    _earlier_findings: tuple[Finding, ...] = field(default=(), init=False)  # in the text before that of `answer`

    @answer.default
    def _new_answer(self) -> SanitizedAnswer:
        content_filter, request = self.log.services.content_filter, self.request
        placeholders = content_filter.vault.get(request.owner, request.thread_id) if content_filter.tokenises else None
        return SanitizedAnswer(content_filter.outbound.stream(), placeholders)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings in the text so far, at most `MAX_FINDINGS`."""
        return (*self._earlier_findings, *self.answer.sanitizer.findings)[:MAX_FINDINGS]

    async def restore(self, before: Past) -> None:
        """Publish the text shown before the restart again, so that every client continues from it."""
        cut = before.cut
        if not (before.agents or before.turns or (cut is not None and cut.text)):
            return
        goes_on = cut is not None and cut.continues
        self._earlier_findings = (
            *(before.turns[-1].findings if before.turns else ()),
            *(cut.findings if cut is not None and cut.continues else ()),
        )
        # Also if nothing was saved: text may have been shown since.
        await self._show(await self.answer.resume(before.shown_text if goes_on else before.recorded_text), restart=True)
        if not goes_on:
            self.answer.pause()

    def begin_turn(self, step: StepRecord, begun: str) -> None:
        """Start a turn of the model. `begun` is its text that was shown before, `step` is where its text is saved."""
        self._resumed, self._step = ResumedText(begun) if begun else None, step
        self._checkpointed = (trio.current_time(), len(self._finished_text) + len(begun))

    async def feed(self, text: str) -> None:
        """Publish the next text of the model, and checkpoint the turn if enough of it is new.

        Raises:
            Blocked: The content policy blocks it. Text shown before stays.
            AgentFailed: The answer becomes longer than `MAX_ANSWER`. Text shown before stays.
        """
        if self._resumed is None:
            await self._write(text)
        else:
            fresh = self._resumed.feed(text)
            await self._write(fresh.text, restart=fresh.restart)
        now, length, (saved_at, saved) = self._written_at, self.answer.length, self._checkpointed
        new = length - saved
        if self._step is None or not new or new < length / 32:
            return
        if new < CHECKPOINT_SIZE and now < saved_at + CHECKPOINT_S:
            return
        whole, earlier = self.answer.text, self._finished_text and self._finished_text + SEPARATOR
        if whole.startswith(earlier):  # else some was redacted, and a resumed run starts the turn from its beginning
            self._checkpointed = (now, length)
            result = encode_partial(whole[len(earlier) :], self.findings)
            self.log.save_checkpoint(evolve(self._step, result=result))

    async def restart_turn(self, text: str) -> None:
        """Publish this as the text of the turn so far, in place of what was shown of it."""
        self._resumed = None
        await self._write(text, restart=True)
        if not text:
            self.answer.pause()

    async def end_turn(self, *, cut: bool = False) -> str:
        """Finish the turn of the model. Return its text if the turn was interrupted before, else an empty text. `cut`:
        the model was stopped before it had finished. Raises `Blocked` as `feed` does."""
        text = ""
        if self._resumed is not None:
            fresh = self._resumed.finish(cut=cut)
            await self._write(fresh.text, restart=fresh.restart)
            text = self._resumed.text
        self._resumed = self._step = None
        self.answer.pause()
        return text

    async def go_on(self, written: str) -> None:
        """Let another model go on with the turn, whose text so far is `written` unless the turn is a resumed one. What
        it repeats of that is not shown twice."""
        if self._resumed is not None:
            await self._write(self._resumed.finish(cut=True).text)
            written = self._resumed.text
        self._resumed = ResumedText(written) if written else None

    def add_finished_turn(self, text: str) -> None:
        """Add the text of a finished turn, as it is stored."""
        self._finished_text = SEPARATOR.join(part for part in (self._finished_text, text) if part)

    async def finish(self) -> tuple[str, SanitizationSummary | None]:
        """Finish the answer. Return its text and the summary of its findings. Raises `Blocked` as `feed` does."""
        if self._releasing is not None:
            await self._releasing.wait()
        self.closed = True
        await self._show(await self.answer.finish())
        return self.answer.text, self._summary()

    def close(self) -> None:
        """Publish nothing more, and record the findings."""
        self.closed = True
        self.log.services.content_filter.record(Direction.OUTBOUND, self.answer.sanitizer.result(""))

    async def release_if_paused(self) -> None:
        """Release held-back text if the model has paused for `PAUSE_S`; else look again later."""
        self._waking = False
        if self.closed or self._releasing is not None:
            return
        left_s = self._written_at + PAUSE_S - trio.current_time()
        if left_s > 0:
            self._waking = True
            self.log.wake("pause", min(max(left_s, PAUSE_S / 2), PAUSE_S), RunTimer.PAUSE)
            return
        released = self._releasing = trio.Event()
        await self.log.send_delta(*await self.answer.release())
        self._releasing = None
        released.set()

    async def _write(self, text: str, *, restart: bool = False) -> None:
        """Publish the next piece of the answer, after a release that is under way."""
        if not (text or restart):
            return
        if (len(self._finished_text) if restart else self.answer.length) + len(text) > MAX_ANSWER:
            raise AgentFailed(f"The answer is longer than {MAX_ANSWER:,} characters.", new_error_id())
        if self._releasing is not None:
            await self._releasing.wait()
        self._written_at = math.inf  # stays so if this is cancelled: then nothing more is published
        if restart:
            replaced = self.answer.sanitizer.result("")
            self.log.services.content_filter.record(Direction.OUTBOUND, replaced)
            self._earlier_findings = self.findings
            self.answer = self._new_answer()
            text = SEPARATOR.join(part for part in (self._finished_text, text) if part)
        await self._show(await self.answer.feed(text), restart=restart)
        self._written_at = self.log.now()
        if self.answer.sanitizer.held and not self._waking:
            self._waking = True
            self.log.wake("pause", PAUSE_S, RunTimer.PAUSE)

    async def _show(self, piece: Piece, *, restart: bool = False) -> None:
        await self.log.send_delta(*piece, restart=restart)
        if self.answer.sanitizer.blocked:
            if (summary := self._summary()) is not None:
                await self.log.record(summary)
            raise self.log.services.content_filter.blocked_error(
                "The answer was stopped, and what was shown of it stays", [self.answer.sanitizer.result("")]
            )

    def _summary(self) -> SanitizationSummary | None:
        """Return the summary of the answer's findings; None below `summary_from`."""
        sanitized = self.answer.sanitizer.result("")
        every = (*self._earlier_findings, *sanitized.findings)
        if not (every or sanitized.omitted):
            return None
        return build_summary("outbound", every, self.log.services.settings.summary_from, omitted=sanitized.omitted)
