"""Finds addresses of machines: IPv4, IPv6 (RFC 4291, 6874) and hardware addresses (IEEE 802); not versions."""

import re
from ipaddress import IPv6Address
from typing import Final

from sanitization.findings import Hit
from sanitization.prefilter import Prefilter

from .context import Said
from .part import hit
from .world import in_aadhaar

_OCTET: Final = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4: Final = re.compile(
    rf"{_OCTET}(?:\.{_OCTET}){{3}}(?![0-9A-Za-z_]|\.[0-9])(?P<mask>/(?:3[0-2]|[12]?[0-9])(?![0-9A-Za-z./]))?"
)
_FOUR: Final = re.compile(r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]")
_COLON: Final = re.compile(r":[0-9A-Fa-f]{0,4}:")
_IPV6: Final = re.compile(r"[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,8}(?:(?:\.[0-9]{1,3}){3})?(?![0-9A-Za-z_])")
_ZONE_OR_PREFIX: Final = re.compile(r"%[0-9A-Za-z._~-]{1,16}|/(?:12[0-8]|1[01][0-9]|[1-9]?[0-9])(?![0-9A-Za-z./])")
_COLONS: Final = re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}(?![0-9A-Za-z_]|:[0-9A-Fa-f])")
_AADHAAR: Final = re.compile(r"[2-9][0-9]{3}:[0-9]{4}:[0-9]{4}(?![0-9A-Za-z_:])")
_OTHER_MAC: Final = re.compile(
    r"[0-9A-Fa-f](?<![0-9A-Za-z_.-].)(?:[0-9A-Fa-f](?:-[0-9A-Fa-f]{2}){5}|[0-9A-Fa-f]{3}(?:\.[0-9A-Fa-f]{4}){2})"
    r"(?![0-9A-Za-z_]|[.-][0-9A-Fa-f])"
)
# Words right before four numbers that make them a version or a section.
_VERSIONS: Final = (
    "v ver version versions release releases released rev revision build firmware sect section chapter clause paragraph"
    " appendix figure fig table rfc kernel driver tag chrome edge sdk oid"
)
_VERSION_WORDS: Final = frozenset(_VERSIONS.split())
_MOVED: Final = frozenset(("upgrade", "upgraded", "update", "updated", "bump", "bumped"))  # … to
_COMPARED: Final = ("==", ">=", "<=", "~=", "^", "§")
_AROUND: Final = " .:=\"'("
_SAID: Final = re.compile(
    r"(?i:\b(?:ip|ipv6|ipv4|addr|address|from|connect|connecting|host|listen|listening|bind|ping|server|src|dst|source|route"
    r"|dns|gateway|client|remote|peer|to|mac|ether|ethernet|physical)\b[^\n]{0,12})\Z"
)
_MASKED: Final = ("0.0.0.0", "255.")  # noqa: S104 - the address of no machine, and masks


class _Unbroken:
    """A part whose finds have no blanks, so that the caller holds them back."""

    def pending(self, text: str, start: int) -> int:
        """Return the end of the text."""
        return len(text)


