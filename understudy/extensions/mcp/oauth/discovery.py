"""Finds the authorization server of an MCP server (RFC 9728), and reads its metadata (RFC 8414, OIDC)."""

import re
from collections.abc import Iterable
from typing import Final, TypeVar
from urllib.parse import urlsplit

import msgspec
from attrs import frozen
from mcp.client.auth.utils import (
    build_oauth_authorization_server_metadata_discovery_urls,
    build_protected_resource_metadata_discovery_urls,
    issuers_match,
    union_scopes,
)
from mcp.shared.auth import OAuthMetadata, ProtectedResourceMetadata
from mcp.shared.auth_utils import check_resource_allowed, resource_url_from_server_url
from pydantic import BaseModel, ValidationError

from understudy.extensions.oauth.errors import Unreachable, Untrusted
from understudy.extensions.oauth.guarded_http import GuardedHttp
from understudy.extensions.oauth.token_endpoint import METHODS, members_of
from understudy.tools.mcp_server import McpServer

M = TypeVar("M", bound=BaseModel)
_CHALLENGE: Final = r'(?<![\w-]){}\s*=\s*(?:"([^"]{{1,2000}})"|([^\s,]{{1,2000}}))'


MALFORMED: Final = (ValidationError, msgspec.DecodeError, UnicodeError, RecursionError)
"""The errors of parsing a malformed response."""


@frozen
class AuthorizationServer:
    """The needed metadata of an authorization server. `resource` is the MCP server, as tokens name it (RFC 8707).

    `method` is the authentication of clients. `names_itself`: its redirects name the issuer (RFC 9207).
    `takes_documents`: the URL of a client's metadata may be its id.
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
    takes_documents: bool = False


async def discover(server: McpServer, http: GuardedHttp, wanted: str | None = None) -> AuthorizationServer:
    """Return the authorization server of an MCP server.

    `wanted` are further scopes to ask for; empty means all scopes that the MCP server names.

    Raises:
        Untrusted: The metadata are malformed, name another resource or issuer, have a URL that must not be requested,
            or offer no PKCE with S256.
        Unreachable: A server does not answer, or has no metadata.
    """
    # The URL that the developer configured may be private; URLs in its response are not trusted like that.
    response = await GuardedHttp(private=True).post_json(server.url, {"jsonrpc": "2.0", "id": 1, "method": "ping"})
    challenge = response.headers.get("www-authenticate", "") if response.status in (401, 403) else ""
    resource, issuer, scopes = resource_url_from_server_url(server.url), "", ""
    resource_metadata = await _protected_resource(server, parameter_of(challenge, "resource_metadata"), http)
    if resource_metadata is not None:
        if not check_resource_allowed(requested_resource=resource, configured_resource=str(resource_metadata.resource)):
            raise Untrusted(f"its metadata are of another resource, {str(resource_metadata.resource)[:200]}")
        resource, issuer = str(resource_metadata.resource), str(resource_metadata.authorization_servers[0])
        scopes = " ".join(resource_metadata.scopes_supported or ())
    metadata = await _metadata(server, issuer, http)
    if "S256" not in (metadata.code_challenge_methods_supported or ()):
        raise Untrusted("its authorization server does not offer PKCE with S256")
    scope = server.scope or parameter_of(challenge, "scope") or scopes
    if wanted is not None:
        scope = union_scopes(scope, wanted or scopes) or ""
    if scope and "offline_access" in (metadata.scopes_supported or ()) and "offline_access" not in scope.split():
        scope += " offline_access"
    methods = metadata.token_endpoint_auth_methods_supported or METHODS
    method = next((method for method in METHODS if method in methods), "")
    if not method:
        raise Untrusted("its authorization server offers no method by which this server can authenticate")
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
        bool(metadata.client_id_metadata_document_supported),
    )


async def _protected_resource(
    server: McpServer, named: str | None, http: GuardedHttp
) -> ProtectedResourceMetadata | None:
    """Return the metadata of the MCP server; None if it has none, like servers before the protocol 2025-06-18."""
    urls = build_protected_resource_metadata_discovery_urls(named, server.url)
    return await _first(urls, ProtectedResourceMetadata, urlsplit(server.url).netloc, http, "the server")


async def _metadata(server: McpServer, issuer: str, http: GuardedHttp) -> OAuthMetadata:
    """Return the metadata of an authorization server; without an issuer, of that at the MCP server's origin."""
    parts = urlsplit(server.url)
    expected = issuer or f"{parts.scheme}://{parts.netloc}"
    urls = build_oauth_authorization_server_metadata_discovery_urls(issuer or None, server.url)
    metadata = await _first(urls, OAuthMetadata, parts.netloc, http, "its authorization server")
    if metadata is None:
        raise Unreachable("it names no authorization server with metadata about the sign-in")
    if not issuers_match(str(metadata.issuer), expected):
        raise Untrusted(f"its authorization server calls itself {str(metadata.issuer)[:200]}, not {expected[:200]}")
    return metadata


async def _first(urls: Iterable[str], kind: type[M], own: str, http: GuardedHttp, whose: str) -> M | None:
    """Return the metadata at the first URL that has some, or None. The MCP server's `own` host may be private, because
    the developer configured it; URLs in its response may not."""
    for url in urls:
        response = await (GuardedHttp(private=True) if urlsplit(url).netloc == own else http).get(url)
        if response.status == 429 or response.status >= 500:
            raise Unreachable(f"the metadata of {whose} answer {response.status}")
        if response.status == 200:
            try:
                return kind.model_validate(members_of(response.body))
            except MALFORMED:
                raise Untrusted(f"the metadata of {whose} are malformed") from None
    return None


def parameter_of(challenge: str, name: str) -> str | None:
    """Return a parameter of the challenge in a refusal (`WWW-Authenticate`), or None."""
    match = re.search(_CHALLENGE.format(name), challenge, re.IGNORECASE)
    return None if match is None else match[1] or match[2]
