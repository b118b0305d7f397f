"""Credentials passed to commands: `curl -u user:password`, `mysql -ppassword`, `sshpass -p password`."""

import re
from collections.abc import Iterator
from typing import Final

from sanitization.findings import Hit, Kind
from sanitization.prefilter import Prefilter

from .rules import CONTEXT, REPLACEMENT, Anchor, places
from .values import is_password, is_stand_in

_ARGUMENT: Final = r"(?:\"[^\"\n]{3,128}\"|'[^'\n]{3,128}'|[^\s\"'`|;<>]{3,200})"
_USER: Final = re.compile(rf"(?:-u|--(?:proxy-)?user)(?:[ \t]{{1,4}}|=[ \t]{{0,2}}|(?=[\"']))(?P<value>{_ARGUMENT})")
_PASS: Final = re.compile(rf"-(?:p|P|a)[ \t]{{0,4}}=?(?P<value>{_ARGUMENT})")
_SO_FAR: Final = re.compile(
    r"-{1,2}[A-Za-z-]{0,12}"
    r"(?:[ \t]{0,4}=?[ \t]{0,2}(?:\"[^\"\n]{0,128}\"?|'[^'\n]{0,128}'?|[^\s\"'`|;<>]{0,200}))?\Z"
)
_WEB: Final = re.compile(r"\b(?:curl|wget|http|https|xh|httpie|aria2c)\b[^\n]*(?:\\\n[^\n]*)*\Z")
_WEB_TOOLS: Final = ("curl", "wget", "http", "xh", "aria2c")
_TOOL_NAMES: Final = "mysql mariadb sshpass login redis-cli smbclient mongo ldap sqlcmd rabbitmq keytool"
_TOOLS: Final = tuple(_TOOL_NAMES.split())
_TOOL: Final = re.compile(
    r"\b(?:mysql(?:dump|admin)?|mariadb(?:-dump)?|sshpass|docker login|podman login|redis-cli|smbclient|mongosh?"
    r"|mongodump|ldapsearch|az login|helm registry login|sqlcmd|rabbitmqctl|keytool)\b[^\n|;]*\Z"
)


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
        for flag in (" -u", " --user", " --proxy-user", "\t-u", "\n-u", "\n--user"):
            for place in places(text, flag, max(0, start - 1)):
                if place + 1 >= start:
                    yield Anchor(place + 1, 0, _user)
        for flag in (" -p", " -P", " -a"):
            for place in places(text, flag, max(0, start - 1)):
                if place + 1 >= start:
                    yield Anchor(place + 1, 0, _pass)

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
    if is_stand_in(value) or value.startswith(("$", "/", "-")) or not is_password(value, prose=False, quoted=True):
        return None
    if value.isdigit() or ":" in value:
        return None  # a port
    return Hit(begin, end, "secret.command", 0.7, REPLACEMENT, start)
