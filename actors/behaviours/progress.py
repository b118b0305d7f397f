"""Progress: the latest value, for any number of readers at their own pace."""

from __future__ import annotations

from contextvars import ContextVar

import trio


class Progress:
    """The latest value reported. A slow reader misses values: memory is bounded by one value."""

    def __init__(self) -> None:
        self.latest: object = None
        """None before the first report."""
        self._reports = 0
        self._closed = False
        self._news = trio.Event()

    def report(self, value: object) -> None:
        """Replace the latest value; ignored after the end."""
        if not self._closed:
            self.latest = value
            self._reports += 1
            self._wake()

    def close(self) -> None:
        """End the progress; a second call is harmless."""
        self._closed = True
        self._wake()

    def updates(self) -> Updates:
        """Iterate over the values."""
        return Updates(self)

    def current_task_reports(self) -> None:
        """Make `report` write to this progress in the current task and all that it starts."""
        _current.set(self)

    def _wake(self) -> None:
        self._news.set()
        self._news = trio.Event()


class Updates:
    """An async iterator over the latest value not seen yet; ends after the last."""

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
    """Report the progress of the job that this code runs in, from any of its tasks. Outside of a job, do nothing."""
    progress = _current.get(None)
    if progress is not None:
        progress.report(value)
