"""The two halves of a sign-in, and what becomes of an answer between them."""

from urllib.parse import parse_qs, urlsplit

import pytest
import trio

from tests.extensions.openid.forger import Forger, forging
from tests.rigs.clock import Clock
from understudy.auth.seal import Seal
from understudy.extensions.oauth import guarded_http
from understudy.extensions.oauth.errors import SignInFailed
from understudy.extensions.oauth.token_endpoint import challenge_of
from understudy.extensions.openid.flow import START_S, BegunSignIn, BroughtBack, finish, start
from understudy.extensions.openid.provider import Provider

SEAL = Seal(b"x" * 32)
REDIRECT = "https://chat.example.org/auth/callback"


def back(started: BegunSignIn, forger: Forger, **changes: str) -> BroughtBack:
    """Return the browser's return from the provider, whose answer has the nonce of the sign-in."""
    query = {name: values[0] for name, values in parse_qs(urlsplit(started.url).query).items()}
    forger.claims = {"nonce": query["nonce"]}
    cookies = {started.cookie: started.value}
    return BroughtBack(
        **{"state": query["state"], "code": "code", "issuer": "", "error": ""} | changes,  # type: ignore[arg-type]
        cookies=cookies,
    )


async def refused(provider: Provider, brought_back: BroughtBack, seal: Seal = SEAL) -> tuple[str, str]:
    with pytest.raises(SignInFailed) as failed:
        await finish(provider, seal, brought_back)
    return failed.value.code, failed.value.message


async def test_the_request_has_state_nonce_and_challenge_and_the_answer_leads_on() -> None:
    with trio.fail_after(60):
        async with forging() as (forger, provider):
            started = await start(provider, SEAL, "/#thread", REDIRECT)
            query = {name: values[0] for name, values in parse_qs(urlsplit(started.url).query).items()}
            assert (query["response_type"], query["code_challenge_method"], query["scope"]) == (
                "code", "S256", "openid profile email",
            )  # fmt: skip
            answer, leads_to = await finish(provider, SEAL, back(started, forger))
            assert (leads_to, answer.user is not None) == ("/#thread", True)
            form = dict(forger.requests)["/token"]
            assert (challenge_of(form["code_verifier"]), form["redirect_uri"]) == (query["code_challenge"], REDIRECT)
            assert form["code_verifier"] not in started.url + started.value


async def test_an_answer_counts_for_its_own_sign_in_and_not_for_long() -> None:
    clock = Clock()
    with trio.fail_after(60):
        async with forging(clock) as (forger, provider):
            first, other = [await start(provider, SEAL, "/", REDIRECT) for _ in range(2)]
            brought_back = back(first, forger)
            for value in (other.value, "", "é", first.value[:-4] + "AAAA", first.value[:8]):
                mixed = BroughtBack(brought_back.state, brought_back.code, "", "", {first.cookie: value})
                assert (await refused(provider, mixed))[0] == "not_found"
            assert (await refused(provider, brought_back, Seal(b"y" * 32)))[0] == "not_found"
            assert (await refused(provider, BroughtBack("", "", "", "", {})))[0] == "not_found"
            clock.now += START_S
            assert (await refused(provider, brought_back))[0] == "not_found"


async def test_an_answer_of_another_issuer_or_with_a_fault_signs_nobody_in() -> None:
    with trio.fail_after(60):
        async with forging() as (forger, provider):
            started = await start(provider, SEAL, "/", REDIRECT)
            for changes, code, words in (
                ({"issuer": "https://evil.example"}, "forbidden", "another server"),
                ({"error": "access_denied"}, "forbidden", "was not allowed"),
                ({"error": "<script>"}, "forbidden", "failed"),
                ({"code": ""}, "forbidden", "no code"),
                ({"error": "temporarily_unavailable"}, "busy", "does not answer"),
            ):
                refusal, sentence = await refused(provider, back(started, forger, **changes))
                assert (refusal, words in sentence) == (code, True), sentence
            assert "/token" not in dict(forger.requests)
            brought_back = back(started, forger)
            forger.claims = {"nonce": "another"}
            assert "cannot be trusted" in (await refused(provider, brought_back))[1]


@pytest.mark.proof("timing")
async def test_a_provider_that_is_away_or_hangs_is_a_sentence_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarded_http, "WITHIN_S", 1.0)
    with trio.fail_after(60):
        async with forging() as (forger, provider):
            started = await start(provider, SEAL, "/", REDIRECT)
            forger.hang = True
            assert (await refused(provider, back(started, forger)))[0] == "busy"
        async with forging() as (forger, provider):
            forger.hang = True
            with pytest.raises(SignInFailed) as failed:
                await start(provider, SEAL, "/", REDIRECT)
            assert (failed.value.code, "does not answer" in failed.value.message) == ("busy", True)
