"""An answer while it is written: sanitized as it streams, and cut into rendered blocks as they close.

Long work stays off the event loop: rendering always (`understudy.chat.answer.html`), sanitizing if a piece is long.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

from sanitization import Failure, Finding, Placeholders, StreamSanitizer
from transport.wire.events import Block
from understudy.chat.answer.html import AnswerHtml
from understudy.chat.answer.markdown import BlockRenderer, RenderedBlock
from understudy.chat.run.replay import SEPARATOR
from understudy.content.texts import INLINE, run_off_loop, weigh_text
from understudy.content.vault import PlaceholderRestorer


class Piece(NamedTuple):
    """Output of an answer: the text to show, the blocks it closed, and the text to store if different."""

    text: str
    blocks: tuple[Block, ...] = ()
    stored: str | None = None


NOTHING: Final = Piece("")


class SanitizedAnswer:
    """Takes text as the model streams it, and returns safe text and closed blocks.

    `text` is the output so far, of which nothing is ever taken back. Calls must not overlap, and none may follow one
    that was cancelled. With `placeholders`, those of the thread are restored in the shown text and stay in the stored
    text. `owner` is the answer's user. `seconds` is the time spent on sanitizing, `length` is that of `text`.
    """

    def __init__(
        self, stream: StreamSanitizer, html: AnswerHtml, placeholders: Placeholders | None = None, owner: str = ""
    ) -> None:
        self.seconds = 0.0
        self._owner = owner
        self._stream = stream
        self._html = html
        self._restoring = None if placeholders is None else PlaceholderRestorer(placeholders)
        self._blocks = BlockRenderer()
        self.length = 0
        self._pieces: list[str] = []
        self._shown: list[str] = []
        self._block_html: list[str] = []
        self._has_text = False
        self._pending = ""

    async def feed(self, text: str) -> Piece:
        """Add text. Return the text that may be shown now, possibly none, and the blocks it closed."""
        if self._pending and text:
            text, self._pending = self._pending + text, ""
        self._has_text = self._has_text or bool(text)
        if weigh_text(text) > INLINE:
            return await self._emit(*await run_off_loop(self._collect, partial(self._stream.feed, text)))
        return await self._emit(*self._collect(partial(self._stream.feed, text)))

    async def resume(self, text: str) -> Piece:
        """Add the text that was shown before a restart. Return as much of it as may be shown without more text."""
        piece = await self.feed(text)
        rest = await self.release()
        kept = None if piece.stored is None and rest.stored is None else (piece.stored or "") + (rest.stored or "")
        return Piece(piece.text + rest.text, (*piece.blocks, *rest.blocks), kept)

    async def release(self) -> Piece:
        """Return the held-back text that may be shown, because the model pauses."""
        return await self._emit(*self._collect(self._stream.pause))

    async def _emit(self, kept: str, shown: str) -> Piece:
        blocks = await self._cut() if shown and self._blocks.feed(shown) else ()
        if self._restoring is None:
            return Piece(shown, blocks) if shown else NOTHING
        return Piece(shown, blocks, kept)

    def pause(self) -> None:
        """End a turn of the model: text that follows starts a new paragraph."""
        if self._has_text:
            self._pending = SEPARATOR

    async def finish(self) -> Piece:
        """Return the text held back until now, and cache the HTML of the whole answer."""
        piece = await self._emit(*await run_off_loop(self._flush))
        await self._cut(last=True)
        self._add_blocks(self._blocks.flush())
        text = "".join(self._shown)
        if self._blocks.exact:
            self._html.cache.put(text, "".join(self._block_html), self._owner)
        else:
            await self._html.render(text, self._owner)
        return piece

    @property
    def text(self) -> str:
        """The output so far, as it is stored."""
        return "".join(self._pieces)

    @property
    def holds_text(self) -> bool:
        """Whether some text is held back."""
        return self._stream.held > 0

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings in the answer."""
        return self._stream.findings

    @property
    def omitted(self) -> int:
        """The number of findings beyond those listed."""
        return self._stream.found - len(self._stream.findings)

    @property
    def failures(self) -> tuple[Failure, ...]:
        """The detectors that failed."""
        return self._stream.failures

    @property
    def blocked(self) -> bool:
        """Whether the content policy has blocked the answer."""
        return self._stream.blocked

    def _flush(self) -> tuple[str, str]:
        kept, shown = self._collect(self._stream.flush)
        if self._restoring is not None and (rest := self._restoring.flush()):
            self._shown.append(rest)
            shown += rest
        return kept, shown

    def _collect(self, run: Callable[[], str]) -> tuple[str, str]:
        """Return the output of the sanitizer, as it is stored and as it is shown."""
        began = time.perf_counter()
        kept = run()
        self.seconds += time.perf_counter() - began
        if kept:
            self._pieces.append(kept)
            self.length += len(kept)
        shown = kept if self._restoring is None else self._restoring.feed(kept)
        if shown:
            self._shown.append(shown)
        return kept, shown

    async def _cut(self, *, last: bool = False) -> tuple[Block, ...]:
        part = self._blocks.next_part(last=last)
        return (
            ()
            if part is None
            else self._add_blocks(self._blocks.accept_cut(part, await self._html.cut(part, self._owner)))
        )

    def _add_blocks(self, blocks: Sequence[RenderedBlock]) -> tuple[Block, ...]:
        self._block_html += [block.html for block in blocks]
        return tuple(Block(start, end, html) for start, end, html in blocks)
