"""The rule of a client's places."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transport.client.cursors import Judgement, ThreadCursors


@given(st.lists(st.integers(1, 12), max_size=60), st.integers(0, 5))
def test_whatever_comes_only_the_next_is_taken(seqs: list[int], start: int) -> None:
    """In any order, with any repeats and holes: the caller sees start+1, start+2 … and no other."""
    cursors = ThreadCursors()
    cursors.move_to("t", start)
    accepted = [seq for seq in seqs if cursors.judge("t", seq) is Judgement.ACCEPT]
    assert accepted == list(range(start + 1, start + 1 + len(accepted)))
    assert cursors.last_seqs == {"t": start + len(accepted)}


def test_a_hole_is_asked_for_once_until_something_comes() -> None:
    cursors = ThreadCursors()
    assert cursors.judge("t", 1) is Judgement.ACCEPT
    assert cursors.judge("t", 1) is Judgement.DUPLICATE
    assert [cursors.judge("t", seq) for seq in (3, 4)] == [Judgement.GAP, Judgement.GAP]
    assert cursors.threads_to_resume(again=False) == {"t": 1}
    assert cursors.judge("t", 5) is Judgement.GAP
    assert cursors.threads_to_resume(again=False) == {}
    assert cursors.threads_to_resume(again=True) == {"t": 1}
    assert cursors.judge("t", 2) is Judgement.ACCEPT
    assert cursors.threads_to_resume(again=True) == {}
    assert cursors.judge("t", 4) is Judgement.GAP
    assert cursors.threads_to_resume(again=False) == {"t": 2}


def test_a_new_connection_has_asked_for_everything() -> None:
    """The first resume names the thread: an early event requests no second one."""
    cursors = ThreadCursors()
    cursors.move_to("t", 4)
    assert cursors.judge("t", 6) is Judgement.GAP
    assert cursors.start_connection() == {"t": 4}
    assert cursors.threads_to_resume(again=True) == {}
    assert cursors.judge("t", 9) is Judgement.GAP
    assert cursors.threads_to_resume(again=False) == {}
    assert cursors.threads_to_resume(again=True) == {"t": 4}


@pytest.mark.parametrize(("waiting", "verdict"), [(False, Judgement.ACCEPT), (True, Judgement.GAP)])
def test_a_thread_without_a_place(waiting: bool, verdict: Judgement) -> None:
    """The first event sets the cursor, unless a message of the client waits to be accepted in the thread."""
    cursors = ThreadCursors()
    assert cursors.judge("t", 7, waiting=waiting) is verdict
    assert cursors.judge("u", 1, waiting=waiting) is Judgement.ACCEPT
    assert cursors.threads_to_resume(again=True) == {}


def test_events_before_the_acceptance_are_asked_for_after_it() -> None:
    """Events before the acceptance were dropped: the thread is resumed from the acceptance."""
    cursors = ThreadCursors()
    assert cursors.judge("t", 7, waiting=True) is Judgement.GAP
    assert cursors.judge("t", 3) is Judgement.ACCEPT
    assert cursors.threads_to_resume(again=False) == {"t": 3}
