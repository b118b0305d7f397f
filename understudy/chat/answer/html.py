"""Answers as HTML, made once, and where no text can hold the server up.

1. Rendering is done in processes of the sandbox, `WORKERS` of them, with limits of size and time. A text that is beyond
   them is shown as it was written (`markdown.plain`).
2. What comes back passes the cleaner again, here: a process that a text has taken over puts nothing into a page.
3. Users take turns, and one user has one process at a time: texts that take long hold up their own user. That holds for
   calls that were cancelled, too: their process works on, and counts until it is done.
4. What is to be sent or shown soon is kept, so it is at hand when an event is encoded on the loop. Nothing is rendered
   there.
"""

import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from functools import cache, partial
from threading import Lock
from typing import Any, Final, Generic, TypeVar, TypeVarTuple

import msgspec
import trio
from attrs import define, field

from understudy.chat.answer.markdown import Cut, Part, Renderer, plain
from understudy.sandbox.spawner import MIB, Program
from understudy.sandbox.worker import WorkerFailed, Workers
from understudy.tools.errors import ToolError
from understudy.tools.fair_limiter import FairLimiter
from understudy.tools.threads import thread_limiter

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

log: Final = logging.getLogger(__name__)

RENDERING: Final = Program(
    "understudy.chat.answer.render_worker",
    memory=512 * MIB,  # 70 MB as measured, and 200 MB more for an answer of `CHARACTERS` that is all code
    address_space=1536 * MIB,
    niceness=0,  # somebody is waiting for these words
)
WORKERS: Final = 2
"""Processes that render: with a second one, a text that takes long does not hold up all others."""
CHARACTERS: Final = 200_000
"""Characters that are rendered at once; a longer text, or block of one, is shown as it was written."""
WORK_S: Final = 12.0
"""Seconds of the wall clock for one request. Limits of processor time (`render_worker`) end it long before, unless the
machine is very busy."""
TURN_S: Final = 10.0
"""Longest wait for a process to be free; beyond, a text is shown as it was written."""
READY_S: Final = 2.0
"""Longest time that answers wait for their HTML before they are sent; beyond, they are shown as they were written."""
PAGE_S: Final = 8.0
"""Longest time in which the answers of one page are rendered; the others are shown as they were written, and rendered
when the page is read again."""
THREADS: Final = 2
"""Other work on texts at a time (`aside`)."""
TOGETHER: Final = 8_000
"""Characters after which a request ends, so that others have their turn: some 25 ms of work."""
FORGOTTEN_S: Final = 60.0
"""How long it is remembered that an owner was forgotten: longer than any text waits for its turn and is rendered."""
KEPT: Final = 8_000_000
"""Characters of answers and their HTML that are kept: some thousand answers of a page's length."""

_limiter: Final = thread_limiter("understudy.chat.answer.html", THREADS)
_rendering: Final = thread_limiter("understudy.chat.answer.html.workers", WORKERS)
_turns: Final[trio.lowlevel.RunVar[FairLimiter]] = trio.lowlevel.RunVar("understudy.chat.answer.html.turns")
_workers: Final = Workers(RENDERING)


@define
class _Entry:
    html: str
    owners: set[str]


class Kept:
    """The HTML of the latest answers, by their text; the last one always, others up to `limit` characters in all.

    May be used from any thread.
    """

    def __init__(self, limit: int = KEPT) -> None:
        self._limit = limit
        self._size = 0
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._forgotten: OrderedDict[str, float] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, text: str, owner: str | None = None) -> str | None:
        """Return the HTML of this answer, if it is kept; it is kept for `owner` as well from now on."""
        with self._lock:
            if (entry := self._entries.get(text)) is None:
                return None
            self._entries.move_to_end(text)
            if owner is not None:
                entry.owners.add(owner)
            return entry.html

    def put(self, text: str, html: str, owner: str, asked_at: float = math.inf) -> None:
        """Keep the HTML of an owner's answer; the ones not asked for the longest make room.

        `asked_at`: when it was asked for, by `time.monotonic`. Nothing is kept if the owner was forgotten since.
        """
        with self._lock:
            if asked_at <= self._forgotten.get(owner, -math.inf):
                return
            before = self._entries.get(text)
            owners = {owner} if before is None else before.owners | {owner}
            self._remove(text)
            self._entries[text] = _Entry(html, owners)
            self._size += len(text) + len(html)
            while self._size > self._limit and len(self._entries) > 1:
                self._remove(next(iter(self._entries)))

    def forget(self, owner: str) -> None:
        """Drop the HTML of an owner's answers, also of those that are being rendered."""
        now = time.monotonic()
        with self._lock:
            self._forgotten[owner] = now
            self._forgotten.move_to_end(owner)
            while next(iter(self._forgotten.values())) < now - FORGOTTEN_S:
                self._forgotten.popitem(last=False)
            for text, entry in list(self._entries.items()):
                entry.owners.discard(owner)
                if not entry.owners:
                    self._remove(text)

    def clear(self) -> None:
        """Drop the HTML of all owners' answers; what is being rendered is kept."""
        with self._lock:
            self._entries.clear()
            self._size = 0

    def _remove(self, text: str) -> None:
        if (entry := self._entries.pop(text, None)) is not None:
            self._size -= len(text) + len(entry.html)


_kept: Final = Kept()


async def aside(work: Callable[[*Ts], T], *args: *Ts) -> T:
    """Do pure work of ours on texts in a worker thread, once one is free; if cancelled, it ends there by itself."""
    return await trio.to_thread.run_sync(work, *args, abandon_on_cancel=True, limiter=_limiter())


