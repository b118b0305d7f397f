"""Credentials with a place of their own: in addresses, after the flags of commands, and as words that open a wallet.

`scheme://user:password@host`, `otpauth://…?secret=…`, lines of a `.pgpass`; `curl -u user:password`,
`mysql -ppassword`, `sshpass -p password`; `seed phrase: …`.
"""

import re
from collections.abc import Iterator
from typing import Final

from sanitization.findings import REPLACEMENT, Hit, Kind
from sanitization.late import Late
from sanitization.prefilter import Prefilter

from .forms import ENTITY
from .rules import CONTEXT, Anchor, Literals, places
from .values import is_code, is_password, is_stand_in, says_something

# A scheme, a user and a password as people paste it, without escapes: with `/`, `@`, `?` and `#` in it.
_ADDRESS: Final = Late(
    r"://(?P<user>(?!\[)[^\x00-\x20/:\"'<>`\x7f]{0,128}):"
    r"(?!(?:\d{1,5}|\$?\{[^/@]{1,40}\}|\$\w{1,40})(?:[/?#]|\Z))(?P<rest>[^\x00-\x20\"'<>`\x7f]{4,400})"
)
_HOST: Final = Late(r"@(?=[A-Za-z0-9\[(_*%${-])")
_WHOLE: Final = r"@(?:[\w-]+(?:\.|:\d)|\[|localhost\b|[$%{(])"
_FULL_HOST: Final = Late(_WHOLE)
_AFTER_HOST: Final = Late(rf"{_WHOLE}[^?#]*[?#]|[,;]|://")
PASSWORD_LEAST: Final = 3
_FAR: Final = 512  # most characters from the beginning of an address to the mark of a password
_PAIR: Final = Late(r"[0-9a-f]{8}")
_OTPAUTH: Final = Late(r"otpauth://[^\s\"'<>?]{1,200}\?(?:[^\s\"'<>#]{0,200}&)?secret=(?P<value>[A-Za-z2-7=%]{10,200})")
_ENTITY: Final = f"(?:{ENTITY}|&[lg]t;)"
_PGPASS: Final = Late(
    r":(?<=[\w.*-]:)(?:\d{4,5}|\*):(?:\w{1,48}|\*):[\w.-]{1,48}:"
    rf"(?P<value>(?:(?!{_ENTITY})[^\s:\"'`<>,\\]){{6,128}})(?=[\s\"'`<,\\]|{_ENTITY}|\Z)"
)


def _in_address(text: str, start: int) -> Hit | None:
    match = _ADDRESS.match(text, start) if text.find("@", start, start + _FAR) > 0 else None
    if match is None:
        return None
    web = text[max(0, start - 5) : start].endswith(("http", "https"))
    begin = match.start("rest")
    end = begin + _password_length(match["rest"], web=web)
    user, value = match["user"], text[begin:end]
    if "@" in user and not is_password(value, prose=False, quoted=True):
        return None  # `git@host:path@version`
    variable = is_code(value) and value.startswith(("$", "%", "{"))
    if len(value) < PASSWORD_LEAST or variable or is_stand_in(value) or value == user:
        return None
    if _PAIR.fullmatch(user) and _PAIR.fullmatch(value):
        begin = match.start("user")  # a pair of keys (the servers of Ruby gems have such): neither part is a name
    return Hit(begin, end, "secret.connection_string", 0.9, REPLACEMENT, start)


def _password_length(rest: str, *, web: bool) -> int:
    """Return the length of the password at the beginning of an address' rest, 0 if there is none.

    By RFC 3986 it ends at the last `@` before the first `/`; a driver takes the last `@` before a host. The RFC is
    followed for a page whose host is a full one, since paths of pages have an `@` in them.
    """
    first = rest.find("@")
    authority = rest.partition("/")[0].rfind("@")
    if web and authority >= 0 and _FULL_HOST.match(rest, authority):
        return authority
    stop = _AFTER_HOST.search(rest, first) if first >= 0 else None
    return max((sign.start() for sign in _HOST.finditer(rest, 0, stop.end() if stop else len(rest))), default=0)


def _seed(text: str, start: int) -> Hit | None:
    match = _OTPAUTH.match(text, start)
    if match is None or is_stand_in(match["value"]):
        return None
    return Hit(*match.span("value"), "secret.totp_seed", 1.0, REPLACEMENT, start)


ADDRESS_PASSWORDS: Final = Literals(
    "address",
    (
        Kind(
            "secret.connection_string",
            "password within an address",
            "amqps://svc:" + "kR7q" + "Wm3x" * 2 + "@mq.example.org",
        ),
        Kind("secret.totp_seed", "seed of one-time passwords", "otpauth://totp/x?secret=" + "JBSWY3DP" * 2),
    ),
    Prefilter(literals=("://",), pattern=r"://[^\x00-\x20/\"'<>`]*:[^\x00-\x20/]|otpauth://"),
    ((("://",), _in_address, None), (("otpauth://",), _seed, None)),
)
"""Passwords of addresses with a scheme."""


