"""Values that belong to one run of trio."""

import trio

from understudy.sandbox.run_local import RunLocal, thread_limiter


def test_each_run_has_a_value_of_its_own_made_once() -> None:
    made = RunLocal("test", lambda: object())

    async def twice() -> tuple[object, object]:
        return made(), made()

    first, again = trio.run(twice)
    assert first is again
    assert trio.run(twice)[0] is not first


def test_a_value_that_was_set_replaces_the_one_made() -> None:
    made = RunLocal("test", list[int])

    async def replaced() -> list[int]:
        made().append(1)
        made.set([2])
        return made()

    assert trio.run(replaced) == [2]


async def test_a_thread_limiter_has_as_many_tokens_as_threads() -> None:
    limiter = thread_limiter("test", 3)
    assert limiter() is limiter()
    assert limiter().total_tokens == 3
