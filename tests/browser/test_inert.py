"""Sanitized markup is inert in a real Chromium and shows the original text."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sanitization import STANDARD, Sanitizer
from tests.browser.attacks import MARKDOWN, MARKUP
from tests.browser.inert import Browser
from tests.servers.forked import Forked
from tests.servers.needed import program
from tests.servers.page import bundle_page

pytestmark = pytest.mark.proof("inert")
SANITIZER = Sanitizer(STANDARD)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Yield one browser for all tests of the module."""
    program("chromium")
    with Browser() as browser:
        yield browser


def acting(browser: Browser, pages: list[str]) -> list[tuple[str, list[str]]]:
    """Return the pages that run or load something, with their actions. A page without a tag is text."""
    chosen = sorted({page for page in pages if "<" in page})
    return [(page, faults) for page, faults in zip(chosen, browser.inert(chosen), strict=True) if faults]


def test_attacks_are_seen_to_act(browser: Browser) -> None:
    """Each attack acts when it is not sanitized; otherwise the tests below would prove nothing."""
    faults = browser.inert(MARKUP)
    assert [attack for attack, acts in zip(MARKUP, faults, strict=True) if not acts] == []


def test_harmless_pages_are_seen_to_do_nothing(browser: Browser) -> None:
    """Text, links, and images of the own and of an allowed host are reported as inert."""
    pages = [
        "<h1>a</h1><p>b <a href='https://x.example/?a=b' rel='noopener'>c</a> <a href='#d'>d</a></p>",
        "<img src=/own.png><img src='data:image/png;base64,iVBORw0KGgo='><img src=http://ok.example/a.png>",
        "a &lt; b &amp;&amp; c &gt; d",
    ]
    assert browser.inert(pages, frozenset({"ok.example"})) == [[], [], []]


def test_what_the_scrubber_gives_for_a_page_is_inert(browser: Browser) -> None:
    pages = [SANITIZER.sanitize_html(attack).text for attack in MARKUP]
    pages += [SANITIZER.sanitize_html(f"<p>Here it is: {attack}</p><p>Good luck!</p>").text for attack in MARKUP]
    pages += [SANITIZER.sanitize_html(f"<table><tr><td><b title='x'>{attack}").text for attack in MARKUP]
    assert acting(browser, pages) == []


def test_shown_answers_are_inert(filled_once: Callable[[Callable[[Path], None]], Path], tmp_path: Path) -> None:
    """No script, no foreign request, no address that runs and no style, of Markdown and of markup that is cleaned."""
    program("chromium")
    texts = [*MARKDOWN, *MARKUP, *(SANITIZER.sanitize(attack).text for attack in (*MARKDOWN, *MARKUP))]
    texts += [f"| a |\n|-|\n| {attack} |\n\n- {attack}\n" for attack in (*MARKDOWN, *MARKUP) if "\n" not in attack]
    assert len({*texts, *MARKUP}) > 400
    pages = filled_once(bundle_page)
    server = Forked(
        ["--port", "0"], {"PATH": "/usr/bin:/bin"}, sys.stderr.buffer, data_dir=tmp_path / "data", page=pages
    )
    try:
        address = server.stdout.readline().strip().removeprefix("understudy is ready on ")
        command = [sys.executable, str(Path(__file__).with_name("show_attacks.py")), address]
        texts_json = json.dumps([texts, MARKUP])
        done = subprocess.run(command, input=texts_json, capture_output=True, text=True, timeout=200, check=True)
        wrong, requests = json.loads(done.stdout)
        assert wrong == []
        assert [url for url in requests if not url.startswith((f"{address}/", "blob:"))] == []
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()
        server.stdout.close()


AS_IT_STANDS = [
    "a < b", "a<b", "a <b and c> d", "if (a<b && c>d) { }", "x<y and y>z", "1 < 2 > 0", "a <= b, a => b, a <> b", "<3",
    "i<5", "List<int>", "Map<String, List<Integer>>", "Vec<Option<Box<T>>>", "std::vector<std::string> v;",
    "Ref<Button>", "Array<Object>", "useState<Option>()", "template <typename T> class A;", "<T extends B>(x: T) => x",
    "fn f<'a>(x: &'a str)", "Ada <ada@example.org>", "<ada@example.org>", "<https://example.org>", "#include <stdio.h>",
    "cat <<EOF", "<<<<<<< HEAD", "a << 2 >> 1", "a <- b -> c", "<(^_^)>", "</3", "< p >", "<>", "</>", "<!", "<!>",
    "<?php echo 1 ?>", "<", "<a", "<img src=x", "a <!-- b", "x -> <y", "5<x<10", "for (i=0;i<n;i++)", "<int", "<?",
    "p<q, q>r", "SELECT * FROM t WHERE a<10 AND b>3", "use <script> last", "`<script>` and `<b>`", "the `</p>` tag",
    "`<iframe sandbox>` limits", "```\n<p>a</p>\n```", "<name>", "Promise<void>", "Dict[str, int] < x",
    "generic<T, U>", "\\(x < y\\)", "<-- there", "<==>", "<%= x %>", "{{ a < b }}", "<@U123> hi", "<#C1|x>", "<ключ>",
]  # fmt: skip
BESIDE_TAGS = [
    ("<p>Hello <b>world</b></p>", "Hello world"), ("a<br>b<BR/>c", "abc"), ("H<sub>2</sub>O", "H2O"),
    ("<ul><li>a<li>b</ul>", "ab"), ("<p>a<p>b", "ab"), ("<table><tr><td>a<td>b</table>", "ab"),
    ("<custom-one>a</custom-one>", "a"), ("<x>0<y>1</y></x>", "01"), ("<button>Go</button>", "Go"),
    ("<svg><text>a</text></svg>", "a"), ("<math><mi>x</mi></math>", "x"), ("<!-- no -->a", "a"),
    ("<!doctype html>a", "a"),
    ("<b><i>a</b>b</i>", "ab"), ("</p></b>a", "a"), ("<details><summary>a</summary>b</details>", "ab"),
    ("&lt;script&gt; &amp; &eacute;", "<script> & é"), ("<textarea>a <b></textarea>", "a <b>"),
    ("<a href='/x'>a < b</a>", "a < b"), ("<font color=red>a</font>", "a"),
    ("<p>x<y and List<int></p>", "x<y and List<int>"),
]  # fmt: skip


def test_harmless_text_looks_the_same(browser: Browser) -> None:
    """Chromium shows the sanitized page's text as written, and the text of harmless markup."""
    wanted = [(text, text) for text in AS_IT_STANDS] + BESIDE_TAGS
    assert len(wanted) > 60
    pages = [SANITIZER.sanitize_html(text).text for text, _ in wanted]
    seen_by = browser.shown(pages)
    assert [(text, shown) for (text, want), shown in zip(wanted, seen_by, strict=True) if shown != want] == []