def _pgpass(text: str, place: int) -> Hit | None:
    match = _PGPASS.match(text, place)
    if match is None or is_stand_in(match["value"]) or not any(map(str.isalpha, match["value"])):
        return None
    return Hit(*match.span("value"), "secret.pgpass", 0.7, REPLACEMENT, place)


PGPASS: Final = Literals(
    "pgpass",
    (Kind("secret.pgpass", "password of a .pgpass line", "db.example.org:5432:app:svc:" + "kR7q" + "Wm3x" * 2),),
    Prefilter(pattern=r":(?:[0-9]{4,5}|\*):[A-Za-z0-9_*]{1,48}:[A-Za-z0-9_.-]{1,48}:[^\x00-\x20:]"),
    (((":",), _pgpass, None),),
)
"""Lines of PostgreSQL's password file: host, port, database, user, password."""


_ARGUMENT: Final = r"(?:\"[^\"\n]{3,128}\"|'[^'\n]{3,128}'|[^\s\"'`|;<>]{3,200})"
_USER: Final = Late(rf"(?:-u|--(?:proxy-)?user)(?:[ \t]{{1,4}}|=[ \t]{{0,2}}|(?=[\"']))(?P<value>{_ARGUMENT})")
_PASS: Final = Late(rf"-(?:p|P|a)[ \t]{{0,4}}=?(?P<value>{_ARGUMENT})")
_SO_FAR: Final = Late(
    r"-{1,2}[A-Za-z-]{0,12}"
    r"(?:[ \t]{0,4}=?[ \t]{0,2}(?:\"[^\"\n]{0,128}\"?|'[^'\n]{0,128}'?|[^\s\"'`|;<>]{0,200}))?\Z"
)
_USER_FLAGS: Final = (" -u", " --user", " --proxy-user", "\t-u", "\n-u", "\n--user")
_PASS_FLAGS: Final = (" -p", " -P", " -a")
_WEB: Final = Late(r"\b(?:curl|wget|http|https|xh|httpie|aria2c)\b[^\n]*(?:\\\n[^\n]*)*\Z")
_WEB_TOOLS: Final = ("curl", "wget", "http", "xh", "aria2c")
_TOOL_NAMES: Final = "mysql mariadb sshpass login redis-cli smbclient mongo ldap sqlcmd rabbitmq keytool"
_TOOLS: Final = tuple(_TOOL_NAMES.split())
_TOOL: Final = Late(
    r"\b(?:mysql(?:dump|admin)?|mariadb(?:-dump)?|sshpass|docker login|podman login|redis-cli|smbclient|mongosh?"
    r"|mongodump|ldapsearch|az login|helm registry login|sqlcmd|rabbitmqctl|keytool)\b[^\n|;]*\Z"
)


_DATABASE: Final = Late(r"\b(?:mysql|mariadb|mongo)\w*\b[^\n|;]*\Z")


class Flags:
    """Arguments of the flags for users and passwords, after the commands that have them."""

    name = "flags"
    prefilter = Prefilter(
        literals=("-u", "-p", "-P", "-a", "--user", "--proxy-user"),
        pattern=r"(?:^|[\x00-\x20])(?:-u|--user|--proxy-user|-[pPa])(?:[\x00-\x20\"'=]|[^\x00-\x20=-]{3})",
    )
    kinds = (
        Kind(
            "secret.command", "credentials in a command", "curl -u svc:" + "kR7q" + "Wm3x" * 2 + " https://example.org"
        ),
    )

    def anchors(self, text: str, lowered: str, start: int) -> Iterator[Anchor]:
        """Yield where the flags stand."""
        for flags, attempt in ((_USER_FLAGS, _user), (_PASS_FLAGS, _pass)):
            for flag in flags:
                starts = (place + 1 for place in places(text, flag, max(0, start - 1)))
                yield from (Anchor(place, 0, attempt) for place in starts if place >= start)

    def settled(self, text: str, lowered: str, start: int, word: int) -> int:
        """Return where a flag begins whose argument may still come or continue."""
        first = len(text)
        for flag in (" -", "\t-", "\n-"):
            for place in places(text, flag, max(0, start - 1, len(text) - 260)):
                if start <= place + 1 < first and _SO_FAR.match(text, place + 1):
                    first = place + 1
        return first


