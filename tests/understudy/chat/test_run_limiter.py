"""Permits for runs: bounded per user, per tenant and in total, granted in order of arrival."""

from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from understudy.chat.run_limiter import RunCounts, RunLimiter
from understudy.storage.owners import owner_of, tenant_of


def test_permits_are_granted_in_order_of_arrival() -> None:
    slots: RunLimiter[str] = RunLimiter(per_user=2, total=2)
    for run in ("a", "b", "c", "d"):
        slots.acquire(run, f"user-{run}", run)
    assert [slots.queue.position(run) for run in "abcd"] == [0, 0, 1, 2]
    assert slots.release("b") == [("c", "c")]
    assert slots.queue.position("d") == 1


def test_a_suspended_run_frees_its_permit_and_comes_back_first() -> None:
    slots: RunLimiter[str] = RunLimiter(per_user=1, total=1)
    for run in ("a", "b", "c"):
        slots.acquire(run, f"user-{run}", run)
    assert slots.suspend("a") == [("b", "b")]
    assert (slots.running, slots.waiting) == (1, 2)
    assert not slots.acquire("a", "user-a", "A")
    assert [slots.queue.position(run) for run in "abc"] == [1, 0, 2]
    assert [(run, waiter) for run, _, waiter in slots.queue] == [("a", "A"), ("c", "c")]
    assert slots.release("b") == [("a", "A")]
    assert slots.suspend("a") == [("c", "c")]
    assert slots.suspend("a") == []
    assert slots.release("c") == []
    assert slots.acquire("a", "user-a", "A")


def test_no_run_is_admitted_beyond_the_bounded_line() -> None:
    """Queued, reserved and suspended runs count towards `max_waiting`; runs with a permit do not."""
    slots: RunLimiter[str] = RunLimiter(per_user=1, total=2, max_waiting=2)
    assert slots.reserve("a1", "ada")
    assert slots.reserve("a2", "ada", behind=True)
    assert slots.reserve("b1", "bob")
    assert slots.suspend("b1") == []
    assert slots.waiting == 2
    assert not slots.reserve("a3", "ada")
    assert slots.reserve("c1", "cem"), "it need not wait"
    assert not slots.reserve("c2", "cem", behind=True)
    slots.release("a2")
    assert slots.reserve("a3", "ada")
    assert slots.waiting == 2


def test_a_flood_of_one_user_leaves_half_of_the_line_to_the_others() -> None:
    slots: RunLimiter[str] = RunLimiter(per_user=1, total=10, max_waiting=100)

    def flood(owner: str) -> int:
        """How many of this user's runs wait when no more are let in."""
        accepted = 0
        while slots.reserve(f"{owner}{accepted}", owner, behind=True):
            accepted += 1
        return accepted

    assert flood("ada") == 51
    assert flood("bob") == 25
    assert slots.reserve("c", "cleo", behind=True)
    for number in range(51):
        slots.release(f"ada{number}")
    assert flood("ada") + slots.waiting < 100 + 51


def test_an_admitted_run_has_the_permit_reserved_for_it() -> None:
    slots: RunLimiter[str] = RunLimiter(per_user=1, total=1)
    assert slots.reserve("a", "ada")
    assert not slots.acquire("b", "bob", "B")
    assert slots.acquire("a", "ada", "A")
    assert slots.release("a") == [("b", "B")]


@given(
    st.lists(
        st.tuples(st.sampled_from(["ask", "rest", "free"]), st.integers(0, 9), st.sampled_from("xyz")), max_size=60
    )
)
def test_the_bounds_hold_and_no_place_stays_empty_while_somebody_fits(steps: list[tuple[str, int, str]]) -> None:
    slots: RunLimiter[int] = RunLimiter(per_user=2, total=3)
    owners = {number: owner for _, number, owner in reversed(steps)}
    running: set[int] = set()
    resting: set[int] = set()
    waiting: list[int] = []
    for step, number, _ in steps:
        begun: list[tuple[str, int]] = []
        if step == "ask":
            if slots.acquire(str(number), owners[number], number):
                running.add(number)
                resting.discard(number)
            elif number not in waiting:
                waiting.append(number)
        elif step == "rest":
            if number in running:
                running.discard(number)
                resting.add(number)
            begun = slots.suspend(str(number))
        else:
            running.discard(number)
            resting.discard(number)
            waiting = [other for other in waiting if other != number]
            begun = slots.release(str(number))
        for _, granted in begun:
            running.add(granted)
            resting.discard(granted)
            waiting.remove(granted)
        assert slots.running == len(running) <= 3
        assert slots.waiting == len({*waiting, *resting})
        in_line = [number for _, _, number in slots.queue]
        assert sorted(in_line) == sorted(waiting)
        assert in_line == [n for n in in_line if n in resting] + [n for n in in_line if n not in resting]
        for owner in "xyz":
            assert sum(owners[run] == owner for run in running) <= 2
        for waiter in waiting:
            assert len(running) == 3 or sum(owners[n] == owners[waiter] for n in running) == 2


