"""Links, images and tags in running text that run something, or disclose the conversation to a foreign host.

Text mode: the output is text again, for a reader, a model or a renderer of Markdown. Nothing is escaped; only active
parts are changed, and the words stay: of `![a chart](https://…)` and of `[here](javascript:…)` the label. An image is a
request by itself, so every host that is not in the policy's `image_hosts` is refused. A link needs a click, and passes
unless it runs, hides its host, or carries a user's words to a host that is not in `link_hosts`.

Code is treated like any other text, because a piece of a stream does not show what a renderer takes for code. HTML is
the exception: it is displayed, not executed, wherever this text goes, and people quote it in code (see `html_in_text`).
Images and links are two finds each, before and behind the label, so that other detectors read the label.
"""

import re
from collections.abc import Collection, Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from sanitization.findings import Category, Hit, kinds_of
from sanitization.late import Late
from sanitization.policy import Policy
from sanitization.prefilter import Prefilter

from . import html_in_text, markdown
from .html_in_text import snippet
from .markdown import ADDRESS_MAX, BEHIND, Label, Target
from .urls import Addresses, carries_words, is_harmless, is_inline_image, problem_in_sight

GONE: Final = "{link removed}"
"""Replaces an address without a label. No brackets: together with the text around it they could form a link."""
DEFINED_WITHIN: Final = 300
"""Characters after an image that are searched for the definition it refers to."""
REACH: Final = 2 * markdown.LABEL_MAX + ADDRESS_MAX + DEFINED_WITHIN

_IN_ADDRESS: Final = r"[!#-&*-;=?-Z^_a-z~]"  # printable ASCII without quotes, brackets, bars and backslashes
_IDLE: Final = rf"\([^:&%\\\"'`<>/]{{{ADDRESS_MAX}}}"  # up to the read limit, and no address but a harmless one
_ANCHORS: Final = {
    # Most brackets hold an index, a number or a note, or other brackets, or are followed by a harmless address: skip
    # them.
    "bracket": rf"\[(?![^\[\]\\\n]{{0,99}}\[[^\[\]\\\n]{{0,99}}\[)(?![^\[\]\\\n]{{0,99}}\]{_IDLE})"
    r"(?:(?<!!\[)(?![^\[\]\\\n]{0,99}\][^(:])"
    r"|(?<=!\[)(?![^\[\]\\\n]{0,99}\](?:[^(\[:]|\[[^\[\]\n]{0,99}[\[\n])))",
    "close": rf"\](?=[(\[])(?!\[[^\[\]\n]{{0,99}}[\[\n])(?!\([^:&%\\\"'`<>/()\n]{{0,99}}\))(?!{_IDLE})",
    "angle": r"<(?=[A-Za-z][A-Za-z0-9+.-]{1,31}:)",
    "tag": html_in_text.ANCHOR,
    "address": rf"h(?<!{_IN_ADDRESS}h)ttps?(?=://)",
    "style": r"u(?i:rl)(?=\()|U(?i:rl)(?=\()",
}
"""By prefilter. Each begins with a literal letter, so that `re` skips quickly to the next candidate."""
_AUTOLINK: Final = Late(rf"<([A-Za-z][A-Za-z0-9+.-]{{1,31}}:[^\s<>]{{0,{ADDRESS_MAX}}})>?")
_ADDRESS: Final = Late(rf"https?://{_IN_ADDRESS}{{1,{ADDRESS_MAX}}}")
_HOST: Final = Late(r"https?://[^/?#\s]{1,255}")
_STYLE: Final = Late(rf"url\([ \t]{{0,4}}[\"']?([^\s\"'()]{{0,{ADDRESS_MAX}}})", re.IGNORECASE)
_PICTURE: Final = Late(r"[^?#]*\.(?:png|jpe?g|gif|webp|svg|bmp|ico|avif|tiff?)(?:[?#]|\Z)", re.IGNORECASE)
_OPAQUE: Final = r"[:/?&#=.](?:[A-Za-z0-9+_%-]{14}|//[A-Za-z0-9_%+.~-]{1,64}@)"
_HIDING: Final = Late(_OPAQUE)

# For the prefilter: the beginning of a label, with brackets in it but no blank line.
_PLAIN: Final = r"(?:[^\[\]\\\n]|\\.)"
_LABEL: Final = rf"\[(?:\n?(?:{_PLAIN}|\[(?:\n?{_PLAIN})*\n?\]))*\n?"
_OPENED: Final = (
    # A label before an address, a reference or the end of the text; an open label; the label of a definition.
    rf"{_LABEL}(?:\](?:[(\[]|$)|\\?$)|(?:^|\n)[ \t>*+\-0-9.)]*{_LABEL}\]:"
)

