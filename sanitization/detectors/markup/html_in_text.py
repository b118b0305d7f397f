"""HTML in running text that would act if the text were put into a page.

People and agents talk about markup all the time, in fences, between backticks, indented: that is left alone. Elsewhere
a tag is a find only if its purpose is evident: an address that runs, or carries a user's words; a handler that needs no
user action and calls what attacks call; a script that reads stored data and sends it.
"""

import re
from typing import Final, NamedTuple

from sanitization.late import Late

from .markdown import BEHIND
from .tags import HANDLERS, Tag, tag_at
from .urls import SCRIPTING, Addresses, carries_words, has_room_for_words, host, scheme

TAG_MAX: Final = 400
SCRIPT_MAX: Final = 400
LABEL_MAX: Final = 120

_LINKS: Final = frozenset({"a", "area"})
_FETCHING: Final = frozenset({"img", "image", "video", "audio", "source", "track", "input", "embed", "picture"})
_ADDRESSED: Final = frozenset(
    {"href", "xlink:href", "src", "action", "formaction", "poster", "background", "data", "srcset", "from", "to"}
)
_BY_ITSELF: Final = Late(
    r"on(?:error|load\w*|focus\w*|mouse(?:over|enter|move)|pointer(?:over|enter|move|rawupdate)|animation\w+"
    r"|transition\w+|toggle|beforetoggle|begin|start|page(?:show|hide)|scroll\w*|wheel|can\s?play\w*|play\w*|hashchange"
    r"|unload|beforeunload|resize|message|popstate|propertychange|readystatechange|contentvisibilityautostatechange)"
)
_CALLS: Final = Late(
    r"\b(?:alert|confirm|prompt|eval|fetch|atob|Function|import|setTimeout|sendBeacon|fromCharCode|XMLHttpRequest)"
    r"\s{0,4}[(`]|document\s{0,4}[.\[]|\blocation\b|\bcookie\b|\btop\[|\bself\[|\bwindow\[|\bnew\s{1,4}Image\b",
    re.ASCII,
)
_STEALS: Final = Late(
    r"document\.cookie|(?:local|session)Storage|sendBeacon|XMLHttpRequest|\bfetch\s{0,4}\(|\beval\s{0,4}\(|\batob\s{0,4}\("
    r"|fromCharCode|\bnew\s{1,4}Image\b|\.location\b|\blocation\s{0,4}=|\bimport\s{0,4}\("
)
_SCRIPT_END: Final = Late(r"</script[^<>]{0,20}>", re.IGNORECASE)
_FENCE: Final = Late(r"^[ >]{0,8}(?:```+|~~~+)[ \t]*([^\s`]*)", re.MULTILINE)

OPENING: Final = (
    r"<(?:a|area|img|image|video|audio|source|track|embed|iframe|frame|object|input|button|form|script|svg|body|div|p"
    r"|span|table|details|marquee|select|textarea|style|math|animate|set|use|link|meta|base|b|i|x)"
)
"""The beginning of a tag that is judged."""
# Except for a script, a tag without a value does nothing: judge a tag that has a `=`, or whose end is not known.
ANCHOR: Final = (
    f"<(?i:{OPENING[1:]})(?=[\\t\\n\\f\\r />])(?:(?<=<[sS][cC][rR][iI][pP][tT])|(?=[^<>=]{{0,{TAG_MAX}}}(?:=|\\Z)))"
)
_NAMES: Final = frozenset(re.findall(r"[a-z]+", OPENING))


class Snippet(NamedTuple):
    """The judgement of a tag: its kind, its replacement, its end; and the edge up to which text was read."""

    kind: str | None
    replacement: str
    end: int
    edge: int


def snippet(text: str, start: int, addresses: Addresses) -> Snippet | None:
    """Judge the tag at `start`; None if there is none."""
    limit = start + TAG_MAX
    tag = tag_at(text, start, limit)
    if tag is None or tag.closing or tag.name not in _NAMES:
        edge = start + 20 if len(text) - start < 20 else start + 1
        return Snippet(None, "", start, edge)
    # An open quote may still be closed; the tag then continues beyond its apparent end.
    open_quote = any(attribute.name.startswith("=") for attribute in tag.attributes(text))
    ended = tag.whole or text[tag.end : tag.end + 1] == "<"
    edge = tag.end + 1 if ended and not open_quote else limit
    # Keep some text: a `!` before it and a link behind it would otherwise be an image.
    kind, end, replacement = None, tag.end, f"<{tag.name}>"
    if tag.name == "script" and tag.whole:
        close = _SCRIPT_END.search(text, tag.end, tag.end + SCRIPT_MAX)
        edge = max(edge, close.end() if close else tag.end + SCRIPT_MAX)
        if close and _STEALS.search(text, tag.end, close.start()):
            kind, end, replacement = "markup.html.script", close.end(), "<script></script>"
    elif tag.name in _LINKS and tag.whole:
        label = text.find("<", tag.end, tag.end + LABEL_MAX)
        edge = max(edge, label + 1 if label >= 0 else tag.end + LABEL_MAX)
    kind = kind or _wrong(text, tag, addresses)
    if kind and not tag.whole and tag.end < limit:
        kind = None  # another tag begins in it, or the text ends: not a tag
    elif kind and not tag.whole:
        end, replacement = _cut(text, tag), f"<{tag.name}>"
    if kind and in_code(text, start):
        kind = None
    return Snippet(kind, replacement, end, edge)


def _wrong(text: str, tag: Tag, addresses: Addresses) -> str | None:
    for pair in tag.attributes(text):
        if pair.name in _ADDRESSED:
            kind = _leads(text, tag, pair.name, pair.value, addresses)
            if kind:
                return kind
        elif HANDLERS.fullmatch(pair.name) and _BY_ITSELF.fullmatch(pair.name) and _CALLS.search(pair.value):
            return "markup.html.handler"
    return None


def _leads(text: str, tag: Tag, name: str, value: str, addresses: Addresses) -> str | None:
    by = scheme(value)
    if by in SCRIPTING:
        return addresses.link_problem(value)
    if by == "data":
        return "markup.link.data" if re.match(r"\s*data:\s*(?:text/html|application/x)", value, re.IGNORECASE) else None
    at = host(value)
    if not at or name in ("from", "to"):
        return None
    if tag.name in _LINKS and name == "href":
        end = text.find("<", tag.end, tag.end + LABEL_MAX) if tag.whole else -1
        return addresses.link_problem(value, text[tag.end : end] if end >= 0 else "")
    if tag.name in _FETCHING and at not in addresses.images and (has_room_for_words(value) or "@" in at):
        return "markup.image.host"
    return "markup.link.exfiltration" if at not in addresses.links | addresses.images and carries_words(value) else None


def _cut(text: str, tag: Tag) -> int:
    """Return where the first address of an oversized tag has named its host."""
    match = re.compile(r"//[^/\\?#\s\"'<>]{0,255}").search(text, tag.start, tag.end)
    return match.end() if match else tag.body


def in_code(text: str, place: int) -> bool:
    """Return whether a place appears to be in code: between backticks, indented, or in a fence."""
    least = max(0, place - BEHIND)
    begin = text.rfind("\n", least, place) + 1
    line = text[max(begin, least) : place]
    if line.count("`") % 2 or line.startswith(("    ", "\t")):
        return True
    inside = False
    if text.find("```", least, begin) < 0 and text.find("~~~", least, begin) < 0:
        return False
    for fence in _FENCE.finditer(text, least, max(begin, least)):
        inside = True if fence[1] else not inside
    return inside
