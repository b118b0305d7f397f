"""Markup for a page is inert, keeps what an answer needs, and calls no foreign host."""

import re
from html import unescape
from html.parser import HTMLParser

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from sanitization import OFF, STANDARD, Category, Sanitizer
from sanitization.detectors.markup.html_cleaner import ATTRIBUTES, DEPTH_MAX, TAGS
from sanitization.detectors.markup.markup import Markup
from sanitization.findings import Kind
from tests.rigs.cpu import cpu_seconds

PIXEL = "data:image/png;base64,iVBORw0KGgo="


class Reader(HTMLParser):
    """Collects the elements of a piece of HTML with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def assert_inert(html: str) -> None:
    """Check that only listed elements, attributes and harmless addresses remain."""
    for tag, attributes in Reader(html).seen:
        assert tag in TAGS
        for name, value in attributes.items():
            if name in ("rel", "target"):
                continue
            assert name in ATTRIBUTES.get(tag, ()) or (name == "align" and tag in ("td", "th")), (tag, name)
            if name == "href":
                assert (value or "").lower().startswith(("http:", "https:", "mailto:")) or ":" not in (value or "")
            if name == "src":
                assert (value or "").startswith(("/", "data:image/")) or ":" not in (value or "")


HOSTILE = [
    ("<script>alert(1)</script>ok", "ok"),
    ("<img src=x onerror=alert(1)>", '<img src="x">'),
    ("<svg onload=alert(1)><text xlink:href='javascript:x'>y</text></svg>", "y"),
    ("<iframe src='https://x'></iframe>a", "a"),
    ("<form action='https://x'><input name=p>a</form>", "a"),
    ("<p style='background:url(https://x)'>a</p>", "<p>a</p>"),
    ("<p onclick=a() class=x id=y data-z=1>a</p>", "<p>a</p>"),
    ("<!-- <b> -->a", "a"),
    ("<math><mi>x</mi></math>a", "xa"),
    ("<base href='https://x'><link rel=stylesheet href=x><meta http-equiv=refresh content=0>a", "a"),
]


@pytest.mark.parametrize(("html", "clean"), HOSTILE)
def test_active_markup_goes(html: str, clean: str) -> None:
    sanitized = Sanitizer().sanitize_html(html)
    assert sanitized.text == clean
    assert_inert(sanitized.text)
    assert html.startswith(("<p style", "<!--")) or {find.category for find in sanitized.findings} == {Category.MARKUP}


@pytest.mark.parametrize(
    "address",
    ["javascript:x", "JaVa\tScRiPt:x", " javascript:x", "\u2028javascript:x", "&#106;avascript:x", "vbscript:x",
     "data:text/html,<b>x", "file:///etc/passwd", "jav&#x0A;ascript:x", "feed:javascript:x", PIXEL],
)  # fmt: skip
def test_links_lead_by_known_schemes_only(address: str) -> None:
    """A link with any other scheme, in any encoding, loses its address."""
    out = Sanitizer().sanitize_html(f'<a href="{address}">x</a>').text
    assert [name for _, attributes in Reader(out).seen for name in attributes if name == "href"] == []


@pytest.mark.parametrize(
    "address", ["https://x.org/?a=1&amp;b=2", "http://x", "mailto:a@b.org", "/path", "#part", "a/b"]
)
def test_links_open_apart_and_disclose_nothing(address: str) -> None:
    """Harmless links get a new window, without opener, referrer or endorsement."""
    out = Sanitizer().sanitize_html(f'<a href="{address}" rel="x" target="_top">x</a>').text
    assert out == f'<a href="{address}" target="_blank" rel="noopener noreferrer nofollow">x</a>'


FOREIGN = [
    "https://evil.org/a.png",
    "//evil.org/a.png",
    "/\\evil.org/a",
    "\\\\evil.org\\a",
    "https:evil.org",
    "http:/evil.org",
    " https://evil.org",
    "ht\ntps://evil.org/",
    "https://good.org@evil.org/a",
    "https://good.org.evil.org/",
    "data:image/svg+xml;base64,PHN2Zz4=",
    "data:text/html,x",
    "ftp://good.org/a",
    "https://[",
    "cid:a",
]


@pytest.mark.parametrize("address", FOREIGN)
def test_images_of_foreign_hosts_are_not_fetched(address: str) -> None:
    """An image is a request: its host would learn what is being read. The alternative text stays."""
    sanitizer = Sanitizer(evolve(STANDARD, image_hosts=frozenset({"good.org"})))
    assert sanitizer.sanitize_html(f'<img src="{address}" alt="a chart">').text == '<img alt="a chart">'


@pytest.mark.parametrize("address", ["/a.png", "a.png", PIXEL, "https://GOOD.org/a.png", "//good.org/a.png"])
def test_images_of_this_server_and_of_named_hosts_are_shown(address: str) -> None:
    """Images of the page's own origin, inline images and images of the policy's hosts stay."""
    out = Sanitizer(evolve(STANDARD, image_hosts=frozenset({"good.org"}))).sanitize_html(f'<img src="{address}">').text
    assert out == f'<img src="{address}">'


def test_only_the_policys_classes_stay() -> None:
    """Other class names are removed: they could make a message look like part of the page."""
    sanitizer = Sanitizer(evolve(STANDARD, classes={"span": frozenset({"k"})}))
    assert sanitizer.sanitize_html('<span class="k admin">x</span>').text == '<span class="k">x</span>'
    assert sanitizer.sanitize_html('<p class="k">x</p>').text == "<p>x</p>"


def test_markup_of_answers_is_unchanged() -> None:
    html = (
        '<h1>T</h1><p>a <em>b</em> <strong>c</strong> <code>d</code><br></p><ol start="3"><li>x</li></ol><hr>'
        "<blockquote><p>q</p></blockquote><pre><code>x &lt; y</code></pre>"
        '<table><thead><tr><th align="right">h</th></tr></thead><tbody><tr><td>1</td></tr></tbody></table>'
    )
    sanitized = Sanitizer().sanitize_html(html)
    assert (sanitized.text, sanitized.findings) == (html, ())


def test_no_policy_lets_markup_through() -> None:
    """The empty policy makes markup safe, too."""
    assert Sanitizer(OFF).sanitize_html("<script>x</script><b>y</b>").text == "<b>y</b>"


PARTS = [
    "<",
    ">",
    "</",
    "a",
    "img",
    " ",
    "href=",
    "src=",
    "'",
    '"',
    "javascript:",
    "//x.org",
    "onload=x",
    "<svg>",
    "<math>",
    "<style>",
    "<p ",
    "<a ",
    "<img ",
    "<!--",
    "-->",
    "/>",
    "&lt;",
    "\n",
]


@given(st.lists(st.sampled_from(PARTS), max_size=25))
def test_the_output_is_inert_and_stable(parts: list[str]) -> None:
    """Broken markup becomes safe markup; cleaning it again changes nothing."""
    once = Sanitizer().sanitize_html("".join(parts)).text
    assert_inert(once)
    assert Sanitizer().sanitize_html(once).text == once


@pytest.mark.parametrize(
    "unit",
    [
        "<", "<a ", "<img src=", "<b onclick= ", "</", "<p x='", "<!--", "<!doctype ", '<b x=">" ', "<script>", "`<",
        "<div>", "<b>", "<p>", "<li>", "<td>", "<table><tr><td>", "<b></p>", "<a href=x>", "<b title=1>", "</b>", "<x>",
        "</x>", "<a/b/", "`<b>` ", "\n```\n<", "&amp;", "&x;", "<textarea>", "<svg><style>", "<table><b><tr>x",
        "<ul><li><b>", "<a " + "a=1 " * 100 + ">", "<i a='\">",
    ],
)  # fmt: skip
def test_a_hostile_text_takes_linear_time(unit: str) -> None:
    """250 kB in CPU time; quadratic work would take a minute."""
    text = unit * (250_000 // len(unit))
    sizes: list[int] = []
    assert cpu_seconds(lambda: sizes.append(len(Sanitizer().sanitize_html(text).text)), 4) < 4
    assert sizes[0] < 10 * len(text)


@pytest.mark.parametrize(
    "text",
    [
        "<p><b title=" + "x" * 100_000 + ">" + "</p><p>x" * 50_000,
        "<table><b title=" + "x" * 100_000 + ">" + "<tr>x" * 50_000,
        "<a title=" + "x" * 100_000 + ">" + "<div>x</a>" * 50_000,
        "<script>" * 100_000 + "</script",
        "<b>" * 100 + "<table><tr><td>" + "<i>" * 90 + "</u><p></b>" * 50_000,
        "<a " + " ".join(f"a{number}" for number in range(100_000)) + ">",
        "".join(f"<b title={number}>" for number in range(100_000)) + "</b>",
    ],
    ids=range(7),
)
def test_nothing_is_copied_without_measure(text: str) -> None:
    """A parser repeats an open element in each block that follows: half a megabyte would become gigabytes."""
    sizes: list[int] = []
    assert cpu_seconds(lambda: sizes.append(len(Sanitizer().sanitize_html(text).text)), 12) < 12
    assert sizes[0] < 10 * len(text)


def test_ten_thousand_levels_lose_their_depth_and_not_their_text() -> None:
    """Deeper than `DEPTH_MAX` elements are left out."""
    out = Sanitizer().sanitize_html("<div>" * 10_000 + "deep" + "</div>" * 10_000 + "<p>after</p>").text
    assert out == "<div>" * DEPTH_MAX + "deep" + "</div>" * DEPTH_MAX + "<p>after</p>"


LOOK_ALIKES = [
    "a < b", "if (a<b && c>d)", "x<y and y>z", "List<int>", "Vec<Option<Box<T>>>", "Ada <ada@example.org>", "<T>(x: T)",
    "Ref<Option>", "a<i>c", "`<script>` and `<b>x</b>`", "use <script> last", "<img src=x", "</T>", "a <!-- b",
    "<?php 1 ?>", "Ref<Button>", "f(p<q and r>s)", "a <b and c> d",
    "```\n<p>a</p>\n```", "<std::string>", "<3 </3 <- <= <>",
]  # fmt: skip


@pytest.mark.parametrize("text", LOOK_ALIKES)
def test_text_that_looks_like_markup_is_shown(text: str) -> None:
    """The text is shown as written, with no findings."""
    done = Sanitizer().sanitize_html(text)
    assert "<" not in done.text
    assert (unescape(done.text), done.findings) == (text, ())


TANGLED = [
    ("<b><i>a</b>b</i>", "<b><i>a</i></b>b"),
    ("<p>a<p>b<div>c</div>", "<p>a</p><p>b</p><div>c</div>"),
    ("<ul><li>a<ul><li>b</ul><li>c</ul>", "<ul><li>a<ul><li>b</li></ul></li><li>c</li></ul>"),
    ("<dl><dt>a<dd>b<dt>c</dl>", "<dl><dt>a</dt><dd>b</dd><dt>c</dt></dl>"),
    ("<table><tr><td><b>a<td>b</table>c",
     "<table><tbody><tr><td><b>a</b></td><td>b</td></tr></tbody></table>c"),
    ("<td>a</td>", "a"),
    ("<h1>a<h2>b", "<h1>a</h1><h2>b</h2>"),
    ("a</p></b>b</br>c", "ab<br>c"),
    ("<textarea>a <b></textarea>", "a &lt;b&gt;"),
    ("<x-y>a</x-y><foo>b", "a&lt;foo&gt;b"),
    ("<svg><text>a</text><circle r=1 /></svg>", "a"),
    ("<title>a</title><script>b</script>c", "c"),
    ("<script src=x>a", "a"),
    ('<p title="a>b">c</p>', "<p>c</p>"),
    ("<abbr title='a\"b'>c</abbr>", '<abbr title="a&quot;b">c</abbr>'),
    ("<abbr title=a title=b>c</abbr>", '<abbr title="a">c</abbr>'),
    ("\ud800<b>\udfff</b>", "\ufffd<b>\ufffd</b>"),
]  # fmt: skip


@pytest.mark.parametrize(("html", "clean"), TANGLED)
def test_malformed_nesting_is_repaired(html: str, clean: str) -> None:
    assert Sanitizer().sanitize_html(html).text == clean


@pytest.mark.parametrize("kind", Markup.kinds, ids=lambda kind: kind.name)
def test_each_kind_has_an_example_in_which_it_is_found(kind: Kind) -> None:
    """Each example of the reference page yields its kind."""
    assert {finding.kind for finding in Sanitizer().sanitize_html(kind.example).findings} == {kind.name}


def test_links_that_tell_or_mislead_lose_their_address() -> None:
    """As in text mode; the words stay."""
    for example in (kind.example for kind in Markup.kinds if kind.name.startswith("markup.link")):
        out = Sanitizer().sanitize_html(example).text
        assert "href" not in out
        assert ">here<" in out or ">https://bank.test/<" in out


def test_only_listed_attributes_stay_in_any_tag() -> None:
    """Each listed tag comes with attributes of every kind: those that name, style, fetch, submit or run are removed."""
    given = 'style="color:red" id="a" name="b" class="c" onclick="d()" srcset="e 2x" action="/f" data-g="h" target="i"'
    for tag in TAGS:
        out = Sanitizer().sanitize_html(
            f"<table><tr><{tag} {given}>text</{tag}></tr></table><{tag} {given}>text</{tag}>"
        )
        kept = {name for _, attributes in Reader(out.text).seen for name in attributes}
        assert kept <= {"target", "rel"}, tag  # of links: the parser's own


def test_the_parser_has_the_last_word() -> None:
    """Markup that the first reading missed is removed by the parser."""
    parser = Markup(STANDARD).parser
    passed = "<img src=//else.example/a><a href=javascript:x>b</a><a href=//u:p@else.example/>c</a><script>d</script>"
    assert re.sub(r"<a [^<>]*>", "<a>", parser.clean(passed)) == "<img><a>b</a><a>c</a>"


def test_the_listed_findings_are_bounded_and_point_at_the_source() -> None:
    """Places are those of the source; findings beyond the bound are counted."""
    done = Sanitizer(evolve(STANDARD, max_findings=2)).sanitize_html("a<b onclick=x()>b</b>" * 5)
    assert [(find.start, find.end) for find in done.findings] == [(4, 15), (25, 36)]
    assert done.omitted == 3
