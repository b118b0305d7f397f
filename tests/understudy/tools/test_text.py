"""`summarise_text` and `sanitize_content`."""

from collections.abc import Callable

import pytest
from attrs import evolve

from tests.cpu import cpu_seconds
from transport.wire.events import SanitizationSummary
from understudy.tools import ToolContext, ToolError
from understudy.tools.text import sanitize_content, split_sentences, summarise_text

ARTICLE = (
    "Dr. Smith opened the clinic in 1998. It has served the valley since then, e.g. through two floods. The clinic now "
    "employs 42 nurses. Some people like tea! Prices rose 3.5 per cent last year.\n\nHowever, the clinic's budget is "
    "short. The council will vote on the budget of the clinic in May. Mr. J. Jones of the council says no."
)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("One. Two! Three? Four…", 4),
        ("Mr. Jones met Dr. A. Smith, e.g. at 3.5 km.", 1),
        ("He said “no.” She left.", 2),
        ("今天很好。我们去公园！你呢？", 3),  # noqa: RUF001
        ("- first point\n- second point", 2),
        ("A heading\n\nA paragraph", 2),
        ("no end", 1),
        ("... !!! ???", 0),
    ],
)
def test_sentences(text: str, count: int) -> None:
    assert len(split_sentences(text)) == count


def test_a_summary_keeps_the_topic_in_order() -> None:
    """The chosen sentences are the text's own, in its order, on its topic."""
    value = summarise_text(ARTICLE, 3).value
    assert value["sentences"] == sorted(value["sentences"], key=ARTICLE.replace("\n\n", " ").index)
    assert "clinic" in value["summary"]
    assert "tea" not in value["summary"]
    assert value["keywords"][0] == "clinic"
    assert (value["kept"], value["sentence_count"]) == (3, 8)


def test_a_summary_is_always_the_same() -> None:
    assert summarise_text(ARTICLE) == summarise_text(ARTICLE)


def test_a_summary_does_not_say_the_same_twice() -> None:
    """A repeated sentence is chosen once."""
    text = "Whales sing songs. Whales sing songs. Rivers carry stones. Whales sing songs."
    assert summarise_text(text, 2).value["summary"].count("Whales") == 1


def test_a_short_text_is_its_own_summary() -> None:
    assert summarise_text("One thing. Another thing.", 5).value["summary"] == "One thing. Another thing."


@pytest.mark.parametrize(("text", "sentences"), [("  ", 3), ("?!", 3), ("A thing.", 0), ("A thing.", 21)])
def test_nothing_to_sum_up(text: str, sentences: int) -> None:
    """Empty texts and impossible counts are refused."""
    with pytest.raises(ToolError) as caught:
        summarise_text(text, sentences)
    assert caught.value.code == "invalid_arguments"


@pytest.mark.parametrize("piece", ["a", ". ", "..", "a. ", "\n \n", "\n", "。", "x.' ", "- ", "A.B."])
def test_no_text_takes_long(piece: str) -> None:
    """200,000 characters of any repeated pattern take under three seconds of CPU."""
    text = "b " + piece * (200_000 // len(piece))
    summaries: list[str] = []
    assert cpu_seconds(lambda: summaries.append(summarise_text(text, 20).value["summary"]), 3) < 3
    assert len(summaries[0]) <= 20 * 601


def test_a_very_long_text_says_how_far_it_was_read() -> None:
    result = summarise_text("Word here. " * 30_000)
    assert result.value["truncated"] is True
    assert "first 200,000 characters" in result.summary


def test_sanitize_takes_out_and_counts(attach: Callable[..., ToolContext]) -> None:
    """Hidden characters are removed; findings are named, not shown."""
    result = sanitize_content("pay a\u202eb now\u200b", attach())
    assert result.value["text"] == "pay ab now"
    assert result.value["clean"] is False
    assert result.value["total"] == len(result.value["findings"]) == 2
    assert result.value["from_message"] is None
    assert result.summary == "2 items were taken out: 1 invisible.bidi, 1 invisible.zero_width."


def test_sanitize_leaves_clean_text_alone(attach: Callable[..., ToolContext]) -> None:
    result = sanitize_content("a < b & c", attach())
    assert (result.value["text"], result.value["clean"]) == ("a < b & c", True)
    assert result.summary == "Nothing had to be taken out."
    with pytest.raises(ToolError, match="longer than"):
        sanitize_content("x" * 200_001, attach())


def test_sanitize_tells_what_the_message_lost_before(attach: Callable[..., ToolContext]) -> None:
    """Redactions of the message are listed or counted; flagged findings are not."""
    rows = [
        {"kind": "secret.github.token", "start": 3, "end": 43, "action": "remove"},
        {"kind": "pii.email", "start": 50, "end": 60, "action": "tokenise"},
        {"kind": "injection.override", "start": 70, "end": 90, "action": "flag"},
    ]
    kinds = {"injection.override": 1, "pii.email": 1, "secret.github.token": 1}
    found = SanitizationSummary("inbound", {"secret": 1, "pii": 1, "injection": 1}, rows, 1, kinds, 4)
    result = sanitize_content("my [redacted] is at [email-1]", evolve(attach(), found=found), "strict")
    assert result.value["from_message"] == {
        "total": 6,
        "kinds": {"pii.email": 1, "secret.github.token": 1},
        "findings": rows[:2],
        "not_listed": 4,
    }
    assert (result.value["clean"], result.value["total"]) == (False, 0)
    assert result.summary == (
        "6 items were taken out of your message when it came in: 1 pii.email, 1 secret.github.token, 4 more. "
        "Nothing more had to be taken out."
    )


@pytest.mark.parametrize("only_flagged", [False, True])
def test_sanitize_knows_a_text_that_was_cleaned_some_time_before(
    attach: Callable[..., ToolContext], only_flagged: bool
) -> None:
    """Marks in the text show an earlier redaction, even without a summary of it."""
    rows = [{"kind": "injection.override", "start": 0, "end": 9, "action": "flag"}]
    found = SanitizationSummary("inbound", {"injection": 1}, rows, 1) if only_flagged else None
    result = sanitize_content("my key is [redacted]", evolve(attach(), found=found))
    assert result.summary == "Something was taken out of this text before; nothing more had to be taken out."
    assert result.value["from_message"] is None
