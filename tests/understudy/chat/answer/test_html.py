"""Answers as HTML: rendered in processes with limits, cleaned again in the server, cached within bounds."""

import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import trio
from attrs import define, field
from trio.testing import wait_all_tasks_blocked

from transport.wire.events import AnswerText
from understudy.chat.answer import html as module
from understudy.chat.answer.blocks import Cut, Part, plain
from understudy.chat.answer.html import BATCH_CHARACTERS, MAX_CHARACTERS, RENDERING, AnswerHtml, HtmlCache
from understudy.chat.answer.markdown import render
from understudy.sandbox.worker import Workers

SLOW = "```perl\n" + '\\"' * 20_000 + "\n```\n"
"""Code that a lexer colours in seconds, if it may: a line too long for that."""


@pytest.fixture
def workers() -> Iterator[Workers]:
    """Processes of this test only."""
    made = Workers(RENDERING)
    yield made
    made.close()


@define
class Scripted:
    """Answers requests with `replies`, in place of the processes; `asked` are the texts of each request."""

    replies: list[Any] = field(factory=list)
    asked: list[list[str]] = field(factory=list)
    free: threading.Event = field(factory=threading.Event)

    def ask(self, request: Any, limit_s: float) -> Any:
        """Return the next reply once `free` is set; without further replies, the HTML of `render`."""
        assert self.free.wait(10)
        texts = [text for text, _ in request[1]] if request[0] == "render" else []
        self.asked.append(texts)
        return self.replies.pop(0) if self.replies else [render(text) for text in texts]


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    made = Scripted()
    made.free.set()
    yield made
    made.free.set()


@pytest.fixture
def html(request: pytest.FixtureRequest) -> AnswerHtml:
    """Answers rendered by this test's `scripted` or `workers`, else by the processes that all tests share."""
    used = next((name for name in ("scripted", "workers") if name in request.fixturenames), None)
    return AnswerHtml(None if used is None else request.getfixturevalue(used))


async def test_an_answer_is_rendered_once(html: AnswerHtml) -> None:
    """A rendered answer is cached; a cached answer is returned without rendering."""
    answer, known = AnswerText("a *b* once"), AnswerText("an answer")
    assert await html.render(answer, "ada") == html.cached_or_plain(answer) == render("a *b* once")
    html.cache.put(known, "its HTML", "ada")
    assert await html.render(known, "ada") == html.cached_or_plain(known) == "its HTML"


async def test_a_cut_answer_is_rendered_to_its_open_end(html: AnswerHtml) -> None:
    """Half of its markup is closed or withheld; a whole answer of the same text is literal, and cached beside it."""
    text = "one *two*\n\n- a **b\n- "
    cut, whole = AnswerText(text, cut=True), AnswerText(text)
    made = "<p>one <em>two</em></p>\n<ul>\n<li>a <strong>b</strong></li>\n</ul>\n"
    assert await html.render_page([cut, whole], "ada") == [made, render(text)]
    assert (html.cached_or_plain(cut), html.cached_or_plain(whole)) == (made, render(text))
    assert "**" in render(text)


def test_an_uncached_answer_is_plain_text(html: AnswerHtml) -> None:
    """An answer that is not cached is plain text, because nothing is rendered on the loop."""
    assert html.cached_or_plain(AnswerText("never *rendered* <b>")) == "<pre>never *rendered* &lt;b&gt;</pre>\n"


