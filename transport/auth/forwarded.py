"""Determine a client's address, through trusted proxies by `X-Forwarded-For`. Pure."""

import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_HOPS: Final = 16  # entries of `X-Forwarded-For` that are read, from its end
IPV6_SITE_BITS: Final = 64
"""The smallest network that a customer gets (RFC 6177), in bits: all its addresses count as one peer."""


class TrustedProxies:
    """The trusted proxies: addresses, or networks such as `10.0.0.0/8`. Raises ValueError for anything else."""

    def __init__(self, trusted: Sequence[str] = ()) -> None:
        self._networks = tuple(ipaddress.ip_network(network.strip()) for network in trusted)

    @property
    def trusts_everyone(self) -> bool:
        """Whether every address of IPv4 or IPv6 is trusted."""
        every: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = [
            *ipaddress.collapse_addresses(network for network in self._networks if network.version == 4),
            *ipaddress.collapse_addresses(network for network in self._networks if network.version == 6),
        ]
        return any(network.prefixlen == 0 for network in every)

    def client_address(self, peer: str, forwarded: str | None) -> str:
        """Return the address that limits count for: `peer`, or if that is a trusted proxy, the client that it names.

        `forwarded` is the header `X-Forwarded-For`, several joined with commas. It is read from its end, where the
        nearest proxy wrote; the first address that is no trusted proxy counts. Addresses before it are ignored, as the
        client may have written them. An IPv6 address counts by its network of IPV6_SITE_BITS.
        """
        address = _address(peer)
        if address is None:
            return peer
        for hop in reversed((forwarded or "").split(",")[-MAX_HOPS:]):
            if not self._trusts(address):
                break
            client = _address(_without_port(hop.strip()))
            if client is None:
                break
            address = client
        return _limit_key(address)

    def trusts(self, peer: str) -> bool:
        """Return whether this address is a trusted proxy's."""
        address = _address(peer) if self._networks else None
        return address is not None and self._trusts(address)

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def _without_port(hop: str) -> str:
    """Return the address that a proxy wrote without its port: `203.0.113.7:51234`, `[2001:db8::1]:443`."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    host, colon, _ = hop.partition(":")
    return host if colon and ":" not in hop[len(host) + 1 :] else hop


@lru_cache(maxsize=1024)  # asked twice for each connection
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
