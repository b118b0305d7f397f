"""Revoked sessions are refused until their tokens have expired."""

import pytest

from tests.rigs.clock import Clock
from tests.rigs.revocations import RevocationsInMemory
from transport.auth.identity import Identity
from transport.wire.errors import CommandRejected

ADA = Identity("ada", "s1")


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


async def test_a_session_has_ended_until_its_tokens_have(clock: Clock) -> None:
    ended = RevocationsInMemory(clock)
    assert ADA not in ended
    await ended.revoke_session(ADA, 1100.0)
    assert ADA in ended
    assert Identity("ada", "s1", tenant="t", roles=("r",), expires_at=5.0) in ended
    for other in (Identity("ada", "s2"), Identity("bob", "s1"), Identity("adas", "1"), Identity("", "adas1")):
        assert other not in ended
    clock.now = 1100.0
    assert ADA not in ended


async def test_sessions_of_one_family_have_ended_but_for_the_spared_one(clock: Clock) -> None:
    ended = RevocationsInMemory(clock)
    spared = Identity("ada", "local-key-2")
    await ended.revoke_family(Identity("ada", "local-key-"), 1100.0, spared)
    for name in ("local-key-1", "local-key-later"):
        assert Identity("ada", name) in ended
    for other in (spared, Identity("bob", "local-key-1"), Identity("ada", "local-1"), Identity("ada", "local-key2-1")):
        assert other not in ended
    clock.now = 1100.0
    assert Identity("ada", "local-key-1") not in ended
    assert not any("ada" in name for name, _ in ended.entries())


async def test_revocations_are_bounded_and_none_is_dropped_early(clock: Clock) -> None:
    ended = RevocationsInMemory(clock, cap=2)
    for name in ("s1", "s2"):
        await ended.revoke_session(Identity("ada", name), 1100.0)
    with pytest.raises(CommandRejected) as caught:
        await ended.revoke_session(Identity("ada", "s3"), 1200.0)
    assert caught.value.code == "busy"
    assert ADA in ended
    clock.now = 1100.0
    await ended.revoke_session(Identity("ada", "s3"), 1200.0)
    assert len(ended) == 1
