"""The answer of a run while it is written: scrubbed as it streams, and cut into rendered blocks as they close.

What takes long is done in a worker thread: parsing and rendering always, scrubbing when a piece is long.
"""

import time
from collections.abc import Sequence
from typing import Final, NamedTuple

from sanitization import Failure, Finding, Placeholders, StreamScrubber
from transport.events import Block
from understudy.chat.markdown import BlockRenderer, RenderedBlock, render
from understudy.chat.rendered import aside, keep
from understudy.chat.replay import SEPARATOR
from understudy.scrubbing.texts import INLINE, weight
from understudy.scrubbing.vault import Restoring


class Piece(NamedTuple):
    """What comes out of an answer: the text to show, the blocks it closed, and the text to store, where it differs."""

    text: str
    blocks: tuple[Block, ...] = ()
    kept: str | None = None


NOTHING: Final = Piece("")


class Answer:
    """Text goes in as the model streams it; safe text and closed blocks come out.

    What has come out so far is `text`; nothing of it is ever taken back. One call at a time; after one that was
    cancelled there is no other. With `placeholders` those of the thread are turned back in what is shown, and stay in
    what is stored. `seconds` is how long it has been looked through, `length` that of `text`.
    """

    def __init__(self, stream: StreamScrubber, placeholders: Placeholders | None = None) -> None:
        self.seconds = 0.0
        self._stream = stream
        self._restoring = None if placeholders is None else Restoring(placeholders)
        self._blocks = BlockRenderer()
        self.length = 0
        self._pieces: list[str] = []
        self._shown: list[str] = []
        self._html: list[str] = []
        self._spoken = False
        self._pending = ""

    async def feed(self, text: str) -> Piece:
        """Take in the next piece; returns what may be shown now (it may be nothing) and the blocks it closed."""
        if self._pending and text:
            text, self._pending = self._pending + text, ""
        self._spoken = self._spoken or bool(text)
        if weight(text) > INLINE:
            return await aside(self._feed, text)
        return await self._let_out(self._scrub(text))

    async def resume(self, text: str) -> Piece:
        """Take in what was shown of the answer before; returns as much of it as the rules let out without more."""
        piece = await self.feed(text)
        rest = await self.release()
        kept = None if piece.kept is None and rest.kept is None else (piece.kept or "") + (rest.kept or "")
        return Piece(piece.text + rest.text, (*piece.blocks, *rest.blocks), kept)

    async def release(self) -> Piece:
        """Nothing has come for a while: let out what can be shown of what is held back."""
        began = time.perf_counter()
        kept = self._stream.pause()
        self.seconds += time.perf_counter() - began
        self._keep(kept)
        return await self._let_out(kept)

    async def _let_out(self, kept: str) -> Piece:
        shown = self._restored(kept)
        if not shown or not self._blocks.take(shown):
            return self._piece(shown, (), kept)
        return self._piece(shown, self._given(await aside(self._blocks.closed)), kept)

    def pause(self) -> None:
        """A turn of the model has ended; what follows is a paragraph of its own."""
        if self._spoken:
            self._pending = SEPARATOR

    async def finish(self) -> Piece:
        """Everything is in: returns the tail that was held back. The HTML of the whole is kept for whoever sends it."""
        return await aside(self._finish)

    @property
    def text(self) -> str:
        """All that has come out, as it is stored."""
        return "".join(self._pieces)

    @property
    def holds(self) -> bool:
        """Whether anything that came has not come out."""
        return self._stream.held > 0

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found in the answer."""
        return self._stream.findings

    @property
    def omitted(self) -> int:
        """How much more was found than is listed."""
        return self._stream.found - len(self._stream.findings)

    @property
    def failures(self) -> tuple[Failure, ...]:
        """The detectors that could not do their work."""
        return self._stream.failures

    @property
    def blocked(self) -> bool:
        """Whether nothing more of it may be shown."""
        return self._stream.blocked

    def _scrub(self, text: str) -> str:
        began = time.perf_counter()
        kept = self._stream.feed(text)
        self.seconds += time.perf_counter() - began
        self._keep(kept)
        return kept

    def _keep(self, kept: str) -> None:
        if kept:
            self._pieces.append(kept)
            self.length += len(kept)

    def _restored(self, kept: str) -> str:
        shown = kept if self._restoring is None else self._restoring.feed(kept)
        if shown:
            self._shown.append(shown)
        return shown

    def _piece(self, shown: str, blocks: tuple[Block, ...], kept: str) -> Piece:
        if self._restoring is None:
            return Piece(shown, blocks) if shown else NOTHING
        return Piece(shown, blocks, kept)

    def _feed(self, text: str) -> Piece:
        return self._out(self._scrub(text))

    def _out(self, kept: str, *, last: bool = False) -> Piece:
        shown = self._restored(kept)
        if last and self._restoring is not None and (rest := self._restoring.flush()):
            self._shown.append(rest)
            shown += rest
        return self._piece(shown, self._given(self._blocks.feed(shown)) if shown else (), kept)

    def _finish(self) -> Piece:
        began = time.perf_counter()
        kept = self._stream.flush()
        self.seconds += time.perf_counter() - began
        self._keep(kept)
        piece = self._out(kept, last=True)
        self._given(self._blocks.finish())
        text = "".join(self._shown)
        keep(text, "".join(self._html) if self._blocks.exact else render(text))
        return piece

    def _given(self, blocks: Sequence[RenderedBlock]) -> tuple[Block, ...]:
        self._html += [block.html for block in blocks]
        return tuple(Block(start, end, html) for start, end, html in blocks)
