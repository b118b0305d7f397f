"""Identities, the carriers of tokens in a handshake, and the checks of `Origin` and `Host`. Pure."""

import base64
import binascii
import ipaddress
import math
import re
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Final

from attrs import field, frozen

from transport.wire.dialects import JWT_PREFIX

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
# RFC 6454 section 7: scheme, host, optional port. No user, path or query, no blank that a parser would drop.
_ORIGIN: Final = re.compile(r"(https?)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?/?", re.IGNORECASE | re.ASCII)
# RFC 9110 section 7.2: a name or an address, and an optional port; nothing that another parser would cut off.
_HOST: Final = re.compile(r"(?:([a-z0-9._-]+)|\[([0-9a-f:.]+)\])(?::[0-9]{1,5})?", re.IGNORECASE | re.ASCII)


@frozen
class Identity:
    """The user and session that a token authenticates, until `expires_at` (Unix seconds).

    `token_id` distinguishes tokens of one session. `issued_at` and `signed_in_at` (Unix seconds) are None if the token
    lacks them; a session begins when its user signs in, and may have many tokens. `name` is what people call the user,
    empty if the token does not say.
    """

    user: str
    session: str
    tenant: str | None = None
    roles: tuple[str, ...] = ()
    expires_at: float = field(default=math.inf)
    token_id: str = field(default="", eq=False)
    issued_at: float | None = field(default=None, eq=False)
    signed_in_at: float | None = field(default=None, eq=False)
    groups: tuple[str, ...] = ()
    name: str = field(default="", eq=False)


def find_token(headers: Mapping[str, str], query: Mapping[str, str], subprotocols: Sequence[str]) -> str | None:
    """Return the token of a handshake from the first carrier that is present, or None.

    Carriers in order: subprotocol `jwt.<token>` (the JWT, or its base64url form), `Authorization: Bearer`,
    `session_token` in the query. The value of the first one is returned even if empty or damaged, so that it is refused
    instead of another carrier being tried.
    """
    for offered in subprotocols:
        if offered.startswith(JWT_PREFIX):
            return _decode_carried(offered.removeprefix(JWT_PREFIX))
    for name in headers:
        if name.lower() == "authorization":
            scheme, _, credentials = headers[name].strip().partition(" ")
            if scheme.lower() == "bearer":
                return credentials.strip()
    return query.get("session_token")


def _decode_carried(carried: str) -> str:
    if carried.count(".") == 2:
        return carried
    try:
        return base64.urlsafe_b64decode(carried + "=" * (-len(carried) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        return carried


def origin_allowed(
    origin: str | None, host: str | None, allow_list: Collection[str], *, loopback: bool = False
) -> bool:
    """Return whether a page of `origin` may connect to the server that it addressed as `host` (the two headers).

    A client without Origin is no browser, and allowed. Otherwise the origin must be the server's own, or be on the
    allow-list as `https://example.org[:port]`. Several headers of one name, joined with commas, are no origin.
    Set `loopback` on a server that trusts clients of its loopback address: then `host` must be a loopback name, or a
    page could reach it by pointing a name of its own at 127.0.0.1 (DNS rebinding).
    """
    if origin is None:
        return True
    here = _parse_origin(origin)
    if here is None:
        return False
    if origin_listed(origin, allow_list):
        return True
    if host is None or (loopback and not is_loopback(host)):
        return False
    return _parse_origin(f"{here[0]}://{host}") == here


def origin_listed(origin: str, allow_list: Collection[str]) -> bool:
    """Return whether an origin is on the allow-list."""
    here = _parse_origin(origin)
    return here is not None and any(_parse_origin(ascii_origin(entry)) == here for entry in allow_list)


def is_origin(entry: str) -> bool:
    """Return whether an allow-list entry is a valid origin."""
    return _parse_origin(ascii_origin(entry)) is not None


def _parse_origin(origin: str) -> tuple[str, str, int] | None:
    """Return (scheme, host, port) of an origin; None if it is not one, such as `null`."""
    match = _ORIGIN.fullmatch(origin)
    if match is None:
        return None
    scheme, host, port = match[1].lower(), match[2].lower(), match[3]
    if host.startswith("[") and not _is_ipv6(host[1:-1]):
        return None
    number = _DEFAULT_PORTS[scheme] if port is None else int(port)
    return (scheme, host, number) if 0 < number < 65536 else None


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def ascii_origin(entry: str) -> str:
    """Return an allow-list entry as a browser sends it: international names in ASCII form."""
    if entry.isascii():
        return entry
    scheme, separator, authority = entry.partition("://")
    host, colon, port = authority.partition(":")
    try:
        return f"{scheme}{separator}{host.rstrip('/').encode('idna').decode('ascii')}{colon}{port}"
    except UnicodeError:
        return entry


@lru_cache(maxsize=64)  # asked three times for each connection, mostly about the server's own names
def is_loopback(host: str) -> bool:
    """Return whether `host`, with or without a port, is a loopback name: `localhost`, 127.0.0.0/8 or ::1."""
    match = _HOST.fullmatch(host)
    name = host if match is None else match[1] or match[2]
    try:
        if match is not None and match[1] is not None:
            return name.lower() == "localhost" or ipaddress.IPv4Address(name).is_loopback
        address = ipaddress.IPv6Address(name)  # in brackets, or alone and without a port
    except ValueError:
        return False
    return bool((address.ipv4_mapped or address).is_loopback)
