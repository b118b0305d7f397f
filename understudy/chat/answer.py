"""The answer of a run while it is written: scrubbed as it streams, and cut into rendered blocks as they close."""

from typing import Any

from sanitization import Scrubber, StreamScrubber
from transport.events import Block
from understudy.chat.markdown import BlockRenderer

SEPARATOR = "\n\n"
"""Between the texts of two turns of the model."""


class Answer:
    """Text goes in as the model streams it; safe text and closed blocks come out.

    What has come out so far is `text`; nothing of it is ever taken back.
    """

    def __init__(self, scrubber: Scrubber) -> None:
        self._stream = StreamScrubber(scrubber.policy)
        self._blocks = BlockRenderer()
        self._pieces: list[str] = []
        self._pending = ""

    def feed(self, text: str) -> tuple[str, tuple[Block, ...]]:
        """Take in the next piece; returns what may be shown now (it may be nothing) and the blocks it closed."""
        if self._pending and text:
            text, self._pending = self._pending + text, ""
        return self._out(self._stream.feed(text))

    def pause(self) -> None:
        """A turn of the model has ended; what follows is a paragraph of its own."""
        if self._pieces:
            self._pending = SEPARATOR

    def finish(self) -> tuple[str, tuple[Block, ...]]:
        """Everything is in: returns the tail that was held back."""
        return self._out(self._stream.flush())

    @property
    def text(self) -> str:
        """All that has come out."""
        return "".join(self._pieces)

    @property
    def findings(self) -> tuple[Any, ...]:
        """What was taken out of the answer."""
        return tuple(self._stream.findings)

    def _out(self, text: str) -> tuple[str, tuple[Block, ...]]:
        if not text:
            return "", ()
        self._pieces.append(text)
        return text, tuple(Block(start, end, html) for start, end, html in self._blocks.feed(text))
