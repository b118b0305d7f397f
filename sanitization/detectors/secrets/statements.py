"""Credentials in statements and messages of protocols, which have a place of their own without a telling name.

`CREATE USER … IDENTIFIED BY …` (SQL), `scott/password@host` (Oracle), `AUTH PLAIN …` (RFC 4616) and the answers of
`AUTH LOGIN`, private members of a JSON Web Key (RFC 7518, sections 6.2.2, 6.3.2 and 6.4.1).
"""

import base64
import binascii
from collections.abc import Iterator
from typing import Final

from sanitization.findings import Hit, Kind
from sanitization.late import Late
from sanitization.prefilter import Prefilter

from .rules import CONTEXT, REPLACEMENT, Anchor, first_open, held_word, places
from .values import is_code, is_password, is_random, is_stand_in, is_strong

_QUOTED: Final = (
    r"\\{0,3}(?:'(?P<single>[^'\n\\]{4,128})|\"(?P<double>[^\"\n\\]{4,128}))|(?P<bare>[^\s'\";,)\\]{4,128})"
)
_IDENTIFIED: Final = Late(
    r"(?ai:identified)\s{1,8}(?:(?ai:with)\s{1,8}[\w'\"`]{1,48}\s{1,8})?(?ai:by)\s{1,8}(?:(?ai:password)\s{1,8})?"
    rf"(?:{_QUOTED})"
)
_IDENTIFIED_BEGUN: Final = Late(
    r"(?ai:identified)\s{0,8}(?:(?ai:w|wi|wit)|(?ai:with)\s{1,8}[\w'\"`]{0,48}\s{0,8})?(?:(?ai:b)|(?ai:by)\s{0,8}"
    r"(?:[A-Za-z]{0,8}\s{1,8})?\\{0,3}['\"]?[^'\"\n\\;,)]{0,128})?\Z"
)


class Statements:
    """Passwords of statements that make a database's user."""

    name = "identified"
    prefilter = Prefilter(literals=("identified",), ignore_case=True)
    kinds = (
        Kind("secret.sql", "password in a statement of SQL", "ALTER USER svc IDENTIFIED BY '" + "kR7q" * 2 + "!x'"),
    )

    def anchors(self, text: str, lowered: str, start: int) -> Iterator[Anchor]:
        """Yield where the word stands."""
        for place in places(lowered, "identified", start):
            yield Anchor(place, 0, _statement)

    def settled(self, text: str, lowered: str, start: int, word: int) -> int:
        """Return where a statement begins whose password may still come or continue."""
        return first_open(text, lowered, ("identified",), max(start, len(text) - 260), _IDENTIFIED_BEGUN)


def _statement(text: str, place: int) -> Hit | None:
    match = _IDENTIFIED.match(text, place)
    if match is None:
        return None
    group = next(name for name in ("single", "double", "bare") if match[name] is not None)
    value = match[group]
    if is_stand_in(value) or value.startswith("$") or not is_password(value, prose=False, quoted=True):
        return None
    return Hit(*match.span(group), "secret.sql", 0.8, REPLACEMENT, place)


_LOGIN: Final = Late(
    r"(?P<user>[A-Za-z][\w$#]{0,29})/(?P<value>\"[^\"\n]{4,64}\"|[^\s/@\"'`<>(){}]{4,64})@(?://)?"
    r"(?![vV]?\d[\d.]{0,8}(?![\w.:-]))[A-Za-z0-9_\[][\w.\[\]:-]{1,80}"
)
_ORACLE: Final = Late(
    r"(?ai:sqlplus|sqlldr|sqlcl|expdp|impdp|rman|oracle|ora_|jdbc|userid|easy ?connect|tns|dsn|conn(?:ect)?|\bsql\b"
    r"|database)[^\n]{0,80}\Z"
)
_BEFORE: Final = Late(r"(?:\A|[^\w/.@%+&?#-])(?P<user>[A-Za-z][\w$#]{0,29})\Z")


class OracleLogins:
    """Passwords of logins as Oracle's tools write them: `user/password@host`."""

    name = "oracle"
    prefilter = Prefilter(pattern=r"[A-Za-z0-9_$#]/[^\x00-\x20/@'`<>(){}]+@")
    kinds = (
        Kind(
            "secret.oracle", "password of a login of Oracle", "sqlplus svc/" + "kR7q" + "Wm3x" * 2 + "@db.example.org"
        ),
    )

    def anchors(self, text: str, lowered: str, start: int) -> Iterator[Anchor]:
        """Yield where the users' names begin."""
        for at in places(text, "@", start):
            slash = text.rfind("/", max(start, at - 66), at)
            user = None if slash < 0 else _BEFORE.search(text, max(0, slash - 31), slash)
            if user is not None and user.start("user") >= start:
                yield Anchor(user.start("user"), 0, _login)

    def settled(self, text: str, lowered: str, start: int, word: int) -> int:
        """Return the start of the last word."""
        return held_word(text, word)


def _login(text: str, place: int) -> Hit | None:
    match = _LOGIN.match(text, place)
    if match is None:
        return None
    begin, end = match.span("value")
    if text[begin] == '"':
        begin, end = begin + 1, end - 1
    value = text[begin:end]
    if is_stand_in(value) or is_code(value, quoted=True) or value == match["user"]:
        return None
    near = _ORACLE.search(text[max(0, place - CONTEXT) : place])
    if not (is_password(value, prose=False, quoted=True) if near else is_strong(value)):
        return None
    return Hit(begin, end, "secret.oracle", 0.8 if near else 0.6, REPLACEMENT, place)


