"""Reasoning between tags in a text, however the text is cut into pieces."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.models.think_tags import WATCHED, TaggedText, ThinkTags

CASES = [
    ("<think>plan</think>\n\nThe answer is 4.", "plan", "The answer is 4."),
    ("\n<think>\nplan\n</think>\nFour", "\nplan\n", "Four"),
    ("<thinking>a < b</thinking>x", "a < b", "x"),
    ("<THINK>a</THINK>x", "a", "x"),
    ("[THINK]a[/THINK]x", "a", "x"),
    ("<thought>a</thought><think>b</think>\nx", "ab", "x"),
    ("<think>never closed", "never closed", ""),
    ("<think></think>\n\nx", "", "x"),
    ("plain text", "", "plain text"),
    (" leading blank", "", " leading blank"),
    ("<thinner> than <think>it</think>", "", "<thinner> than <think>it</think>"),
    ("Write `<think>` and `</think>` around it.", "", "Write `<think>` and `</think>` around it."),
    ("```\na\n</think>\n```\nis a tag", "", "```\na\n</think>\n```\nis a tag"),
    ("It ends with </think> there.", "", "It ends with </think> there."),
    ("Close it by '</think>'.", "", "Close it by '</think>'."),
    ("Write `a</think>b`, please.", "", "Write `a</think>b`, please."),
    ("x <think>y</think>z", "", "x <think>y</think>z"),
    ("<seed:think>a</seed:think>x", "a", "x"),
    ('{"a": "b</think>c"}', "", '{"a": "b</think>c"}'),
    ("<reasoning>a</reasoning>x", "a", "x"),
    ("<reflection>a</reflection>x", "a", "x"),
    ("<longcat_think>a</longcat_think>x", "a", "x"),
    ("[reasoning]a[/reasoning]x", "a", "x"),
    ("<|think|>a<|/think|>x", "a", "x"),
    ("<|inner_prefix|>a<|inner_suffix|>x", "a", "x"),
    ("<unused94>thought\na<unused95>x", "\na", "x"),
    ("◁think▷a◁/think▷x", "a", "x"),
    ("<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>x<|return|>", "a", "x"),
    ("<|channel|>analysis<|message|>a<|start|>assistant<|channel|>final<|message|>x", "a", "x"),
    ("<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>x<|END_RESPONSE|>", "a", "x"),
    ("<", "", "<"),
    ("", "", ""),
]
OPENED = [
    ("Let me see.\n</think>\n\nFour", "Let me see.", "Four"),
    ("\n</think>\nFour", "", "Four"),
    ("Let me see.</think>Four", "Let me see.", "Four"),
    ("Let me see </think>\nFour", "Let me see ", "Four"),
    ("Not `</think>` yet.\n</think>\nFour", "Not `</think>` yet.", "Four"),
    ("Let me see.\n</reasoning>\nFour", "Let me see.", "Four"),
    ("Let me see.\n[/THINK]\nFour", "Let me see.", "Four"),
    ("a\n</think>\n\n<think>b</think>c", "ab", "c"),
]


def split(text: str, cuts: list[int], tags: ThinkTags | None = None) -> tuple[str, str, bool]:
    """Return the reasoning and the text as a reader has them in the end, and whether text was dropped."""
    tags, reasoning, shown, dropped = tags or ThinkTags(), "", "", False
    edges = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    pieces = [text[start:end] for start, end in pairwise(edges)]
    for parts in (*map(tags.feed, pieces), tags.finish()):
        reasoning += parts.reasoning
        if parts.dropped:
            shown, dropped = "", True
        shown += parts.text
    return reasoning, shown, dropped


@given(st.sampled_from(CASES), st.lists(st.integers(0, 60)))
def test_reasoning_is_told_from_text(case: tuple[str, str, str], cuts: list[int]) -> None:
    text, reasoning, shown = case
    assert split(text, cuts) == (reasoning, shown, False)


@given(st.sampled_from(OPENED), st.lists(st.integers(0, 60)))
def test_a_tag_that_closes_what_the_template_has_opened_drops_the_text(
    case: tuple[str, str, str], cuts: list[int]
) -> None:
    text, reasoning, shown = case
    assert split(text, cuts) == (reasoning, shown, True)
    if "`" in text:
        return
    answer = split(text, cuts, ThinkTags(opened=True))
    assert (answer[0].replace("\n", ""), *answer[1:]) == (reasoning, shown, False)


@pytest.mark.parametrize("text", ["no reasoning this time", "a</thi"])
def test_a_text_in_which_nothing_is_closed_is_the_answer(text: str) -> None:
    assert split(text, [3, 5], ThinkTags(opened=True))[1:] == (text, False)


def test_reasoning_that_is_cut_is_no_answer() -> None:
    tags = ThinkTags(opened=True)
    assert tags.feed("Let me") == TaggedText("Let me")
    assert tags.finish(cut=True) == TaggedText()


def test_the_watch_is_bounded() -> None:
    tags = ThinkTags()
    for _ in range(WATCHED // 8 + 1):
        assert tags.feed("a line.\n") == TaggedText(text="a line.\n")
    assert tags.feed("</think>\n") == TaggedText(text="</think>\n")
