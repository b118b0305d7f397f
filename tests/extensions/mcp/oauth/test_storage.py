"""Sign-ins at MCP servers, on both databases."""

from attrs import evolve

from understudy.extensions.mcp.oauth import storage as sign_ins
from understudy.extensions.mcp.oauth.storage import (
    STARTS,
    SignIn,
    add_client,
    add_start,
    claim_sign_in,
    drop_client,
    drop_sign_in,
    drop_starts,
    put_sign_in,
    take_start,
)
from understudy.storage.deletion import remove_user_rows


async def test_a_sign_in_changes_under_the_stamp_that_was_read_and_goes_with_its_user(store) -> None:
    """Of two claims one wins, and what is stored late under an old stamp is dropped, also after the erasure."""
    first = SignIn("ann", "notes", b"sealed", "a", 5.0, keep_at=90.0)
    assert not await store.commit(put_sign_in(first))  # there is no such user
    assert await store.commit(add_start("s", "ann", b"x", 9.0, 1.0))
    assert await store.commit(put_sign_in(evolve(first, sealed=b"older", stamp="o")))
    assert await store.commit(put_sign_in(first))
    assert await store.read(sign_ins.sign_in, "ann", "notes") == first
    assert [await store.read(sign_ins.to_keep, at) for at in (89.0, 90.0)] == [[], [first]]
    claims = [await store.commit(claim_sign_in("ann", "notes", "a", stamp, 70.0)) for stamp in ("b", "c")]
    assert [bool(claim) for claim in claims] == [True, False]
    renewed = evolve(first, sealed=b"newer", stamp="d")
    assert not await store.commit(put_sign_in(renewed, replaces="a"))
    assert await store.commit(put_sign_in(renewed, replaces="b"))
    assert not await store.commit(drop_sign_in("ann", "notes", "b"))
    assert await store.read(sign_ins.sign_in, "ann", "notes") == renewed
    await store.commit(remove_user_rows("ann"))
    assert await store.read(sign_ins.sign_in, "ann", "notes") is None
    assert await store.read(sign_ins.start, "s", 2.0) is None
    assert not await store.commit(put_sign_in(renewed, replaces="d"))


async def test_a_state_is_taken_once_and_expires(store) -> None:
    for n in range(STARTS):
        assert await store.commit(add_start(f"s{n}", "ann", b"x", 10.0 + n, 1.0))
    assert not await store.commit(add_start("one more", "ann", b"x", 10.0, 1.0))
    assert await store.commit(add_start("another", "ann", b"x", 50.0, 10.0))
    assert await store.read(sign_ins.start, "s0", 5.0) is None
    assert [await store.read(sign_ins.start, "s1", now) for now in (10.5, 11.0)] == [("ann", b"x"), None]
    assert [bool(await store.commit(take_start("s1"))) for _ in range(2)] == [True, False]
    assert [bool(await store.commit(drop_starts(60.0))) for _ in range(2)] == [True, False]


async def test_the_first_registration_of_a_client_is_kept(store) -> None:
    assert [bool(await store.commit(add_client("c", registration))) for registration in (b"1", b"2")] == [True, False]
    assert await store.read(sign_ins.client, "c") == b"1"
    await store.commit(drop_client("c"))
    assert await store.read(sign_ins.client, "c") is None
