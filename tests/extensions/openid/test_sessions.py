"""Sessions that a provider can end: what it says while they are renewed, and what it does not say."""

from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import evolve

from tests.extensions.openid.forger import NONCE, Forger, forging
from tests.rigs.clock import Clock
from tests.rigs.database import opened
from tests.rigs.revocations import RevocationsInMemory
from transport.auth.identity import Identity
from transport.wire.errors import CommandRejected, Unauthenticated
from understudy.auth.seal import Seal
from understudy.auth.sessions import IssuedSession, RenewableTokens, Sessions
from understudy.extensions.oauth import guarded_http
from understudy.extensions.oauth.errors import Untrusted
from understudy.extensions.openid import sessions as module
from understudy.extensions.openid import storage as provider_sessions
from understudy.extensions.openid.sealing import SessionSeal
from understudy.extensions.openid.sessions import KEPT_TOKENS, ProviderSessions
from understudy.extensions.openid.storage import ProviderSession, claim_provider_session
from understudy.storage.sqlite import open_database
from understudy.storage.write import Call

RECHECK_S, OUTAGE_S, LONGEST_S = 100, 1000, 10_000.0


@pytest.fixture
async def both(migrated_before: None, tmp_path: Path, clock: Clock) -> AsyncIterator[tuple[Forger, ProviderSessions]]:
    """Keep sessions of a forger's users in a database of their own. The provider's clock is the real one."""
    sessions = Sessions(
        RenewableTokens("s" * 32, clock, 50.0), False, 5_000.0, RevocationsInMemory(clock),
        longest_s=LONGEST_S,
    )  # fmt: skip
    with closing(open_database(tmp_path)) as database:
        async with opened(database) as store, forging() as (forger, provider):
            seal = SessionSeal(Seal(b"x" * 32), provider.registration)
            sessions.sign_in = oidc = ProviderSessions(provider, store, seal, sessions, clock, RECHECK_S, OUTAGE_S)
            yield forger, oidc


@pytest.fixture
def forger(both: tuple[Forger, ProviderSessions]) -> Forger:
    return both[0]


@pytest.fixture
def oidc(both: tuple[Forger, ProviderSessions]) -> ProviderSessions:
    return both[1]


async def signed_in(oidc: ProviderSessions) -> IssuedSession:
    answer = await oidc.provider.exchange("code", "verifier", NONCE, "http://127.0.0.1:1/auth/callback")
    return await first_token_of(oidc, await oidc.begin(answer))


async def first_token_of(oidc: ProviderSessions, begun: ProviderSession) -> IssuedSession:
    """Return the first token of a session, as the browser gets it with its cookie."""
    issued = await oidc.take(oidc.sealing.handover(begun, oidc.clock()))
    assert issued is not None
    return issued


async def renewed(oidc: ProviderSessions, session: IssuedSession) -> IssuedSession:
    return await oidc.sessions.renew_and_revoke(session.token)


async def ended(oidc: ProviderSessions, session: IssuedSession) -> bool:
    """Return whether a session is over: its renewal is refused for good, and nothing is kept of it."""
    with pytest.raises(Unauthenticated):
        await renewed(oidc, session)
    return await oidc.store.read(provider_sessions.of_owner, session.identity.user) == []


