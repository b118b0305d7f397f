"""Challenges on both databases."""

import pytest

from understudy.extensions.accounts import challenges
from understudy.extensions.accounts.challenges import add_challenge, take_challenge


async def test_a_challenge_is_taken_once_and_in_time(store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(challenges, "MOST", 3)
    await store.commit(add_challenge("a", 100.0, 50.0))
    outcomes = [bool(await store.commit(take_challenge(key, 99.0))) for key in ("b", "a", "a")]
    assert outcomes == [False, True, False]
    await store.commit(add_challenge("late", 100.0, 50.0))
    assert not await store.commit(take_challenge("late", 100.0))
    for number in range(5):
        await store.commit(add_challenge(f"key{number}", 200.0 + number, 150.0))
    assert [bool(await store.commit(take_challenge(f"key{n}", 160.0))) for n in range(5)] == [
        False, False, True, True, True,
    ]  # fmt: skip
