"""What a provider says: forged, of another one, late, or not at all."""

import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
import trio

from tests.extensions.openid.forger import CLIENT, NONCE, Forger, forging
from tests.rigs.identity_provider import part, rsa_key, signed
from transport.auth.tokens import Tokens
from understudy.extensions.oauth import guarded_http
from understudy.extensions.oauth.errors import GrantRefused, OAuthError, Unreachable, Untrusted
from understudy.extensions.openid.claims import ClaimNames
from understudy.extensions.openid.provider import Provider, ProviderAnswer

SECRET = "a secret of thirty-two characters"


async def exchanged(provider: Provider) -> ProviderAnswer:
    with trio.fail_after(60):
        return await provider.exchange("code", "verifier", NONCE, "http://127.0.0.1:1/auth/callback")


async def signed_in(provider: Provider) -> Any:
    """Return the user, whom the provider names."""
    user = (await exchanged(provider)).user
    return user


async def test_a_code_becomes_tokens_and_a_user() -> None:
    async with forging() as (forger, provider):
        forger.claims, forger.userinfo = {"sid": "theirs"}, {"sub": "ann", "name": "Ann", "groups": ["staff", "", 5]}
        answer = await exchanged(provider)
        assert (answer.user.subject, answer.user.name, answer.user.groups) == ("ann", "Ann", ("staff",))
        assert (answer.user.left_out, answer.provider_session) == (2, "theirs")
        form = dict(forger.requests)["/token"]
        assert (form["code"], form["code_verifier"], form["grant_type"]) == ("code", "verifier", "authorization_code")


def hs256(forger: Forger) -> str:
    """Sign with the client's secret, which a provider may do; or with a public key as a secret."""
    return jwt.encode({"iss": forger.issuer, "aud": CLIENT, "sub": "ann", "nonce": NONCE, "exp": 2**33}, SECRET)


def unsigned(forger: Forger) -> str:
    return f"{part({'alg': 'none'})}.{forger.id_token().split('.')[1]}."


@pytest.mark.parametrize(
    ("forged", "why"),
    [
        (lambda it: it.id_token(iss="https://evil.example"), "issuer"),
        (lambda it: it.id_token(iss=None), "issuer"),
        (lambda it: it.id_token(aud="another"), "aud"),
        (lambda it: it.id_token(aud=[]), "aud"),
        (lambda it: it.id_token(aud=[CLIENT, "another"]), "azp"),
        (lambda it: it.id_token(azp="another"), "azp"),
        (lambda it: it.id_token(exp=1), "exp"),
        (lambda it: it.id_token(exp=None), "exp"),
        (lambda it: it.id_token(iat=2**33), "iat"),
        (lambda it: it.id_token(iat=None), "iat"),
        (lambda it: it.id_token(iat=time.time() + 90), "iat"),
        (lambda it: it.id_token(nbf=time.time() + 90), "nbf"),
        (lambda it: it.id_token(exp=time.time() - 90), "exp"),
        (lambda it: it.id_token(nonce="another"), "nonce"),
        (lambda it: it.id_token(nonce=None), "nonce"),
        (lambda it: it.id_token(nonce=5), "nonce"),
        (lambda it: it.id_token(sub=None), "sub"),
        (lambda it: it.id_token(sub="x" * 300), "sub"),
        (
            lambda it: signed(rsa_key(7), {"iss": it.issuer, "aud": CLIENT, "sub": "ann", "nonce": NONCE}, "one"),
            "signed",
        ),
        (hs256, "signed"),
        (unsigned, "signed"),
        (lambda it: "no token", "no token"),
        (lambda it: "no.to.ken", "malformed"),
        (lambda it: None, "ID token"),
    ],
)
async def test_a_forged_id_token_signs_nobody_in(forged: Callable[[Forger], Any], why: str) -> None:
    async with forging(secret=SECRET) as (forger, provider):
        forger.token = {"id_token": forged(forger)}
        with pytest.raises(Untrusted, match=why):
            await exchanged(provider)


async def test_the_clock_of_the_provider_may_differ_a_little() -> None:
    async with forging() as (forger, provider):
        for skewed in ({"iat": time.time() + 30}, {"nbf": time.time() + 30}, {"exp": time.time() - 30}):
            forger.claims = skewed
            await signed_in(provider)


async def test_several_audiences_are_fine_if_it_was_issued_to_this_client() -> None:
    async with forging() as (forger, provider):
        forger.claims = {"aud": [CLIENT, "another"], "azp": CLIENT}
        await signed_in(provider)


async def test_a_userinfo_of_somebody_else_signs_nobody_in() -> None:
    async with forging() as (forger, provider):
        forger.userinfo = {"sub": "bob"}
        with pytest.raises(Untrusted, match="another user"):
            await exchanged(provider)


