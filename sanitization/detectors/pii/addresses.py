"""Finds electronic addresses: of mail, of machines, of wallets.

Mail addresses are those of RFC 5321, 5322 and 6531, also written as `name[at]host[dot]org`, or encoded for an address
or a page (`name%40host.org`, `name&#64;host.org`), but not shell prompts or packages. Machines have IPv4, IPv6 (RFC
4291, 6874) and hardware addresses (IEEE 802); versions look like some of them. Addresses of cryptocurrency wallets are
Base58Check and Bech32, and Ethereum's by form.
"""

from ipaddress import IPv6Address
from typing import Final

from sanitization.findings import Hit
from sanitization.late import Late
from sanitization.prefilter import Prefilter

from .context import NamedTopics
from .national import in_aadhaar
from .numbers import base58_check, bech32
from .part import PiiPart, hit

# --- mail -------------------------------------------------------------------------------------------------------------

LOCAL_MAX: Final = 64  # RFC 5321, 4.5.3.1.1
QUOTED_MAX: Final = 32
WIDE_MAX: Final = 256
"""Characters at the end of a text that are searched for an address with signs of East Asia."""

_ACCENTS: Final = r"\u0300-\u036f"  # of Unicode's form D
# Accents, points of Hebrew and Arabic, signs of vowels from Devanagari to Khmer with the letters among them.
_MARKS: Final = rf"{_ACCENTS}\u0591-\u05bd\u0610-\u061a\u064b-\u065f\u0900-\u0963\u0966-\u109f\u1780-\u17d3"
_LATIN: Final = rf"A-Za-z0-9._%+'\u2019\u00c0-\u024f\u1e00-\u1eff{_ACCENTS}-"
_LOCAL: Final = Late(rf"[{_LATIN}]{{1,{LOCAL_MAX}}}")  # of reversed text
_LOCAL_OTHER: Final = Late(rf"[\w.%+'{_MARKS}-]{{1,{LOCAL_MAX}}}")
_QUOTED: Final = Late(rf"\"[^\"@\n]{{1,{QUOTED_MAX}}}\"")
_LABEL: Final = rf"[^\W_](?:[\w{_MARKS}-]{{0,61}}(?:[^\W_]|[{_MARKS}]))?"
_DOT: Final = r"\."
_TOP: Final = rf"(?:xn--[A-Za-z0-9-]{{2,59}}|[A-Za-z]{{2,24}}|(?:[^\W\d_A-Za-z]|[{_MARKS}]){{2,24}})"
# With the full stops of East Asia, which end sentences too, a domain ends with Latin letters.
_DOMAIN: Final = Late(
    rf"(?:(?:{_LABEL}{_DOT}){{1,8}}{_TOP}|(?:(?:{_LABEL}\uff0e){{1,8}}|(?:{_LABEL}[\u3002\uff61]){{1,8}})[A-Za-z\uff21-\uff3a\uff41-\uff5a]{{2,24}})"
    r"(?![A-Za-z0-9_@(]|-[A-Za-z0-9])"
)
_CODED: Final = r"%40|&#0{0,2}64;|&#[xX]0{0,2}40;|&commat;|\\u0040"
_CODED_DOT: Final = r"(?:\.|%2[eE]|&#0{0,2}46;|&period;|\\u002[eE])"
_SPELLED: Final = Late(
    rf"(?:{_CODED})(?:{_LABEL}{_CODED_DOT}){{1,8}}{_TOP}(?![A-Za-z0-9_@(])|"
    rf"[\[({{](?:at|AT|At|arroba|ät)[\])}}](?:{_LABEL}(?:{_DOT}|[\[({{](?:dot|DOT|punkt|punto|point)[\])}}])){{1,8}}{_TOP}"
    r"(?![A-Za-z0-9_@(])"
)
# File extensions, and images of twice the size (`icon@2x.png`).
_NOT_TOPS: Final = (
    "png jpg jpeg gif svg webp avif ico bmp css scss js mjs ts tsx jsx json yaml yml toml xml html htm txt md lock log"
    " local localhost"
)
_FILES: Final = frozenset(_NOT_TOPS.split())
_SHELL: Final = Late(
    r"(?:\b(?:ssh|scp|sftp|rsync|mosh|ssh-copy-id)(?: -[A-Za-z]{1,3}(?: [\w./~-]{1,32})?)* |://|://[^\s/@]{0,64}:)\Z"
)
_REMOTE_PATH: Final = Late(r":(?:~|/|[\w.-]{1,64}/|[\w.-]{1,64}\.git\b)")
_EDGES: Final = ".'\u2019%-"
_MAIL_PREFILTER: Final = r"[^\x00-\x20(<>@,;:]@[^\x00-/:-@\[-`{-\x7f]"
_SIGNS: Final = "@\uff20\ufe6b"
_SIGN: Final = Late(f"[{_SIGNS}]")
_WIDE: Final = "\uff20|\ufe6b|@[^\\x00-\\x20@]{1,64}(?:\uff0e|\u3002|\uff61)"
_WIDE_PENDING: Final = Late(
    rf"(?:[\uff20\ufe6b][\w{_MARKS}.\uff0e\u3002\uff61-]{{0,128}}|@(?:{_LABEL}[\uff0e\u3002\uff61]){{1,8}}[A-Za-z\uff21-\uff3a\uff41-\uff5a]{{0,24}})\Z"
)
_QUOTED_PENDING: Final = rf"\"[A-Za-z0-9._'+ -]{{1,{QUOTED_MAX}}}(?:\"(?:@[^\x00-\x20]{{0,64}})?)?"
_PENDING: Final = Late(rf"{_QUOTED_PENDING}\Z")


