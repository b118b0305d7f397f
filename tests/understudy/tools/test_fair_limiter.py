"""Places are bounded, each user's too, and users are served in turn."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from understudy.storage.tenancy import owner_of
from understudy.tools import ToolError
from understudy.tools.fair_limiter import FairLimiter


class Crowd:
    """Calls that hold their place until they are told to go."""

    def __init__(self, turns: FairLimiter, nursery: trio.Nursery) -> None:
        self.turns, self.nursery = turns, nursery
        self.inside: list[str] = []
        self.doors: dict[str, trio.Event] = {}
        self.scopes: dict[str, trio.CancelScope] = {}

    async def come(self, *names: str) -> None:
        """Ask for a place, one after the other; the first letter of a name is the user."""
        for name in names:
            self.doors[name] = trio.Event()
            self.nursery.start_soon(self._hold, name)
            await wait_all_tasks_blocked()

    async def _hold(self, name: str) -> None:
        with trio.CancelScope() as self.scopes[name]:
            async with self.turns.permit(name[0]):
                self.inside.append(name)
                try:
                    await self.doors[name].wait()
                finally:
                    self.inside.remove(name)

    async def go(self, name: str) -> list[str]:
        """Let one leave; gives who is inside then."""
        self.doors[name].set()
        await wait_all_tasks_blocked()
        return sorted(self.inside)


async def test_a_user_has_two_places_and_all_have_four() -> None:
    """The third call of a user waits while places are free; the fifth of all waits in any case."""
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
    """Ten calls of one user stand in nobody's way, however early they came."""
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
async def test_whoever_gives_up_leaves_no_hole(gone: str) -> None:
    """A cancelled call gives back its place, or its place in the queue."""
    async with trio.open_nursery() as nursery:
        turns = FairLimiter(total=1, per_user=1)
        crowd = Crowd(turns, nursery)
        await crowd.come("a1", "a2", "b1")
        crowd.scopes[gone].cancel()
        await wait_all_tasks_blocked()
        for name in ("a1", "a2", "b1"):
            await crowd.go(name)
        await crowd.come("c1")
        assert crowd.inside == ["c1"]
        assert [turns.queued(user) for user in "abc"] == [0, 0, 0]
        await crowd.go("c1")


async def test_a_place_given_to_a_call_that_was_cancelled_meanwhile_is_not_lost() -> None:
    """The place and the cancellation may come in the same moment."""
    async with trio.open_nursery() as nursery:
        crowd = Crowd(FairLimiter(total=1, per_user=1), nursery)
        await crowd.come("a1", "b1", "c1")
        crowd.scopes["a1"].cancel()
        crowd.scopes["b1"].cancel()
        await wait_all_tasks_blocked()
        assert crowd.inside == ["c1"]
        await crowd.go("c1")


async def test_the_users_of_one_tenant_leave_a_place_to_others(nursery: trio.Nursery) -> None:
    """However many of them ask."""
    turns, inside = FairLimiter(), list[str]()

    async def hold(owner: str) -> None:
        async with turns.permit(owner):
            inside.append(owner)
            await trio.sleep_forever()

    for number in range(6):
        nursery.start_soon(hold, owner_of(f"u{number}", "acme"))
    await wait_all_tasks_blocked()
    assert len(inside) == 3
    nursery.start_soon(hold, owner_of("bob", "other"))
    await wait_all_tasks_blocked()
    assert owner_of("bob", "other") in inside


async def test_beyond_a_bounded_line_a_user_is_refused(nursery: trio.Nursery) -> None:
    """In a sentence; another user is not."""
    turns = FairLimiter(max_queued=3)

    async def hold(owner: str) -> None:
        async with turns.permit(owner):
            await trio.sleep_forever()

    for _ in range(5):
        nursery.start_soon(hold, "ada")
    await wait_all_tasks_blocked()
    assert turns.queued("ada") == 3
    with pytest.raises(ToolError, match="too many tables and charts") as caught:
        await hold("ada")
    assert caught.value.code == "busy"
    nursery.start_soon(hold, "bob")
    await wait_all_tasks_blocked()
    assert turns.queued("bob") == 0
