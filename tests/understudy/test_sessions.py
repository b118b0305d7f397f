"""Sessions: who gets one, and who may come back after it has run out."""

from functools import partial
from pathlib import Path

import pytest
import trio
from attrs import define

from tests.end_to_end.http import request
from transport.errors import Unauthenticated
from understudy.app import serve_house
from understudy.config import Settings
from understudy.sessions import LastingTokens, Sessions, open_tokens

SECRET = "s" * 32


@define
class Clock:
    """A clock that stands still until it is set."""

    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def sessions(clock: Clock, *, anonymous: bool = True, grace_s: float = 50.0) -> Sessions:
    """Sessions of 100 s."""
    return Sessions(LastingTokens(SECRET, clock, grace_s), anonymous, 100.0)


def refused(sessions: Sessions, token: str) -> str:
    """The code with which a token is not renewed."""
    with pytest.raises(Unauthenticated) as caught:
        sessions.renew(token)
    return str(caught.value.code)


def test_a_new_session_is_a_new_anonymous_user() -> None:
    """Each has names of its own, and a token that proves them."""
    given = sessions(Clock())
    one, other = given.new(), given.new()
    assert one.identity.user != other.identity.user
    assert one.identity.user.startswith("anon-")
    assert given.tokens.verify(one.token) == one.identity
    assert one.as_json()["expires_at"] == 1_000_100
    with pytest.raises(Unauthenticated):
        sessions(Clock(), anonymous=False).new()


def test_a_good_token_is_renewed_for_the_same_user_and_session() -> None:
    """Roles and tenant stay, too."""
    clock = Clock()
    given = sessions(clock, anonymous=False)
    token = given.tokens.issue("ada", "s1", roles=["operator"], tenant="t", ttl_s=10)
    clock.now += 5
    who = given.renew(token).identity
    assert (who.user, who.session, who.roles, who.tenant) == ("ada", "s1", ("operator",), "t")
    assert who.expires_at == clock.now + 100


def test_an_anonymous_user_who_was_away_is_no_stranger() -> None:
    """The token has run out, within the grace: the same user goes on. It opens nothing else meanwhile."""
    clock = Clock()
    given = sessions(clock)
    before = given.new()
    clock.now += 149
    with pytest.raises(Unauthenticated):
        given.tokens.verify(before.token)
    after = given.renew(before.token)
    assert (after.identity.user, after.identity.session) == (before.identity.user, before.identity.session)
    assert given.tokens.verify(after.token).expires_at == clock.now + 100


def test_the_grace_ends() -> None:
    """After it, the token is as good as none; without one there is none."""
    clock = Clock()
    token = sessions(clock).new().token
    clock.now += 150
    assert refused(sessions(clock), token) == "token_expired"
    clock.now -= 50
    assert refused(sessions(clock, grace_s=0.0), token) == "token_expired"


def test_the_grace_is_for_anonymous_users_of_open_servers_only() -> None:
    """Not for users with a name, and not where anonymous users are not let in."""
    clock = Clock()
    given = sessions(clock)
    named, unnamed = given.tokens.issue("ada", "s", ttl_s=100), given.new().token
    clock.now += 120
    assert refused(given, named) == "token_expired"
    assert refused(sessions(clock, anonymous=False), unnamed) == "token_expired"


def test_a_forged_token_has_no_grace() -> None:
    """An expired token that somebody else signed, or nonsense, is refused as ever."""
    clock = Clock()
    forged = LastingTokens("f" * 32, clock, 50.0).issue("anon-1", "s", ttl_s=10)
    clock.now += 20
    assert refused(sessions(clock), forged) == "unauthenticated"
    assert refused(sessions(clock), "nonsense") == "unauthenticated"


def test_the_servers_own_secret_is_kept(tmp_path: Path) -> None:
    """Two openings of one data folder take each other's tokens; the settings' secret comes first."""
    settings = Settings(data_dir=tmp_path / "data")
    token = open_tokens(settings).issue("ada", "s", ttl_s=10)
    assert open_tokens(settings).verify(token).user == "ada"
    assert settings.secret_file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(Unauthenticated):
        open_tokens(Settings(data_dir=tmp_path / "data", secret=SECRET)).verify(token)


async def test_the_door_of_refresh_takes_a_lapsed_anonymous_token(tmp_path: Path, nursery: trio.Nursery) -> None:
    """Over HTTP, with the settings' own grace; the token opens nothing but this door."""
    settings = Settings(port=0, data_dir=tmp_path / "data", token_ttl_s=60)
    running = await nursery.start(partial(serve_house, settings))
    tokens = open_tokens(settings)
    lapsed, old = (tokens.issue("anon-7", "s7", ttl_s=-age) for age in (30, 90))
    status, _, body = await request(running.address, "POST", "/api/sessions/refresh", token=lapsed)
    assert (status, body["user"], body["session"]) == (200, "anon-7", "s7")
    assert tokens.verify(body["session_token"]).user == "anon-7"
    for method, path, token in (("POST", "/api/sessions/refresh", old), ("GET", "/api/agents", lapsed)):
        status, _, body = await request(running.address, method, path, token=token)
        assert (status, body["error"]["code"]) == (401, "token_expired")
    await running.stop()