def keep(text: str, html: str, owner: str) -> None:
    """Keep the HTML of an owner's answer that is sent or shown soon."""
    _kept.put(text, html, owner)


def forget(owner: str) -> None:
    """Drop the HTML of an owner's answers, some of which were deleted: the others are rendered when they are read."""
    _kept.forget(owner)


def forget_all() -> None:
    """Drop the HTML of all answers: any of them may have been deleted."""
    _kept.clear()


def html_of(text: str) -> str:
    """Return the HTML of an answer, if it is at hand; else the text as it was written. Renders nothing."""
    html = _kept.get(text)
    return plain(text) if html is None else html


async def rendered(text: str, owner: str) -> str:
    """Return the HTML of an answer; `html_of` has it at hand afterwards. `owner` is the user whose turn it takes."""
    html = _kept.get(text, owner)
    return (await _made([text], owner))[text] if html is None else html


async def ready(texts: Iterable[str], owner: str) -> None:
    """Have the HTML of these answers at hand before they are sent, unless that takes too long."""
    with trio.move_on_after(READY_S):
        for text in texts:
            await rendered(text, owner)


async def all_rendered(texts: Sequence[str], owner: str) -> list[str]:
    """Return the HTML of each of these answers, as `rendered` does; short ones are rendered together."""
    html = {text: kept for text in texts if (kept := _kept.get(text, owner)) is not None}
    with trio.move_on_after(PAGE_S):
        for some in _together(text for text in dict.fromkeys(texts) if text not in html):
            html |= await _made(some, owner)
    return [html[text] if text in html else plain(text) for text in texts]


async def cut(part: Part, owner: str) -> Cut | None:
    """Render the closed blocks of an open answer; None if that is not done in time (see `BlockRenderer.put`)."""
    if len(part.text) > CHARACTERS:
        return None
    found = await _in_turn(partial(_answer, ["cut", part], _cut_of), owner)
    return found if found is not None and found.fits(part) else None


async def warm_up() -> None:
    """Start a process that renders, so that the first answer does not wait for it."""
    await _in_turn(partial(_render, [""], "", time.monotonic()), "")


async def _made(texts: Sequence[str], owner: str) -> dict[str, str]:
    """Render some texts. One that takes too long is kept as it was written; one that had no turn is not kept."""
    made = await _in_turn(partial(_render, texts, owner, time.monotonic()), owner)
    return {text: plain(text) for text in texts} if made is None else made


def _render(texts: Sequence[str], owner: str, asked_at: float) -> dict[str, str] | None:
    """Render some texts in a process and keep their HTML. For a thread: a caller that is cancelled leaves it to end."""
    short = [text for text in texts if len(text) <= CHARACTERS]
    found = _answer(["render", short], _htmls_of) if short else []
    if found is None or len(found) != len(short):
        return None
    html = {text: plain(text) for text in texts}
    html |= {text: made for text, made in zip(short, found, strict=True) if made is not None}
    for text in texts:
        _kept.put(text, html[text], owner, asked_at)
    return html


@define(eq=False)
class _Job(Generic[T]):
    """Work in a thread, which goes on when its caller is cancelled."""

    work: Callable[[], T | None]
    done: trio.Event = field(factory=trio.Event, init=False)
    result: T | None = field(default=None, init=False)

    async def run(self, turn: AsyncExitStack) -> None:
        """Do the work, then give up the turn."""
        try:
            async with turn:
                self.result = await trio.to_thread.run_sync(self.work, abandon_on_cancel=True, limiter=_rendering())
        except Exception:  # in a task of the whole run, where an error would end the server
            log.exception("render.failed")
        finally:
            self.done.set()


async def _in_turn(work: Callable[[], T | None], owner: str) -> T | None:
    """Do work in a thread when it is this user's turn; return None if there is none in time."""
    async with AsyncExitStack() as stack:
        try:
            with trio.fail_after(TURN_S):
                await stack.enter_async_context(_of_users().permit(owner))
        except (trio.TooSlowError, ToolError) as error:  # too many of this user's texts wait already
            log.warning("render.no_turn", extra={"reason": repr(error)})
            return None
        job = _Job(work)
        trio.lowlevel.spawn_system_task(job.run, stack.pop_all(), name="understudy.chat.answer.html")
    await job.done.wait()
    return job.result


def _of_users() -> FairLimiter:
    try:
        return _turns.get()
    except LookupError:
        made = FairLimiter(WORKERS, 1)
        _turns.set(made)
        return made


def _answer(request: Any, read: Callable[[Any], T]) -> T | None:
    """Have a process answer a request; None if it did not, or not as it should."""
    try:
        return read(_workers.ask(request, WORK_S))
    except (WorkerFailed, msgspec.ValidationError) as error:
        log.warning("render.failed", extra={"reason": str(error)})
        return None


@cache
def _cleaner() -> Renderer:
    return Renderer()


def _htmls_of(reply: Any) -> list[str | None]:
    found = msgspec.convert(reply, list[str | None])
    return [None if html is None else _cleaner().restrict(html) for html in found]


def _cut_of(reply: Any) -> Cut | None:
    found = msgspec.convert(reply, Cut | None)
    if found is None:
        return None
    return found._replace(blocks=[(length, _cleaner().restrict(html)) for length, html in found.blocks])


def _together(texts: Iterable[str]) -> Iterator[list[str]]:
    some: list[str] = []
    for text in texts:
        some.append(text)
        if sum(map(len, some)) >= TOGETHER:
            yield some
            some = []
    if some:
        yield some
