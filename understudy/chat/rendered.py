"""Answers as HTML, made once and away from the loop.

Rendering takes about three milliseconds for a thousand characters. It is done in worker threads, a few at a time: they
share the interpreter with the loop, and every one that works makes the loop wait its turn. What is to be sent or shown
soon is kept, so that whoever encodes an event on the loop finds it.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from threading import Lock
from typing import Final, TypeVar, TypeVarTuple

import trio

from understudy.chat.markdown import render
from understudy.limiters import own_limiter

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

THREADS: Final = 2
"""Works on texts at a time: with a second one, a text that takes long does not hold up all others."""
TOGETHER: Final = 8_000
"""Characters after which a trip to a thread ends, so that others have their turn: some 25 ms of work."""
KEPT: Final = 8_000_000
"""Characters of answers and their HTML that are kept: some thousand answers of a page's length."""

_limiter: Final = own_limiter("understudy.chat.rendered", THREADS)


class Kept:
    """The HTML of the latest answers, by their text; the last one always, others up to `limit` characters in all.

    May be used from any thread.
    """

    def __init__(self, limit: int = KEPT) -> None:
        self._limit = limit
        self._size = 0
        self._html: OrderedDict[str, str] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._html)

    def get(self, text: str) -> str | None:
        """The HTML of this answer, if it is kept."""
        with self._lock:
            if (html := self._html.get(text)) is not None:
                self._html.move_to_end(text)
            return html

    def put(self, text: str, html: str) -> None:
        """Keep the HTML of an answer; the ones not asked for the longest make room."""
        with self._lock:
            self._size -= len(text) + len(self._html.pop(text)) if text in self._html else 0
            self._html[text] = html
            self._size += len(text) + len(html)
            while self._size > self._limit and len(self._html) > 1:
                oldest, its = self._html.popitem(last=False)
                self._size -= len(oldest) + len(its)


_kept: Final = Kept()


async def aside(work: Callable[[*Ts], T], *args: *Ts) -> T:
    """Do pure work on texts in a worker thread, once one is free; who is cancelled leaves it there to end by itself."""
    return await trio.to_thread.run_sync(work, *args, abandon_on_cancel=True, limiter=_limiter())


def keep(text: str, html: str) -> None:
    """Keep the HTML of an answer that is sent or shown soon."""
    _kept.put(text, html)


def html_of(text: str) -> str:
    """The HTML of an answer: the one that is kept, or made on the spot."""
    html = _kept.get(text)
    if html is None:
        html = render(text)
        _kept.put(text, html)
    return html


async def rendered(text: str) -> str:
    """The HTML of an answer, made aside unless it is kept; `html_of` has it at hand afterwards."""
    html = _kept.get(text)
    return await aside(html_of, text) if html is None else html


async def all_rendered(texts: Sequence[str]) -> list[str]:
    """The HTML of each of these answers, as `rendered` gives it; those that are short go to a thread together."""
    html = {text: kept for text in texts if (kept := _kept.get(text)) is not None}
    for some in _together(text for text in dict.fromkeys(texts) if text not in html):
        html |= await aside(_html_of_all, some)
    return [html[text] for text in texts]


def _together(texts: Iterable[str]) -> Iterator[list[str]]:
    some: list[str] = []
    for text in texts:
        some.append(text)
        if sum(map(len, some)) >= TOGETHER:
            yield some
            some = []
    if some:
        yield some


def _html_of_all(texts: Sequence[str]) -> dict[str, str]:
    return {text: html_of(text) for text in texts}
