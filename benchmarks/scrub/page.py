"""Pages made of a text, judged by a browser and by a reader."""

from __future__ import annotations

import html
from collections.abc import Sequence
from html.parser import HTMLParser
from typing import Final

import nh3
from markdown_it import MarkdownIt

from sanitization import STANDARD, Sanitizer
from tests.browser.inert import inert

SANITIZER: Final = Sanitizer(STANDARD)
# Markdown without cleaning.
PLAIN: Final = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
UNSEEN: Final = {"script", "style", "title", "template"}


def pages(text: str) -> tuple[str, str]:
    """Return a text as a page shows it: as HTML, and as a message in Markdown."""
    return SANITIZER.sanitize_html(text).text, SANITIZER.sanitize_html(PLAIN.render(SANITIZER.sanitize(text).text)).text


def inert_pages(texts: Sequence[str]) -> list[bool]:
    """Return for each text whether a browser finds nothing in it that runs, navigates or calls another host."""
    made = [pages(text) for text in texts]
    # A page without tags is text; equal pages are judged once.
    chosen = sorted({page for both in made for page in both if "<" in page})
    active = {page for page, done in zip(chosen, inert(chosen), strict=True) if done}
    return [active.isdisjoint(both) for both in made]


def same_to_a_reader(text: str) -> bool:
    """Return whether text mode leaves the text alone, and both pages show everything readable.

    For HTML, readable is the parsed text beside the tags, or the source if its tags are only meant to be read
    (`List<int>`); for a message, the output of the same Markdown without cleaning.
    """
    as_html, as_message = pages(text)
    shown = words(as_html)
    return (
        SANITIZER.sanitize(text).text == text
        and shown in (words(text), _beside_tags(text), _split(text))
        and words(as_message) == words(PLAIN.render(text))
    )


def words(markup: str) -> list[str]:
    """Return the readable words."""
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
        """Skip the content of scripts and styles."""
        self._unseen = tag if tag in UNSEEN else self._unseen

    def handle_endtag(self, tag: str) -> None:
        """Collect text again."""
        self._unseen = "" if tag == self._unseen else self._unseen

    def handle_data(self, data: str) -> None:
        """Collect a piece of text."""
        if not self._unseen:
            self.seen.append(data)


def _beside_tags(markup: str) -> list[str]:
    parser = _Beside()
    parser.feed(markup)
    parser.close()
    return "".join(parser.seen).split()
