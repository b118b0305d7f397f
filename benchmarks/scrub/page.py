"""What a page shows of a text, judged by a browser and by a reader."""

from __future__ import annotations

import html
from collections.abc import Sequence
from html.parser import HTMLParser
from typing import Final

import nh3
from markdown_it import MarkdownIt

from benchmarks.inert import inert
from sanitization import STANDARD, Sanitizer
from understudy.chat.answer.markdown import Renderer

SANITIZER: Final = Sanitizer(STANDARD)
RENDERER: Final = Renderer(STANDARD)
# The same Markdown as the product's, without anything that cleans.
PLAIN: Final = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
UNSEEN: Final = {"script", "style", "title", "template"}


def pages(text: str) -> tuple[str, str]:
    """A text as a page has it: taken as HTML, and as a message in Markdown."""
    return SANITIZER.sanitize_html(text).text, RENDERER.render(SANITIZER.sanitize(text).text)


def inert_pages(texts: Sequence[str]) -> list[bool]:
    """Of each text whether a browser finds nothing in it that runs, leads elsewhere or calls another host."""
    made = [pages(text) for text in texts]
    # Without a single tag a page is text; and the same page does the same.
    chosen = sorted({page for both in made for page in both if "<" in page})
    active = {page for page, done in zip(chosen, inert(chosen), strict=True) if done}
    return [active.isdisjoint(both) for both in made]


def same_to_a_reader(text: str) -> bool:
    """Whether text mode leaves it alone, and either page has all there is to read.

    Taken as HTML that is what a parser sees beside the tags, or the text as it stands where tags are only meant to be
    read (`List<int>`); taken as a message, what the same Markdown shows when nothing is cleaned.
    """
    as_html, as_message = pages(text)
    shown = words(as_html)
    return (
        SANITIZER.sanitize(text).text == text
        and shown in (words(text), _beside_tags(text), _split(text))
        and words(as_message) == words(PLAIN.render(text))
    )


def words(markup: str) -> list[str]:
    """What there is to read."""
    return _split(nh3.clean(markup, tags=set(), clean_content_tags=UNSEEN))


def _split(text: str) -> list[str]:
    return html.unescape(text).split()


class _Beside(HTMLParser):
    """Collects the text beside tags; unlike nh3 also that of drawings."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self._unseen = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """What a script or a style holds is not read."""
        self._unseen = tag if tag in UNSEEN else self._unseen

    def handle_endtag(self, tag: str) -> None:
        """Text again."""
        self._unseen = "" if tag == self._unseen else self._unseen

    def handle_data(self, data: str) -> None:
        """A piece of text."""
        if not self._unseen:
            self.seen.append(data)


def _beside_tags(markup: str) -> list[str]:
    parser = _Beside()
    parser.feed(markup)
    parser.close()
    return "".join(parser.seen).split()
