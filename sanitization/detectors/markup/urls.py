"""Judges addresses of links and images: where one leads, and whether it carries words of its user. Pure.

An address is read as a browser reads it (WHATWG URL, 4.4: tabs and line ends are dropped anywhere, spaces and controls
at both ends, a backslash is a slash) after a Markdown renderer has decoded it (CommonMark 2.4 and 2.5: backslash
escapes, entities). The worst reading counts: encodings that only some readers decode (percent signs before the colon,
spaces within the scheme) are decoded too.
"""

import binascii
import re
from base64 import b64decode
from collections.abc import Iterator
from functools import lru_cache
from html import unescape
from typing import Final
from urllib.parse import unquote, unquote_plus, urlsplit

from attrs import frozen

from sanitization.late import Late

LINK_SCHEMES: Final = frozenset({"http", "https", "mailto"})
"""Schemes allowed for a link in a page."""
SCRIPTING: Final = frozenset({"javascript", "vbscript", "livescript", "jscript", "mocha"})
# fmt: off
# Content that the document makes itself, local files, and protocol handlers that take commands in addresses.
_OUTLANDISH: Final = frozenset((
    "about", "blob", "chrome", "file", "filesystem", "hcp", "help", "intent", "its", "jar", "mhtml", "mk",
    "ms-appinstaller", "ms-cxh", "ms-its", "ms-msdt", "ms-officecmd", "ms-search", "res", "resource", "search",
    "search-ms", "shell", "view-source", "wyciwyg",
))
# Names of parameters that say nothing; `q`, `text`, `subject` and the like are for searching and sharing.
_CARRIERS: Final = frozenset((
    "", "a", "b", "c", "content", "context", "ctx", "d", "data", "e", "i", "info", "k", "log", "m", "msg", "o", "p",
    "payload", "r", "t", "u", "v", "x", "y", "z",
))
# Names of parameters for what was stolen.
_LOOT: Final = frozenset((
    "chat_history", "chatlog", "conversation", "cookie", "cookies", "dump", "exfil", "exfiltrate", "leak",
    "leaked", "loot", "passwd", "password", "secret", "secrets", "steal", "stolen", "transcript",
))
# fmt: on

_DROPPED: Final = Late(r"[\t\n\r]")
_STRIPPED: Final = "".join(map(chr, range(0x21))) + "\x7f\x80\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff\u200b"
_ESCAPED: Final = Late(r"\\([!-/:-@\[-`{-~])")
_MAYBE_SCHEME: Final = Late(r":|&|%3a", re.IGNORECASE)
_HARMLESS: Final = Late(r"[^:&%\\\"'`<>/]*+(?:/(?!/)[^:&%\\\"'`<>/]*+)*+")
_SCHEME: Final = Late(r"([A-Za-z][A-Za-z0-9+.-]{0,31}):")
_SCRIPTING: Final = Late(rf"(?:[a-z][a-z0-9+.-]{{0,31}}:){{0,4}}(?:{'|'.join(sorted(SCRIPTING))}):", re.IGNORECASE)
_DOES_NOTHING: Final = Late(r"javascript:(?:void\(?0?\)?|//)?;?", re.IGNORECASE)
_SLASHES: Final = Late(r"(?:(https?):/*|//+)", re.IGNORECASE)  # `https:host` leads there too
_INLINE_IMAGE: Final = Late(r"data:image/(?:png|jpe?g|gif|webp|avif|bmp)(?:;base64)?,[^<>\"']*", re.IGNORECASE)
_BREAKOUT: Final = Late(r"[\"'`<>]\s{0,8}/?\s{0,8}on[a-z]{3,24}\s{0,8}=", re.IGNORECASE)

_SEPARATORS: Final = Late(r"[/?&#.=](?!=|\Z)")
_BASE64: Final = Late(r"[A-Za-z0-9+/_-]{14,}={0,2}")
_HEX: Final = Late(r"(?:[0-9a-fA-F]{2}){10,}")
_MAIL: Final = Late(r"[\w.+-]{1,64}@[\w-]{1,63}\.\w")
_READABLE: Final = Late(r"[\w .,:;!?@'\"{}\[\]()/=+&%$#*\n-]+")
READABLE_LETTERS: Final = 0.6
"""Least share of letters and spaces in a decoded value that is a user's words."""
WORDS: Final = 4
"""Least number of words of a value that is a sentence, and not a search."""


