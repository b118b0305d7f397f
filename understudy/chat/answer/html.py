"""Answers as HTML: rendered once, cached for their users, and never on the event loop.

1. Rendering happens in processes of the sandbox, at most `WORKERS` at a time, with limits of size and time. A text that
   exceeds one of them is shown as plain text (`blocks.plain`).
2. HTML from a process passes the cleaner again here: a process that a text has taken over cannot inject into a page.
3. Users take turns and have one process each: a text that takes long delays only its own user. This includes calls that
   were cancelled: their process works on, and its permit is released when it is done.
4. An answer that will be sent or shown soon is cached, so its HTML is available when an event is encoded on the loop.
"""

import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from functools import partial
from threading import Lock
from typing import Any, Final, Generic, NamedTuple, TypeVar

import msgspec
import trio
from attrs import define, field

from transport.wire.events import AnswerText
from understudy.chat.answer.blocks import Cut, Part, plain
from understudy.sandbox.limiters import FairLimiter, QueueFull
from understudy.sandbox.spawner import MIB, Program
from understudy.sandbox.worker import WorkerFailed, Workers, shared_workers

T = TypeVar("T")

log: Final = logging.getLogger(__name__)

RENDERING: Final = Program(
    "understudy.chat.answer.render_worker",
    memory=512 * MIB,  # 70 MB as measured, and 200 MB more for an answer of `MAX_CHARACTERS` that is all code
    address_space=1536 * MIB,
    niceness=0,  # a user is waiting for the answer
)
WORKERS: Final = 2
"""Processes that render at a time: with a second one, a text that takes long does not delay all other users."""
MAX_CHARACTERS: Final = 200_000
"""Characters of a text, or of a part of one, that are rendered; a longer one is shown as plain text."""
WORK_S: Final = 12.0
"""Wall-clock seconds for one request; then the process is killed. The limits of processor time in `render_worker` end
a request long before, unless the machine is very busy."""
PERMIT_S: Final = 10.0
"""Seconds that a request waits for a process; then its texts are shown as plain text."""
PREFETCH_S: Final = 2.0
"""Seconds that answers wait for their HTML before they are sent; then they are shown as plain text."""
PAGE_S: Final = 8.0
"""Seconds for the answers of one page; the rest is shown as plain text, and rendered when the page is read again."""
BATCH_CHARACTERS: Final = 8_000
"""Characters after which a request ends, so that other users have their turn: some 25 ms of work."""
FORGOTTEN_S: Final = 60.0
"""Seconds for which a cleared user is remembered: longer than a text can wait for a process and be rendered."""
CACHE_CHARACTERS: Final = 8_000_000
"""Characters of answers and their HTML that one server caches; beyond, the least recently used are dropped."""


class OpenEnd(NamedTuple):
    """The HTML of an open end, and the seconds of processor time that it took."""

    html: str
    cpu_s: float


@define
class _Entry:
    html: str
    owners: set[str]


class HtmlCache:
    """The HTML of recently used answers, by text and whether that was cut, with the users who have each. Thread-safe.

    It holds at most `limit` characters of texts and HTML, but always the latest answer.
    """

    def __init__(self, limit: int = CACHE_CHARACTERS) -> None:
        self._limit = limit
        self._size = 0
        self._entries: OrderedDict[AnswerText, _Entry] = OrderedDict()
        self._forgotten: OrderedDict[str, float] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, answer: AnswerText, owner: str | None = None) -> str | None:
        """Return the HTML of this answer, or None. `owner` is added to the users who have it."""
        with self._lock:
            if (entry := self._entries.get(answer)) is None:
                return None
            self._entries.move_to_end(answer)
            if owner is not None:
                entry.owners.add(owner)
            return entry.html

    def put(self, answer: AnswerText, html: str, owner: str, requested_at: float = math.inf) -> None:
        """Cache the HTML of a user's answer, unless the user was cleared since `requested_at` (`time.monotonic`)."""
        with self._lock:
            if requested_at <= self._forgotten.get(owner, -math.inf):
                return
            before = self._entries.pop(answer, None)
            if before is not None:
                self._size -= len(answer.text) + len(before.html)
            self._entries[answer] = _Entry(html, {owner} if before is None else before.owners | {owner})
            self._size += len(answer.text) + len(html)
            while self._size > self._limit and len(self._entries) > 1:
                oldest, entry = self._entries.popitem(last=False)
                self._size -= len(oldest.text) + len(entry.html)

    def clear_user(self, owner: str) -> None:
        """Drop a user's answers, except those that another user has too. Those being rendered are not cached later."""
        now = time.monotonic()
        with self._lock:
            self._forgotten[owner] = now
            self._forgotten.move_to_end(owner)
            while next(iter(self._forgotten.values())) < now - FORGOTTEN_S:
                self._forgotten.popitem(last=False)
            for answer, entry in list(self._entries.items()):
                entry.owners.discard(owner)
                if not entry.owners:
                    del self._entries[answer]
                    self._size -= len(answer.text) + len(entry.html)

    def clear(self) -> None:
        """Drop the answers of all users. Those being rendered are cached later."""
        with self._lock:
            self._entries.clear()
            self._size = 0