class Ipv4(_Unbroken):
    """IPv4 addresses."""

    prefilters = (("ipv4", Prefilter(pattern=r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]")),)

    def first(self, text: str, position: int, _said: Said | None = None) -> Hit | None:
        """Return the first address at `position` or later."""
        return _ipv4(text, position)


class Colons(_Unbroken):
    """IPv6, and hardware addresses with colons."""

    prefilters = (("colons", Prefilter(literals=(":",), pattern=r":[0-9A-Fa-f]{0,4}:")),)

    def first(self, text: str, position: int, _said: Said | None = None) -> Hit | None:
        """Return the first address at `position` or later."""
        return _colons(text, position)


class Hardware(_Unbroken):
    """Hardware addresses with hyphens or dots."""

    prefilters = (
        (
            "hardware",
            Prefilter(
                pattern=r"[0-9A-Fa-f]{2}-[0-9A-Fa-f]{2}-[0-9A-Fa-f]{2}-[0-9A-Fa-f]{2}-"
                r"|[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}",
            ),
        ),
    )

    def first(self, text: str, position: int, _said: Said | None = None) -> Hit | None:
        """Return the first address at `position` or later."""
        return _mac(text, position)


def _ipv4(text: str, position: int) -> Hit | None:
    at = position
    while match := _FOUR.search(text, at):
        start = match.start()
        at = start + 1
        if text[start - 1 : start].isdigit() and start:
            continue
        address = _IPV4.match(text, start)
        if address and _free(text, start) and not address[0].startswith(_MASKED):
            end = address.start("mask") if address["mask"] and text[start - 1 : start] == "/" else address.end()
            return hit(start, end, "ip", 0.6 if address[0].startswith("127.") else 0.8)
    return None


def _free(text: str, start: int) -> bool:
    before = text[max(0, start - 24) : start]
    if before and (before[-1] in "_%" or (before[-1].isalnum() and before[-1].isascii())):
        return False
    if before[-1:] in {".", "-"} and before[-2:-1].isalnum():
        return False
    if before[-1:] == "/":  # `Chrome/120.0.0.0`, not `://`
        return not (before[-2:-1].isalpha() or before[-2:-1] == "_")
    if before.rstrip(" ").endswith(_COMPARED):
        return False
    words = before.rstrip(_AROUND).lower().split()[-2:]
    last = words[-1].rpartition("(")[2] if words else ""
    return last not in _VERSION_WORDS and not (last == "to" and words[0] in _MOVED)


def _colons(text: str, position: int) -> Hit | None:
    at = position
    while match := _COLON.search(text, at):
        colon = match.start()
        at = colon + 1
        start = colon
        while start > 0 and colon - start < 5 and text[start - 1] in "0123456789ABCDEFabcdef":
            start -= 1
        before = text[start - 1 : start] if start else ""
        if start < position or before == ":" or (before.isalnum() and before.isascii()) or before == "_":
            continue
        mac = _COLONS.match(text, start)
        if mac and len(set(mac[0].lower())) > 2:
            return hit(start, mac.end(), "mac_address", 0.85)
        groups = _AADHAAR.match(text, start)
        if groups and in_aadhaar(groups[0].replace(":", "")):
            return hit(start, groups.end(), "in_aadhaar", 0.8)
        if not mac and (end := _ipv6_end(text, start)):
            return hit(start, end, "ip", 0.85)
    return None


def _ipv6_end(text: str, start: int) -> int:
    match = _IPV6.match(text, start)
    if not match:
        return 0
    address = match[0]
    if address.endswith(":") and not address.endswith("::"):
        address = address[:-1]
    try:
        IPv6Address(address)
    except ValueError:
        return 0
    end = start + len(address)
    if not _meant(text, start, end, address):
        return 0
    more = _ZONE_OR_PREFIX.match(text, end)
    if address.endswith("::") and address != "::" and not more:
        return 0  # a prefix of addresses, not an address
    return more.end() if more else end


def _meant(text: str, start: int, end: int, address: str) -> bool:
    """Return whether short forms are addresses, and not slices, types or names in a program."""
    groups = address.replace("::", ":").strip(":").split(":")
    before = text[max(0, start - 32) : start]
    if before.endswith("[") and (before[-2:-1].isalnum() or before[-2:-1] in {")", "]", "_"}):
        return False
    if before[-1:] == "=" or (before[-1:] == "[" and text[end : end + 1] == "]"):
        return True
    if not start and any(each.isdigit() for each in address):
        return True
    if address == "::":
        return bool(_SAID.search(before)) and not text[end : end + 1].isalnum()
    if not any(each.isdigit() for each in address):
        return len(groups) > 3
    if address == "::1" or "." in address:
        return True
    return any(len(each) > 2 for each in groups) or len(groups) > 4 or bool(_SAID.search(before))


def _mac(text: str, position: int) -> Hit | None:
    for match in _OTHER_MAC.finditer(text, position):
        address = match[0]
        if len(set(address.lower())) > 2 and (
            not address.replace("-", "").replace(".", "").isdigit()
            or _SAID.search(text, max(0, match.start() - 32), match.start())
        ):
            return hit(match.start(), match.end(), "mac_address", 0.8)
    return None
