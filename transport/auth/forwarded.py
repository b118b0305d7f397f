"""From which address a request comes, also through proxies that are trusted to say so. Pure."""

import ipaddress
from collections.abc import Sequence
from typing import Final, TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_HOPS: Final = 16
IPV6_SITE_BITS: Final = 64
"""What one customer is given at least (RFC 6177): all addresses in it are one peer."""


class TrustedProxies:
    """The proxies in front of this server: addresses, or networks such as `10.0.0.0/8`; else ValueError."""

    def __init__(self, trusted: Sequence[str] = ()) -> None:
        self._networks = tuple(ipaddress.ip_network(each.strip()) for each in trusted)

    @property
    def trusts_everyone(self) -> bool:
        """Whether every address of IPv4 or IPv6 is trusted."""
        every: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = [
            *ipaddress.collapse_addresses(each for each in self._networks if each.version == 4),
            *ipaddress.collapse_addresses(each for each in self._networks if each.version == 6),
        ]
        return any(network.prefixlen == 0 for network in every)

    def client_address(self, peer: str, forwarded: str | None) -> str:
        """The address that limits are counted for: `peer`, or, when that is a trusted proxy, whom it names.

        `forwarded` is the header `X-Forwarded-For`, several joined with commas. It is read from its end, where the
        nearest proxy wrote; the first address there that is no trusted proxy counts, and nothing before it, which a
        client may have written itself. Of an IPv6 address only the site counts.
        """
        address = _address(peer)
        if address is None:
            return peer
        for hop in reversed((forwarded or "").split(",")[-MAX_HOPS:]):
            if not self._trusts(address):
                break
            named = _address(hop.strip())
            if named is None:
                break
            address = named
        return _limit_key(address)

    def trusts(self, peer: str) -> bool:
        """Whether this address is that of a trusted proxy."""
        address = _address(peer)
        return address is not None and self._trusts(address)

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def _address(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _limit_key(address: Address) -> str:
    if address.version == 4:
        return str(address)
    return str(ipaddress.ip_network((address, IPV6_SITE_BITS), strict=False))