class AnswerHtml:
    """The HTML of one server's answers: renders them in the processes of `workers` and keeps them in `cache`."""

    def __init__(self, workers: Workers | None = None) -> None:
        self.cache = HtmlCache()
        self.limiter = FairLimiter(WORKERS, 1)
        self._workers = workers or shared_workers(RENDERING)
        self._threads = trio.CapacityLimiter(WORKERS)
        self._started: trio.Event | None = None

    def cached_or_plain(self, answer: AnswerText) -> str:
        """Return the cached HTML of an answer, else the answer as plain text. Renders nothing."""
        html = self.cache.get(answer)
        return plain(answer.text) if html is None else html

    async def render(self, answer: AnswerText, owner: str) -> str:
        """Return the HTML of an answer and cache it. It takes the turn of the user `owner`."""
        html = self.cache.get(answer, owner)
        return (await self._render_batch([answer], owner))[answer] if html is None else html

    async def prefetch(self, answers: Iterable[AnswerText], owner: str) -> None:
        """Render and cache answers that are about to be sent, for at most `PREFETCH_S`."""
        with trio.move_on_after(PREFETCH_S):
            for answer in answers:
                if self.cache.get(answer, owner) is None:
                    await self._render_batch([answer], owner)

    async def render_page(self, answers: Sequence[AnswerText], owner: str) -> list[str]:
        """Return the HTML of each of these answers, and cache it; short ones are rendered in one request."""
        html = {answer: cached for answer in answers if (cached := self.cache.get(answer, owner)) is not None}
        if len(html) < len(set(answers)):
            await self.ready()
        with trio.move_on_after(PAGE_S):
            for some in _batches(answer for answer in dict.fromkeys(answers) if answer not in html):
                html |= await self._render_batch(some, owner)
        return [html[answer] if answer in html else plain(answer.text) for answer in answers]

    async def cut(self, part: Part, owner: str) -> Cut | None:
        """Render the closed blocks of an open answer; None if that takes too long (see `BlockRenderer.accept_cut`)."""
        if len(part.text) > MAX_CHARACTERS:
            return None
        return await self._in_turn(partial(self._cut, part), owner)

    async def preview(self, part: Part, owner: str) -> OpenEnd | None:
        """Return how the open end of an answer looks; None if it is too long, or takes too long."""
        if len(part.text) > MAX_CHARACTERS:
            return None
        return await self._in_turn(partial(self._preview, part), owner)

    def is_busy(self, owner: str) -> bool:
        """Return whether work of this user would have to wait. A preview does not: all other work is more urgent."""
        if not self.limiter.acquire_nowait(owner):
            return True
        self.limiter.release(owner)
        return False

    def expect_answers(self) -> None:
        """Start a process that renders, at the first call only. Called when a client connects that shows HTML.

        A server that has no such client needs no process.
        """
        if self._started is None:
            self._started = trio.Event()
            trio.lowlevel.spawn_system_task(self._start, self._started, name="understudy.chat.answer.html.warm_up")

    async def ready(self) -> None:
        """Wait until the first process has started, at most `PERMIT_S` and `WORK_S`.

        The limits of those who wait for HTML are for rendering: a machine that is busy takes longer to start Python.
        """
        self.expect_answers()
        if self._started is not None:
            await self._started.wait()

    async def _start(self, started: trio.Event) -> None:
        await self.warm_up()
        started.set()

    async def warm_up(self) -> None:
        """Start a process that renders, so that the first answer does not wait for it."""
        await self._in_turn(partial(self._workers.ask, ["render", [["", False]]], WORK_S), "")

    async def _render_batch(self, answers: Sequence[AnswerText], owner: str) -> dict[AnswerText, str]:
        """Render some answers. Without a permit in time they are shown as plain text, which is not cached."""
        html = await self._in_turn(partial(self._render, answers, owner, time.monotonic()), owner)
        return {answer: plain(answer.text) for answer in answers} if html is None else html

    def _render(self, answers: Sequence[AnswerText], owner: str, requested_at: float) -> dict[AnswerText, str] | None:
        """Render some answers in a process and cache their HTML. Blocks; a cancelled caller leaves it to finish."""
        short = [answer for answer in answers if len(answer.text) <= MAX_CHARACTERS]
        found = _read_htmls(self._workers.ask(["render", short], WORK_S)) if short else []
        if len(found) != len(short):
            return None
        html = {answer: plain(answer.text) for answer in answers}
        html |= {answer: made for answer, made in zip(short, found, strict=True) if made is not None}
        for answer in answers:
            self.cache.put(answer, html[answer], owner, requested_at)
        return html

    def _preview(self, part: Part) -> OpenEnd | None:
        """Preview a part in a process. Blocks, as `_render` does."""
        found = msgspec.convert(self._workers.ask(["preview", part], WORK_S), OpenEnd | None)
        if found is None:
            return None
        began = time.thread_time()
        html = _restrict()(found.html)
        return OpenEnd(html, found.cpu_s + time.thread_time() - began)

    def _cut(self, part: Part) -> Cut | None:
        """Cut a part in a process. Blocks, as `_render` does."""
        cut = msgspec.convert(self._workers.ask(["cut", part], WORK_S), Cut | None)
        if cut is None or not cut.fits(part):
            return None
        restrict = _restrict()
        blocks = [(length, restrict(html)) for length, html in cut.blocks]
        return cut._replace(blocks=blocks, open_end=restrict(cut.open_end))

    async def _in_turn(self, work: Callable[[], T | None], owner: str) -> T | None:
        """Do work in a thread when it is this user's turn. Return None if it fails or waits longer than `PERMIT_S`."""
        async with AsyncExitStack() as stack:
            try:
                with trio.fail_after(PERMIT_S):
                    await stack.enter_async_context(self.limiter.permit(owner))
            except (trio.TooSlowError, QueueFull) as error:
                log.warning("render.no_turn", extra={"reason": repr(error)})
                return None
            job = _Job(work, self._threads)
            trio.lowlevel.spawn_system_task(job.run, stack.pop_all(), name="understudy.chat.answer.html")
        await job.done.wait()
        return job.result


