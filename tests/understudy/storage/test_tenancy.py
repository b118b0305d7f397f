"""Keys of owners: users of two tenants never share one, whatever their names."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transport.auth.tokens import Tokens
from transport.wire.errors import Unauthenticated
from understudy.app.settings import BadSettings, Settings, check_settings, with_values
from understudy.auth.sessions import Sessions, open_sessions
from understudy.storage.owners import name_of, owner_of, tenant_of

SECRET = "a secret of more than 32 characters, for tests"
claims = st.text(min_size=1, max_size=20).filter(lambda text: text.isprintable() and text.strip())


@given(claims, claims | st.none(), claims, claims | st.none())
def test_two_users_never_have_one_name(user: str, tenant: str | None, other: str, theirs: str | None) -> None:
    owner = owner_of(user, tenant)
    assert (name_of(owner), tenant_of(owner)) == (user, tenant)
    assert (owner == owner_of(other, theirs)) == ((user, tenant) == (other, theirs))


def sessions(tmp_path, **settings: str) -> Sessions:
    return open_sessions(with_values(Settings(), data_dir=tmp_path, secret=SECRET, **settings))


def issued(claim: str, user: str, tenant: str | None) -> str:
    return Tokens(SECRET, time.time, claim).issue(user, "s", tenant=tenant, ttl_s=60)


def test_the_named_claim_says_whose_data_it_is(tmp_path) -> None:
    decides = sessions(tmp_path, tenant_claim="org")
    ann, other, nobodys = (decides.verify(issued("org", "ann", tenant)) for tenant in ("acme", "globex", None))
    assert len({ann.user, other.user, nobodys.user}) == 3
    assert (nobodys.user, ann.tenant, name_of(ann.user)) == ("ann", "acme", "ann")
    renewed = decides.renew(issued("org", "ann", "acme"))
    assert (renewed.identity.user, renewed.shown().user) == (ann.user, "ann")
    assert decides.verify(renewed.token).user == ann.user
    assert decides.verify(issued("tenant", "ann", "acme")).user == "ann"
    assert sessions(tmp_path).verify(issued("tenant", "ann", "acme")).user == "ann", "there are no tenants"


def test_no_name_of_a_user_reaches_into_a_tenant(tmp_path) -> None:
    decides = sessions(tmp_path, tenant_claim="org")
    for user, tenant in ((owner_of("ann", "acme"), None), ("ann", owner_of("x", "acme")), ("ann", ""), ("ann", 7)):
        with pytest.raises(Unauthenticated):
            decides.verify(issued("org", user, tenant))


@pytest.mark.parametrize("claim", ["sub", "roles", "exp"])
def test_a_claim_that_means_something_else_is_refused(claim: str) -> None:
    with pytest.raises(BadSettings, match="tenant_claim"):
        check_settings(Settings(secret=SECRET, tenant_claim=claim))