def is_harmless(address: str) -> bool:
    """Return whether an address is evidently harmless: no scheme, no host, no quotes and no encoding."""
    return _HARMLESS.fullmatch(address) is not None


@lru_cache(maxsize=256)
def plain(address: str) -> str:
    """Return the address without the encodings of HTML and Markdown, with slashes for backslashes."""
    if "&" in address:
        address = unescape(address)
    if "\\" in address and not address.lstrip().startswith("\\"):
        address = _ESCAPED.sub(r"\1", address)
    return _as_browser_reads(address)


def _as_browser_reads(address: str) -> str:
    """Return the address as a browser reads it."""
    return _DROPPED.sub("", address).strip(_STRIPPED).replace("\\", "/")


@lru_cache(maxsize=256)
def scheme(address: str) -> str:
    """Return the scheme in lower case, with any spaces or percent encodings removed; empty if there is none."""
    if not _MAYBE_SCHEME.search(address):
        return ""
    bare = plain(address)[:256]
    if "%" in bare:
        bare = unquote(bare)
    if " " in bare or not bare.isprintable():
        bare = "".join(letter for letter in bare if letter.isprintable() and not letter.isspace())
    if _SCRIPTING.match(bare):
        return "javascript"
    match = _SCHEME.match(bare)
    return match[1].lower() if match else ""


def host(address: str) -> str | None:
    """Return the host in lower case, with the port if one is named; None if the address is relative.

    A user before the host is part of it here, so that such a host never equals an allowed one.
    """
    return _host(plain(address))


def _host(bare: str) -> str | None:
    begun = _SLASHES.match(bare)
    if begun is None:
        return "" if scheme(bare) else None
    try:
        parts = urlsplit(f"{begun[1] or 'https'}://{bare[begun.end() :]}")
    except ValueError:
        return ""
    return parts.netloc.lower()


def is_inline_image(address: str) -> bool:
    """Return whether this is an image embedded in the text itself. SVG counts as a document, not an image."""
    return bool(_INLINE_IMAGE.fullmatch(plain(address)))


def has_link_scheme(address: str) -> bool:
    """Return whether a link of a page may lead there: it has one of `LINK_SCHEMES`, or no scheme."""
    named = scheme(address)
    return not named or named in LINK_SCHEMES


@lru_cache(maxsize=1_024)
def carries_words(address: str) -> bool:
    """Return whether the address carries a user's words: encoded readable text, a sentence, or a parameter named for
    loot.

    Identifiers, signatures, searches and trackers are not readable when decoded, or not hidden: they pass.
    """
    bare = plain(address)
    try:
        parts = urlsplit(bare)
    except ValueError:
        return False
    for name, value in _pairs(f"{parts.query}&{parts.fragment}"):
        if name in _LOOT and len(value) > len("false"):
            return True
        if name in _CARRIERS and (value.startswith(('{"', '[{"')) or _MAIL.search(value) or _is_sentence(value)):
            return True
        if _hides_text(value):
            return True
    labels = parts.netloc.rpartition("@")[2].split(".")
    return any(map(_hides_text, [*parts.path.split("/"), *labels]))


def has_room_for_words(address: str) -> bool:
    """Return whether an image address has room for a user's words: more than sizes and versions."""
    query = plain(address).partition("?")[2]
    return carries_words(address) or any(
        name in _CARRIERS and name != "v" and value.strip("0123456789.") for name, value in _pairs(query)
    )


def problem_in_sight(address: str) -> str | None:
    """Return the kind of problem with an address that is written out, not linked: hidden words, or a false host.

    A password in it is a secret, and not judged here.
    """
    user, sign, _ = (host(address) or "").rpartition("@")
    if sign and ":" not in user and "." in user:
        return "markup.link.credentials"
    parts = _SEPARATORS.split(plain(address))
    return "markup.link.exfiltration" if any(_hides_text(unquote(part)) for part in parts[1:]) else None


