"""Markup for a page: nh3 (ammonia) rebuilds it from a short list of tags; what is not on the list does not exist.

A parser does the cleaning. The account of what was removed comes from a plain scan of the source beside it, and is
only an account: nothing is let through because the scan did not see it.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

import nh3

from sanitization.findings import Category, Finding, Hit, Scrubbed
from sanitization.policy import Policy

# fmt: off
TAGS: Final = frozenset((
    "a", "abbr", "b", "blockquote", "br", "caption", "cite", "code", "del", "dd", "div", "dl", "dt", "em", "h1",
    "h2", "h3", "h4", "h5", "h6", "hr", "i", "img", "ins", "kbd", "li", "mark", "ol", "p", "pre", "q", "s",
    "samp", "small", "span", "strong", "sub", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "u",
    "ul", "var",
))
# fmt: on
ATTRIBUTES: Final[Mapping[str, frozenset[str]]] = {
    "a": frozenset({"href", "title"}),
    "abbr": frozenset({"title"}),
    "img": frozenset({"src", "alt", "title", "width", "height"}),
    "ol": frozenset({"start"}),
    "td": frozenset({"colspan", "rowspan"}),
    "th": frozenset({"colspan", "rowspan", "scope"}),
}
LINK_SCHEMES: Final = frozenset({"http", "https", "mailto"})
LINK_REL: Final = "noopener noreferrer nofollow"

# Alignment is the one style that tables of an answer need; it becomes an attribute with two or three values.
_ALIGNMENTS: Final = {"align": {"left", "center", "right"}}
# The parser of a browser drops these inside an address, wherever they stand (WHATWG URL, 4.4).
_DROPPED: Final = re.compile(r"[\t\n\r]")
_SCHEME_OF: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_INLINE_IMAGE: Final = re.compile(r"data:image/(?:png|jpeg|gif|webp|avif);base64,[A-Za-z0-9+/=\s]*", re.IGNORECASE)

_TAG_AT: Final = re.compile(r"</?([A-Za-z][^\s/>]{0,40})([^<>]{0,4096})>?")
_HANDLER: Final = re.compile(r"(?:^|[\s/\"'])(on[a-z]{3,24}[\s]{0,4}=)", re.IGNORECASE)
_SCHEME: Final = re.compile(r"(?:java|vb|live)script\s*:|data:text/html", re.IGNORECASE)
_SOURCE: Final = re.compile(r"\bsrc\s{0,4}=\s{0,4}[\"']?([^\s\"'>]{1,2048})", re.IGNORECASE)


class Markup:
    """Cleans markup by a policy."""

    name = "markup"

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._cleaner = nh3.Cleaner(
            tags=set(TAGS),
            clean_content_tags={"script", "style", "template", "noscript", "iframe", "object", "svg", "math", "title"},
            attributes={tag: set(names) for tag, names in ATTRIBUTES.items()},
            attribute_filter=self._attribute,
            tag_attribute_values={"td": _ALIGNMENTS, "th": _ALIGNMENTS},
            set_tag_attribute_values={"a": {"target": "_blank"}},
            link_rel=LINK_REL,
            url_schemes={*LINK_SCHEMES, "data"},
            allowed_classes={tag: set(names) for tag, names in policy.classes.items()} or None,
            strip_comments=True,
        )

    def clean(self, html: str) -> Scrubbed:
        """The markup with only what is on the list, and findings for what the scan saw that is not."""
        found = [
            Finding(hit.kind, Category.MARKUP, hit.start, hit.end, hit.score, hit.replacement, self.name)
            for hit in self.find(html)
        ]
        bound = self._policy.max_findings
        return Scrubbed(self._cleaner.clean(html), tuple(found[:bound]), max(0, len(found) - bound))

    def find(self, html: str) -> Iterator[Hit]:
        """Elements, handlers, addresses and images that do not pass, as far as they can be told from the source."""
        for tag in _TAG_AT.finditer(html):
            name, rest, at = tag[1].lower(), tag[2], tag.start(2)
            if name not in TAGS:
                yield Hit(tag.start(), tag.end(), "markup.element", 0.9, "", tag.start())
                continue
            for handler in _HANDLER.finditer(rest):
                yield Hit(at + handler.start(1), at + handler.end(1), "markup.handler", 1.0, "", tag.start())
            for scheme in _SCHEME.finditer(rest):
                yield Hit(at + scheme.start(), at + scheme.end(), "markup.scheme", 1.0, "", tag.start())
            source = _SOURCE.search(rest) if name == "img" else None
            if source and not self.shows(source[1]):
                yield Hit(at + source.start(1), at + source.end(1), "markup.image", 1.0, "", tag.start())

    def shows(self, address: str) -> bool:
        """Whether an image of this address may be shown: inline, of the page's own origin, or of a named host."""
        plain = _DROPPED.sub("", address).strip("".join(map(chr, range(0x21)))).replace("\\", "/")
        if _INLINE_IMAGE.fullmatch(plain):
            return True
        try:
            parts = urlsplit(plain)
            host = parts.netloc.lower()
        except ValueError:
            return False
        if parts.scheme:
            return (
                parts.scheme in ("http", "https")
                and plain[len(parts.scheme) + 1 :].startswith("//")
                and self._knows(host)
            )
        return self._knows(host) if plain.startswith("//") else True

    def _knows(self, host: str) -> bool:
        return bool(host) and host in self._policy.image_hosts

    def _attribute(self, tag: str, name: str, value: str) -> str | None:
        if tag == "img" and name == "src":
            return value if self.shows(value) else None
        if name == "href" and not _leads(value):
            return None
        return value


def _leads(address: str) -> bool:
    """Whether a link may lead there: nowhere, or by one of the schemes, in whatever spaces the scheme is dressed."""
    scheme = _SCHEME_OF.match("".join(letter for letter in address if letter.isprintable() and not letter.isspace()))
    return scheme is None or scheme[1].lower() in LINK_SCHEMES
