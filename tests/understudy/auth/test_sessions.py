"""Sessions: issuing, verifying, renewing and ending them."""

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.rigs.clock import Clock
from tests.rigs.http import request
from tests.rigs.identity_provider import ec_key, key_set, published, rsa_key, signed
from tests.rigs.revocations import RevocationsInMemory
from transport.auth.identity import Identity
from transport.auth.keyring import read_key_set
from transport.connection.limits import RateLimit
from transport.wire.errors import CommandRejected, Unauthenticated
from understudy.app.server import serve_app
from understudy.app.settings import Settings, with_values
from understudy.auth.sessions import RenewableTokens, Sessions, open_sessions, open_tokens

SECRET = "s" * 32


def sessions(clock: Clock, *, anonymous: bool = True, grace_s: float = 50.0) -> Sessions:
    ended = RevocationsInMemory(clock)
    return Sessions(RenewableTokens(SECRET, clock, grace_s), anonymous, 100.0, ended, rate=RateLimit(60, 3))


def of_provider(document: bytes, **more: Any) -> Sessions:
    path = Path(tempfile.mkdtemp()) / "keys.json"
    path.write_bytes(document)
    return open_sessions(with_values(Settings(), data_dir=path.parent / "data", jwt_keys=str(path), **more))


def refused(use: Callable[[str], object], token: str) -> str:
    with pytest.raises(Unauthenticated) as caught:
        use(token)
    return str(caught.value.code)


def test_a_new_session_is_a_new_anonymous_user() -> None:
    issuer = sessions(Clock())
    first, other = issuer.issue_anonymous(), issuer.issue_anonymous()
    assert first.identity.user != other.identity.user
    assert first.identity.user.startswith("anon-")
    assert issuer.tokens.verify(first.token) == first.identity
    assert first.shown().expires_at == 1_000_100
    with pytest.raises(Unauthenticated):
        sessions(Clock(), anonymous=False).issue_anonymous()
    assert first.token not in repr(first)
    assert SECRET not in repr(issuer)


def test_a_good_token_is_renewed_for_the_same_user_and_session() -> None:
    """For as long as it was signed for, with its tenant and without its roles, which may have been withdrawn."""
    clock = Clock()
    issuer = sessions(clock, anonymous=False)
    token = issuer.tokens.issue("ada", "s1", roles=["operator"], tenant="t", ttl_s=10)
    clock.now += 5
    identity = issuer.renew(token).identity
    assert (identity.user, identity.session, identity.roles, identity.tenant) == ("ada", "s1", (), "t")
    assert identity.expires_at == clock.now + 10


def test_an_expired_anonymous_token_is_renewed_for_the_same_user() -> None:
    clock = Clock()
    issuer = sessions(clock)
    lapsed = issuer.issue_anonymous()
    clock.now += 149
    with pytest.raises(Unauthenticated):
        issuer.tokens.verify(lapsed.token)
    after = issuer.renew(lapsed.token)
    assert (after.identity.user, after.identity.session) == (lapsed.identity.user, lapsed.identity.session)
    assert issuer.tokens.verify(after.token).expires_at == clock.now + 100


def test_the_grace_ends_and_is_for_anonymous_users_of_open_servers_only() -> None:
    clock = Clock()
    issuer = sessions(clock)
    named, unnamed = issuer.tokens.issue("ada", "s", ttl_s=100), issuer.issue_anonymous().token
    clock.now += 120
    without_grace, of_named_users = sessions(clock, grace_s=0.0), sessions(clock, anonymous=False)
    for server, token in ((issuer, named), (without_grace, unnamed), (of_named_users, unnamed)):
        assert refused(server.renew, token) == "token_expired"
    clock.now += 30
    assert refused(issuer.renew, unnamed) == "token_expired"


def test_a_forged_token_has_no_grace() -> None:
    clock = Clock()
    forged = RenewableTokens("f" * 32, clock, 50.0).issue("anon-1", "s", ttl_s=10)
    clock.now += 20
    assert refused(sessions(clock).renew, forged) == "unauthenticated"
    assert refused(sessions(clock).renew, "nonsense") == "unauthenticated"


