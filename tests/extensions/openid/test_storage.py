"""Sessions of users who signed in at the identity provider, on both databases."""

from attrs import evolve

from understudy.extensions.openid import storage as provider_sessions
from understudy.extensions.openid.storage import (
    PER_USER,
    ProviderSession,
    add_provider_session,
    change_provider_session,
    claim_provider_session,
    drop_provider_session,
)
from understudy.storage.deletion import remove_user_rows

FIRST = ProviderSession("ann", "s1", b"sealed", "a", "subject", "theirs", 5.0, 90.0)


async def test_a_session_changes_under_the_stamp_that_was_read_and_goes_with_its_user(store) -> None:
    """Of two claims one wins, and what is stored late under an old stamp is dropped, also after the erasure."""
    assert await store.commit(add_provider_session(FIRST, 1.0))
    assert [await store.read(provider_sessions.one, "ann", "s1", at) for at in (89.0, 90.0)] == [FIRST, None]
    claims = [await store.commit(claim_provider_session("ann", "s1", "a", stamp, 70.0)) for stamp in ("b", "c")]
    assert [bool(claim) for claim in claims] == [True, False]
    newer = evolve(FIRST, sealed=b"newer", stamp="d")
    assert not await store.commit(change_provider_session(newer, "a"))
    assert await store.commit(change_provider_session(newer, "b"))
    assert await store.read(provider_sessions.of_owner, "ann") == [newer]
    await store.commit(remove_user_rows("ann"))
    assert await store.read(provider_sessions.of_owner, "ann") == []
    assert not await store.commit(change_provider_session(newer, "d"))


async def test_the_provider_names_sessions_by_its_own_session_or_by_their_subject(store) -> None:
    second = evolve(FIRST, id="s2", provider_session="other")
    bob = evolve(FIRST, owner="bob", subject="bob", provider_session="")
    for session in (FIRST, second, bob):
        assert await store.commit(add_provider_session(session, 1.0))

    async def named(subject: str, session: str) -> set[tuple[str, str]]:
        return {(row.owner, row.id) for row in await store.read(provider_sessions.of_provider, subject, session)}

    assert await named("subject", "") == {("ann", "s1"), ("ann", "s2")}
    assert await named("", "theirs") == await named("subject", "theirs") == {("ann", "s1")}
    assert await named("bob", "theirs") == await named("", "") == set()
    assert [bool(await store.commit(drop_provider_session("ann", "s1"))) for _ in range(2)] == [True, False]


async def test_sessions_that_have_expired_are_removed_by_the_next_sign_in(store) -> None:
    assert await store.commit(add_provider_session(FIRST, 1.0))
    assert await store.commit(add_provider_session(evolve(FIRST, id="s2", expires_at=200.0), 90.0))
    assert [row.id for row in await store.read(provider_sessions.of_owner, "ann")] == ["s2"]


async def test_a_user_has_a_bounded_number_of_sessions(store) -> None:
    assert await store.commit(add_provider_session(evolve(FIRST, owner="bob"), 1.0))
    for number in range(PER_USER + 2):
        session = evolve(FIRST, id=f"s{number}", signed_in_at=float(number))
        assert await store.commit(add_provider_session(session, 1.0))
    ids = {row.id for row in await store.read(provider_sessions.of_owner, "ann")}
    assert ids == {f"s{number}" for number in range(2, PER_USER + 2)}
    assert len(await store.read(provider_sessions.of_owner, "bob")) == 1
