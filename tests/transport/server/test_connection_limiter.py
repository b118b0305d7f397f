"""Permits for connections: the counts, and evictions."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from transport.server.connection_limiter import ConnectionLimiter, ConnectionPermit, LimitReached


class Clients:
    """Clients of one limiter; `closed` has the names of those that were closed for others, in order."""

    def __init__(self, *limits: Any) -> None:
        self.limiter = ConnectionLimiter(*limits)
        self.closed: list[str] = []

    def come(self, name: str, peer: str | None) -> ConnectionPermit:
        permit = self.limiter.enter(peer, lambda: self.closed.append(name))
        assert isinstance(permit, ConnectionPermit)
        return permit

    def refused(self, peer: str | None) -> LimitReached:
        full = self.limiter.enter(peer, lambda: None)
        assert isinstance(full, LimitReached)
        return full


def test_the_longest_waiting_of_the_largest_address_gives_way() -> None:
    """The evicted one is the longest-waiting of the address with the most, not the oldest of all."""
    clients = Clients(100, 50, 4)
    clients.come("first", "a")
    for number in range(3):
        clients.come(f"b{number}", "b")
    clients.come("c", "c")
    assert clients.closed == ["b0"]
    clients.come("d", "d")
    assert clients.closed == ["b0", "b1"]


def test_busy_and_authenticated_connections_stay() -> None:
    clients = Clients(3, 2, 2)
    user, busy = clients.come("user", "a"), clients.come("busy", "a")
    user.authenticate()
    busy.waiting = False
    assert clients.refused("a") is LimitReached.PEER
    other = clients.come("other", "b")
    other.waiting = False
    assert clients.refused("c") is LimitReached.TOTAL
    other.waiting = True
    clients.come("c", "c")
    assert clients.closed == ["other"]
    user.release()
    user.release()
    assert len(clients.limiter) == 2


def test_all_places_of_users_can_be_taken() -> None:
    clients = Clients(4, 10, 1)
    for number in range(4):
        clients.come(str(number), "a").authenticate()
    assert clients.closed == []
    assert clients.refused("b") is LimitReached.TOTAL


def test_a_connection_of_a_proxy_counts_for_the_client_it_names() -> None:
    """Until then for no address; and the next request may be another client's."""
    clients = Clients(100, 1)
    first, second = clients.come("one", None), clients.come("two", None)
    assert first.claim("x")
    first.authenticate()
    assert not second.claim("x")
    assert second.claim("y")
    first.release()
    assert second.claim("x")
    three = clients.come("three", None)
    assert three.claim("y")
    assert three.claim("x")
    assert clients.closed == ["two"]


PEERS = st.sampled_from([None, "a", "b", "c"])
STEPS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9), PEERS), max_size=200)


@given(STEPS, st.integers(1, 8), st.integers(1, 5), st.integers(1, 8))
def test_no_bound_is_ever_passed(steps: list[tuple[int, int, str | None]], total: int, peer: int, few: int) -> None:
    limiter = ConnectionLimiter(total, peer, few)
    open_: list[ConnectionPermit] = []
    for action, which, address in steps:
        if action == 0 or not open_:
            permit = limiter.enter(address, lambda: None)
            if isinstance(permit, ConnectionPermit):
                open_.append(permit)
            continue
        chosen = open_[which % len(open_)]
        users = [opened for opened in open_ if opened.authenticated and opened.held]
        match action:
            case 1:
                chosen.waiting = not chosen.waiting
            case 2:
                chosen.authenticate()
            case 3:
                chosen.release()
                users = [user for user in users if user is not chosen]
            case 4 | 5 if address is not None:
                chosen.claim(address)
        assert all(user.held for user in users)
        held = [opened for opened in open_ if opened.held]
        assert len(held) == len(limiter) <= total
        assert sum(not opened.authenticated for opened in held) <= few
        for name in "abc":
            assert sum(opened.peer == name for opened in held) <= peer
        open_ = held


def test_an_authenticated_permit_holds_nothing_of_its_connection() -> None:
    """It is never closed for another one, so what would close it is forgotten."""
    closed: list[str] = []
    permit = ConnectionLimiter(2, 2).enter("here", lambda: closed.append("x"))
    assert isinstance(permit, ConnectionPermit)
    permit.authenticate()
    permit.close()
    assert not closed