async def test_keys_that_are_rotated_are_fetched_at_once() -> None:
    async with forging() as (forger, provider):
        await signed_in(provider)
        old = forger.id_token()
        forger.key, forger.kid = rsa_key(1), "two"
        await signed_in(provider)
        forger.token = {"id_token": old}
        with pytest.raises(Untrusted, match="does not publish"):
            await exchanged(provider)


@pytest.mark.parametrize(
    ("path", "answer", "kind"),
    [
        ("/.well-known/openid-configuration", (500, {}), Unreachable),
        ("/.well-known/openid-configuration", (200, b"<html>"), Untrusted),
        ("/.well-known/openid-configuration", (200, {"issuer": "https://id.example"}), Untrusted),
        ("/token", (503, {}), Unreachable),
        ("/token", (200, b"<html>"), Untrusted),
        ("/token", (200, {"access_token": "a b"}), Untrusted),
        ("/token", (200, {"access_token": "a", "token_type": "mac"}), Untrusted),
        ("/token", (400, {"error": "invalid_grant"}), GrantRefused),
        ("/token", (400, {"error": 5}), Unreachable),
        ("/token", (200, b"x" * 300_000), Unreachable),
        ("/keys", (404, {}), Unreachable),
        ("/keys", (200, {"keys": []}), Unreachable),
        ("/me", (503, {}), Unreachable),
        ("/me", (429, {}), Unreachable),
        ("/me", (200, b"[]"), Untrusted),
    ],
)
async def test_what_is_no_answer_is_an_error(path: str, answer: Any, kind: type[OAuthError]) -> None:
    async with forging() as (forger, provider):
        forger.userinfo, forger.answers = {"sub": "ann"}, {path: answer}
        with pytest.raises(kind):
            await exchanged(provider)


async def test_a_provider_that_calls_itself_otherwise_is_refused() -> None:
    """It could be another tenant of the same host."""
    async with forging() as (forger, provider):
        document = forger.answer("/.well-known/openid-configuration", {})[1]
        forger.answers = {"/.well-known/openid-configuration": (200, document | {"issuer": forger.issuer + "/other"})}
        with pytest.raises(Untrusted, match="calls itself"):
            await provider.metadata()


async def test_a_provider_that_hangs_or_is_gone_is_an_error_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller waits as long as a request may take; the discovery document is kept for a day."""
    monkeypatch.setattr(guarded_http, "WITHIN_S", 1.0)
    now = [0.0]
    async with forging(lambda: now[0]) as (forger, provider):
        at = await provider.metadata()
        forger.hang = True
        with pytest.raises(Unreachable):
            await exchanged(provider)
        now[0] = 3_600.0
        assert await provider.metadata() == at
        now[0] = 100_000.0
        with pytest.raises(Unreachable):
            await provider.metadata()


async def test_nobody_queues_for_a_provider_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many requests at once the first waits for it, and all are refused together; soon it is asked again."""
    monkeypatch.setattr(guarded_http, "WITHIN_S", 2.0)
    failed: list[float] = []
    async with forging() as (forger, provider):
        forger.hang = True
        began = trio.current_time()

        async def come() -> None:
            with pytest.raises(Unreachable):
                await provider.metadata()
            failed.append(trio.current_time() - began)

        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                for _ in range(50):
                    nursery.start_soon(come)
        assert len(failed) == 50
        assert max(failed) < 30  # one after another would take a hundred seconds
        forger.hang = False
        with trio.fail_after(60):
            while True:
                try:
                    assert (await provider.metadata()).issuer == forger.issuer
                    break
                except Unreachable:
                    await trio.sleep(0.2)


async def test_claims_may_have_other_names_and_be_members() -> None:
    names = ClaimNames("nick", "realm_access.roles", "https://example.org/groups", "org")
    async with forging(claims=names) as (forger, provider):
        forger.claims = {
            "nick": "Annie", "realm_access": {"roles": ["operator"]}, "https://example.org/groups": "staff",
            "org": "acme",
        }  # fmt: skip
        user = await signed_in(provider)
        assert (user.name, user.roles, user.groups, user.tenant) == ("Annie", ("operator",), ("staff",), "acme")


@pytest.mark.parametrize("letter", ["r", "é", "本", '"'])
async def test_however_much_a_provider_says_the_token_of_its_user_is_taken(letter: str) -> None:
    names = ClaimNames(tenant="org")
    async with forging(claims=names) as (forger, provider):
        listed = ["operator", letter * 300, *(f"{number}{letter * 250}" for number in range(9))]
        name = letter * 255
        forger.claims = {"roles": listed, "groups": listed, "name": letter * 300, "email": name, "org": "acme"}
        user = await signed_in(provider)
        assert (user.roles[0], user.left_out > 0, user.subject) == ("operator", True, "ann")
        tokens = Tokens(SECRET, lambda: 1.0)
        issued = tokens.issue(
            "u" * 255, "s", roles=user.roles, groups=user.groups, tenant="t" * 255, ttl_s=60, name=user.name
        )
        assert tokens.verify(issued).roles == user.roles


