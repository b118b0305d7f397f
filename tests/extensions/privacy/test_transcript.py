"""Transcripts: no text can end its fence or add markup."""

import re
from typing import Any

import pytest
from attrs import evolve
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from understudy.extensions.privacy.queries import User
from understudy.extensions.privacy.transcript import Transcript, attachments, fenced, inline, moment, opening, written
from understudy.storage.records import File, Message, RunRecord, Thread

FENCES = ["```", "````\n", "~~~\n", "`"]
BLOCKS = ["# x\n", "---\n", "> ", "- ", "1. ", "    ", "| a |\n| - |\n", "[a]: http://x\n"]
MARKUP = ["<script>", "<!--", "</pre>", "&lt;", "\\"]
BREAKS = ["\n\n", "\r", "\r\n", "\u2028", "\x85", "\x00", "\x1b[2J", "\ud800"]
nasty = st.text() | st.lists(st.sampled_from([*FENCES, *BLOCKS, *MARKUP, *BREAKS])).map("".join)


def parse(text: str) -> list[Any]:
    return MarkdownIt("commonmark").enable("table").parse(text)


@given(nasty)
@example("```\n# out\n```")
@example("")
def test_a_text_is_one_fence_whatever_is_in_it(text: str) -> None:
    tokens = parse(f"# Before\n\n{fenced(text)}\n# After\n")
    assert [token.type for token in tokens] == [
        "heading_open", "inline", "heading_close", "fence", "heading_open", "inline", "heading_close",
    ]  # fmt: skip
    content = tokens[3].content
    assert "\x1b" not in content
    lines = re.split("\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]", text)
    assert [len(line) for line in content.split("\n")] == [*map(len, lines), 0]


@given(nasty)
@example("```\nopen")
@example("~~~~\n```\n~~~")
@example("<!-- never closed")
@example("`<!--` and <pre>")
@example("    ```\n<!-- x")
@example("> ```\n<style>\n")
@example("- ~~~\n<script>")
@example("``` a`b\n<!--")
@example("- ```\n  ```\n<!-- x")
@example(" ```\n```\n<!-- x")
@example("1. ```\n\t```\n<pre>")
def test_an_answer_does_not_reach_what_follows_it(text: str) -> None:
    """What comes after it is read as if the answer had ended before: as a heading and a paragraph of their own."""
    kinds = [token.type for token in parse(f"# Before\n\n{written(text)}\n# After\n\nlast\n")]
    assert kinds[:3] == ["heading_open", "inline", "heading_close"]
    assert kinds[-6:] == [
        "heading_open", "inline", "heading_close", "paragraph_open", "inline", "paragraph_close",
    ]  # fmt: skip


def test_an_answer_is_what_the_agent_wrote() -> None:
    text = "# Sums\n\n| a<br>b | `<i>` |\n| - | - |\n\n```py\nx < y <b>\n```\n<https://example.org> 1 < 2"
    assert written(text) == f"{text}\n"
    assert written("a <b>c</b>") == "a \\<b>c\\</b>\n"


@given(nasty)
@example("*bold* [link](http://x) <b> `code` &amp; # x | y ~~z~~ http://x")
def test_a_name_is_words_in_one_line(name: str) -> None:
    tokens = parse(f"# Title {inline(name)} end\n\nnext\n")
    assert [token.type for token in tokens][:3] == ["heading_open", "inline", "heading_close"]
    assert len(tokens) == 6
    kinds = {child.type for child in tokens[1].children}
    assert kinds <= {"text", "text_special"}


def test_times_are_told_in_utc() -> None:
    assert moment(0) == "1970-01-01 00:00:00 UTC"
    assert moment(1e18) == "1000000000000000000 s"


THREAD = Thread("ann", "t1", "Sums *and* more\n# x", "guide", None, 0.0, 60.0)
SAID = Message("ann", "m1", "t1", "r1", "user", "What?", "guide", None, "accepted", 1.0)
ANSWER = Message("ann", "answer-r1", "t1", "r1", "assistant", "That.", "guide", None, "success", 2.0, parent_id="m1")


def lines_of(*messages: Message, **beside: Any) -> list[str]:
    transcript = Transcript(THREAD, str)
    text = transcript.opening() + "".join(transcript.message(row, []) for row in messages)
    return [line for line in text.splitlines() if line.startswith("#")]


def test_branches_are_marked_where_they_leave() -> None:
    after = evolve(SAID, id="m2", parent_id="answer-r1")
    edit = evolve(SAID, id="m3", branch_of="m1")
    again = evolve(ANSWER, id="answer-r4", branch_of="m1")
    lost = evolve(SAID, id="m5", parent_id="answer-lost")
    assert lines_of(SAID, ANSWER, after, edit, again, lost) == [
        "# Sums \\*and\\* more \\# x",
        "## 1. You, 1970-01-01 00:00:01 UTC",
        "## 2. Guide, 1970-01-01 00:00:02 UTC",
        "## 3. You, 1970-01-01 00:00:01 UTC",
        "## 4. You, 1970-01-01 00:00:01 UTC (branch: instead of 1, from the beginning)",
        "## 5. Guide, 1970-01-01 00:00:02 UTC (branch: another answer to 1, follows 1)",
        "## 6. You, 1970-01-01 00:00:01 UTC (branch: follows answer\\-lost)",
    ]


def test_all_that_belongs_to_a_message_is_told() -> None:
    run = RunRecord("r9", "ann", "t1", "m1", None, "guide", None, "failed", 1.0, 2.0)
    transcript = Transcript(THREAD, str.upper)
    question = transcript.message(evolve(SAID, references=("f" * 32,)), [run])
    for part in (
        "```text\nWHAT?\n```",
        "f" * 32,
        "The work on it is failed.",
    ):
        assert part in question
    answered = evolve(ANSWER, status="cancelled", visualization={"a": 1}, rating="up", note="```\nok")
    answer = transcript.message(answered, [])
    for part in (
        "\n\nTHAT.\n", "With a chart.", "This answer is cancelled.", "Rated up.", "````text\n```\nok",
    ):  # fmt: skip
        assert part in answer


@pytest.mark.parametrize(("tenant", "of"), [(None, ""), ("a_b", " of a\\_b")])
def test_whose_it_is_stands_above(tenant: str | None, of: str) -> None:
    user = User("ann", tenant, 0.0)
    assert opening(user, "ann", 0.0) == (
        f"# Conversations of ann{of}\n\nExported 1970-01-01 00:00:00 UTC, understudy-export 1.\n"
    )
    file = File("ann", "f" * 32, "a*b.csv", "text/csv", 5, "ab", 1.0)
    assert attachments([file]) == f"- a\\*b\\.csv, text\\/csv, 5 bytes, id {'f' * 32}\n"