KINDS: Final = kinds_of(
    "markup",
    """
link.script | A link that runs a script. | [here](javascript:run())
link.data | A link to a document that its address contains. | [here](data:text/html,hello)
link.scheme | A link into the reader's own machine or browser. | [here](file:///etc/hosts)
link.breakout | An address that would become a handler. | [here](x"onclick="run())
link.credentials | A name before the host. | [here](https://bank.example@other.example/)
link.deceptive | Words that name another host. | [https://bank.example](https://other.example/)
link.exfiltration | A link that carries words of the conversation. | [here](https://x.example/?leak=the+talk)
image.host | An image from a host that is not allowed. | ![chart](https://other.example/c.png)
image.script | An image that is a script. | ![chart](javascript:run())
image.data | An inline image that is a document. | ![chart](data:image/svg+xml,hello)
image.reference | An image whose address is defined elsewhere. | ![chart][1]
html.handler | A handler that runs without user action. | <img src=x onerror=alert(1)>
html.script | A script that reads data and sends it. | <script>fetch('/?'+document.cookie)</script>
css | A style whose address runs a script or carries data. | a { background: url(javascript:run()) }
""",
)


class _Reading(NamedTuple):
    """The result of reading at an anchor: a find or None, and the edge up to which text was read."""

    hit: Hit | None
    edge: int


class Links:
    """Finds `markup.link.*`, `markup.image.*`, `markup.html.*` and `markup.css` in text."""

    name = "links"
    category = Category.MARKUP
    kinds = KINDS
    prefilters = (
        ("bracket", Prefilter(literals=("[",), pattern=_OPENED)),
        ("close", Prefilter(literals=("](", "]["))),
        ("angle", Prefilter(literals=("<",), pattern=r"<[A-Za-z][A-Za-z0-9+.-]{1,31}:")),
        ("tag", Prefilter(literals=("<",), pattern=f"(?i:{html_in_text.OPENING})")),
        ("address", Prefilter(literals=("://",), pattern=_OPAQUE)),
        ("style", Prefilter(literals=("url(",), ignore_case=True)),
    )
    context = BEHIND + markdown.LABEL_MAX
    reach = REACH

    def __init__(self, addresses: Addresses | None = None) -> None:
        self._addresses = addresses or Addresses()

    def of(self, policy: Policy) -> "Links":
        """Return the detector with the hosts of a policy."""
        return _knowing(policy.link_hosts, policy.image_hosts)

    def find(self, text: str, start: int = 0, active: Collection[str] = ()) -> Iterator[Hit]:
        """Yield the brackets and addresses to remove, and tags as a whole."""
        anchors, position = _anchors(frozenset(active)), start
        while anchor := anchors.search(text, position):
            hit = self._read(text, anchor.start()).hit
            if hit and hit.anchor >= start:
                yield hit
                position = hit.end
            else:
                position = anchor.start() + 1

    def settled(self, text: str, start: int = 0, active: Collection[str] = ()) -> int:
        """Return where the first construct begins whose end has not been seen."""
        for anchor in _anchors(frozenset(active)).finditer(text, max(start, len(text) - REACH)):
            place = anchor.start()
            if self._read(text, place).edge > len(text):
                return max(start, place - (text[place - 1 : place] == "!"))
        return len(text)

    def _read(self, text: str, place: int) -> _Reading:
        match text[place]:
            case "[":
                return self._opening(text, place)
            case "]":
                return self._closing(text, place)
            case "<":
                return self._angle(text, place)
            case "h":
                return _standing(text, place, self._addresses)
            case _:
                return self._style(text, place)

    def _opening(self, text: str, place: int) -> _Reading:
        """Read the bracket before a label: it is removed together with the part behind the label."""
        if markdown.is_escaped(text, place):
            return _Reading(None, place + 1)
        end, edge = markdown.label_end(text, place)
        if end < 0:
            return _Reading(None, edge)
        label = Label(place + 1, end, text[max(0, place - 1) : place] == "!")
        after = text[end + 1 : end + 2]
        if after == ":" and not label.image:
            return self._definition(text, label)
        kind, target = self._target(text, label)
        if kind is None:
            return _Reading(None, max(end + 2, target.edge if target else 0))
        begin = place - label.image
        left = _apart(text, place + 1)
        return _Reading(Hit(begin, place + 1, kind, 1.0, left, begin), target.edge if target else end + 2)

    def _closing(self, text: str, place: int) -> _Reading:
        """Read the bracket behind a label, with the address or reference after it."""
        after = text[place + 1 : place + 2]
        if after == "(":
            target: Target | None = markdown.inline(text, place)
            if target is None or is_harmless(target.address):
                return _Reading(None, target.edge if target else place + 2)
        elif after != "[" or text.find("![", max(0, place - markdown.LABEL_MAX - 2), place) < 0:
            return _Reading(None, place + 2)
        label = markdown.label_before(text, place)
        if label is None:
            if after == "[":
                return _Reading(None, place + 2)
            label = Label(place, place, markdown.may_be_image(text, place))
        kind, target = self._target(text, label)
        if target is None:
            return _Reading(None, place + 2)
        if kind is None:
            return _Reading(None, target.edge)
        hit = Hit(place, target.end, kind, 1.0, _apart(text, target.end), place)
        return _Reading(hit, max(target.edge, target.end + 1))

    def _target(self, text: str, label: Label) -> tuple[str | None, Target | None]:
        """Return the kind of problem with a label's target, and the target."""
        after = text[label.end + 1 : label.end + 2]
        if after == "(":
            target = markdown.inline(text, label.end)
            address = target.address
            if is_harmless(address):
                return None, target
            return self._addresses.image_problem(address) if label.image else self._linked(address, text, label), target
        if after == "[" and label.image:
            name = markdown.reference(text, label.end)
            if name is None:
                return None, Target("", label.end, label.end + 104)
            edge = name.end() + DEFINED_WITHIN
            shown = self._is_shown(text, name[1] or text[label.start : label.end], name.end(), edge)
            return None if shown else "markup.image.reference", Target("", name.end(), edge)
        return None, None

    def _linked(self, address: str, text: str, label: Label) -> str | None:
        return self._addresses.link_problem(address, text[label.start : label.end])

    def _is_shown(self, text: str, name: str, start: int, end: int) -> bool:
        """Return whether the definition of this name follows at once, and leads to an allowed image."""
        place = start
        for _ in range(markdown.OPENERS):
            place = text.find("]:", place, end)
            if place < 0:
                return False
            label = markdown.label_before(text, place)
            if label and label.start > start and text[label.start : label.end].casefold() == name.casefold():
                target = markdown.definition(text[:end], label)
                if target is not None:
                    return self._addresses.image_problem(target.address) is None
            place += 2
        return False

    def _definition(self, text: str, label: Label) -> _Reading:
        """Read `[label]: address`, which serves links and images alike, before and behind it."""
        target = markdown.definition(text, label)
        if target is None:
            return _Reading(None, label.end + 20)
        address, place = target.address, label.start - 1
        kind = None if is_inline_image(address) else self._addresses.link_problem(address)
        if kind is None:
            wrong = self._addresses.image_problem(address)
            shows = _PICTURE.match(address) or carries_words(address)
            if wrong and (shows or markdown.uses_as_image(text, place, text[label.start : label.end])):
                kind = wrong
        hit = Hit(place, target.end, kind, 1.0, "", place) if kind else None
        return _Reading(hit, target.edge)

    def _angle(self, text: str, place: int) -> _Reading:
        link = _AUTOLINK.match(text, place)
        if link:
            end, cut = link.end(), len(link[1]) > ADDRESS_MAX
            edge = end if text[end - 1] == ">" else end + 1
            kind = self._addresses.link_problem(link[1]) if text[end - 1] == ">" or cut else None
            return _Reading(Hit(place, end, kind, 1.0, GONE, place) if kind else None, edge)
        seen = snippet(text, place, self._addresses)
        if seen is None:
            return _Reading(None, place + 1)
        hit = Hit(place, seen.end, seen.kind, 0.9, seen.replacement, place) if seen.kind else None
        return _Reading(hit, seen.edge)

    def _style(self, text: str, place: int) -> _Reading:
        style = _STYLE.match(text, place)
        if style is None:
            return _Reading(None, place + 4)
        wrong = self._addresses.link_problem(style[1]) if style[1] else None
        runs = wrong not in (None, "markup.link.data")
        hit = Hit(style.start(1), style.end(1), "markup.css", 1.0, "", place) if runs else None
        return _Reading(hit, style.end() + 1)


