"""Cursors of a socket and arcs of messages, event by event."""

import pytest

from tests.load.promises import Arc, Cursor


@pytest.mark.parametrize(
    ("numbers", "broken"),
    [([1, 2, 3], []), ([2], ["gap"]), ([1, 3, 4], ["gap"]), ([1, 2, 2, 3], ["repeat"]), ([1, 2, 1], ["repeat"])],
)
def test_numbers_count_from_one_without_gaps_and_once(numbers: list[int], broken: list[str]) -> None:
    cursor = Cursor()
    assert [why for seq in numbers if (why := cursor.judge(seq))] == broken


def test_an_event_that_came_before_the_resume_comes_again_in_order() -> None:
    cursor = Cursor(last=4)
    assert cursor.resume() == 4
    assert [cursor.judge(seq) for seq in (7, 5, 6, 7)] == ["early", None, None, None]
    assert cursor.judge(9) == "gap"


def test_a_lost_event_after_a_resume_leaves_the_cursor_behind_its_head() -> None:
    cursor = Cursor(last=4)
    cursor.resume()
    assert [cursor.judge(seq) for seq in (6, 7)] == ["early", "early"]
    assert (cursor.last, cursor.head) == (4, 7)


def arc() -> Arc:
    return Arc("m", "t", "hello", 0.0)


def told(*kinds: str) -> tuple[list[str], list[str]]:
    """Return the latencies that these events of one run end, and the broken promises."""
    message = arc()
    results = [message.advance(kind, "r") for kind in kinds]
    return [name for name, _ in results if name], [broken for _, broken in results if broken]


def test_a_whole_arc_ends_each_latency_once() -> None:
    kinds = ("message_accepted", "agent_started", "agent_thinking", "agent_completed", "final_response")
    assert told(*kinds) == (["accepted", "first_event", "end"], [])


@pytest.mark.parametrize(
    ("kinds", "broken"),
    [
        (("message_accepted", "final_response", "final_response"), "second_end"),
        (("message_accepted", "error", "final_response"), "second_end"),
        (("message_accepted", "message_accepted"), "second_acceptance"),
        (("agent_started", "final_response"), "end_without_acceptance"),
    ],
)
def test_a_second_end_or_acceptance_or_an_end_without_one_breaks_a_promise(kinds: tuple[str, ...], broken: str) -> None:
    assert told(*kinds)[1] == [broken]


def test_a_refusal_settles_a_message_and_breaks_a_promise_only_after_its_acceptance() -> None:
    refused = arc()
    assert refused.advance("error", None, "busy") == (None, None)
    assert (refused.settled, refused.refused) == (True, "busy")
    accepted = arc()
    accepted.advance("message_accepted", "r")
    assert accepted.advance("error", None, "busy") == (None, "refused_after_acceptance")
