"""Rewrites markup as its author meant it: tags of a short list, properly nested, and everything else as text.

An HTML parser takes anything that follows a `<` for a tag: it would swallow the `<int>` of `List<int>`, the address in
`<ada@example.org>`, and half of `if (a<b && c>d)`. So the source is read once before the parser:

- a name that HTML, SVG and MathML do not know is a tag only if its end tag is there too; else it is text;
- a tag whose `>` never comes, a comment that is never closed, and anything between backticks is text;
- an element within a line is text if it is never closed, has no attribute with a value, and either follows a letter
  directly (`a<b>c`) or has words for attributes (`a <b and c> d`); any other element is text if it does both, or looks
  like a type (`Ref<Option>`); a lone `<script>`, which would hide all that follows, is text.

The output contains only listed tags with listed attributes, quoted, each closed before its parent: a parser has nothing
to repair, and repairs cause quadratic time and mutations.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final

from sanitization.findings import Hit
from sanitization.late import Late

from .tags import ELEMENTS, FOREIGN, HANDLERS, NAME_MAX, RAW, VOID, Attribute, Tag, tag_at
from .urls import Addresses

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
ALIGNMENTS: Final = frozenset({"left", "center", "right"})
"""Alignment is the one style that tables of an answer need; it becomes an attribute with these values."""
DEPTH_MAX: Final = 100
"""Depth of nested elements; deeper elements are left out, but not their text. Blink stops at 512, Word at 64."""
LABEL_MAX: Final = 1_024
SPAN_MAX: Final = 512  # characters between two backticks

_INVISIBLE: Final = frozenset(
    {"applet", "iframe", "noembed", "noframes", "noscript", "object", "script", "style", "template", "title"}
)
"""Elements whose content is not for readers, or only for readers of other browsers."""
_KINDS: Final = {
    "script": ("script",),
    "style": ("style", "link"),
    "frame": ("iframe", "frame", "frameset", "object", "embed", "applet", "portal", "fencedframe", "layer"),
    "form": ("form", "input", "button", "select", "textarea", "keygen", "isindex", "option", "fieldset"),
    "drawing": ("svg", "math", *FOREIGN),
    "document": ("base", "meta", "title", "template", "noscript"),
    "media": ("video", "audio", "source", "track", "picture", "image", "bgsound"),
}
_KIND: Final = {name: f"markup.html.{kind}" for kind, names in _KINDS.items() for name in names}
OTHER: Final = "markup.html.element"

_ANY: Final = Late(rf"<(/?)([A-Za-z][^\t\n\f\r />]{{0,{NAME_MAX - 1}}})")
_PLACE: Final = Late(r"<(?=/?[A-Za-z]|!(?:--|\[CDATA\[|\[if|\[endif|doctype|entity|element|attlist)|\?xml)", re.I)
_COMMENT: Final = Late(r"<!--(?:-?>|[\s\S]*?--!?>)")
_SPAN: Final = Late(rf"(?<!`)(`{{1,2}})(?!`)([^`\n]{{1,{SPAN_MAX}}})\1(?!`)")
_FENCE: Final = Late(r"^ {0,3}```[^\n`]*\n", re.MULTILINE)
_STYLED: Final = Late(r"url\s{0,4}\(|expression|@import|behaviou?r|binding|position\s{0,4}:|image-set", re.I)

_PARAGRAPH_ENDS: Final = frozenset(
    {"blockquote", "div", "dl", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "ol", "p", "pre", "table", "ul"}
)
_HEADINGS: Final = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_SECTIONS: Final = frozenset({"thead", "tbody", "tfoot"})
_ROWS: Final = frozenset({"table", "tr"}) | _SECTIONS  # elements that contain cells and no text
_PARENTS: Final = {
    "caption": frozenset({"table"}),
    **dict.fromkeys(_SECTIONS, frozenset({"table"})),
    "tr": _SECTIONS | {"table"},
    "td": _ROWS,
    "th": _ROWS,
}
_WALLS: Final = frozenset({"table", "td", "th", "caption"})  # an end tag inside does not close an element outside
_CLOSES: Final = {
    **dict.fromkeys(_PARAGRAPH_ENDS, (frozenset({"p"}), _WALLS)),
    "li": (frozenset({"li"}), _WALLS | {"ul", "ol"}),
    "dt": (frozenset({"dt", "dd"}), _WALLS | {"dl"}),
    "dd": (frozenset({"dt", "dd"}), _WALLS | {"dl"}),
    "a": (frozenset({"a"}), _WALLS),
}
_PHRASES: Final = frozenset(
    {"a", "abbr", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font", "i", "ins", "kbd",
     "map", "mark", "nobr", "q", "s", "samp", "slot", "small", "span", "strike", "strong", "sub", "sup", "time", "tt",
     "u", "var"}
)  # fmt: skip
"""Elements that authors of HTML always close, and whose names are common in other texts."""


class CleanedPage:
    """One reading of one source: `html` is the output, `hits` the omissions."""

    def __init__(self, source: str, addresses: Addresses, classes: Collection[str] = ()) -> None:
        self.hits: list[Hit] = []
        self._source = source
        self._addresses = addresses
        self._classes = classes
        self._out: list[str] = []
        self._open: list[str] = []
        self._count: Counter[str] = Counter()
        self._left_out: Counter[str] = Counter()  # start tags whose end tags are to be left out too
        self._first: dict[str, int] = {}  # where the first start tag of a name stands
        self._last: dict[str, int] = {}  # and its last end tag
        self._last_end = source.rfind(">")
        self._last_comment = source.rfind("-->")
        self._patience = 2 * len(source) + 4_096  # budget of characters for tags whose `>` never comes
        self._ends: dict[str, re.Pattern[str]] = {}
        self.html = self._rebuilt() if "<" in source else source

    def _rebuilt(self) -> str:
        source, at = self._source, 0
        for match in _ANY.finditer(source):
            (self._last.__setitem__ if match[1] else self._first.setdefault)(match[2].lower(), match.start())
        quoted = _quoted(source) if "`" in source else iter(())
        span = next(quoted, None)
        while place := _PLACE.search(source, at):
            start = place.start()
            while span and span[1] <= start:
                span = next(quoted, None)
            if span and span[0] <= start:
                self._text(at, span[1])
                at = span[1]
                continue
            self._text(at, start)
            at = self._beyond(start)
        self._text(at, len(source))
        return "".join(self._out)

    def _text(self, start: int, end: int) -> None:
        if start < end:
            self._out.append(self._source[start:end].replace("<", "&lt;"))

    def _beyond(self, start: int) -> int:
        """Handle the text at a `<` and return where it ends."""
        source = self._source
        if source.startswith(("<!", "<?"), start):
            if source.startswith("<!--", start):
                comment = _COMMENT.match(source, start) if start < self._last_comment else None
                end = comment.end() if comment else 0
            else:
                end = source.find(">", start) + 1 if start < self._last_end else 0
            return end or self._as_text(start)
        tag = tag_at(source, start) if self._patience > 0 else None
        if tag is None or not tag.whole:
            self._patience -= tag.end - start if tag else 0
            return self._as_text(start)
        if not self._is_markup(tag):
            return self._as_text(start)
        if tag.name in TAGS or (tag.closing and tag.name == "br"):
            (self._end if tag.closing else self._start)(tag)
            return tag.end
        return tag.end if tag.closing else self._without(tag)

    def _as_text(self, start: int) -> int:
        self._out.append("&lt;")
        return start + 1

    def _is_markup(self, tag: Tag) -> bool:
        name, source = tag.name, self._source
        if tag.closing:
            return name in ELEMENTS or name in FOREIGN or self._first.get(name, tag.start) < tag.start
        if self._last.get(name, -1) > tag.start:
            return True
        body = source[tag.body : tag.end - 1]
        if name not in ELEMENTS:
            return name in FOREIGN and ("=" in body or body.endswith("/"))
        if "=" in body or name in VOID:
            return True
        words = bool(body.strip("\t\n\f\r /"))
        if name in RAW:
            return words
        behind = source[tag.start - 1 : tag.start]
        after_name = behind.isalnum() or behind in ("_", ")", "]")
        if name in _PHRASES:
            return not (words or after_name)
        return not (after_name and (words or source[tag.start + 1 : tag.start + 3].istitle()))

    def _without(self, tag: Tag) -> int:
        """Leave an element out: its tag alone, or all of it if its content is not for readers."""
        name, source, end = tag.name, self._source, tag.end
        if (name in _INVISIBLE or name in RAW) and self._last.get(name, -1) >= end:
            closing = self._end_of(name).search(source, end)
            if closing is not None:
                if name not in _INVISIBLE:
                    self._text(end, closing.start())
                end = closing.end()
        self._hit(tag.start, tag.end if name not in _INVISIBLE else end, _KIND.get(name, OTHER))
        for attribute in tag.attributes(source):
            if HANDLERS.fullmatch(attribute.name):
                self._hit(attribute.start, attribute.end, "markup.html.handler")
        return end

    def _end_of(self, name: str) -> re.Pattern[str]:
        if name not in self._ends:
            self._ends[name] = re.compile(rf"</{re.escape(name)}(?=[\t\n\f\r />]|\Z)[^>]*>?", re.IGNORECASE)
        return self._ends[name]

    def _start(self, tag: Tag) -> None:
        name = tag.name
        attributes = "".join(self._attributes(tag))
        if name in VOID:
            if name == "hr":
                self._implied(name)
            self._out.append(f"<{name}{attributes}>")
            return
        if name in _PARENTS:
            if not self._count["table"]:
                self._left_out[name] += 1
                return
            while self._open[-1] not in _PARENTS[name]:
                self._pop()
        else:
            self._implied(name)
            if self._open and self._open[-1] in _ROWS:
                self._left_out[name] += 1
                return
        if len(self._open) >= DEPTH_MAX:
            self._left_out[name] += 1
            return
        self._open.append(name)
        self._count[name] += 1
        self._out.append(f"<{name}{attributes}>")

    def _implied(self, name: str) -> None:
        """Close the elements in which this element cannot stand."""
        if name in _HEADINGS and self._open and self._open[-1] in _HEADINGS:
            self._pop()
        closed, walls = _CLOSES.get(name, (frozenset(), frozenset()))
        if any(map(self._count.__getitem__, closed)):
            self._close(closed, walls)

    def _end(self, tag: Tag) -> None:
        name = tag.name
        if name == "br":
            self._out.append("<br>")
        elif self._left_out[name]:
            self._left_out[name] -= 1
        elif self._count[name]:
            self._close(frozenset({name}), frozenset() if name in _PARENTS or name == "table" else _WALLS)

    def _close(self, names: frozenset[str], walls: frozenset[str]) -> None:
        for depth in range(len(self._open) - 1, -1, -1):
            if self._open[depth] in names:
                while len(self._open) > depth:
                    self._pop()
                return
            if self._open[depth] in walls:
                return

    def _pop(self) -> None:
        name = self._open.pop()
        self._count[name] -= 1
        self._out.append(f"</{name}>")

    def _attributes(self, tag: Tag) -> Iterator[str]:
        listed = ATTRIBUTES.get(tag.name, frozenset())
        seen: set[str] = set()
        for attribute in tag.attributes(self._source):
            name = attribute.name
            if name in seen:
                continue
            kind = self._wrong(tag, attribute)
            if kind:
                self._hit(attribute.start, attribute.end, kind)
            elif name in listed or (name == "align" and tag.name in ("td", "th")) or self._is_class(tag, name):
                seen.add(name)
                quoted = attribute.raw.replace('"', "&quot;")
                yield f' {name}="{quoted}"'

    def _is_class(self, tag: Tag, name: str) -> bool:
        return name == "class" and tag.name in self._classes

    def _wrong(self, tag: Tag, attribute: Attribute) -> str | None:
        """Return the kind of an attribute's effect, or None if it has none."""
        name = attribute.name
        if HANDLERS.fullmatch(name):
            return "markup.html.handler"
        if name == "style":
            return "markup.css" if _STYLED.search(attribute.value) else None
        judge: Callable[[str], str | None] | None = None
        if tag.name == "img" and name in ("src", "srcset", "lowsrc", "dynsrc", "longdesc"):
            judge = self._addresses.image_problem
        elif name == "href":
            return self._addresses.page_link_problem(attribute.value, self._label(tag))
        elif name.endswith(("href", "src", "action", "background", "poster")):
            judge = self._addresses.page_link_problem
        return judge(attribute.value) if judge else None

    def _label(self, tag: Tag) -> str:
        end = self._source.find("<", tag.end, tag.end + LABEL_MAX)
        return self._source[tag.end : end] if end >= 0 else ""

    def _hit(self, start: int, end: int, kind: str) -> None:
        self.hits.append(Hit(start, end, kind, 1.0, "", start))


def _quoted(source: str) -> Iterator[tuple[int, int]]:
    """Yield spans within a line, and fenced blocks, in which backticks quote a `<`. Backticks that merely surround tags
    (one in a heading, one in the next paragraph) enclose end tags without their start tags, and quote nothing."""
    at, fence = 0, _FENCE.search(source)
    while True:
        span = _SPAN.search(source, at)
        if fence and (span is None or fence.start() < span.start()):
            end = source.find("\n```", fence.end() - 1)
            if end >= 0:
                yield fence.start(), end + 4
                at = end + 4
                fence = _FENCE.search(source, at)
                continue
            fence = None
            continue
        if span is None:
            return
        at = span.end()
        if "<" in span[2] and _is_whole(span[2]):
            yield span.span()
        elif "<" in span[2]:
            at = span.end() - len(span[1])
        while fence and fence.start() < at:
            fence = _FENCE.search(source, at)


def _is_whole(code: str) -> bool:
    begun: Counter[str] = Counter()
    for match in _ANY.finditer(code):
        name = match[2].lower()
        begun[name] += -1 if match[1] else 1
        if begun[name] < 0:
            return len(code) == len(match[0]) + 1  # an end tag alone is talk about that tag
    return True