def _user(text: str, start: int) -> Hit | None:
    """Return the whole argument, in its quotes: the user's name is half of the credential."""
    before = text[max(0, start - CONTEXT) : start]
    if not any(tool in before for tool in _WEB_TOOLS) or not _WEB.search(before):
        return None
    match = _USER.match(text, start)
    if match is None:
        return None
    value = match["value"]
    user, colon, password = value.strip("\"'").partition(":")
    if not colon or not user + password or is_stand_in(password or user) or password.startswith(("$", "//")):
        return None
    return Hit(*match.span("value"), "secret.command", 0.9, REPLACEMENT, start)


def _pass(text: str, start: int) -> Hit | None:
    before = text[max(0, start - CONTEXT) : start]
    if not any(tool in before for tool in _TOOLS) or not _TOOL.search(before):
        return None
    match = _PASS.match(text, start)
    if match is None:
        return None
    begin, end = match.span("value")
    if text[begin] in "\"'":
        begin, end = begin + 1, end - 1
    value = text[begin:end]
    if is_stand_in(value) or value.startswith(("$", "/", "-")) or len(value) < 4 or says_something(value):
        return None
    spaced = text[start + 2 : start + 3].isspace() and _DATABASE.search(before)  # of which a name follows a blank
    if not is_password(value, prose=False, quoted=True) and (spaced or not value.isalpha()):
        return None
    if value.isdigit() or ":" in value:
        return None  # a port
    return Hit(begin, end, "secret.command", 0.7, REPLACEMENT, start)


LENGTHS: Final = (12, 15, 18, 21, 24)
REACH: Final = 400
_LITERALS: Final = ("mnemonic", "phrase", "seed")
# Words of ordinary sentences that are not on the list of BIP 39 (nor is any of one or two letters).
_PROSE_WORDS: Final = (
    "the and for with from are was were has have had not but his her its our their them they your yours which"
    " what who whom been being will would could should may might must shall these those than then there here"
    " into onto upon a an of to in is it as at by be or on if so we he she my me do"
)
_PROSE: Final = frozenset(_PROSE_WORDS.split())
_WORD: Final = r"[a-z]{3,8}"
_GAP: Final = r"(?:[ \t]{1,3}|[ \t]{0,2},[ \t]{0,2}|[ \t]{0,2}\r?\n[ \t]{0,8})(?:\d{1,2}[.):][ \t]{0,2})?"
_HEAD: Final = (
    r"(?ai:mnemonic|(?:(?<=seed )|(?<=recovery )|(?<=backup )|(?<=secret )|(?<=wallet ))phrase|seed)"
    r"(?ai:s|[ \t_-]?(?:phrase|words?|code))?[\"'`*]{0,3}"
)
_SIGN: Final = (
    r"[ \t]{0,4}(?:[:=]|=>|is|was)[*]{0,2}[ \t]{0,4}(?:\r?\n[ \t]{0,8})?[\"'`]{0,3}(?:\d{1,2}[.):][ \t]{0,2})?"
)
_FULL: Final = Late(rf"{_HEAD}{_SIGN}(?P<words>{_WORD}(?:{_GAP}{_WORD}){{11,23}})(?![A-Za-z])")
_PENDING: Final = Late(
    rf"{_HEAD}(?:[ \t]{{0,4}}(?ai:[a-z]{{0,6}})|{_SIGN}(?:{_WORD}{_GAP}){{0,23}}(?:[a-z]{{0,8}}"
    rf"|{_WORD}[ \t]{{0,2}},?[ \t\r]{{0,2}}"
    rf"|{_WORD}(?:{_GAP})?\d{{0,2}}))\Z"
)
_SPLIT: Final = Late(r"[a-z]+")


def is_phrase(value: str, least: int) -> bool:
    """Return whether the text is only words of three to eight letters that make no sentence."""
    words = value.split()
    return len(words) >= least and all(re.fullmatch(_WORD, word) and word not in _PROSE for word in words)


def _phrase(text: str, place: int) -> Hit | None:
    match = _FULL.match(text, place)
    if match is None:
        return None
    words = [(word.start(), word.end()) for word in _SPLIT.finditer(text, *match.span("words"))]
    listed = [text[begin:end] for begin, end in words]
    # Words may follow the phrase.
    for count in reversed(LENGTHS):
        if count <= len(words) and len(set(listed[:count])) > count // 3 and _PROSE.isdisjoint(listed[:count]):
            return Hit(words[0][0], words[count - 1][1], "secret.seed_phrase", 0.9, REPLACEMENT, place)
    return None


PHRASES: Final = Literals(
    "phrases",
    (
        Kind(
            "secret.seed_phrase",
            "words that open a wallet",
            "seed phrase: " + " ".join(["quiz", "ladder", "orbit", "maple", "tunnel", "cactus"] * 2),
        ),
    ),
    Prefilter(literals=_LITERALS, ignore_case=True),
    ((_LITERALS, _phrase, _PENDING),),
    REACH,
)
"""Twelve to twenty-four words after `seed phrase:`, `mnemonic is` and the like."""
