"""The answer of a run while it is written: scrubbed as it streams, and cut into rendered blocks as they close.

What takes long is done in a worker thread: parsing and rendering always, scrubbing when a piece is long.
"""

from collections.abc import Sequence
from typing import Any, Final

from sanitization import Scrubber, StreamScrubber
from transport.events import Block
from understudy.chat.markdown import BlockRenderer, RenderedBlock, render
from understudy.chat.rendered import aside, keep

SEPARATOR = "\n\n"
"""Between the texts of two turns of the model."""
INLINE: Final = 1024
"""Characters scrubbed on the spot, in less than a millisecond; models send words, few ever send more at once."""


class Answer:
    """Text goes in as the model streams it; safe text and closed blocks come out.

    What has come out so far is `text`; nothing of it is ever taken back. One call at a time; after one that was
    cancelled there is no other.
    """

    def __init__(self, scrubber: Scrubber) -> None:
        self._stream = StreamScrubber(scrubber.policy)
        self._blocks = BlockRenderer()
        self._pieces: list[str] = []
        self._html: list[str] = []
        self._spoken = False
        self._pending = ""

    async def feed(self, text: str) -> tuple[str, tuple[Block, ...]]:
        """Take in the next piece; returns what may be shown now (it may be nothing) and the blocks it closed."""
        if self._pending and text:
            text, self._pending = self._pending + text, ""
        self._spoken = self._spoken or bool(text)
        if len(text) > INLINE:
            return await aside(self._feed, text)
        shown = self._stream.feed(text)
        if not shown:
            return "", ()
        self._pieces.append(shown)
        if not self._blocks.take(shown):
            return shown, ()
        return shown, self._given(await aside(self._blocks.closed))

    def pause(self) -> None:
        """A turn of the model has ended; what follows is a paragraph of its own."""
        if self._spoken:
            self._pending = SEPARATOR

    async def finish(self) -> tuple[str, tuple[Block, ...]]:
        """Everything is in: returns the tail that was held back. The HTML of the whole is kept for whoever sends it."""
        return await aside(self._finish)

    @property
    def text(self) -> str:
        """All that has come out."""
        return "".join(self._pieces)

    @property
    def findings(self) -> tuple[Any, ...]:
        """What was taken out of the answer."""
        return tuple(self._stream.findings)

    def _feed(self, text: str) -> tuple[str, tuple[Block, ...]]:
        return self._out(self._stream.feed(text))

    def _out(self, shown: str) -> tuple[str, tuple[Block, ...]]:
        if not shown:
            return "", ()
        self._pieces.append(shown)
        return shown, self._given(self._blocks.feed(shown))

    def _finish(self) -> tuple[str, tuple[Block, ...]]:
        shown, blocks = self._out(self._stream.flush())
        self._given(self._blocks.finish())
        text = self.text
        keep(text, "".join(self._html) if self._blocks.exact else render(text))
        return shown, blocks

    def _given(self, blocks: Sequence[RenderedBlock]) -> tuple[Block, ...]:
        self._html += [block.html for block in blocks]
        return tuple(Block(start, end, html) for start, end, html in blocks)