def test_the_servers_own_secret_is_kept(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    token = open_tokens(settings).issue("ada", "s", ttl_s=10)
    assert open_tokens(settings).verify(token).user == "ada"
    assert settings.secret_file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(Unauthenticated):
        open_tokens(Settings(data_dir=tmp_path / "data", secret=SECRET)).verify(token)


async def test_the_refresh_endpoint_accepts_an_expired_anonymous_token(tmp_path: Path, nursery: trio.Nursery) -> None:
    settings = with_values(Settings(), port=0, data_dir=tmp_path / "data", session_token_ttl_s=60)
    running = await nursery.start(partial(serve_app, settings))
    tokens = open_tokens(settings)
    lapsed, old = (tokens.issue("anon-7", "s7", ttl_s=-age) for age in (30, 90))
    status, _, body = await request(running.address, "POST", "/api/sessions/refresh", token=lapsed)
    assert (status, body["user"], body["session"]) == (200, "anon-7", "s7")
    assert tokens.verify(body["session_token"]).user == "anon-7"
    for method, path, token in (("POST", "/api/sessions/refresh", old), ("GET", "/api/agents", lapsed)):
        status, _, body = await request(running.address, method, path, token=token)
        assert (status, body["error"]["code"]) == (401, "token_expired")
    await running.stop()


def test_new_sessions_of_an_address_are_limited() -> None:
    issuer = sessions(Clock())
    for _ in range(3):
        issuer.issue_anonymous("203.0.113.9")
    with pytest.raises(CommandRejected) as caught:
        issuer.issue_anonymous("203.0.113.9")
    assert caught.value.code == "rate_limited"
    assert 0 < caught.value.retry_after <= 1.0
    issuer.issue_anonymous("203.0.113.10")


def claims(**more: Any) -> dict[str, Any]:
    return {"sub": "ada", "sid": "s1", "exp": time.time() + 60, **more}


BOTH = key_set(published(rsa_key(), "r"), published(ec_key(), "e"))


def test_with_a_provider_its_tokens_count_beside_those_of_the_secret() -> None:
    issuer = of_provider(BOTH, secret=SECRET)
    ours, theirs = (RenewableTokens(key, time.time, 0.0).issue("bob", "s2", ttl_s=60) for key in (SECRET, "f" * 32))
    tokens = {signed(rsa_key(), claims(), "r"): "ada", signed(ec_key(), claims(), "e"): "ada", ours: "bob"}
    assert {token: issuer.verify(token).user for token in tokens} == tokens
    for token in (signed(rsa_key(1), claims(), "r"), theirs):
        assert refused(issuer.verify, token) == "unauthenticated"
    with pytest.raises(Unauthenticated):
        issuer.issue_anonymous()


def test_without_a_secret_only_the_providers_tokens_count_on_an_open_address() -> None:
    """No key could sign another token, and `understudy token` says so."""
    issuer = of_provider(BOTH, host="0.0.0.0")
    assert issuer.verify(signed(ec_key(), claims(), "e")).user == "ada"
    for secret in (SECRET, "x" * 32, published(rsa_key())["n"]):
        token = RenewableTokens(secret, time.time, 0.0).issue("ada", "s1", ttl_s=60)
        assert refused(issuer.verify, token) == "unauthenticated"
    with pytest.raises(ValueError, match="identity provider only"):
        open_tokens(with_values(Settings(), host="0.0.0.0", jwt_keys="keys.json"))


def test_on_a_loopback_address_the_servers_own_secret_stays() -> None:
    issuer = of_provider(BOTH)
    token = issuer.tokens.issue("root", "s", roles=["operator"], ttl_s=60)
    assert issuer.verify(token).roles == ("operator",)


def test_issuer_and_audience_are_those_of_the_settings() -> None:
    issuer = of_provider(BOTH, secret=SECRET, jwt_issuer="https://idp", jwt_audience="chat")
    assert issuer.verify(signed(ec_key(), claims(iss="https://idp", aud="chat"), "e")).user == "ada"
    assert refused(issuer.verify, signed(ec_key(), claims(iss="https://idp"), "e")) == "unauthenticated"
    assert refused(issuer.verify, signed(ec_key(), claims(aud="chat"), "e")) == "unauthenticated"
    assert issuer.verify(RenewableTokens(SECRET, time.time, 0.0).issue("bob", "s", ttl_s=60)).user == "bob"


def test_a_providers_token_is_not_made_to_last_longer_here() -> None:
    issuer = of_provider(BOTH, secret=SECRET)
    with pytest.raises(CommandRejected, match="renewed where it came from") as caught:
        issuer.renew(signed(ec_key(), claims(), "e"))
    assert caught.value.code == "forbidden"


@pytest.mark.parametrize("document", [b"{}", b"x" * 300_000, b""])
def test_a_file_without_keys_stops_the_start(document: bytes) -> None:
    with pytest.raises(ValueError, match=r"cannot be used as jwt\.keys"):
        of_provider(document)
    with pytest.raises(OSError, match="UNDERSTUDY_JWT_KEYS"):
        open_sessions(with_values(Settings(), data_dir=Path(tempfile.mkdtemp()), jwt_keys="/nowhere/keys.json"))


async def test_an_ended_session_is_refused() -> None:
    clock = Clock()
    issuer, ended = sessions(clock), list[Identity]()
    issuer.on_end.append(ended.append)
    token, other = (issuer.tokens.issue("ada", name, ttl_s=100) for name in ("s1", "s2"))
    later = issuer.renew(token).token
    assert ended == [await issuer.end_session(token)]
    for either in (token, later):
        assert refused(issuer.verify, either) == refused(issuer.renew, either) == "unauthenticated"
        with pytest.raises(Unauthenticated):
            await issuer.verify_awaiting_keys(either)
    assert issuer.verify(other).session == "s2"


async def test_a_lapsed_anonymous_session_can_be_ended() -> None:
    clock = Clock()
    issuer = sessions(clock)
    token = issuer.issue_anonymous().token
    clock.now += 120
    await issuer.end_session(token)
    assert refused(issuer.renew, token) == "unauthenticated"
    clock.now += 20
    assert refused(issuer.renew, token) == "unauthenticated"


async def test_a_token_that_was_taken_before_is_taken_only_as_long_as_it_counts() -> None:
    clock = Clock()
    ended = RevocationsInMemory(clock)
    issuer = Sessions(RenewableTokens(SECRET, clock, 50.0), False, 100.0, ended)
    first, other = (issuer.tokens.issue("ada", session, ttl_s=10) for session in ("s1", "s2"))
    identity = issuer.verify(first)
    assert issuer.verify(first) is identity
    issuer.verify(other)
    await issuer.end_session(other)
    assert refused(issuer.verify, other) == "unauthenticated"
    clock.now += 10
    assert refused(issuer.verify, first) == "token_expired"


def test_newer_keys_of_a_provider_are_asked_about_every_token() -> None:
    issuer = of_provider(key_set(published(rsa_key(), "k1")))
    token = signed(rsa_key(), {"sub": "ada", "sid": "s1", "exp": time.time() + 60}, "k1")
    assert issuer.verify(token) is issuer.verify(token)
    issuer.provider.keyring.replace(read_key_set(key_set(published(rsa_key(1), "k1"))))
    assert refused(issuer.verify, token) == "unauthenticated"