_AT: Final = Late(rf"[\[({{](?:at|AT|At|arroba|ät)[\])}}]|{_CODED}")
_CODE_BEFORE: Final = Late(r".*(?:%[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4})")


def first_mail(text: str, position: int, _topics: NamedTopics) -> Hit | None:
    """Return the first mail address at `position` or later."""
    return _first_at(_SIGN, text, position)


def first_spelled(text: str, position: int, _topics: NamedTopics) -> Hit | None:
    """Return the first mail address such as `name[at]host[dot]org` or `name%40host.org` at `position` or later."""
    return _first_at(_AT, text, position)


def _first_at(signs: Late, text: str, position: int) -> Hit | None:
    for sign in signs.finditer(text, position):
        address = _address(text, sign.start())
        if address and address.start >= position:
            return address
    return None


def pending_mail(text: str, start: int) -> int:
    """Return where a quoted name with blanks begins whose `@` may follow, or a name before signs that end a word."""
    match = _PENDING.search(text, max(start, len(text) - QUOTED_MAX - LOCAL_MAX - 4))
    end = match.start() if match else len(text)
    wide = _WIDE_PENDING.search(text, max(start, len(text) - WIDE_MAX))
    return max(start, min(end, _local_start(text, wide.start()))) if wide else end


def _address(text: str, sign: int) -> Hit | None:
    spelled = text[sign] not in _SIGNS
    domain = _SPELLED.match(text, sign) if spelled else _DOMAIN.match(text, sign + 1)
    if not domain:
        return None
    top = domain[0].rpartition(".")[2].lower()
    if top in _FILES:
        return None
    start = _local_start(text, sign)
    if start == sign or _in_shell(text, start) or _REMOTE_PATH.match(text, domain.end()):
        return None
    return hit(start, domain.end(), "email", 0.7 if text[sign] in "[({" else 0.95)


def _in_shell(text: str, start: int) -> bool:
    before = text[max(0, start - 80) : start]
    if before[-1:] == " ":  # the commands have one of these in them
        return ("s" in before and ("sh" in before or "scp" in before or "ftp" in before or "rsync" in before)) and (
            _SHELL.search(before) is not None
        )
    return before[-1:] in {"/", ":"} and _SHELL.search(before) is not None


def _local_start(text: str, sign: int) -> int:
    """Return where the name before the sign begins; the sign's place if there is none."""
    if text[sign - 1 : sign] == '"':
        opening = text.rfind('"', max(0, sign - QUOTED_MAX - 2), sign - 1)
        return opening if opening >= 0 and _QUOTED.fullmatch(text, opening, sign) else sign
    backwards = text[max(0, sign - LOCAL_MAX) : sign][::-1]
    match = _LOCAL.match(backwards) or _LOCAL_OTHER.match(backwards)
    if not match or match[0][0] == ".":
        return sign
    name = match[0][::-1]
    if text[sign] not in _SIGNS and (code := _CODE_BEFORE.match(name)):
        name = name[code.end() :]
    name = name[name.rfind("..") + 2 :] if ".." in name else name
    return sign - len(name.lstrip(_EDGES))


# --- machines ---------------------------------------------------------------------------------------------------------