@pytest.mark.parametrize("answer", [(401, {}), (403, {}), (404, {}), (405, b"no"), (302, {})], ids=str)
async def test_the_id_token_counts_where_userinfo_is_refused(answer: Any, caplog: pytest.LogCaptureFixture) -> None:
    """An access token may be for another API. A refresh that brings no ID token changes nothing then."""
    async with forging() as (forger, provider):
        forger.claims, forger.userinfo, forger.answers = {"groups": ["staff"], "name": "Ann"}, {}, {"/me": answer}
        user = await signed_in(provider)
        assert (user.name, user.groups) == ("Ann", ("staff",))
        assert "sign_in.userinfo_refused" in [record.getMessage() for record in caplog.records]
        forger.token = {"id_token": None}
        assert (await provider.refresh("r1", "ann")).user is None


async def test_what_userinfo_does_not_say_takes_nothing_away() -> None:
    async with forging(claims=ClaimNames(roles="realm.roles")) as (forger, provider):
        forger.claims = {"groups": ["staff"], "name": "Ann", "realm": {"roles": ["operator"]}}
        forger.userinfo = {"sub": "ann", "groups": None, "name": "", "realm": {"id": 5}}
        user = await signed_in(provider)
        assert (user.name, user.groups, user.roles) == ("Ann", ("staff",), ("operator",))
        forger.userinfo = {"sub": "ann", "groups": []}  # which says that there are none
        user = await signed_in(provider)
        assert user.groups == ()


@pytest.mark.parametrize("nothing", [None, ""])
async def test_members_that_say_nothing_are_absent(nothing: Any) -> None:
    """The answer with tokens, whose refresh keeps its token, and the discovery document may have null members."""
    async with forging() as (forger, provider):
        path = "/.well-known/openid-configuration"
        optional = ("end_session_endpoint", "userinfo_endpoint", "token_endpoint_auth_methods_supported")
        document = forger.answer(path, {})[1] | dict.fromkeys(optional, nothing)
        forger.answers = {path: (200, document), "/token": lambda _: (200, tokens)}
        tokens = {"access_token": "a", "id_token": forger.id_token(), "refresh_token": nothing, "expires_in": nothing}
        answer = await exchanged(provider)
        assert (answer.tokens.refresh_token, answer.tokens.expires_in) == (None, None)
        tokens["id_token"] = nothing
        assert (await provider.refresh("r1", "ann")).tokens.refresh_token == "r1"
        assert (await provider.metadata()).end_session_endpoint is None


async def test_an_unusable_address_that_need_not_be_named_is_left_out() -> None:
    async with forging() as (forger, provider):
        path = "/.well-known/openid-configuration"
        forger.answers = {path: (200, forger.answer(path, {})[1] | {"end_session_endpoint": "none"})}
        assert (await provider.metadata()).end_session_endpoint is None
        await signed_in(provider)


async def test_the_longest_subject_of_the_standard_signs_in() -> None:
    async with forging() as (forger, provider):
        forger.claims = {"sub": "s" * 255}
        user = await signed_in(provider)
        assert user.subject == "s" * 255


async def test_groups_that_the_provider_keeps_elsewhere_are_named(caplog: pytest.LogCaptureFixture) -> None:
    """Entra ID does so with more than 200: nobody has to guess why a user has none."""
    async with forging() as (forger, provider):
        source = {"src1": {"endpoint": "https://graph.example.org/users/1/getMemberObjects"}}
        forger.claims = {"_claim_names": {"groups": "src1", "other": "src1"}, "_claim_sources": source}
        user = await signed_in(provider)
    assert user.groups == ()
    records = [record for record in caplog.records if record.getMessage() == "sign_in.claims_elsewhere"]
    assert [record.__dict__["claims"] for record in records] == [["groups"]]


async def test_a_crowd_of_groups_is_cut_to_what_a_token_carries() -> None:
    async with forging() as (forger, provider):
        forger.claims = {"groups": [f"group-{number}" for number in range(1000)]}
        user = await signed_in(provider)
        assert len(json.dumps(user.groups)) <= 3_000
        assert user.left_out == 1000 - len(user.groups) > 0


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"events": None}, "no logout token"), ({"nonce": NONCE}, "no logout token"),
        ({"sub": None, "sid": None}, "nobody"), ({"aud": "another"}, "aud"), ({"iss": "https://evil.example"}, "iss"),
        ({"exp": 5}, "expired"), ({"exp": None}, "expired"),
    ],
)  # fmt: skip
async def test_a_forged_logout_token_ends_nothing(change: dict[str, Any], why: str) -> None:
    event = {"http://schemas.openid.net/event/backchannel-logout": {}}
    async with forging() as (forger, provider):
        good = {"nonce": None, "events": event, "sid": "theirs"}
        logout = await provider.logged_out(forger.id_token(**good))
        assert (logout.subject, logout.session) == ("ann", "theirs")
        with pytest.raises(Untrusted, match=why):
            await provider.logged_out(forger.id_token(**(good | change)))
