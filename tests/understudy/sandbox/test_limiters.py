"""Values of one run of trio; permits that are bounded for all and for each user, and granted to users in turn."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from understudy.sandbox.limiters import FairLimiter, QueueFull, RunLocal, thread_limiter
from understudy.storage.owners import owner_of


def test_each_run_has_a_value_of_its_own_made_once() -> None:
    made = RunLocal("test", lambda: object())

    async def twice() -> tuple[object, object]:
        return made(), made()

    first, again = trio.run(twice)
    assert first is again
    assert trio.run(twice)[0] is not first


def test_a_value_that_was_set_replaces_the_one_made() -> None:
    made = RunLocal("test", list[int])

    async def replaced() -> list[int]:
        made().append(1)
        made.set([2])
        return made()

    assert trio.run(replaced) == [2]


async def test_a_thread_limiter_has_as_many_tokens_as_threads() -> None:
    limiter = thread_limiter("test", 3)
    assert limiter() is limiter()
    assert limiter().total_tokens == 3


class Crowd:
    def __init__(self, limiter: FairLimiter, nursery: trio.Nursery) -> None:
        self.limiter, self.nursery = limiter, nursery
        self.inside: list[str] = []
        self.doors: dict[str, trio.Event] = {}
        self.scopes: dict[str, trio.CancelScope] = {}

    async def come(self, *names: str) -> None:
        """Ask for permits, one after the other; the first letter of a name is the user."""
        for name in names:
            self.doors[name] = trio.Event()
            self.nursery.start_soon(self._hold, name)
            await wait_all_tasks_blocked()

    async def _hold(self, name: str) -> None:
        with trio.CancelScope() as self.scopes[name]:
            async with self.limiter.permit(name[0]):
                self.inside.append(name)
                try:
                    await self.doors[name].wait()
                finally:
                    self.inside.remove(name)

    async def go(self, name: str) -> list[str]:
        """End one call. Return the calls that hold a permit then."""
        self.doors[name].set()
        await wait_all_tasks_blocked()
        return sorted(self.inside)


async def test_a_user_has_two_permits_and_all_have_four() -> None:
    async with trio.open_nursery() as nursery:
        crowd = Crowd(FairLimiter(), nursery)
        await crowd.come("a1", "a2", "a3")
        assert crowd.inside == ["a1", "a2"]
        await crowd.come("b1", "c1", "d1")
        assert crowd.inside == ["a1", "a2", "b1", "c1"]
        assert await crowd.go("b1") == ["a1", "a2", "c1", "d1"]
        assert await crowd.go("c1") == ["a1", "a2", "d1"]
        assert await crowd.go("a2") == ["a1", "a3", "d1"]
        nursery.cancel_scope.cancel()


async def test_users_take_turns_and_a_users_calls_keep_their_order() -> None:
    async with trio.open_nursery() as nursery:
        crowd = Crowd(FairLimiter(total=1, per_user=1), nursery)
        await crowd.come("x", "a1", "a2", "a3", "b1", "b2", "c1")
        order, last = [], "x"
        for _ in range(6):
            (last,) = await crowd.go(last)
            order.append(last)
        assert order == ["a1", "b1", "c1", "a2", "b2", "a3"]
        await crowd.go(last)


@pytest.mark.parametrize("gone", ["a1", "a2", "b1"])
async def test_a_cancelled_call_leaves_its_permit_or_its_place_in_the_queue(gone: str) -> None:
    async with trio.open_nursery() as nursery:
        limiter = FairLimiter(total=1, per_user=1)
        crowd = Crowd(limiter, nursery)
        await crowd.come("a1", "a2", "b1")
        crowd.scopes[gone].cancel()
        await wait_all_tasks_blocked()
        for name in ("a1", "a2", "b1"):
            await crowd.go(name)
        await crowd.come("c1")
        assert crowd.inside == ["c1"]
        assert [limiter.queued(user) for user in "abc"] == [0, 0, 0]
        await crowd.go("c1")


async def test_a_permit_granted_to_a_cancelled_call_is_not_lost() -> None:
    async with trio.open_nursery() as nursery:
        crowd = Crowd(FairLimiter(total=1, per_user=1), nursery)
        await crowd.come("a1", "b1", "c1")
        crowd.scopes["a1"].cancel()
        crowd.scopes["b1"].cancel()
        await wait_all_tasks_blocked()
        assert crowd.inside == ["c1"]
        await crowd.go("c1")


async def test_the_users_of_one_tenant_leave_a_permit_to_others(nursery: trio.Nursery) -> None:
    limiter, inside = FairLimiter(), list[str]()

    async def hold(owner: str) -> None:
        async with limiter.permit(owner):
            inside.append(owner)
            await trio.sleep_forever()

    for number in range(6):
        nursery.start_soon(hold, owner_of(f"u{number}", "acme"))
    await wait_all_tasks_blocked()
    assert len(inside) == 3
    nursery.start_soon(hold, owner_of("bob", "other"))
    await wait_all_tasks_blocked()
    assert owner_of("bob", "other") in inside


async def test_beyond_a_full_queue_a_user_is_refused(nursery: trio.Nursery) -> None:
    limiter = FairLimiter(max_queued=3)

    async def hold(owner: str) -> None:
        async with limiter.permit(owner):
            await trio.sleep_forever()

    for _ in range(5):
        nursery.start_soon(hold, "ada")
    await wait_all_tasks_blocked()
    assert limiter.queued("ada") == 3
    with pytest.raises(QueueFull):
        await hold("ada")
    nursery.start_soon(hold, "bob")
    await wait_all_tasks_blocked()
    assert limiter.queued("bob") == 0