_OCTET: Final = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4: Final = Late(
    rf"{_OCTET}(?:\.{_OCTET}){{3}}(?![0-9A-Za-z_]|\.[0-9])(?P<mask>/(?:3[0-2]|[12]?[0-9])(?![0-9A-Za-z./]))?"
)
_LAST_THREE: Final = Late(r"\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]")
_COLON: Final = Late(r":[0-9A-Fa-f]{0,4}:")
_IPV6: Final = Late(r"[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,8}(?:(?:\.[0-9]{1,3}){3})?(?![0-9A-Za-z_])")
_ZONE_OR_PREFIX: Final = Late(r"%[0-9A-Za-z._~-]{1,16}|/(?:12[0-8]|1[01][0-9]|[1-9]?[0-9])(?![0-9A-Za-z./])")
_COLONS: Final = Late(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}(?![0-9A-Za-z_]|:[0-9A-Fa-f])")
_AADHAAR: Final = Late(r"[2-9][0-9]{3}:[0-9]{4}:[0-9]{4}(?![0-9A-Za-z_:])")
_OTHER_MAC: Final = Late(
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
_SAID: Final = Late(
    r"(?i:\b(?:ip|ipv6|ipv4|addr|address|from|connect|connecting|host|listen|listening|bind|ping|server|src|dst|source|route"
    r"|dns|gateway|client|remote|peer|to|mac|ether|ethernet|physical)\b[^\n]{0,12})\Z"
)
_DIGITS: Final = frozenset("0123456789")
_MASKED: Final = ("0.0.0.0", "255.")  # noqa: S104 - the address of no machine, and masks


def first_ipv4(text: str, position: int, _topics: NamedTopics) -> Hit | None:
    """Return the first IPv4 address at `position` or later."""
    at = position
    while match := _LAST_THREE.search(text, at):
        start = dot = match.start()
        at = dot + 1
        while start > position and dot - start < 3 and text[start - 1] in _DIGITS:
            start -= 1
        if start == dot or text[start - 1 : start].isdigit():
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


def first_with_colons(text: str, position: int, _topics: NamedTopics) -> Hit | None:
    """Return the first IPv6 address, or hardware address with colons, at `position` or later."""
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
    if not start and any(letter.isdigit() for letter in address):
        return True
    if address == "::":
        return bool(_SAID.search(before)) and not text[end : end + 1].isalnum()
    if not any(letter.isdigit() for letter in address):
        return len(groups) > 3
    if address == "::1" or "." in address:
        return True
    return any(len(group) > 2 for group in groups) or len(groups) > 4 or bool(_SAID.search(before))


def first_hardware(text: str, position: int, _topics: NamedTopics) -> Hit | None:
    """Return the first hardware address with hyphens or dots at `position` or later."""
    for match in _OTHER_MAC.finditer(text, position):
        address = match[0]
        if len(set(address.lower())) > 2 and (
            not address.replace("-", "").replace(".", "").isdigit()
            or _SAID.search(text, max(0, match.start() - 32), match.start())
        ):
            return hit(match.start(), match.end(), "mac_address", 0.8)
    return None


# --- wallets ----------------------------------------------------------------------------------------------------------

# Bitcoin (1, 3), Litecoin (L, M), Dogecoin (D), Tron (T), Dash (X), and the test networks (m, n, 2).
_WALLET: Final = Late(
    r"[0123DLMTXmnbtlBTL](?<![A-Za-z0-9_].)(?:(?<=0)x[0-9A-Fa-f]{40}|(?<!0)[0-9A-Za-z]{25,74})(?![A-Za-z0-9_])"
)


def first_wallet(text: str, position: int, _topics: NamedTopics) -> Hit | None:
    """Return the first address of a wallet at `position` or later."""
    for match in _WALLET.finditer(text, position):
        score = _score(match[0])
        if score:
            return hit(match.start(), match.end(), "crypto_wallet", score)
    return None


def _score(address: str) -> float:
    if address.startswith("0x"):
        return 0.7
    if address[:3].lower() in {"bc1", "tb1", "ltc"}:
        return 0.99 if bech32(address) else 0.0
    return 0.99 if len(address) < 36 and base58_check(address) else 0.0


MAIL: Final = PiiPart(
    (
        ("mail", Prefilter(literals=("@",), pattern=_MAIL_PREFILTER)),
        ("wide", Prefilter(pattern=_WIDE)),
        ("quoted", Prefilter(literals=('"',), pattern=f"{_QUOTED_PENDING}$")),
    ),
    first_mail,
    pending_mail,
)
SPELLED: Final = PiiPart(
    (
        (
            "spelled",
            Prefilter(
                literals=(
                    *("[at]", "(at)", "{at}", "[arroba]", "(arroba)", "(ät)", "[ät]"),
                    *("%40", "&#64;", "&#064;", "&#x40;", "&#x0040;", "&commat;", "\\u0040"),
                ),
                ignore_case=True,
            ),
        ),
    ),
    first_spelled,
)
IPV4: Final = PiiPart((("ipv4", Prefilter(pattern=r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]")),), first_ipv4)
COLONS: Final = PiiPart((("colons", Prefilter(literals=(":",), pattern=r":[0-9A-Fa-f]{0,4}:")),), first_with_colons)
_HARDWARE: Final = (
    r"[0-9A-Fa-f]{2}-[0-9A-Fa-f]{2}-[0-9A-Fa-f]{2}-[0-9A-Fa-f]{2}-|[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}"
)
HARDWARE: Final = PiiPart((("hardware", Prefilter(pattern=_HARDWARE)),), first_hardware)
_WALLETS: Final = (
    r"(?:^|[^A-Za-z0-9])(?:[123DLMTXmn][1-9A-HJ-NP-Za-km-z]{25}|(?:bc1|tb1|ltc1|BC1|TB1|LTC1)[0-9A-Za-z]{25}"
    r"|0x[0-9A-Fa-f]{40})"
)
WALLETS: Final = PiiPart((("wallet", Prefilter(pattern=_WALLETS)),), first_wallet)
