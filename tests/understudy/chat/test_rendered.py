"""Answers as HTML: made in worker threads, a few at a time, and kept within bounds."""

import threading
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from understudy.chat import rendered as module
from understudy.chat.markdown import render
from understudy.chat.rendered import THREADS, TOGETHER, Kept, all_rendered, aside, html_of, keep, rendered


async def test_an_answer_is_rendered_once() -> None:
    """What was made aside is at hand afterwards; what was kept is what everyone gets."""
    assert await rendered("a *b* once") == html_of("a *b* once") == render("a *b* once")
    keep("an answer", "its HTML")
    assert await rendered("an answer") == html_of("an answer") == "its HTML"


async def test_the_answers_of_a_page_are_rendered_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each once and in their order; short ones in one trip to a thread, but only so many of them."""
    trips: list[int] = []

    async def counted(work: Any, texts: list[str]) -> Any:
        trips.append(len(texts))
        return await aside(work, texts)

    monkeypatch.setattr(module, "aside", counted)
    keep("kept *before*", "its HTML")
    texts = ["one *a*", "two", "kept *before*", "one *a*"]
    assert await all_rendered(texts) == [render("one *a*"), render("two"), "its HTML", render("one *a*")]
    assert trips == [2]
    assert await all_rendered(texts) == [html_of(text) for text in texts]
    assert trips == [2]
    long = [f"{number} " * (TOGETHER // 4) for number in range(3)]
    assert await all_rendered(["three", *long]) == [html_of(text) for text in ["three", *long]]
    assert trips == [2, 3, 1]
    assert await all_rendered([]) == []


async def test_only_so_many_work_at_a_time() -> None:
    """Whoever comes later waits; in the end all are served."""
    free, lock, at_work, most = threading.Semaphore(0), threading.Lock(), 0, 0

    def work() -> None:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        free.acquire()
        with lock:
            at_work -= 1

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            for _ in range(3 * THREADS):
                nursery.start_soon(aside, work)
            await wait_all_tasks_blocked(0.01)
            free.release(3 * THREADS)
    assert most == THREADS


async def test_who_is_cancelled_does_not_wait_for_a_text_that_takes_long() -> None:
    """A run that is stopped ends at once; the thread ends by itself."""
    done = threading.Event()
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(aside, done.wait)
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    done.set()


def test_what_is_kept_is_bounded() -> None:
    """The ones not asked for the longest go; the last one stays, however long it is."""
    kept = Kept(limit=20)
    for text in ("a", "b"):
        kept.put(text, "123456789")
    assert kept.get("a") == "123456789"
    kept.put("c", "x")
    assert (kept.get("a"), kept.get("b"), kept.get("c")) == ("123456789", None, "x")
    kept.put("d", "y" * 100)
    assert (len(kept), kept.get("d")) == (1, "y" * 100)


def test_keeping_an_answer_again_does_not_count_it_twice() -> None:
    """The same text with the same HTML takes the room of one."""
    kept = Kept(limit=20)
    kept.put("b", "123456789")
    for _ in range(10):
        kept.put("a", "123456789")
    assert len(kept) == 2
