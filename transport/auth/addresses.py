"""Checks of the addresses to which this server connects when the URL comes from a user or from another server."""

import ipaddress
from typing import Final
from urllib.parse import urlsplit

import trio

from transport.auth.fetch import PORTS

_NETWORKS_4: Final = (
    "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24"
    " 192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4"
)
_SPECIAL_4: Final = tuple(map(ipaddress.IPv4Network, _NETWORKS_4.split()))
"""Networks that are not public: those of IANA's registry of special addresses, and multicast. Others are unicast."""
_UNICAST_6: Final = ipaddress.IPv6Network("2000::/3")
"""The only block from which IANA has given global unicast addresses."""
_SPECIAL_6: Final = tuple(map(ipaddress.IPv6Network, ("2001::/23", "2001:db8::/32", "3fff::/20")))
"""The networks in it for protocols and examples, by IANA's registry of special addresses. 2002::/16 stands for IPv4."""
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_LOCAL: Final = (".localhost", ".local", ".internal", ".home.arpa")


class PrivateAddress(ValueError):
    """A host has an address that is not reachable for everyone."""


async def resolve(url: str, *, private: bool) -> list[tuple[str, int]]:
    """Return the addresses and ports to connect to for a URL, in order. `private`: allow addresses that are not public.

    All addresses of the name are checked, and the caller connects to one of the returned ones: the name cannot lead
    elsewhere meanwhile.

    Raises:
        PrivateAddress: One of the host's addresses is private.
        OSError: The name cannot be resolved.
    """
    parts = urlsplit(url)
    port = parts.port or PORTS[parts.scheme]
    answers = await trio.socket.getaddrinfo(parts.hostname, port, type=trio.socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(answer[4][0]) for answer in answers))
    if not private and not all(is_public(address) for address in addresses):
        raise PrivateAddress(f"{parts.hostname} has a private address")
    return [(address, port) for address in addresses]


def is_public(address: str) -> bool:
    """Return whether an IP address is public by IANA's registries; one in no block of global unicast is not.

    An IPv6 address that stands for one of IPv4 is judged as that one. `ipaddress` would not do: it has the registries
    of its release, and takes addresses that it does not know for global.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        embedded = ip.ipv4_mapped or ip.sixtofour
        if embedded is None and ip in _NAT64:
            embedded = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if embedded is None:
            return ip in _UNICAST_6 and not any(ip in network for network in _SPECIAL_6)
        ip = embedded
    return not any(ip in network for network in _SPECIAL_4)


def is_named_private(host: str) -> bool:
    """Return whether a host is private by its name alone: an address that is not public, or a name for local use."""
    try:
        return not is_public(host)
    except ValueError:
        name = host.lower().rstrip(".")
        return "." not in name or name.endswith(_LOCAL)
