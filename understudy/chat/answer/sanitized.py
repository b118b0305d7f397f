"""The answer of a run while it is written: scrubbed as it streams, and cut into rendered blocks as they close.

What takes long is done elsewhere: parsing and rendering always (`understudy.chat.answer.html`), scrubbing in a worker
thread when a piece is long.
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
    """What comes out of an answer: the text to show, the blocks it closed, and the text to store, where it differs."""

    text: str
    blocks: tuple[Block, ...] = ()
    stored: str | None = None


NOTHING: Final = Piece("")


class SanitizedAnswer:
    """Text goes in as the model streams it; safe text and closed blocks come out.

    What has come out so far is `text`; nothing of it is ever taken back. One call at a time; after one that was
    cancelled there is no other. With `placeholders` those of the thread are turned back in what is shown, and stay in
    what is stored. `owner` is the user whose answer it is. `seconds` is how long it has been looked through, `length`
    that of `text`.
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
        """Take in the next piece; returns what may be shown now (it may be nothing) and the blocks it closed."""
        if self._pending and text:
            text, self._pending = self._pending + text, ""
        self._has_text = self._has_text or bool(text)
        if weigh_text(text) > INLINE:
            return await self._emit(*await run_off_loop(self._sanitize, text))
        return await self._emit(*self._sanitize(text))

    async def resume(self, text: str) -> Piece:
        """Take in what was shown of the answer before; returns as much of it as the rules let out without more."""
        piece = await self.feed(text)
        rest = await self.release()
        kept = None if piece.stored is None and rest.stored is None else (piece.stored or "") + (rest.stored or "")
        return Piece(piece.text + rest.text, (*piece.blocks, *rest.blocks), kept)

    async def release(self) -> Piece:
        """Nothing has come for a while: let out what can be shown of what is held back."""
        return await self._emit(*self._collect(self._stream.pause))

    async def _emit(self, kept: str, shown: str) -> Piece:
        blocks = await self._cut() if shown and self._blocks.feed(shown) else ()
        return self._piece(kept, shown, blocks)

    def pause(self) -> None:
        """A turn of the model has ended; what follows is a paragraph of its own."""
        if self._has_text:
            self._pending = SEPARATOR

    async def finish(self) -> Piece:
        """Everything is in: returns the tail that was held back. The HTML of the whole is kept for whoever sends it."""
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
        """All that has come out, as it is stored."""
        return "".join(self._pieces)

    @property
    def holds_text(self) -> bool:
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

    def _sanitize(self, text: str) -> tuple[str, str]:
        return self._collect(partial(self._stream.feed, text))

    def _flush(self) -> tuple[str, str]:
        kept, shown = self._collect(self._stream.flush)
        if self._restoring is not None and (rest := self._restoring.flush()):
            self._shown.append(rest)
            shown += rest
        return kept, shown

    def _collect(self, scrub: Callable[[], str]) -> tuple[str, str]:
        """Return what the scrubber lets out, as it is stored and as it is shown."""
        began = time.perf_counter()
        kept = scrub()
        self.seconds += time.perf_counter() - began
        if kept:
            self._pieces.append(kept)
            self.length += len(kept)
        shown = kept if self._restoring is None else self._restoring.feed(kept)
        if shown:
            self._shown.append(shown)
        return kept, shown

    def _piece(self, kept: str, shown: str, blocks: tuple[Block, ...]) -> Piece:
        if self._restoring is None:
            return Piece(shown, blocks) if shown else NOTHING
        return Piece(shown, blocks, kept)

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
