"""Places for runs: bounded per user and in all, given in the order they were asked for."""

from hypothesis import given
from hypothesis import strategies as st

from understudy.chat.slots import Slots


def test_a_run_waits_when_its_user_has_all_places_and_others_do_not() -> None:
    """One user's flood is that user's own wait."""
    slots: Slots[str] = Slots(per_user=1, in_all=10)
    assert slots.ask("a1", "ada", "A1")
    assert not slots.ask("a2", "ada", "A2")
    assert slots.ask("b1", "bob", "B1")
    assert (slots.running, slots.waiting, slots.place("a2")) == (2, 1, 1)
    assert slots.free("a1") == [("a2", "A2")]
    assert slots.place("a2") == 0


def test_nobody_overtakes_in_line() -> None:
    """The first who fits begins; the place in line counts from one."""
    slots: Slots[str] = Slots(per_user=2, in_all=2)
    for run in ("a", "b", "c", "d"):
        slots.ask(run, f"user-{run}", run)
    assert [slots.place(run) for run in "abcd"] == [0, 0, 1, 2]
    assert slots.free("b") == [("c", "c")]
    assert slots.place("d") == 1


def test_asking_twice_takes_one_place_and_giving_back_twice_is_harmless() -> None:
    """A conversation that starts again asks again, and nothing is counted twice."""
    slots: Slots[str] = Slots(per_user=1, in_all=1)
    assert slots.ask("a", "ada", "A")
    assert slots.ask("a", "ada", "A")
    assert slots.free("a") == []
    assert slots.free("a") == []
    assert slots.free("never") == []
    assert slots.running == 0


def test_who_leaves_the_line_is_not_called() -> None:
    """A run that was cancelled while it waited does not begin."""
    slots: Slots[str] = Slots(per_user=1, in_all=1)
    slots.ask("a", "ada", "A")
    slots.ask("b", "bob", "B")
    slots.free("b")
    assert slots.free("a") == []


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9), st.sampled_from("xyz")), max_size=60))
def test_the_bounds_hold_and_no_place_stays_empty_while_somebody_fits(steps: list[tuple[bool, int, str]]) -> None:
    """Any order of asking and giving back: never more than allowed, never fewer than could be."""
    slots: Slots[int] = Slots(per_user=2, in_all=3)
    owners = {number: owner for _, number, owner in reversed(steps)}
    running: set[int] = set()
    waiting: list[int] = []
    for asking, number, _ in steps:
        if asking:
            if slots.ask(str(number), owners[number], number):
                running.add(number)
            elif number not in waiting:
                waiting.append(number)
        else:
            running.discard(number)
            waiting = [each for each in waiting if each != number]
            for _, begun in slots.free(str(number)):
                running.add(begun)
                waiting.remove(begun)
        assert slots.running == len(running) <= 3
        assert slots.waiting == len(waiting)
        for owner in "xyz":
            assert sum(owners[each] == owner for each in running) <= 2
        for each in waiting:
            assert len(running) == 3 or sum(owners[n] == owners[each] for n in running) == 2
