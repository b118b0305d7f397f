"""Who gets the next message, decided by data alone."""

from collections import Counter
from itertools import islice

import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.behaviours.routing import ConsistentHash, LeastLoaded, RoundRobin

KEYS = [f"room-{number}" for number in range(300)]
NAMES = st.lists(st.text(min_size=1, max_size=12), min_size=2, max_size=9, unique=True)


@frozen
class Seat:
    """A worker of which only the load is known."""

    id: str
    load: tuple[int, int] = (0, 0)


def seats(*loads):
    """Workers `a`, `b`, ... with these mailbox depths, or depths and unanswered asks."""
    pairs = (load if isinstance(load, tuple) else (load, 0) for load in loads)
    return [Seat(name, pair) for name, pair in zip("abcdefgh", pairs, strict=False)]


def first(routing, workers, message=None):
    """The name of the worker that gets the message when there is room everywhere."""
    return next(routing.rank(workers, message)).id


def order(routing, workers, message=None):
    """The names of all workers that may get the message, the preferred first."""
    return "".join(worker.id for worker in routing.rank(workers, message))


def owners(names, keys=KEYS):
    routing = ConsistentHash(lambda message: message)
    workers = [Seat(name) for name in names]
    return {key: first(routing, workers, key) for key in keys}


@pytest.mark.promise("pool.routing")
@settings(max_examples=50, deadline=None)
@given(st.integers(1, 8), st.integers(0, 100))
def test_round_robin_gives_each_worker_its_turn(count, messages):
    routing, workers = RoundRobin(), seats(*[0] * count)
    turns = Counter(first(routing, workers) for _ in range(messages))
    assert sum(turns.values()) == messages
    assert max(turns[worker.id] for worker in workers) - min(turns[worker.id] for worker in workers) <= 1


def test_round_robin_passes_over_who_has_no_room():
    routing, workers = RoundRobin(), seats(0, 0, 0)
    skipped_a = list(islice(routing.rank(workers, None), 2))
    assert [worker.id for worker in skipped_a] == ["a", "b"]
    assert [first(routing, workers) for _ in range(3)] == ["c", "a", "b"]


@pytest.mark.promise("pool.routing")
@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=8))
def test_the_least_loaded_has_the_shortest_mailbox(loads):
    workers = seats(*loads)
    ranked = list(LeastLoaded().rank(workers, None))
    assert [worker.load for worker in ranked] == sorted(loads)
    assert sorted(worker.id for worker in ranked) == sorted(worker.id for worker in workers)


def test_among_equals_least_loaded_takes_turns():
    spread = LeastLoaded()
    assert Counter(first(spread, seats(1, 0, 0)) for _ in range(30)).keys() == {"b", "c"}


@pytest.mark.promise("pool.routing")
@settings(max_examples=25, deadline=None)
@given(NAMES)
def test_a_worker_that_leaves_moves_its_own_keys_only(names):
    before, after = owners(names), owners(names[1:])
    assert all(after[key] == owner for key, owner in before.items() if owner != names[0])


@pytest.mark.promise("pool.routing")
@settings(max_examples=25, deadline=None)
@given(NAMES)
def test_a_worker_that_joins_takes_its_share_and_moves_nothing_else(names):
    """About one key in as many as there are workers: 300 keys among n, give or take six deviations."""
    before, after = owners(names[:-1]), owners(names)
    moved = [key for key in KEYS if before[key] != after[key]]
    assert all(after[key] == names[-1] for key in moved)
    share = len(KEYS) / len(names)
    assert abs(len(moved) - share) <= 6 * share**0.5


@settings(max_examples=25, deadline=None)
@given(NAMES, st.randoms())
def test_the_order_of_the_workers_is_no_matter_to_a_key(names, random):
    shuffled = list(names)
    random.shuffle(shuffled)
    keys = KEYS[:100]
    assert owners(names, keys) == owners(shuffled, keys)


def test_keys_are_the_same_in_every_process():
    owner_of = owners("abcd", ["one", "two", "three", b"one", 1, 2, 3, "1"])
    assert "".join(owner_of.values()) == "bddbddcb"


def test_equal_keys_go_together_and_only_the_owner_is_named():
    assert list(owners("abcdefgh", [True]).values()) == list(owners("abcdefgh", [1]).values())
    assert len(order(ConsistentHash(lambda message: message), seats(0, 0, 0), "room")) == 1


def test_the_key_is_taken_from_the_message():
    routing = ConsistentHash(len)
    assert first(routing, seats(0, 0, 0), "four") == first(routing, seats(0, 0, 0), [1, 2, 3, 4])
    with pytest.raises(TypeError, match="must be a str, bytes or int, not float"):
        first(ConsistentHash(lambda message: message), seats(0), 1.5)
