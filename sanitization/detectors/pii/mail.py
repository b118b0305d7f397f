"""Finds mail addresses (RFC 5321, 5322, 6531), also as `name[at]host[dot]org`; not shell prompts or packages."""

import re
from typing import Final

from sanitization.findings import Hit
from sanitization.prefilter import Prefilter

from .context import Said
from .part import hit

LOCAL_MAX: Final = 64  # RFC 5321, 4.5.3.1.1
QUOTED_MAX: Final = 32

_LATIN: Final = r"A-Za-z0-9._%+'\u2019\u00c0-\u024f\u1e00-\u1eff-"
_LOCAL: Final = re.compile(rf"[{_LATIN}]{{1,{LOCAL_MAX}}}")  # of reversed text
_LOCAL_OTHER: Final = re.compile(rf"[\w.%+'-]{{1,{LOCAL_MAX}}}")
_QUOTED: Final = re.compile(rf"\"[^\"@\n]{{1,{QUOTED_MAX}}}\"")
_LABEL: Final = r"[^\W_](?:[\w-]{0,61}[^\W_])?"
_DOT: Final = r"\."
_TOP: Final = r"(?:xn--[A-Za-z0-9-]{2,59}|[A-Za-z]{2,24}|[^\W\d_A-Za-z]{2,24})"
_DOMAIN: Final = re.compile(rf"(?:{_LABEL}{_DOT}){{1,8}}{_TOP}(?![A-Za-z0-9_@(]|-[A-Za-z0-9])")
_SPELLED: Final = re.compile(
    rf"[\[({{](?:at|AT|At|arroba|ät)[\])}}](?:{_LABEL}(?:{_DOT}|[\[({{](?:dot|DOT|punkt|punto|point)[\])}}])){{1,8}}{_TOP}"
    r"(?![A-Za-z0-9_@(])"
)
# File extensions, and images of twice the size (`icon@2x.png`).
_NOT_TOPS: Final = (
    "png jpg jpeg gif svg webp avif ico bmp css scss js mjs ts tsx jsx json yaml yml toml xml html htm txt md lock log"
    " local localhost"
)
_FILES: Final = frozenset(_NOT_TOPS.split())
_SHELL: Final = re.compile(
    r"(?:\b(?:ssh|scp|sftp|rsync|mosh|ssh-copy-id)(?: -[A-Za-z]{1,3}(?: [\w./~-]{1,32})?)* |://|://[^\s/@]{0,64}:)\Z"
)
_REMOTE_PATH: Final = re.compile(r":(?:~|/|[\w.-]{1,64}/|[\w.-]{1,64}\.git\b)")
_EDGES: Final = ".'\u2019%-"
_PREFILTER: Final = r"[^\x00-\x20(<>@,;:]@[^\x00-/:-@\[-`{-\x7f]"
_QUOTED_PENDING: Final = rf"\"[A-Za-z0-9._'+ -]{{1,{QUOTED_MAX}}}(?:\"(?:@[^\x00-\x20]{{0,64}})?)?"
_PENDING: Final = re.compile(rf"{_QUOTED_PENDING}\Z")


class Mail:
    """Mail addresses."""

    prefilters = (
        ("mail", Prefilter(literals=("@",), pattern=_PREFILTER)),
        ("quoted", Prefilter(literals=('"',), pattern=f"{_QUOTED_PENDING}$")),
        (
            "spelled",
            Prefilter(literals=("[at]", "(at)", "{at}", "[arroba]", "(arroba)", "(ät)", "[ät]"), ignore_case=True),
        ),
    )

    def first(self, text: str, position: int, _said: Said | None = None) -> Hit | None:
        """Return the first address at `position` or later."""
        at = position
        while (sign := _sign(text, at)) >= 0:
            found = _address(text, sign)
            if found and found.start >= position:
                return found
            at = sign + 1
        return None

    def pending(self, text: str, start: int) -> int:
        """Return where a quoted name with blanks begins whose `@` may follow."""
        found = _PENDING.search(text, max(start, len(text) - QUOTED_MAX - LOCAL_MAX - 4))
        return found.start() if found else len(text)


_SIGN: Final = re.compile(r"@|[\[({](?:at|AT|At|arroba|ät)[\])}]")


def _sign(text: str, at: int) -> int:
    match = _SIGN.search(text, at)
    return match.start() if match else -1


def _address(text: str, sign: int) -> Hit | None:
    spelled = text[sign] != "@"
    domain = _SPELLED.match(text, sign) if spelled else _DOMAIN.match(text, sign + 1)
    if not domain:
        return None
    top = domain[0].rpartition(".")[2].lower()
    if top in _FILES:
        return None
    start = _local_start(text, sign)
    if start == sign or _in_shell(text, start) or _REMOTE_PATH.match(text, domain.end()):
        return None
    return hit(start, domain.end(), "email", 0.7 if spelled else 0.95)


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
    name = name[name.rfind("..") + 2 :] if ".." in name else name
    return sign - len(name.lstrip(_EDGES))
