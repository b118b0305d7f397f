"""Finds the authorization server of an MCP server (RFC 9728), and what that one says of itself (RFC 8414, OIDC)."""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import msgspec
from attrs import frozen
from mcp.client.auth.utils import (
    build_oauth_authorization_server_metadata_discovery_urls,
    build_protected_resource_metadata_discovery_urls,
    issuers_match,
)
from mcp.shared.auth import OAuthMetadata, ProtectedResourceMetadata
from mcp.shared.auth_utils import check_resource_allowed, resource_url_from_server_url
from pydantic import ValidationError

from understudy.auth.oauth.errors import Unreachable, Untrusted
from understudy.auth.oauth.guarded_http import GuardedHttp
from understudy.auth.oauth.token_endpoint import METHODS, members_of
from understudy.tools.mcp.server import McpServer

_CHALLENGE: Final = r'{}=(?:"([^"]{{1,2000}})"|([^\s,]{{1,2000}}))'


MALFORMED: Final = (ValidationError, msgspec.DecodeError, UnicodeError, RecursionError)
"""What is raised for an answer that is not as it should be."""


@frozen
class AuthorizationServer:
    """What is used of an authorization server's metadata. `resource` is the MCP server, as tokens name it (RFC 8707).

    `method` is how a client proves itself; `names_itself`: it adds its issuer to its answers (RFC 9207).
    """

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    resource: str
    method: str
    registration_endpoint: str = ""
    revocation_endpoint: str = ""
    scope: str = ""
    names_itself: bool = False


async def discover(server: McpServer, http: GuardedHttp) -> AuthorizationServer:
    """Return the authorization server of an MCP server.

    Raises:
        Untrusted: The metadata are malformed, name another resource or issuer, have an address that may not be called,
            or offer no PKCE with S256.
        Unreachable: A server does not answer, or has no metadata.
    """
    # The developer's own address is called as it is; what it answers is another's word.
    said = await GuardedHttp(private=True).post_json(server.url, {"jsonrpc": "2.0", "id": 1, "method": "ping"})
    challenge = said.headers if said.status in (401, 403) else {}
    resource, issuer, scopes = resource_url_from_server_url(server.url), "", ""
    found = await _protected_resource(server, _parameter(challenge, "resource_metadata"), http)
    if found is not None:
        if not check_resource_allowed(requested_resource=resource, configured_resource=str(found.resource)):
            raise Untrusted(f"its metadata are of another resource, {str(found.resource)[:200]}")
        resource, issuer = str(found.resource), str(found.authorization_servers[0])
        scopes = " ".join(found.scopes_supported or ())
    metadata = await _metadata(server, issuer, http)
    if "S256" not in (metadata.code_challenge_methods_supported or ()):
        raise Untrusted("its authorization server does not offer PKCE with S256")
    scope = server.scope or _parameter(challenge, "scope") or scopes
    if scope and "offline_access" in (metadata.scopes_supported or ()) and "offline_access" not in scope.split():
        scope += " offline_access"
    methods = metadata.token_endpoint_auth_methods_supported or METHODS
    method = next((each for each in METHODS if each in methods), "")
    if not method:
        raise Untrusted("its authorization server knows no way of this server to prove itself")
    registration, revocation = metadata.registration_endpoint, metadata.revocation_endpoint
    return AuthorizationServer(
        str(metadata.issuer),
        http.check(str(metadata.authorization_endpoint)),
        http.check(str(metadata.token_endpoint)),
        resource,
        method,
        "" if registration is None else http.check(str(registration)),
        "" if revocation is None else http.check(str(revocation)),
        scope[:1000],
        bool(metadata.authorization_response_iss_parameter_supported),
    )


async def _protected_resource(
    server: McpServer, named: str | None, http: GuardedHttp
) -> ProtectedResourceMetadata | None:
    """Return the metadata of the MCP server; None if it has none, as servers before 2025-06-18."""
    for url in build_protected_resource_metadata_discovery_urls(named, server.url):
        # Its own origin is the developer's word; an address in its answer is not.
        own = urlsplit(url).netloc == urlsplit(server.url).netloc
        response = await (GuardedHttp(private=True) if own else http).get(url)
        if response.status == 429 or response.status >= 500:
            raise Unreachable(f"its metadata answer {response.status}")
        if response.status == 200:
            try:
                return ProtectedResourceMetadata.model_validate(members_of(response.body))
            except MALFORMED:
                raise Untrusted("its metadata are malformed") from None
    return None


async def _metadata(server: McpServer, issuer: str, http: GuardedHttp) -> OAuthMetadata:
    """Return the metadata of an authorization server; without an issuer, of the one at the MCP server's origin."""
    parts = urlsplit(server.url)
    expected = issuer or f"{parts.scheme}://{parts.netloc}"
    own = not issuer or urlsplit(issuer).netloc == parts.netloc
    for url in build_oauth_authorization_server_metadata_discovery_urls(issuer or None, server.url):
        response = await (GuardedHttp(private=True) if own else http).get(url)
        if response.status == 429 or response.status >= 500:
            raise Unreachable(f"its authorization server answers {response.status}")
        if response.status != 200:
            continue
        try:
            metadata = OAuthMetadata.model_validate(members_of(response.body))
        except MALFORMED:
            raise Untrusted("the metadata of its authorization server are malformed") from None
        if not issuers_match(str(metadata.issuer), expected):
            raise Untrusted(f"its authorization server calls itself {str(metadata.issuer)[:200]}, not {expected[:200]}")
        return metadata
    raise Unreachable("it names no authorization server that says how to sign in")


def _parameter(headers: Mapping[str, str], name: str) -> str | None:
    """Return a parameter of the challenge in a refusal."""
    found = re.search(_CHALLENGE.format(name), headers.get("www-authenticate", ""))
    return None if found is None else found[1] or found[2]
