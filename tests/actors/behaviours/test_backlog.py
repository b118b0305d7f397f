import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.behaviours.backlog import Backlog
from actors.behaviours.bucket import Buckets, Rate
from tests.rigs.memory import kept_bytes


def make(per_s=1.0, burst=1, bound=100, unwanted=(), **options):
    """A backlog of words; the key of each is its first letter."""
    return Backlog(Buckets(Rate(per_s, burst), **options), bound, lambda word: word not in unwanted)


def fill(backlog, *words):
    for word in words:
        backlog.add(word[0], word)
    return backlog


def taken(backlog, now):
    words = []
    while (word := backlog.take(now)) is not None:
        words.append(word)
    return words


def test_a_key_that_finds_no_place_waits_for_one():
    backlog = fill(make(max_keys=1), "a1", "b1")
    assert taken(backlog, 0.0) == ["a1"]
    assert backlog.due_at() == 1.0
    assert taken(backlog, 1.0) == ["b1"]


def test_an_unwanted_word_takes_no_token():
    unwanted = set()
    backlog = fill(make(unwanted=unwanted), "a1", "a2", "a3")
    unwanted |= {"a1", "a2"}
    assert taken(backlog, 0.0) == ["a3"]
    fill(backlog, "a4", "a5", "b6")
    unwanted |= {"a4", "b6"}
    backlog.forget_unwanted()
    assert list(backlog) == ["a5"]
    assert taken(backlog, 1.0) == ["a5"]


def test_the_oldest_of_all_can_be_taken_out_of_turn():
    backlog = fill(make(bound=3), "a1", "b1", "a2")
    assert backlog.full
    assert backlog.take_oldest() == "a1"
    assert not backlog.full
    assert taken(backlog, 0.0) == ["b1", "a2"]
    fill(backlog, "a3", "a4")
    assert taken(backlog, 0.5) == []
    assert [backlog.take_oldest(), backlog.take_oldest()] == ["a3", "a4"]
    assert taken(backlog, 1.0) == []
    with pytest.raises(StopIteration):
        backlog.take_oldest()


@pytest.mark.parametrize("per_s", [0.001, 1000.0])
def test_a_word_taken_out_of_turn_leaves_nothing_behind(per_s):
    backlog = fill(make(per_s=per_s), *(f"a{number}" for number in range(10)), "b0")
    with kept_bytes() as left:
        for number in range(10_000):
            backlog.take_oldest()
            backlog.add("a", f"a{number + 10}")
            if number % 100 == 0:
                backlog.take(0.0)
    assert left.size < 20_000  # two bytes for each


STEP = st.one_of(
    st.tuples(st.just("add"), st.sampled_from("abc")),
    st.tuples(st.just("wait"), st.floats(0.0, 2.0)),
    st.tuples(st.just("drop"), st.integers(0, 50)),
    st.tuples(st.sampled_from(["take", "oldest", "forget"]), st.none()),
)


@given(st.lists(STEP, max_size=100), st.integers(1, 3))
def test_a_backlog_agrees_with_a_search_through_a_list(steps, burst):
    unwanted, plain, now = set(), [], 0.0
    backlog, buckets = make(burst=burst, unwanted=unwanted), Buckets(Rate(1.0, burst))
    for number, (step, argument) in enumerate(steps):
        if step == "add":
            plain.append(f"{argument}{number}")
            fill(backlog, plain[-1])
        elif step == "wait":
            now += argument
        elif step == "drop":
            unwanted |= {word for word in plain if int(word[1:]) == argument}
        elif step == "forget":
            plain = [word for word in plain if word not in unwanted]
            backlog.forget_unwanted()
        elif step == "oldest" and len(backlog):
            plain.remove(backlog.take_oldest())
        elif step == "take":
            ready = [w for w in plain if w not in unwanted and buckets.ready_at(w[0], now) <= now]
            assert backlog.take(now) == (ready[0] if ready else None)
            if ready:
                plain.remove(ready[0])
                buckets.take(ready[0][0], now)
        wanted = [word for word in plain if word not in unwanted]
        assert [word for word in backlog if word not in unwanted] == wanted
