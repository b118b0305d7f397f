"""How far something is: one value, the latest, for any number of readers, each at its own pace."""

from __future__ import annotations

from contextvars import ContextVar

import trio


class Progress:
    """The latest value reported. What a reader was too slow to see is gone: memory is bounded by one value."""

    def __init__(self) -> None:
        self.latest: object = None
        """None before the first report."""
        self._reports = 0
        self._closed = False
        self._news = trio.Event()

    def report(self, value: object) -> None:
        """Put a new value in the place of the latest; ignored after the end."""
        if not self._closed:
            self.latest = value
            self._reports += 1
            self._wake()

    def close(self) -> None:
        """There will be no other; harmless again."""
        self._closed = True
        self._wake()

    def updates(self) -> Updates:
        """Iterate over the values."""
        return Updates(self)

    def current_task_reports(self) -> None:
        """Let `report` mean this progress, in the current task and all that it starts."""
        _current.set(self)

    def _wake(self) -> None:
        self._news.set()
        self._news = trio.Event()


class Updates:
    """An async iterator: each time the latest value, as soon as there is one not seen yet; ends after the last."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._seen = 0

    def __aiter__(self) -> Updates:
        return self

    async def __anext__(self) -> object:
        await trio.lowlevel.checkpoint()
        progress = self._progress
        while progress._reports == self._seen:
            if progress._closed:
                raise StopAsyncIteration
            await progress._news.wait()
        self._seen = progress._reports
        return progress.latest


_current: ContextVar[Progress] = ContextVar("progress")


def report(value: object) -> None:
    """Say how far the job is that this code runs in, from its task or those it started. Outside of one, do nothing."""
    progress = _current.get(None)
    if progress is not None:
        progress.report(value)
