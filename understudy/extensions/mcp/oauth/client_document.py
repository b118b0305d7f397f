"""The metadata of this server as a client of authorization servers, for a registration or a document of its own.

The document's URL is the client's id (OAuth Client ID Metadata Document); it is next to the redirect URL.
"""

from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlsplit

import trio

from transport.auth.identity import is_loopback
from understudy.extensions.oauth.errors import OAuthError
from understudy.extensions.oauth.guarded_http import GuardedHttp

WAY_BACK: Final = "/callback"
DOCUMENT: Final = "/client.json"
"""The ends of the redirect URL and of the document's URL."""
WITHIN_S: Final = 3.0
"""Seconds allowed for checking that the document can be read."""


def describe_client(redirect_uri: str, method: str) -> dict[str, Any]:
    """Return the metadata of a client (RFC 7591). A client at a loopback address is native (RFC 8252, 7.3)."""
    return {
        "client_name": "understudy",
        "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": method,
        "application_type": "native" if is_loopback(urlsplit(redirect_uri).hostname or "") else "web",
    }


def document_of(redirect_uri: str) -> str:
    """Return the URL of the document with this redirect URL. It is https, because a client's id must be."""
    return "https:" + redirect_uri.removesuffix(WAY_BACK).partition(":")[2] + DOCUMENT


async def is_readable(document: str, http: GuardedHttp) -> bool:
    """Return whether a document can be read at a public address, as an authorization server would read it."""
    with trio.move_on_after(WITHIN_S), suppress(OAuthError):
        return (await http.get(document)).status == 200
    return False
