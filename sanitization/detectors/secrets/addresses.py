"""Passwords within addresses: `scheme://user:password@host`, `otpauth://…?secret=…`, and lines of a `.pgpass`."""

import re
from collections.abc import Iterator
from typing import Final

from sanitization.findings import Hit, Kind
from sanitization.prefilter import Prefilter

from .rules import HELD, REPLACEMENT, Anchor, places
from .values import is_code, is_stand_in

# A password may have an `@` in it; the last one before the host counts.
_ADDRESS: Final = re.compile(
    r"://(?P<user>[^\x00-\x20/:@\"'<>`\x7f]{0,128}):(?P<value>[^\x00-\x20/\"'<>`\x7f]{3,300})@"
    r"(?=[A-Za-z0-9\[(_*%${-])"
)
_FAR: Final = 512  # most characters from the beginning of an address to the mark of a password
_PAIR: Final = re.compile(r"[0-9a-f]{8}")
_OTPAUTH: Final = re.compile(
    r"otpauth://[^\s\"'<>?]{1,200}\?(?:[^\s\"'<>#]{0,200}&)?secret=(?P<value>[A-Za-z2-7=%]{10,200})"
)
_PGPASS: Final = re.compile(r"(?P<value>[^\s:\"'`<>,]{6,128})(?=\s|\Z)")
_PGPASS_HEAD: Final = re.compile(r"[\w.*-]{1,64}:(?:\d{4,5}|\*):(?:\w{1,48}|\*):[\w.-]{1,48}:\Z")


class AddressPasswords:
    """Passwords of addresses with a scheme."""

    name = "address"
    prefilter = Prefilter(literals=("://",), pattern=r"://[^\x00-\x20/@\"'<>`]*:[^\x00-\x20/]|otpauth://")
    kinds = (
        Kind(
            "secret.connection_string",
            "password within an address",
            "amqps://svc:" + "kR7q" + "Wm3x" * 2 + "@mq.example.org",
        ),
        Kind("secret.totp_seed", "seed of one-time passwords", "otpauth://totp/x?secret=" + "JBSWY3DP" * 2),
    )

    def anchors(self, text: str, lowered: str, start: int) -> Iterator[Anchor]:
        """Yield where schemes end."""
        for place in places(text, "://", start):
            if text.find("@", place, place + _FAR) > 0:
                yield Anchor(place, 0, _in_address)
        for place in places(text, "otpauth://", start):
            if text.find("secret=", place, place + _FAR) > 0:
                yield Anchor(place, 0, _seed)

    def settled(self, text: str, lowered: str, start: int, word: int) -> int:
        """Return the start of the last word, as far back as an address may reach."""
        return max(word, len(text) - 2 * HELD) if len(text) - word > HELD else len(text)


class PgPass:
    """Lines of PostgreSQL's password file: host, port, database, user, password."""

    name = "pgpass"
    prefilter = Prefilter(pattern=r":(?:[0-9]{4,5}|\*):[A-Za-z0-9_*]{1,48}:[A-Za-z0-9_.-]{1,48}:[^\x00-\x20:]")
    kinds = (Kind("secret.pgpass", "password of a .pgpass line", "db.example.org:5432:app:svc:" + "kR7q" + "Wm3x" * 2),)
    _place: Final = re.compile(r":(?:\d{4,5}|\*):(?:\w{1,48}|\*):[\w.-]{1,48}:(?=[^\s:])", re.ASCII)

    def anchors(self, text: str, lowered: str, start: int) -> Iterator[Anchor]:
        """Yield where the passwords begin; the text before them is context."""
        match = self._place.search(text, start)
        while match:
            head = _PGPASS_HEAD.search(text, max(start, match.start() - 64), match.end())
            if head is not None:
                yield Anchor(head.start(), 0, _pgpass(match.end()))
            match = self._place.search(text, match.start() + 1)

    def settled(self, text: str, lowered: str, start: int, word: int) -> int:
        """Return the start of the last word."""
        return max(word, len(text) - 2 * HELD) if len(text) - word > HELD else len(text)


def _in_address(text: str, start: int) -> Hit | None:
    match = _ADDRESS.match(text, start)
    if match is None:
        return None
    user, value = match["user"], match["value"]
    if is_stand_in(value) or value == user or (is_code(value) and value.startswith(("$", "%", "{"))):
        return None
    begin, end = match.span("value")
    if _PAIR.fullmatch(user) and _PAIR.fullmatch(value):
        begin = match.start("user")  # a pair of keys (the servers of Ruby gems have such): neither part is a name
    return Hit(begin, end, "secret.connection_string", 0.9, REPLACEMENT, start)


def _seed(text: str, start: int) -> Hit | None:
    match = _OTPAUTH.match(text, start)
    if match is None or is_stand_in(match["value"]):
        return None
    return Hit(*match.span("value"), "secret.totp_seed", 1.0, REPLACEMENT, start)


def _pgpass(begin: int):  # type: ignore[no-untyped-def]
    def attempt(text: str, place: int) -> Hit | None:
        match = _PGPASS.match(text, begin)
        if match is None or is_stand_in(match["value"]) or not any(map(str.isalpha, match["value"])):
            return None
        return Hit(*match.span("value"), "secret.pgpass", 0.7, REPLACEMENT, place)

    return attempt