async def test_the_answers_of_a_page_are_rendered_together(html: AnswerHtml, scripted: Scripted) -> None:
    """Each text is rendered once; a request holds short texts up to `BATCH_CHARACTERS`."""
    await html.ready()
    scripted.asked.clear()
    html.cache.put(AnswerText("kept *before*"), "its HTML", "ada")
    texts = ["one *a*", "two", "kept *before*", "one *a*"]
    assert await html.render_page([*map(AnswerText, texts)], "ada") == [
        render("one *a*"),
        render("two"),
        "its HTML",
        render("one *a*"),
    ]
    assert scripted.asked == [["one *a*", "two"]]
    assert await html.render_page([*map(AnswerText, texts)], "ada") == [
        html.cached_or_plain(AnswerText(text)) for text in texts
    ]
    assert len(scripted.asked) == 1
    long = [f"{number} " * (BATCH_CHARACTERS // 4) for number in range(3)]
    more = [*map(AnswerText, ["three", *long])]
    assert await html.render_page(more, "ada") == [*map(html.cached_or_plain, more)]
    assert [len(texts) for texts in scripted.asked] == [2, 3, 1]
    assert await html.render_page([*map(AnswerText, [])], "ada") == []


@pytest.mark.proof("timing")
async def test_a_page_does_not_wait_for_ever(
    html: AnswerHtml, scripted: Scripted, autojump_clock: trio.testing.MockClock
) -> None:
    """After `PAGE_S` the texts are plain; their rendering goes on, and the next reader of the page has the HTML."""
    scripted.free.clear()
    assert await html.render_page([*map(AnswerText, ["*a*", "b"])], "ada") == [plain("*a*"), plain("b")]
    scripted.free.set()
    with trio.fail_after(1e9):
        while html.cached_or_plain(AnswerText("*a*")) != render("*a*"):
            await trio.sleep(1)
            time.sleep(0.001)  # noqa: ASYNC251 - the thread has its own time


async def test_events_do_not_wait_for_ever(
    html: AnswerHtml, scripted: Scripted, autojump_clock: trio.testing.MockClock
) -> None:
    """With all processes busy, `prefetch` returns after `PREFETCH_S`, and the text is plain."""
    scripted.free.clear()
    await html.prefetch([AnswerText("*a*")], "ada")
    assert html.cached_or_plain(AnswerText("*a*")) == plain("*a*")


async def test_one_user_does_not_hold_up_another(html: AnswerHtml, scripted: Scripted) -> None:
    """Ten slow texts of one user occupy one process; the second user has the other one."""
    scripted.free.clear()
    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(html.render, AnswerText(f"slow {number}"), "eve")
        await wait_all_tasks_blocked(0.01)
        nursery.start_soon(html.render, AnswerText("quick"), "bob")
        await wait_all_tasks_blocked(0.01)
        assert html.limiter._by_user == {"eve": 1, "bob": 1}
        scripted.free.set()


async def test_a_text_without_a_permit_is_plain_text(
    html: AnswerHtml, scripted: Scripted, autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """After `PERMIT_S` the text is plain, the log says so, and the text is not cached."""
    scripted.free.clear()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(html.render, AnswerText("first"), "ada")
        await wait_all_tasks_blocked(0.01)
        assert await html.render(AnswerText("second *a*"), "ada") == plain("second *a*")
        assert await html.cut(Part("third"), "ada") is None
        scripted.free.set()
    assert {record.message for record in caplog.records} == {"render.no_turn"}
    assert await html.render(AnswerText("second *a*"), "ada") == render("second *a*")


async def test_texts_beyond_a_full_queue_are_plain_text(html: AnswerHtml, scripted: Scripted) -> None:
    """With a full queue of the user, a text is plain at once and no error is raised."""
    scripted.free.clear()
    async with trio.open_nursery() as nursery:
        for number in range(1 + html.limiter.max_queued):
            nursery.start_soon(html.render, AnswerText(f"slow {number}"), "eve")
        await wait_all_tasks_blocked(0.01)
        with trio.fail_after(5):
            assert await html.render(AnswerText("one *more*"), "eve") == plain("one *more*")
            assert await html.cut(Part("one *more*"), "eve") is None
        scripted.free.set()


async def test_a_cancelled_call_holds_its_permit_until_its_work_is_done(html: AnswerHtml, scripted: Scripted) -> None:
    """A cancelled call keeps its permit until its work is done, and the HTML is cached."""
    scripted.free.clear()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(html.render, AnswerText("*late*"), "ada")
        await wait_all_tasks_blocked(0.01)
        nursery.cancel_scope.cancel()
    assert html.limiter._by_user["ada"] == 1
    scripted.free.set()
    with trio.fail_after(5):
        async with html.limiter.permit("ada"):  # there is one when that work is done
            assert html.limiter._by_user["ada"] == 1
    assert html.cached_or_plain(AnswerText("*late*")) == render("*late*")


@pytest.mark.parametrize("reply", [None, "text", [], ["a", "b"], [1], {"a": 1}, [["a"]]], ids=lambda reply: f"{reply}")
async def test_a_reply_that_makes_no_sense_is_none(html: AnswerHtml, scripted: Scripted, reply: Any) -> None:
    """If a process replies with something else than HTML, the text is plain."""
    scripted.replies.append(reply)
    assert await html.render(AnswerText("*a*"), "ada") == plain("*a*")


@pytest.mark.parametrize("reply", [7, [], [[[3, "x"]], "", False, True, {}], [[[1, "x"]], "(a+)+", False, True, {}]])
async def test_a_cut_that_makes_no_sense_is_none(html: AnswerHtml, scripted: Scripted, reply: Any) -> None:
    """A reply whose blocks do not fit the part is refused."""
    scripted.replies.append(reply)
    assert await html.cut(Part("ab"), "ada") is None


async def test_html_of_a_process_passes_the_cleaner_again(html: AnswerHtml, scripted: Scripted) -> None:
    """Scripts, handlers and foreign images in a reply are removed."""
    bad = '<p onclick="run()">a<script>run()</script><img src="https://evil.example/x"><svg onload=run()></svg></p>'
    scripted.replies += [[bad], [[[1, bad]], "", False, True, {}, None, False, bad]]
    assert await html.render(AnswerText("ab"), "ada") == "<p>a<img></p>"
    assert await html.cut(Part("ab"), "ada") == Cut([(1, "<p>a<img></p>")], references={}, open_end="<p>a<img></p>")


async def test_a_long_open_end_is_previewed(html: AnswerHtml, scripted: Scripted) -> None:
    """One block of 60 KB, too, with the processor time that it took; not what is too long for an answer."""
    scripted.replies.append(['<p onclick="run()">a</p>', 0.25])
    made = await html.preview(Part("a " * 30_000, references={}), "ada")
    assert made is not None
    assert made.html == "<p>a</p>"
    assert made.cpu_s >= 0.25
    assert await html.preview(Part("a " * MAX_CHARACTERS, references={}), "ada") is None
    assert len(scripted.asked) == 1


async def test_a_long_text_is_plain_text(html: AnswerHtml, scripted: Scripted) -> None:
    """A text above `MAX_CHARACTERS` is plain, and never sent to a process."""
    await html.ready()
    scripted.asked.clear()
    long = "*a* " * (MAX_CHARACTERS // 4 + 1)
    assert await html.render(AnswerText(long), "ada") == plain(long) == html.cached_or_plain(AnswerText(long))
    assert await html.render_page([*map(AnswerText, [long, "*a*"])], "ada") == [plain(long), render("*a*")]
    assert await html.cut(Part(long), "ada") is None
    assert scripted.asked == [["*a*"]]


async def test_code_that_takes_long_is_shown_without_colours_and_costs_the_server_nothing(
    html: AnswerHtml, workers: Workers
) -> None:
    """A line that a lexer would read for seconds is plain, the text around it is rendered, at no cost here."""
    await html.warm_up()
    began = time.process_time()
    made = await html.render(AnswerText(f"# a\n\n{SLOW}\n*b*"), "ada")
    assert time.process_time() - began < 0.1
    assert made.startswith('<h1>a</h1>\n<div class="highlight"><span class="language">Perl</span><pre><code>\\"\\"')
    assert made.endswith("</code></pre></div><p><em>b</em></p>\n")
    assert made.count("<span") == 1


async def test_a_process_is_started_once_when_answers_are_expected(
    html: AnswerHtml, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first client that shows HTML has a process started; later ones do not."""
    done = trio.Event()
    monkeypatch.setattr(html, "warm_up", _then(html.warm_up, done))
    html.expect_answers()
    html.expect_answers()
    with trio.fail_after(10):
        await done.wait()
    await wait_all_tasks_blocked()
    assert scripted.asked == [[""]]


async def test_a_page_waits_for_the_first_process(html: AnswerHtml, scripted: Scripted) -> None:
    """The limit of a page is for rendering, not for the start of a process, which is asked once."""
    texts, scripted.replies = [AnswerText("*a*"), AnswerText("*b*")], [[""], ["<p>a</p>"], ["<p>b</p>"]]
    for each in texts:
        await html.render_page([each], "ada")
    assert scripted.asked == [[""], ["*a*"], ["*b*"]]


def _then(work: Callable[[], Awaitable[None]], done: trio.Event) -> Callable[[], Awaitable[None]]:
    async def do() -> None:
        await work()
        done.set()

    return do


async def test_a_process_that_was_killed_is_replaced(html: AnswerHtml, workers: Workers) -> None:
    """A process killed while idle is replaced at the next request."""
    await html.warm_up()
    (pid,) = workers.idle
    os.kill(pid, signal.SIGKILL)
    await trio.to_thread.run_sync(os.waitid, os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert await html.render(AnswerText("after *that*"), "ada") == render("after *that*")
    assert workers.idle != [pid]


async def test_a_process_that_does_not_answer_is_killed(
    html: AnswerHtml, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stopped process is killed after `WORK_S`; its text is plain, and the next text is rendered."""
    await html.warm_up()
    (pid,) = workers.idle
    os.kill(pid, signal.SIGSTOP)
    monkeypatch.setattr(module, "WORK_S", 0.1)
    assert await html.render(AnswerText("*stopped*"), "ada") == plain("*stopped*")
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    monkeypatch.setattr(module, "WORK_S", 10.0)
    assert await html.render(AnswerText("*again*"), "ada") == render("*again*")


async def test_an_error_of_our_own_is_logged_and_ends_nothing(
    html: AnswerHtml, scripted: Scripted, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An error while a reply is read is logged; the text is plain."""

    def broken(_: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(module, "_read_htmls", broken)
    assert await html.render(AnswerText("*a*"), "ada") == plain("*a*")
    assert [record.message for record in caplog.records] == ["render.failed"]


def test_the_cache_is_bounded() -> None:
    """The least recently used answers are dropped; the latest stays, even if it alone exceeds the limit."""
    kept = HtmlCache(limit=20)
    for text in ("a", "b"):
        kept.put(AnswerText(text), "123456789", "ada")
    assert kept.get(AnswerText("a")) == "123456789"
    kept.put(AnswerText("c"), "x", "ada")
    assert (kept.get(AnswerText("a")), kept.get(AnswerText("b")), kept.get(AnswerText("c"))) == ("123456789", None, "x")
    kept.put(AnswerText("d"), "y" * 100, "ada")
    assert (len(kept), kept.get(AnswerText("d"))) == (1, "y" * 100)


def test_caching_an_answer_again_does_not_count_it_twice() -> None:
    """The same text with the same HTML counts once."""
    kept = HtmlCache(limit=20)
    kept.put(AnswerText("b"), "123456789", "ada")
    for _ in range(10):
        kept.put(AnswerText("a"), "123456789", "ada")
    assert len(kept) == 2


def test_the_cached_answers_of_a_user_can_be_cleared() -> None:
    """A render requested before the clearing is not cached after it; another user's same text stays."""
    kept = HtmlCache()
    kept.put(AnswerText("hers"), "<p>hers</p>", "ada")
    kept.put(AnswerText("both"), "<p>both</p>", "ada")
    assert kept.get(AnswerText("both"), "ben") == "<p>both</p>"
    asked_at = time.monotonic()
    kept.clear_user("ada")
    kept.put(AnswerText("late"), "<p>late</p>", "ada", asked_at)
    left = [kept.get(AnswerText(text)) for text in ("hers", "both", "late")]
    assert (left, len(kept)) == ([None, "<p>both</p>", None], 1)
    kept.put(AnswerText("new"), "<p>new</p>", "ada", time.monotonic())
    assert kept.get(AnswerText("new")) == "<p>new</p>"
    kept.clear()
    assert len(kept) == 0