_QUESTION: Final = "UGFzc3dvcmQ6"
"""`Password:` in base64, as servers ask for it."""
_BASE64: Final = r"[A-Za-z0-9+/]{4,512}={0,2}"
_CLIENT: Final = r"[^\nA-Za-z0-9+/]{0,8}(?:[CS]:|>>?|->)?[ \t]{0,4}"
"""What a log has before what a client sent."""
_COMMAND: Final = r"(?:(?<=\bAUTH[ =])|(?<=\bAUTHENTICATE[ =]))PLAIN"
_PLAIN: Final = Late(rf"{_COMMAND}(?:[ \t]{{1,4}}|[ \t]{{0,4}}\r?\n(?:[^\n]{{0,32}}\n)?{_CLIENT})(?P<value>{_BASE64})")
_PLAIN_BEGUN: Final = Late(
    rf"{_COMMAND}[ \t\r]{{0,4}}(?:\n[^\n]{{0,32}}){{0,2}}(?:\n{_CLIENT})?[A-Za-z0-9+/]{{0,512}}={{0,2}}\Z"
)
_ASKED: Final = Late(rf"{_QUESTION}[\s'\"\\rn]{{1,8}}{_CLIENT}(?P<value>{_BASE64})")
_ASKED_BEGUN: Final = Late(rf"{_QUESTION}[\s'\"\\rn]{{0,8}}(?:{_CLIENT}|[^\n]{{0,10}})[A-Za-z0-9+/]{{0,512}}={{0,2}}\Z")


class MailLogins:
    """Credentials of SMTP and IMAP: of `AUTH PLAIN`, and the password of `AUTH LOGIN`."""

    name = "sasl"
    prefilter = Prefilter(literals=("PLAIN", _QUESTION))
    kinds = (
        Kind(
            "secret.sasl",
            "credentials of a login to a mail server",
            "AUTH PLAIN " + base64.b64encode(("\0svc\0" + "kR7q" + "Wm3x" * 2).encode()).decode(),
        ),
    )

    def anchors(self, text: str, lowered: str, start: int) -> Iterator[Anchor]:
        """Yield where the commands, and the server's questions, stand."""
        for place in places(text, "PLAIN", start):
            yield Anchor(place, 0, _plain)
        for place in places(text, _QUESTION, start):
            yield Anchor(place, 0, _asked)

    def settled(self, text: str, lowered: str, start: int, word: int) -> int:
        """Return where a command begins whose credentials may still come or continue."""
        earliest = max(start, len(text) - 640)
        return min(
            first_open(text, text, ("PLAIN",), earliest, _PLAIN_BEGUN),
            first_open(text, text, (_QUESTION,), earliest, _ASKED_BEGUN),
        )


def _plain(text: str, place: int) -> Hit | None:
    match = _PLAIN.match(text, place)
    if match is None or _decoded(match["value"]).count(b"\0") != 2:
        return None
    return Hit(*match.span("value"), "secret.sasl", 1.0, REPLACEMENT, place)


def _asked(text: str, place: int) -> Hit | None:
    match = _ASKED.match(text, place)
    if match is None or not _decoded(match["value"]).isascii():
        return None
    return Hit(*match.span("value"), "secret.sasl", 0.9, REPLACEMENT, place)


def _decoded(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error:
        return b"\xff"


_MEMBER: Final = Late(
    r"\\{0,3}[\"'](?P<name>d|p|q|dp|dq|qi|k)\\{0,3}[\"']\s{0,4}:\s{0,4}\\{0,3}[\"'](?P<value>[A-Za-z0-9_-]{20,1400})(?=\\{0,3}[\"'])"
)
_MEMBER_BEGUN: Final = Late(
    r"\\{0,3}[\"'](?:d|p|q|dp|dq|qi|k)\\{0,3}(?:[\"']\s{0,4}(?::\s{0,4}(?:\\{0,3}[\"'][A-Za-z0-9_-]{0,1400}\\{0,3})?)?)?\Z"
)
_MEMBERS: Final = tuple(f"{quote}{name}" for quote in "\"'" for name in ("d", "p", "q", "k"))
_OF_KEY: Final = Late(r"[\"'](?:kty|crv|alg|kid|use|key_ops|n|e|x|y|dp|dq|qi)\\{0,3}[\"']\s{0,4}:")
LONG: Final = 40
"""Characters of a member that says by itself that it is one: 30 random bytes."""


class WebKeys:
    """Private members of a JSON Web Key."""

    name = "jwk"
    prefilter = Prefilter(pattern=r"[\"'](?:d|p|q|dp|dq|qi|k)\\{0,3}[\"']")
    kinds = (Kind("secret.jwk", "private member of a JSON Web Key", '{"kty":"oct","k":"' + "q8Zt3Lw5" * 5 + 'A1"}'),)

    def anchors(self, text: str, lowered: str, start: int) -> Iterator[Anchor]:
        """Yield where members begin."""
        for literal in _MEMBERS:
            for place in places(text, literal, start):
                yield Anchor(place, 0, _member)

    def settled(self, text: str, lowered: str, start: int, word: int) -> int:
        """Return where a member begins whose value may still come or continue."""
        return first_open(text, text, _MEMBERS, max(start, len(text) - 1500), _MEMBER_BEGUN)


def _member(text: str, place: int) -> Hit | None:
    match = _MEMBER.match(text, place)
    if match is None or not is_random(match["value"], 20):
        return None
    value = match["value"]
    mixed = any(map(str.isupper, value)) and any(map(str.islower, value))
    if not mixed or (len(value) < LONG and not _OF_KEY.search(text, max(0, place - CONTEXT), place)):
        return None
    return Hit(*match.span("value"), "secret.jwk", 0.9, REPLACEMENT, place)


GROUPS: Final = (Statements(), OracleLogins(), MailLogins(), WebKeys())
