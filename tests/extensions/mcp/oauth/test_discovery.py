"""Metadata that lead elsewhere, lie or flood: the sign-in ends, and nothing private is called."""

from collections.abc import Mapping
from typing import Any

import pytest
from attrs import evolve

from tests.extensions.mcp.oauth.pages import ISSUER, RESOURCE, Pages, answering, at, metadata
from understudy.extensions.mcp.oauth import grants
from understudy.extensions.mcp.oauth.discovery import AuthorizationServer, discover
from understudy.extensions.oauth.errors import GrantRefused, OAuthError, Unreachable, Untrusted
from understudy.extensions.oauth.guarded_http import MAX_BYTES, GuardedHttp
from understudy.extensions.oauth.token_endpoint import OAuthClient


async def test_metadata_that_do_not_match_are_refused() -> None:
    evil: Mapping[str, Mapping[str, Any]] = {
        "calls itself": {"issuer": "https://evil.example"},
        "PKCE": {"code_challenge_methods_supported": ["plain"]},
        "malformed": {"token_endpoint": 7},
        "address that is none": {"authorization_endpoint": "https://a:b@evil.example/authorize"},
    }
    pages: Pages = {}
    async with answering(pages) as (origin, _):
        for words, change in evil.items():
            pages |= metadata(origin, **change)
            with pytest.raises(Untrusted, match=words):
                await discover(at(origin), GuardedHttp(private=True))
        pages |= metadata(origin)
        assert (await discover(at(origin), GuardedHttp(private=True))).issuer == origin
        pages[f"{RESOURCE}/mcp"]["resource"] = "https://other.example/mcp"
        with pytest.raises(Untrusted, match="another resource"):
            await discover(at(origin), GuardedHttp(private=True))


@pytest.mark.parametrize("absent", [None, ""])
async def test_optional_members_may_be_null_or_empty(absent: str | None) -> None:
    optional = ("registration_endpoint", "revocation_endpoint", "service_documentation", "scopes_supported")
    pages: Pages = {}
    async with answering(pages) as (origin, _):
        pages |= metadata(origin, **dict.fromkeys(optional, absent))
        pages[f"{RESOURCE}/mcp"] |= {"resource_documentation": absent, "scopes_supported": absent}
        discovered = await discover(at(origin), GuardedHttp(private=True))
        assert (discovered.registration_endpoint, discovered.revocation_endpoint, discovered.scope) == ("", "", "")
        pages["/register"] = {"client_id": "c", "redirect_uris": ["https://a.example/back"]} | dict.fromkeys(
            ("client_secret", "client_uri", "logo_uri", "scope"), absent
        )
        registering = evolve(discovered, registration_endpoint=f"{origin}/register", method="none")
        client = await grants.register(registering, "https://a.example/back", GuardedHttp(private=True))
        assert (client.id, client.secret) == ("c", "")


@pytest.mark.parametrize(("wanted", "scope"), [(None, "a"), ("b a", "a b"), ("", "a c")])
async def test_wanted_scopes_are_asked_for_besides_the_first_ones(wanted: str | None, scope: str) -> None:
    """If a server does not say which it wants, those are asked for that it knows."""
    pages: Pages = {"/mcp": b'HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer scope="a"\r\nContent-Length: 0\r\n\r\n'}
    async with answering(pages) as (origin, _):
        pages |= metadata(origin)
        pages[f"{RESOURCE}/mcp"]["scopes_supported"] = ["c"]
        assert (await discover(at(origin), GuardedHttp(private=True), wanted)).scope == scope


async def test_no_private_address_is_called_that_another_named() -> None:
    pages: Pages = {}
    async with answering({}) as (inner, called), answering(pages) as (origin, _):
        challenge = f'Bearer resource_metadata="{inner}/secret"'
        refusal = f"HTTP/1.1 401 No\r\nWWW-Authenticate: {challenge}\r\nContent-Length: 0\r\n\r\n".encode()
        moved = f"HTTP/1.1 302 Found\r\nLocation: {inner}/secret\r\nContent-Length: 0\r\n\r\n".encode()
        endpoint = metadata(origin, token_endpoint=f"{inner}/token")
        issuer = metadata(origin) | {f"{RESOURCE}/mcp": {"resource": f"{origin}/mcp", "authorization_servers": [inner]}}
        for served in (metadata(origin) | {"/mcp": refusal}, endpoint, issuer):
            pages.clear()
            pages |= served
            with pytest.raises(Untrusted, match="not https"):
                await discover(at(origin), GuardedHttp())
        pages.clear()
        pages |= metadata(origin) | {f"{RESOURCE}/mcp": moved, RESOURCE: moved, ISSUER: moved}
        with pytest.raises(Unreachable):
            await discover(at(origin), GuardedHttp())
        assert called == []
    for url in ("https://127.0.0.1/x", "https://localhost/x", "https://[::ffff:10.0.0.1]/x"):
        with pytest.raises(Untrusted, match="is private"):
            await GuardedHttp().get(url)


async def test_a_token_endpoint_that_floods_hangs_or_babbles_ends_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("understudy.extensions.oauth.guarded_http.WITHIN_S", 1.0)
    flood = b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + b"x" * (MAX_BYTES + 70_000)
    cases: dict[str, tuple[Any, type[OAuthError]]] = {
        "/flood": (flood, Unreachable),
        "/hang": (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhang", Unreachable),
        "/babble": (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnope", Untrusted),
        "/newline": ({"access_token": "a\r\nX-Evil: 1", "token_type": "Bearer"}, Untrusted),
        "/away": (b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", Unreachable),
        "/moved": (b"HTTP/1.1 307 No\r\nLocation: /token\r\nContent-Length: 0\r\n\r\n", Unreachable),
        "/refused": (b'HTTP/1.1 400 No\r\nContent-Length: 25\r\n\r\n{"error":"invalid_grant"}', GrantRefused),
    }
    async with answering({path: page for path, (page, _) in cases.items()}) as (origin, _):
        server = AuthorizationServer(origin, f"{origin}/authorize", "", f"{origin}/mcp", "none")
        for path, (_, kind) in cases.items():
            there = evolve(server, token_endpoint=origin + path)
            with pytest.raises(kind):
                await grants.exchange(there, OAuthClient("c"), "code", "v", origin, GuardedHttp(private=True), 0.0)