def _apart(text: str, place: int) -> str:
    """Return a blank if the text before a find and the text behind it at `place` would together make a link."""
    return " " if text[place : place + 1] in ("(", "[", ":") else ""


def _standing(text: str, place: int, addresses: Addresses) -> _Reading:
    """Read an address without a label."""
    match = _ADDRESS.match(text, place)
    if match is None:
        return _Reading(None, place + 9)
    address, edge = match[0], match.end() + 1
    if len(address) >= ADDRESS_MAX:
        head = _HOST.match(text, place)
        end = head.end() if head else match.end()
    else:
        address = address.rstrip(".,;:!?*_")
        end = place + len(address)
    at = _HOST.match(address)
    listed = at is not None and at[0].rpartition("/")[2].lower() in addresses.links
    # Most addresses have no part long enough to hide a text, no name before the host, and nothing that is encoded.
    worth = not listed and ("&" in address or "@" in address or _HIDING.search(address) is not None)
    kind = problem_in_sight(address) if worth else None
    return _Reading(Hit(place, end, kind, 0.9, GONE, place) if kind else None, edge)


@lru_cache(maxsize=64)
def _anchors(active: frozenset[str]) -> re.Pattern[str]:
    """Return the pattern of places where finds may begin, for the matching prefilters, or for all if none is named."""
    names = [name for name in _ANCHORS if name in active] or list(_ANCHORS)
    return re.compile("|".join(_ANCHORS[name] for name in names))


@lru_cache(maxsize=64)
def _knowing(links: frozenset[str], images: frozenset[str]) -> Links:
    return Links(Addresses(links, images))
