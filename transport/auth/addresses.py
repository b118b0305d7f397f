"""Which addresses of a network a server may be made to call by somebody else's words."""

import ipaddress
from typing import Final
from urllib.parse import urlsplit

import trio

from transport.auth.fetch import PORTS

_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_LOCAL: Final = (".localhost", ".local", ".internal", ".home.arpa")


class PrivateAddress(ValueError):
    """A host has an address that is not reachable for everyone."""


async def resolve(url: str, *, private: bool) -> list[tuple[str, int]]:
    """Return the addresses and ports to connect to for a URL, in order. `private`: also those that not all can reach.

    All addresses of the name are checked, and the caller connects to one of the returned ones: the name cannot lead
    elsewhere meanwhile.

    Raises:
        PrivateAddress: One of the host's addresses is private.
        OSError: The name cannot be resolved.
    """
    where = urlsplit(url)
    port = where.port or PORTS[where.scheme]
    found = await trio.socket.getaddrinfo(where.hostname, port, type=trio.socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
    if not private and not all(is_public(each) for each in addresses):
        raise PrivateAddress(f"{where.hostname} has a private address")
    return [(each, port) for each in addresses]


def is_public(address: str) -> bool:
    """Return whether an IP address is reachable for everyone: not private, local, reserved or multicast.

    An IPv6 address that stands for one of IPv4 is judged as that one.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        embedded = ip.ipv4_mapped or ip.sixtofour
        if embedded is None and ip in _NAT64:
            embedded = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if embedded is not None:
            return embedded.is_global and not embedded.is_multicast
    return ip.is_global and not ip.is_multicast


def is_named_private(host: str) -> bool:
    """Return whether a host is private by its name alone: an address that is not public, or a name for local use."""
    try:
        return not is_public(host)
    except ValueError:
        name = host.lower().rstrip(".")
        return "." not in name or name.endswith(_LOCAL)
