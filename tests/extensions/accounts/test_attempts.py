"""Attempts to sign in, on both databases."""

import pytest
from sqlalchemy import select

from tests.rigs.database import opened
from understudy.extensions.accounts import attempts
from understudy.extensions.accounts.attempts import FORGET_S, LONGEST_S, NOTED, forgive_attempt, take_attempt
from understudy.extensions.accounts.tables import sign_in_attempts


async def test_waits_double_after_the_free_attempts_and_end(store) -> None:
    now, waits = 100.0, list[float]()
    for _ in range(13):
        assert await store.commit(take_attempt((("a", 2),), now)) == 0
        wait_s = await store.commit(take_attempt((("a", 2),), now)) / 1000 if len(waits) else 0.0
        waits.append(wait_s)
        now += wait_s
    assert waits[1:] == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, LONGEST_S, LONGEST_S]
    assert await store.commit(take_attempt((("a", 2),), now + FORGET_S)) == 0
    assert await store.commit(take_attempt((("a", 2),), now + FORGET_S)) == 0, "it has begun anew"


async def test_one_key_that_waits_holds_the_attempt_and_the_others_are_not_counted(store) -> None:
    assert await store.commit(take_attempt((("name", 1), ("address", 2)), 100.0)) == 0
    for _ in range(3):
        assert await store.commit(take_attempt((("address", 2), ("name", 1)), 100.0)) == 1000
    assert await store.commit(take_attempt((("other", 1), ("address", 2)), 100.0)) == 0
    assert await store.commit(take_attempt((("third", 1), ("address", 2)), 100.0)) == 1000


async def test_the_first_attempt_and_the_one_that_begins_a_wait_are_to_be_noted(store) -> None:
    """The first counts under all keys that are noted, and the last free one under any of them."""

    async def take(pair: str, now: float = 100.0) -> int:
        keys = ((pair, 2), ("name", 4), ("address", 1))
        return await store.commit(take_attempt(keys, now, (pair, "name")))

    assert await store.commit(take_attempt((("address", 9),), 90.0)) == 0, "no key counts for that"
    assert [await take("one", 100.0 + 1000 * n) for n in range(2)] == [NOTED, NOTED]
    assert [await take("two", 3000.0 + 1000 * n) for n in range(2)] == [0, NOTED]
    assert [await take("two", 5000.0 + 1000 * n) for n in range(2)] == [0, 0]
    assert await take("two", 5000.0 + FORGET_S + 1000.0) == NOTED, "it has begun anew"


async def test_a_success_forgets_a_key_and_gives_one_attempt_back_to_another(store) -> None:
    keys = (("name", 1), ("address", 2))
    assert await store.commit(take_attempt(keys, 100.0)) == 0
    await store.commit(forgive_attempt(("address",), ("name",)))
    assert await store.commit(take_attempt(keys, 100.0)) == 0
    await store.commit(forgive_attempt((), ("name",)))
    assert await store.commit(take_attempt(keys, 100.0)) == 0, "the address had one left"
    assert await store.commit(take_attempt(keys, 100.0)) == 1000


async def test_invented_names_take_a_bounded_room(database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "MOST", 10)
    async with opened(database) as store:
        for number in range(30):
            assert await store.commit(take_attempt(((f"invented {number}", 1),), 100.0 + number)) == 0
            assert await store.commit(take_attempt((("own", 99),), 100.0 + number)) == 0
        assert await store.commit(take_attempt((("invented 29", 1),), 129.0)) == 1000, "the last of them still waits"
        with database.reading.connect() as connection:
            keys = connection.scalars(select(sign_in_attempts.c.key)).all()
        assert sorted(keys) == sorted(["own", *(f"invented {number}" for number in range(21, 30))])
