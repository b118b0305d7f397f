"""What this server says of itself as a client of authorization servers, registered there or described by a document.

The document's address is the client's id (OAuth Client ID Metadata Document): it stands beside the way back.
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
"""The ends of the addresses to which a browser comes back, and at which the document is."""
WITHIN_S: Final = 3.0
"""Seconds for the look whether the document can be read."""


def describe_client(redirect_uri: str, method: str) -> dict[str, Any]:
    """Return the metadata of a client (RFC 7591). One at a loopback address is native (RFC 8252, 7.3)."""
    return {
        "client_name": "understudy",
        "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": method,
        "application_type": "native" if is_loopback(urlsplit(redirect_uri).hostname or "") else "web",
    }


def document_of(redirect_uri: str) -> str:
    """Return the address of the document that has this way back; it is https, as a client's id has to be."""
    return "https:" + redirect_uri.removesuffix(WAY_BACK).partition(":")[2] + DOCUMENT


async def is_readable(document: str, http: GuardedHttp) -> bool:
    """Return whether a document can be read where an authorization server would, at a public address."""
    with trio.move_on_after(WITHIN_S), suppress(OAuthError):
        return (await http.get(document)).status == 200
    return False