@define(eq=False)
class _Job(Generic[T]):
    """Work in a thread, which goes on if its caller is cancelled."""

    work: Callable[[], T | None]
    threads: trio.CapacityLimiter
    done: trio.Event = field(factory=trio.Event, init=False)
    result: T | None = field(default=None, init=False)

    async def run(self, permit: AsyncExitStack) -> None:
        """Do the work, then release the permit."""
        try:
            async with permit:
                self.result = await trio.to_thread.run_sync(self.work, abandon_on_cancel=True, limiter=self.threads)
        except (WorkerFailed, msgspec.ValidationError) as error:
            log.warning("render.failed", extra={"reason": str(error)})
        except Exception:  # in a system task, where an error would end the server
            log.exception("render.failed")
        finally:
            self.done.set()


def _restrict() -> Callable[[str], str]:
    """Return what restricts HTML from a process to the elements that the renderer produces. Called in threads.

    The first call loads the parser of Markdown, 30 ms and 3 MB, which a server without a client that shows HTML does
    not need.
    """
    from understudy.chat.answer.markdown import standard

    return standard().sanitizer.restrict_html


def _read_htmls(reply: Any) -> list[str | None]:
    """Return the HTML of texts in a process's reply, restricted to allowed elements.

    `restrict_html` is faster than the full cleaning of HTML from other servers. It does not detect a link whose text
    names another host than its target: this server's own process has removed those.
    """
    restrict = _restrict()
    return [None if html is None else restrict(html) for html in msgspec.convert(reply, list[str | None])]


def _batches(answers: Iterable[AnswerText]) -> Iterator[list[AnswerText]]:
    """Group answers into batches, each ending with the one that reaches `BATCH_CHARACTERS`."""
    some: list[AnswerText] = []
    for answer in answers:
        some.append(answer)
        if sum(len(each.text) for each in some) >= BATCH_CHARACTERS:
            yield some
            some = []
    if some:
        yield some