def test_a_tenant_holds_no_more_than_its_places() -> None:
    slots: RunLimiter[str] = RunLimiter(per_user=2, total=4, per_tenant=2)
    ada, cem, dee, bob = (owner_of(*who) for who in (("ada", "a"), ("cem", "a"), ("dee", "a"), ("bob", "b")))
    assert slots.acquire("ada1", ada, "A")
    assert slots.acquire("cem1", cem, "C")
    assert not slots.acquire("dee1", dee, "D")
    assert slots.tenant_at_limit("dee1")
    assert slots.acquire("bob1", bob, "B")
    assert slots.counts(lambda owner: tenant_of(owner) == "a") == {"runs": 2, "runs_waiting": 1}
    assert slots.counts(lambda owner: True) == {"runs": 3, "runs_waiting": 1}
    assert slots.release("bob1") == []
    assert slots.release("ada1") == [("dee1", "D")]
    assert not slots.tenant_at_limit("dee1")


def test_tenants_take_turns_in_line() -> None:
    slots: RunLimiter[str] = RunLimiter(per_user=9, total=1, per_tenant=9)
    ada, bob, cem = owner_of("ada", "a"), owner_of("bob", "b"), owner_of("cem")
    slots.acquire("a0", ada, "")
    for run, owner in (("a1", ada), ("a2", ada), ("b1", bob), ("b2", bob), ("c1", cem)):
        assert not slots.acquire(run, owner, "")
    assert [slots.queue.position(run) for run in ("b1", "c1", "a1", "b2", "a2")] == [1, 2, 3, 4, 5]
    begun: list[str] = []
    run = "a0"
    while freed := slots.release(run):
        run = freed[0][0]
        begun.append(run)
    assert begun == ["b1", "c1", "a1", "b2", "a2"]


def test_one_tenant_fills_half_of_the_line() -> None:
    slots: RunLimiter[str] = RunLimiter(per_user=1, total=1, max_waiting=4, per_tenant=1)
    users = [owner_of(f"user-{number}", "a") for number in range(5)]
    assert [slots.reserve(user, user) for user in users] == [True, True, True, True, False]
    assert slots.tenant_fills_queue(users[0])
    bob = owner_of("bob", "b")
    assert not slots.tenant_fills_queue(bob)
    assert slots.reserve("bob", bob)
    assert not slots.reserve("cem", owner_of("cem", "b"))
    alone: RunLimiter[str] = RunLimiter(per_user=1, total=1, max_waiting=4)
    assert [alone.reserve(user, user) for user in users] == [True] * 5
    assert not alone.tenant_fills_queue(users[0])


def test_nothing_is_kept_of_owners_that_have_no_runs() -> None:
    slots: RunLimiter[str] = RunLimiter(per_user=1, total=1, per_tenant=1)
    for number in range(3):
        slots.acquire(f"r{number}", owner_of(f"u{number}", f"t{number}"), "")
    for number in range(3):
        slots.release(f"r{number}")
    assert [slots._runs, slots.held, slots.queue._next_round_of] == [*[RunCounts(tenants=True)] * 2, {}]


@define
class Server:
    """A server's limiter, and what it saw of another when it last looked."""

    limiter: RunLimiter[str]
    held: dict[str, int] = field(factory=dict)
    waits: set[str | None] = field(factory=set)

    def elsewhere(self, kind: str, name: str | None, held: int) -> int:
        count = self.held.get(name or "", 0)
        return count + (count < held and name in self.waits)

    def report(self) -> tuple[dict[str, int], set[str | None]]:
        owners = self.limiter.queue.by_owner()
        return dict(self.limiter.held.by_owner), {self.limiter.limit_of(name)[1] for name in owners}


def two_servers(per_user: int) -> tuple[Server, Server]:
    servers = Server(RunLimiter(per_user, 10)), Server(RunLimiter(per_user, 10))
    for server in servers:
        server.limiter.elsewhere = server.elsewhere
    return servers


def look(server: Server, other: Server) -> list[tuple[str, str]]:
    """Have the servers report at the same time, read each other's report, and grant what is free by that."""
    (other.held, other.waits), (server.held, server.waits) = server.report(), other.report()
    return server.limiter.offer() + other.limiter.offer()


def test_a_server_with_more_leaves_a_permit_to_one_with_fewer() -> None:
    server, other = two = two_servers(4)
    for number in range(6):
        assert server.limiter.acquire(f"a{number}", "ada", "A") == (number < 4)
    look(*two)
    for number in range(3):
        assert not other.limiter.acquire(f"b{number}", "ada", "B")
    for number in range(2):
        assert look(*two) == []
        assert server.limiter.release(f"a{number}") == []
        assert look(*two) == [(f"b{number}", "B")]
    assert server.limiter.release("a2") == [("a4", "A")], "both have two"


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.sampled_from("xy")), max_size=40))
def test_two_servers_that_look_at_each_other_keep_a_limit_and_leave_no_permit(
    steps: list[tuple[bool, bool, str]],
) -> None:
    two = two_servers(3)
    for number, (begins, second, owner) in enumerate([*steps, *[(False, False, "x")] * len(steps)]):
        limiter = two[second].limiter
        if begins:
            limiter.acquire(f"{number}", owner, "")
        else:
            for node in two[:1] if number < len(steps) else two:
                node.limiter.release(next(iter(node.limiter.permits), ""))
        while look(*two):
            pass
        for user in "xy":
            held = sum(server.limiter.held.by_owner[user] for server in two)
            assert held <= 3
            assert held == 3 or not any(server.limiter.queue.by_owner()[user] for server in two)
    assert not any(server.limiter.waiting for server in two)
