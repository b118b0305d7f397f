"""Filtering messages in pieces, in a thread, within a time limit."""

import threading

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from sanitization import Sanitizer
from transport.wire.errors import CommandRejected
from understudy.content.texts import PIECE, THREADS, run_off_loop, sanitize_text, weigh_text
from understudy.content.values import weigh_value

SECRET = "ghp_" + "a1B2c3D4e5F6" * 3


async def test_a_long_text_is_sanitized_like_a_short_one() -> None:
    """Also where a piece ends in the middle of a secret: the same text and the same findings."""
    sanitizer = Sanitizer()
    for shift in (0, 5, 20, 39):
        text = "w " * ((PIECE - shift) // 2) + SECRET + " and on" * PIECE
        clean = await sanitize_text(text, sanitizer)
        assert SECRET not in clean.text
        assert clean == sanitizer.sanitize(text)


async def test_a_text_that_takes_too_long_is_refused() -> None:
    """Before anything is stored, with a sentence that says what to do."""
    with pytest.raises(CommandRejected) as refused:
        await sanitize_text("w " * (4 * PIECE), Sanitizer(), longest_s=0.0)
    assert refused.value.code == "message_too_large"


async def test_the_loop_goes_on_meanwhile() -> None:
    """The thread gives the interpreter back between pieces."""
    longest_s = 0.0

    async def watch() -> None:
        nonlocal longest_s
        while True:
            before = trio.current_time()
            await trio.sleep(0.002)
            longest_s = max(longest_s, trio.current_time() - before)

    text = "w " * (40 * PIECE)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            started = trio.current_time()
            await sanitize_text(text, Sanitizer())
            took_s = trio.current_time() - started
            nursery.cancel_scope.cancel()
    assert longest_s < max(0.2, took_s / 2)


def test_what_may_take_longer_weighs_more() -> None:
    """Hidden characters weigh more than ASCII letters."""
    assert weigh_text("a" * 100) == 100
    assert weigh_text("a" * 99 + "\u200b") == 400
    assert weigh_value({"a": ["bc", "\u200b", 5, None], "é": True}) == 1 + 4 + 2 * 2 + 4 + 2 + 4


async def test_only_so_many_work_at_a_time() -> None:
    """Later texts wait; in the end all are filtered."""
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
                nursery.start_soon(run_off_loop, work)
            await wait_all_tasks_blocked(0.01)
            free.release(3 * THREADS)
    assert most == THREADS


async def test_who_is_cancelled_does_not_wait_for_a_text_that_takes_long() -> None:
    """A cancelled call returns at once while its thread is still running."""
    done = threading.Event()
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_off_loop, done.wait)
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    done.set()