@pytest.mark.proof("timing")
@pytest.mark.parametrize(
    "answer",
    [
        (503, {}), "hangs", (200, b"<html>maintenance</html>"), (400, {"error": "invalid_client"}),
        (400, {"error": "invalid_request"}), (429, {}),
    ],
)  # fmt: skip
async def test_a_session_outlives_an_outage_for_a_while(
    clock: Clock, forger: Forger, oidc: ProviderSessions, answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provider that is away, or takes this server for another client, has said nothing of the user."""
    monkeypatch.setattr(guarded_http, "WITHIN_S", 1.0)
    forger.claims = {"roles": ["operator"]}
    session = await signed_in(oidc)
    forger.answers, forger.hang = {"/token": answer}, answer == "hangs"
    clock.now += RECHECK_S * 0.8
    session = await renewed(oidc, session)
    assert session.identity.roles == ("operator",)
    clock.now += RECHECK_S + OUTAGE_S  # its token has expired, too
    with pytest.raises(CommandRejected) as refused:
        await renewed(oidc, session)
    assert (refused.value.code, refused.value.retry_after) == ("busy", 5.0)
    forger.answers, forger.hang = {}, False
    clock.now += 10
    assert (await renewed(oidc, session)).identity.user == "ann"


async def test_a_refusal_ends_the_session_and_its_tokens(clock: Clock, forger: Forger, oidc: ProviderSessions) -> None:
    revoked = []
    oidc.sessions.on_end.append(revoked.append)
    session = await signed_in(oidc)
    forger.answers = {"/token": (400, {"error": "invalid_grant"})}
    clock.now += RECHECK_S * 0.8
    assert await ended(oidc, session)
    assert [(end.user, end.session) for end in revoked] == [("ann", session.identity.session)]
    with pytest.raises(Unauthenticated):
        oidc.sessions.verify(session.token)


async def test_an_answer_of_somebody_else_changes_nothing(clock: Clock, forger: Forger, oidc: ProviderSessions) -> None:
    session = await signed_in(oidc)
    forger.claims = {"sub": "bob", "roles": ["operator"]}
    clock.now += RECHECK_S * 0.8
    session = await renewed(oidc, session)
    assert (session.identity.user, session.identity.roles) == ("ann", ())


async def test_the_refresh_token_that_was_given_last_is_used(
    clock: Clock, forger: Forger, oidc: ProviderSessions
) -> None:
    """The provider rotates refresh tokens even if it could not say who the user is."""
    session = await signed_in(oidc)
    for number, answer in enumerate(({"userinfo": 503}, {}, {"refresh_token": None}, {}), 2):
        forger.userinfo = {"sub": "ann"}
        forger.answers = {"/me": (503, {})} if "userinfo" in answer else {}
        forger.token = {"refresh_token": f"r{number}"} | ({} if "userinfo" in answer else answer)
        clock.now += RECHECK_S * 0.8
        await oidc.provider.metadata()
        session = await renewed(oidc, session)
    used = [form["refresh_token"] for _, form in forger.requests if form.get("grant_type") == "refresh_token"]
    assert used == ["r1", "r2", "r3", "r3"]


async def test_a_tab_that_leaves_after_its_claim_holds_up_no_other(
    clock: Clock, forger: Forger, oidc: ProviderSessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await signed_in(oidc)
    clock.now += RECHECK_S * 0.8
    commit = type(oidc.store).commit
    with trio.CancelScope() as left:

        async def leave(store: Any, change: Any) -> Any:
            committed = await commit(store, change)
            if isinstance(change, Call) and change.made_by is claim_provider_session:
                left.cancel()
                await trio.lowlevel.checkpoint()  # where a commit that is done waits for its caller's turn
            return committed

        monkeypatch.setattr(type(oidc.store), "commit", leave)
        await renewed(oidc, session)
        await trio.lowlevel.checkpoint()
    assert left.cancelled_caught
    monkeypatch.undo()
    with trio.fail_after(5):
        await renewed(oidc, session)
    assert [form.get("grant_type") for _, form in forger.requests].count("refresh_token") == 1


async def test_tabs_that_renew_at_once_ask_once(clock: Clock, forger: Forger, oidc: ProviderSessions) -> None:
    renewals = []
    session = await signed_in(oidc)
    clock.now += RECHECK_S * 0.8

    async def tab() -> None:
        renewals.append(await renewed(oidc, session))

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(tab)
    assert len({answer.token for answer in renewals}) == 5
    assert [path for path, _ in forger.requests].count("/token") == 2
    clock.now += RECHECK_S * 0.8
    await renewed(oidc, renewals[-1])
    assert [path for path, _ in forger.requests].count("/token") == 3


async def test_an_expired_token_asks_if_it_is_one_of_the_last(clock: Clock, oidc: ProviderSessions) -> None:
    tokens = [await signed_in(oidc)]
    for _ in range(KEPT_TOKENS):
        clock.now += RECHECK_S * 0.8
        tokens.append(await renewed(oidc, tokens[-1]))
    clock.now += LONGEST_S / 2
    with pytest.raises(Unauthenticated):
        oidc.sessions.verify(tokens[-1].token)
    with pytest.raises(Unauthenticated):
        await renewed(oidc, tokens[0])
    assert (await renewed(oidc, tokens[-1])).identity.user == "ann"
    clock.now += LONGEST_S
    with pytest.raises(Unauthenticated):
        await renewed(oidc, tokens[-1])


async def test_without_a_refresh_token_a_session_lasts_as_long_as_the_access_token(
    clock: Clock, forger: Forger, oidc: ProviderSessions
) -> None:
    forger.token = {"refresh_token": None, "expires_in": 900}
    session = await signed_in(oidc)
    assert session.identity.expires_at == clock.now + 900
    clock.now += 800
    session = await renewed(oidc, session)
    assert session.identity.expires_at == clock.now + 100
    clock.now += 101
    with pytest.raises(Unauthenticated):
        await renewed(oidc, session)


async def test_a_node_that_died_while_it_asked_holds_nobody_up_for_long(
    clock: Clock, oidc: ProviderSessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other nodes wait for it, refuse with a time to retry, and ask once its claim is over."""
    monkeypatch.setattr(module, "WAIT_S", 0.5)
    session = await signed_in(oidc)
    clock.now += RECHECK_S * 0.8
    (row,) = await oidc.store.read(provider_sessions.of_owner, "ann")
    claim = module.claim_provider_session("ann", row.id, row.stamp, "dead", clock.now + module.CLAIM_S)
    assert await oidc.store.commit(claim)
    with pytest.raises(CommandRejected):
        await renewed(oidc, session)
    clock.now += module.CLAIM_S
    assert (await renewed(oidc, session)).identity.user == "ann"


async def test_a_session_of_another_secret_or_server_is_none(clock: Clock, oidc: ProviderSessions) -> None:
    """A token for a session that never was is refused too: its signer has the secret, but no refresh token."""
    session = await signed_in(oidc)
    forged = oidc.sessions.issue(evolve(session.identity, session="oidc-none"), RECHECK_S)
    clock.now += RECHECK_S * 0.8
    with pytest.raises(Unauthenticated):
        await renewed(oidc, forged)
    oidc.sealing = evolve(oidc.sealing, seal=Seal(b"y" * 32))
    with pytest.raises(Unauthenticated):
        await renewed(oidc, session)
    oidc.sessions.sign_in = None
    with pytest.raises(Unauthenticated):
        await renewed(oidc, session)


async def test_a_session_is_sealed_anew_at_its_next_recheck(clock: Clock, oidc: ProviderSessions) -> None:
    session = await signed_in(oidc)
    for secrets in ((b"n" * 32, b"x" * 32), (b"n" * 32,)):
        oidc.sealing = evolve(oidc.sealing, seal=Seal(*secrets))
        clock.now += RECHECK_S * 0.8
        session = await renewed(oidc, session)
    oidc.sealing = evolve(oidc.sealing, seal=Seal(b"x" * 32))
    clock.now += RECHECK_S * 0.8
    with pytest.raises(Unauthenticated):
        await renewed(oidc, session)


async def test_a_user_who_is_called_like_an_anonymous_one_cannot_sign_in(
    forger: Forger, oidc: ProviderSessions
) -> None:
    """An anonymous user's threads belong to that name."""
    forger.claims = {"sub": "anon-0123456789abcdef"}
    with pytest.raises(Untrusted):
        await signed_in(oidc)


async def test_a_sign_out_revokes_at_the_provider_and_waits_for_it_shortly(
    clock: Clock, forger: Forger, oidc: ProviderSessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FORGET_S", 1.0)
    first, second = await signed_in(oidc), await signed_in(oidc)
    url = await oidc.logout_url(first.identity, "https://chat.example.org/")
    assert url.startswith(f"{forger.issuer}/end?id_token_hint=ey")
    await oidc.sessions.end_session(first.token)
    assert [form["token"] for path, form in forger.requests if path == "/revoke"] == ["r1"]
    forger.hang = True
    clock.now += RECHECK_S * 0.8
    await oidc.sessions.end_all_sessions("ann")
    assert await ended(oidc, second)
    other = Identity("ann", "oidc-none")
    assert "id_token_hint" not in (await oidc.logout_url(other, "https://chat.example.org/") or "")


async def test_the_first_token_of_a_session_is_issued_once(oidc: ProviderSessions) -> None:
    """A request that shows the browser's cookie again gets none, also at the same time."""
    answer = await oidc.provider.exchange("code", "verifier", NONCE, "http://127.0.0.1:1/auth/callback")
    begun = await oidc.begin(answer)
    tokens: list[str] = []

    async def take() -> None:
        try:
            await first_token_of(oidc, begun)
            tokens.append("token")
        except Unauthenticated as refused:
            tokens.append(refused.code)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take)
        nursery.start_soon(take)
    await take()
    assert sorted(tokens) == ["token", "token_expired", "token_expired"]


async def test_a_logout_token_ends_what_began_before_it_and_once(
    clock: Clock, forger: Forger, oidc: ProviderSessions
) -> None:
    event = {"http://schemas.openid.net/event/backchannel-logout": {}}
    token = forger.id_token(nonce=None, events=event, iat=int(clock.now) + 1, jti="one")
    first = await signed_in(oidc)
    clock.now += 5
    assert await oidc.log_out(token) == 1
    assert await ended(oidc, first)
    await signed_in(oidc)
    assert await oidc.log_out(token) == 0, "it was used"
    clock.now += 120
    later = forger.id_token(nonce=None, events=event, iat=int(clock.now) - 55, jti="two")
    assert await oidc.log_out(later) == 1
    await signed_in(oidc)
    assert await oidc.log_out(forger.id_token(nonce=None, events=event, iat=int(clock.now) - 65, jti="x")) == 0
    unnamed = forger.id_token(nonce=None, events=event, iat=int(clock.now))
    assert await oidc.log_out(unnamed) == 0, "without an id, only what began before it"
    assert await oidc.log_out(forger.id_token(nonce=None, events=event, iat=int(clock.now) + 1)) == 1