def _pairs(query: str) -> Iterator[tuple[str, str]]:
    for pair in query.split("&")[:64]:
        name, sign, value = pair.partition("=")
        yield (unquote(name).lower(), unquote_plus(value)) if sign else ("", unquote_plus(name))


def _is_sentence(value: str) -> bool:
    return len(value.split()) >= WORDS


def _hides_text(value: str) -> bool:
    """Return whether base64 or hex digits decode to readable text."""
    if _HEX.fullmatch(value):
        raw = bytes.fromhex(value)
    elif _BASE64.fullmatch(value):
        body = value.rstrip("=").replace("-", "+").replace("_", "/")
        try:
            raw = b64decode(body[: len(body) // 4 * 4])
        except binascii.Error:
            return False
    else:
        return False
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return False
    letters = sum(letter.isalpha() or letter == " " for letter in text)
    return bool(_READABLE.fullmatch(text)) and letters >= READABLE_LETTERS * len(text)


@frozen
class Addresses:
    """Judges addresses: `links` and `images` are the hosts that may receive data."""

    links: frozenset[str] = frozenset()
    images: frozenset[str] = frozenset()

    def link_problem(self, address: str, label: str = "") -> str | None:
        """Return the kind of problem with a link of this address that shows `label`; None if there is none."""
        if _HARMLESS.fullmatch(address):
            return None
        named = scheme(address)
        if named in SCRIPTING:
            return None if _DOES_NOTHING.fullmatch(plain(address)) else "markup.link.script"
        if named == "data":
            return "markup.link.data"
        if named in _OUTLANDISH:
            return "markup.link.scheme"
        if _BREAKOUT.search(address):
            return "markup.link.breakout"
        at = host(address)
        if not at or (at in self.links and _host(_as_browser_reads(address)) == at):
            return None
        if "@" in at:
            return "markup.link.credentials"
        if label and _misleads(label, at):
            return "markup.link.deceptive"
        return "markup.link.exfiltration" if carries_words(address) else None

    def page_link_problem(self, address: str, label: str = "") -> str | None:
        """Return the kind of problem with a link in a page, where only `LINK_SCHEMES` are allowed; None if there is
        none.
        """
        return self.link_problem(address, label) or (None if has_link_scheme(address) else "markup.link.scheme")

    def image_problem(self, address: str) -> str | None:
        """Return the kind of problem with an image of this address; None if it may be shown."""
        if _HARMLESS.fullmatch(address) or is_inline_image(address):
            return None
        named = scheme(address)
        if named in SCRIPTING:
            return "markup.image.script"
        if named == "data":
            return "markup.image.data"
        if _BREAKOUT.search(address):
            return "markup.link.breakout"
        return None if self.may_show(address) else "markup.image.host"

    def may_show(self, address: str) -> bool:
        """Return whether an image of this address may be fetched: inline, of the page's own origin, or of an allowed
        host.

        Half an address (`https:host`) means different things to different readers, and is never shown.
        """
        # Decoded and as written: an escape for one reader is a slash for another.
        return all(map(self._shown, {plain(address), _as_browser_reads(address)}))

    def _shown(self, bare: str) -> bool:
        if _INLINE_IMAGE.fullmatch(bare):
            return True
        named = scheme(bare)
        if named:
            return named in ("http", "https") and bare[len(named) :].startswith("://") and self._knows(_host(bare))
        return self._knows(_host(bare)) if bare.startswith("//") else True

    def _knows(self, at: str | None) -> bool:
        return bool(at) and at in self.images


_LABEL_HOST: Final = Late(r"(?:https?://|www\.)([^/\s?#:]+)", re.IGNORECASE)


def _misleads(label: str, at: str) -> bool:
    """Return whether the words of a link are themselves an address, of a domain unrelated to `at`."""
    shown = _LABEL_HOST.match(unescape(label).strip(" *_`"))
    if not shown or "." not in shown[1]:
        return False
    return _domain(shown[1].rpartition("@")[2].lower()) != _domain(at)


def _domain(name: str) -> tuple[str, ...]:
    return tuple(name.rpartition("@")[2].partition(":")[0].rstrip(".").split(".")[-2:])
