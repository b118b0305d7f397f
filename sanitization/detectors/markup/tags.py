"""Tags in a text as HTML's tokenizer reads them (WHATWG HTML, 13.2.5), and the words by which to know them."""

from collections.abc import Iterator
from html import unescape
from typing import Final, NamedTuple

from sanitization.late import Late

NAME_MAX: Final = 64

_WS: Final = r"\t\n\f\r "
_OPENING: Final = Late(rf"<(/?)([A-Za-z][^{_WS}/>]{{0,{NAME_MAX - 1}}}+)(?=[{_WS}/>]|\Z)")
# An unclosed quote is an ordinary character here, so that the tag ends where a reader expects it.
_VALUE: Final = rf"[{_WS}]*+=[{_WS}]*+(?:\"[^\"]*+\"|'[^']*+'|(?![\"'])[^{_WS}>]*+)"
_BODY: Final = Late(rf"(?:[{_WS}/]++|[^{_WS}/>][^{_WS}/>=]*+(?:{_VALUE})?+)*+")
_SHORT_BODY: Final = Late(
    rf"(?:[{_WS}/]++|[^{_WS}/><][^{_WS}/><=]*+(?:[{_WS}]*+=[{_WS}]*+(?:\"[^\"]*+\"|'[^']*+'|(?![\"'])[^{_WS}><]*+))?+)*+"
)
_ATTRIBUTE: Final = Late(
    rf"([^{_WS}/>][^{_WS}/>=]*+)(?:[{_WS}]*+=[{_WS}]*+(?:\"([^\"]*+)\"|'([^']*+)'|(?![\"'])([^{_WS}>]*+)))?+"
)


class Attribute(NamedTuple):
    """One attribute of a tag: `start` to `end` in the text; its value as written, including entities."""

    name: str
    raw: str
    start: int
    end: int

    @property
    def value(self) -> str:
        """The value as a parser decodes it."""
        return unescape(self.raw) if "&" in self.raw else self.raw


class Tag(NamedTuple):
    """A start or end tag: `start` to `end` in the text, its name in lower case, its attributes not yet read.

    `whole` is True if its `>` was found.
    """

    start: int
    end: int
    name: str
    closing: bool
    body: int
    whole: bool

    def attributes(self, text: str) -> Iterator[Attribute]:
        """Yield its attributes in the order of the text, repeated ones too (a browser takes the first)."""
        for match in _ATTRIBUTE.finditer(text, self.body, self.end - self.whole):
            raw = match[2] or match[3] or match[4] or ""
            yield Attribute(match[1].lower(), raw, match.start(), match.end())


def tag_at(text: str, start: int, end: int | None = None) -> Tag | None:
    """Return the tag that begins at `start`, or None.

    With an `end` it is read no further than that, nor into text that looks like another tag.
    """
    pattern = _BODY if end is None else _SHORT_BODY
    end = len(text) if end is None else min(end, len(text))
    opening = _OPENING.match(text, start, end)
    if opening is None:
        return None
    body = pattern.match(text, opening.end(), end)
    stop = body.end() if body else opening.end()
    whole = stop < end and text[stop] == ">"
    return Tag(start, stop + whole, opening[2].lower(), bool(opening[1]), opening.end(), whole)


# fmt: off
ELEMENTS: Final = frozenset((
    "a", "abbr", "acronym", "address", "applet", "area", "article", "aside", "audio", "b", "base", "basefont", "bdi",
    "bdo", "bgsound", "big", "blink", "blockquote", "body", "br", "button", "canvas", "caption", "center", "cite",
    "code", "col", "colgroup", "data", "datalist", "dd", "del", "details", "dfn", "dialog", "dir", "div", "dl", "dt",
    "em", "embed", "fencedframe", "fieldset", "figcaption", "figure", "font", "footer", "form", "frame", "frameset",
    "h1", "h2", "h3", "h4", "h5", "h6", "head", "header", "hgroup", "hr", "html", "i", "iframe", "image", "img",
    "input", "ins", "isindex", "kbd", "keygen", "label", "layer", "legend", "li", "link", "listing", "main", "map",
    "mark", "marquee", "math", "menu", "menuitem", "meta", "meter", "nav", "nobr", "noembed", "noframes", "noscript",
    "object", "ol", "optgroup", "option", "output", "p", "param", "picture", "plaintext", "portal", "pre", "progress",
    "q", "rb", "rp", "rt", "rtc", "ruby", "s", "samp", "script", "search", "section", "select", "selectedcontent",
    "slot", "small", "source", "spacer", "span", "strike", "strong", "style", "sub", "summary", "sup", "svg", "table",
    "tbody", "td", "template", "textarea", "tfoot", "th", "thead", "time", "title", "tr", "track", "tt", "u", "ul",
    "var", "video", "wbr", "xmp",
))
"""The names of HTML, old ones too."""
FOREIGN: Final = frozenset((
    "animate", "animatemotion", "animatetransform", "circle", "clippath", "defs", "desc", "ellipse", "feblend",
    "fecolormatrix", "fegaussianblur", "feimage", "feoffset", "filter", "foreignobject", "g", "line",
    "lineargradient", "marker", "mask", "metadata", "path", "pattern", "polygon", "polyline", "radialgradient",
    "rect", "set", "stop", "switch", "symbol", "text", "textpath", "tspan", "use", "view",
    "annotation", "annotation-xml", "maction", "maligngroup", "malignmark", "merror", "mfrac", "mglyph", "mi", "mn",
    "mo", "mover", "mpadded", "mphantom", "mroot", "mrow", "ms", "mspace", "msqrt", "mstyle", "msub", "msubsup",
    "msup", "mtable", "mtd", "mtext", "mtr", "munder", "munderover", "none", "semantics",
))
"""Names within SVG and MathML, which are also words of programs."""
VOID: Final = frozenset((
    "area", "base", "basefont", "bgsound", "br", "col", "embed", "frame", "hr", "image", "img", "input", "isindex",
    "keygen", "link", "meta", "param", "source", "spacer", "track", "wbr",
))
"""Elements without an end tag."""
RAW: Final = frozenset((
    "iframe", "noembed", "noframes", "noscript", "script", "style", "textarea", "title", "xmp",
))
"""Elements whose content is no markup: it goes on to their own end tag (with scripting, `noscript` is one)."""
HANDLERS: Final = Late(r"on[a-z]{3,32}")
"""Names of attributes that contain a script."""
# fmt: on
