"""Markup for a page: nh3 (ammonia) rebuilds it from a short list of tags; anything else is dropped.

A parser does the cleaning, after `html_cleaner` has read its input: so text that only looks like a tag is not parsed as
one, and nothing reaches the parser that costs it more than linear time. The parser decides on every element, attribute
and address, whatever `html_cleaner` may have missed.
"""

import re
from typing import Final

import nh3

from sanitization.findings import Category, Finding, Kind, Sanitized
from sanitization.policy import Policy

from .html_cleaner import ALIGNMENTS, ATTRIBUTES, OTHER, TAGS, CleanedPage
from .urls import LINK_SCHEMES, Addresses, leads

LINK_REL: Final = "noopener noreferrer nofollow"

_ALIGNED: Final = {"align": set(ALIGNMENTS)}
SURROGATE: Final = re.compile("[\ud800-\udfff]")
"""Half a character of UTF-16, which the parser refuses."""

KINDS: Final = (
    Kind("markup.html.script", "An element that runs.", "<script>run()</script>"),
    Kind("markup.html.handler", "An attribute that runs when something happens.", "<p onclick=run()>text</p>"),
    Kind("markup.html.style", "A style sheet, its own or a foreign one.", "<style>p { color: red }</style>"),
    Kind("markup.html.frame", "Another document or program within the page.", "<iframe src=/x></iframe>"),
    Kind("markup.html.form", "A form or a part of one: it could ask in the page's name.", "<form action=/x></form>"),
    Kind("markup.html.drawing", "SVG or MathML, which bring scripts and rules of their own.", "<svg></svg>"),
    Kind("markup.html.document", "What speaks for the whole page: its base, its refresh.", "<base href=//x.example>"),
    Kind("markup.html.media", "Film, sound and pictures from elsewhere.", "<video src=//x.example/v></video>"),
    Kind(OTHER, "Any other element that is not on the list.", "<marquee>text</marquee>"),
    Kind("markup.css", "A style that fetches, moves over the page, or runs.", '<p style="position:fixed">text</p>'),
    Kind("markup.link.script", "A link that runs a script.", "<a href=javascript:run()>here</a>"),
    Kind("markup.link.data", "A link to a document that it brings along.", "<a href=data:text/html,hello>here</a>"),
    Kind("markup.link.scheme", "A link that is none of the web's or of mail.", "<a href=tel:112>here</a>"),
    Kind("markup.link.breakout", "An address that would become a handler.", "<a href='x\"onclick=\"run()'>here</a>"),
    Kind("markup.link.credentials", "A name before the host.", "<a href=https://bank.example@x.example/>here</a>"),
    Kind("markup.link.deceptive", "Words that name another host.", "<a href=//x.example/>https://bank.test/</a>"),
    Kind("markup.link.exfiltration", "A link that takes words along.", "<a href=//x.example/?leak=the+talk>here</a>"),
    Kind("markup.image.host", "An image of a host that may not know.", "<img src=https://x.example/c.png>"),
    Kind("markup.image.script", "An image that is a script.", "<img src=javascript:run()>"),
    Kind("markup.image.data", "An inline image that is a document.", "<img src=data:image/svg+xml,hello>"),
)


class Markup:
    """Cleans markup by a policy. The `parser` alone also restricts output of `clean` that may have been changed."""

    name = "markup"
    kinds = KINDS

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._addresses = Addresses(policy.link_hosts, policy.image_hosts)
        self.parser = nh3.Cleaner(
            tags=set(TAGS),
            clean_content_tags={"script", "style", "template", "noscript", "iframe", "object", "title"},
            attributes={tag: set(names) for tag, names in ATTRIBUTES.items()},
            attribute_filter=self._attribute,
            tag_attribute_values={"td": _ALIGNED, "th": _ALIGNED},
            set_tag_attribute_values={"a": {"target": "_blank"}},
            link_rel=LINK_REL,
            url_schemes={*LINK_SCHEMES, "data"},
            allowed_classes={tag: set(names) for tag, names in policy.classes.items()} or None,
            strip_comments=True,
        )

    def clean(self, html: str) -> Sanitized:
        """Return the markup reduced to listed tags and attributes, and findings for the removed ones."""
        page = CleanedPage(SURROGATE.sub("\ufffd", html), self._addresses, self._policy.classes)
        bound = self._policy.max_findings
        found = [
            Finding(hit.kind, Category.MARKUP, hit.start, hit.end, hit.score, "", self.name)
            for hit in page.hits[:bound]
        ]
        return Sanitized(self.parser.clean(page.html), tuple(found), max(0, len(page.hits) - bound))

    def _attribute(self, tag: str, name: str, value: str) -> str | None:
        if tag == "img" and name == "src":
            return value if self._addresses.shows(value) else None
        if name == "href" and (not leads(value) or self._addresses.link(value)):
            return None
        return value
