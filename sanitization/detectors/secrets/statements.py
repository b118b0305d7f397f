"""Credentials in statements and messages of protocols, which have a place of their own without a telling name.

`CREATE USER … IDENTIFIED BY …` (SQL), `scott/password@host` (Oracle), `AUTH PLAIN …` (RFC 4616) and the answers of
`AUTH LOGIN`, private members of a JSON Web Key (RFC 7518, sections 6.2.2, 6.3.2 and 6.4.1).
"""

import base64
import binascii
import re
from typing import Final

from sanitization.findings import REPLACEMENT, Hit, Kind
from sanitization.late import Late
from sanitization.prefilter import Prefilter

from .rules import CONTEXT, Literals
from .values import is_code, is_password, is_random, is_stand_in, is_strong, says_something

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


def _statement(text: str, place: int) -> Hit | None:
    match = _IDENTIFIED.match(text, place)
    if match is None:
        return None
    group = next(name for name in ("single", "double", "bare") if match[name] is not None)
    value = match[group]
    sure = group != "bare" and text.startswith("IDENTIFIED", place)
    weak = not (sure or is_password(value, prose=False, quoted=True))
    if is_stand_in(value) or value.startswith(("$", "{", ":", "?", "%")) or says_something(value) or weak:
        return None
    return Hit(*match.span(group), "secret.sql", 0.8, REPLACEMENT, place)


STATEMENTS: Final = Literals(
    "identified",
    (Kind("secret.sql", "password in a statement of SQL", "ALTER USER svc IDENTIFIED BY '" + "kR7q" * 2 + "!x'"),),
    Prefilter(literals=("identified",), ignore_case=True),
    ((("identified",), _statement, _IDENTIFIED_BEGUN),),
    260,
)
"""Passwords of statements that make a database's user."""

_LOGIN: Final = Late(
    r"/(?P<value>\"[^\"\n]{4,64}\"|[^\s/@\"'`<>(){}]{4,64})@(?://)?"
    r"(?![vV]?\d[\d.]{0,8}(?![\w.:-]))[A-Za-z0-9_\[][\w.\[\]:-]{1,80}"
)
_ORACLE: Final = Late(
    r"(?ai:sqlplus|sqlldr|sqlcl|expdp|impdp|rman|oracle|ora_|jdbc|userid|easy ?connect|tns|dsn|conn(?:ect)?|\bsql\b"
    r"|database)[^\n]{0,80}\Z"
)
_BEFORE: Final = Late(r"(?:\A|[^\w/.@%+&?#-])(?P<user>[A-Za-z][\w$#]{0,29})\Z")


def _login(text: str, place: int) -> Hit | None:
    match = _LOGIN.match(text, place)
    user = _BEFORE.search(text, max(0, place - 31), place) if match else None
    if match is None or user is None:
        return None
    begin, end = match.span("value")
    if text[begin] == '"':
        begin, end = begin + 1, end - 1
    value = text[begin:end]
    if is_stand_in(value) or is_code(value, quoted=True) or value == user["user"]:
        return None
    near = _ORACLE.search(text[max(0, user.start("user") - CONTEXT) : user.start("user")])
    if not (is_password(value, prose=False, quoted=True) if near else is_strong(value)):
        return None
    return Hit(begin, end, "secret.oracle", 0.8 if near else 0.6, REPLACEMENT, place)


ORACLE_LOGINS: Final = Literals(
    "oracle",
    (Kind("secret.oracle", "password of a login of Oracle", "sqlplus svc/" + "kR7q" + "Wm3x" * 2 + "@db.example.org"),),
    Prefilter(pattern=r"[A-Za-z0-9_$#]/[^\x00-\x20/@'`<>(){}]+@"),
    ((("/",), _login, None),),
)
"""Passwords of logins as Oracle's tools write them: `user/password@host`."""


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


_SASL: Final = "AUTH PLAIN " + base64.b64encode(("\0svc\0" + "kR7q" + "Wm3x" * 2).encode()).decode()
MAIL_LOGINS: Final = Literals(
    "sasl",
    (Kind("secret.sasl", "credentials of a login to a mail server", _SASL),),
    Prefilter(literals=("PLAIN", _QUESTION)),
    ((("PLAIN",), _plain, _PLAIN_BEGUN), ((_QUESTION,), _asked, _ASKED_BEGUN)),
    640,
)
"""Credentials of SMTP and IMAP: of `AUTH PLAIN`, and the password of `AUTH LOGIN`."""

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


def _member(text: str, place: int) -> Hit | None:
    match = _MEMBER.match(text, place)
    if match is None or not is_random(match["value"], 20):
        return None
    value = match["value"]
    mixed = any(map(str.isupper, value)) and any(map(str.islower, value))
    if not mixed or (len(value) < LONG and not _OF_KEY.search(text, max(0, place - CONTEXT), place)):
        return None
    return Hit(*match.span("value"), "secret.jwk", 0.9, REPLACEMENT, place)


WEB_KEYS: Final = Literals(
    "jwk",
    (Kind("secret.jwk", "private member of a JSON Web Key", '{"kty":"oct","k":"' + "q8Zt3Lw5" * 5 + 'A1"}'),),
    Prefilter(pattern=r"[\"'](?:d|p|q|dp|dq|qi|k)\\{0,3}[\"']"),
    ((_MEMBERS, _member, _MEMBER_BEGUN),),
    1_500,
)
"""Private members of a JSON Web Key."""

_COOKIE: Final = Late(r"(?ai:sess(?:ion)?|sid)[\w.-]{0,16}=\\{0,2}\"?(?P<value>[^\s;,\"'&<>\\]{8,512})")
_COOKIE_BEGUN: Final = Late(r"(?ai:sess(?:ion)?|sid)[\w.-]{0,16}(?:=\\{0,2}\"?[^\s;,\"'&<>\\]{0,512})?\Z")
_OF_COOKIES: Final = Late(r"cookie[^\n]{0,120}\Z", re.IGNORECASE)


def _cookie(text: str, place: int) -> Hit | None:
    match = _COOKIE.match(text, place)
    if match is None or is_stand_in(match["value"]) or is_code(match["value"]):
        return None
    in_header = _OF_COOKIES.search(text, max(0, place - CONTEXT), place) is not None
    if not (in_header or is_random(match["value"], 16)):
        return None
    return Hit(*match.span("value"), "secret.session", 0.8, REPLACEMENT, place)


COOKIES: Final = Literals(
    "session",
    (Kind("secret.session", "cookie of a session", "Cookie: sid=" + "q8Zt3Lw5" * 3),),
    Prefilter(pattern=r"(?:sess|sid)[A-Za-z0-9_.-]{0,22}=", ignore_case=True),
    ((("sess", "sid"), _cookie, _COOKIE_BEGUN),),
    600,
)
"""Cookies that keep a user signed in, in headers and settings."""

GROUPS: Final = (STATEMENTS, ORACLE_LOGINS, MAIL_LOGINS, WEB_KEYS, COOKIES)
