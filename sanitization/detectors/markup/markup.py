"""Markup for a page: nh3 (ammonia) rebuilds it from a short list of tags; anything else is dropped.

A parser does the cleaning, after `html_cleaner` has read its input: so text that only looks like a tag is not parsed as
one, and nothing reaches the parser that costs it more than linear time. The parser decides on every element, attribute
and address, whatever `html_cleaner` may have missed.
"""

from typing import Final

import nh3

from sanitization.findings import Category, Finding, Sanitized, kinds_of
from sanitization.late import Late
from sanitization.policy import Policy

from .html_cleaner import ALIGNMENTS, ATTRIBUTES, TAGS, CleanedPage
from .urls import LINK_SCHEMES, Addresses, has_link_scheme

LINK_REL: Final = "noopener noreferrer nofollow"

_ALIGNED: Final = {"align": set(ALIGNMENTS)}
SURROGATE: Final = Late("[\ud800-\udfff]")
"""Half a character of UTF-16, which the parser refuses."""

KINDS: Final = kinds_of(
    "markup",
    """
html.script | An element that runs. | <script>run()</script>
html.handler | An attribute that runs when something happens. | <p onclick=run()>text</p>
html.style | A style sheet, its own or a foreign one. | <style>p { color: red }</style>
html.frame | Another document or program within the page. | <iframe src=/x></iframe>
html.form | A form or a part of one: it could ask in the page's name. | <form action=/x></form>
html.drawing | SVG or MathML, which bring scripts and rules of their own. | <svg></svg>
html.document | An element that acts on the whole page: its base, its refresh. | <base href=//x.example>
html.media | Film, sound and pictures from elsewhere. | <video src=//x.example/v></video>
html.element | Any other element that is not on the list. | <marquee>text</marquee>
css | A style that fetches, moves over the page, or runs. | <p style="position:fixed">text</p>
link.script | A link that runs a script. | <a href=javascript:run()>here</a>
link.data | A link to a document that its address contains. | <a href=data:text/html,hello>here</a>
link.scheme | A link with a scheme other than those of the web and of mail. | <a href=tel:112>here</a>
link.breakout | An address that would become a handler. | <a href='x"onclick="run()'>here</a>
link.credentials | A name before the host. | <a href=https://bank.example@x.example/>here</a>
link.deceptive | Words that name another host. | <a href=//x.example/>https://bank.test/</a>
link.exfiltration | A link that carries words of the conversation. | <a href=//x.example/?leak=the+talk>here</a>
image.host | An image from a host that is not allowed. | <img src=https://x.example/c.png>
image.script | An image that is a script. | <img src=javascript:run()>
image.data | An inline image that is a document. | <img src=data:image/svg+xml,hello>
""",
)


class Markup:
    """Cleans markup by a policy."""

    name = "markup"
    kinds = KINDS

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        listed = ATTRIBUTES
        self._addresses = Addresses(policy.link_hosts, policy.image_hosts)
        self.parser = nh3.Cleaner(
            tags=set(TAGS),
            clean_content_tags={"script", "style", "template", "noscript", "iframe", "object", "title"},
            attributes={tag: set(names) for tag, names in listed.items()},
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
        findings = [
            Finding(hit.kind, Category.MARKUP, hit.start, hit.end, hit.score, "", self.name)
            for hit in page.hits[:bound]
        ]
        return Sanitized(self.parser.clean(page.html), tuple(findings), max(0, len(page.hits) - bound))

    def _attribute(self, tag: str, name: str, value: str) -> str | None:
        if tag == "img" and name == "src":
            return value if self._addresses.may_show(value) else None
        if name == "href" and (not has_link_scheme(value) or self._addresses.link_problem(value)):
            return None
        return value
