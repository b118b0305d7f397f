"""For which groups a user's spending counts, by days."""

from typing import Any

from tests.rigs.store import running
from understudy.extensions.spending.memberships import forget_memberships, memberships, set_memberships, spent_together
from understudy.storage.changes import Change
from understudy.storage.deletion import remove_user
from understudy.storage.owners import tenant_of
from understudy.storage.spending import DAY_S, Spent, forget_spending

ANN = "acme\x1fann"


async def test_what_a_group_spent_is_that_of_its_members_in_their_days(database: Any, make: Any) -> None:
    """Ann was a member up to day 7 and again from day 9 on, Bob from day 8 on; Eve of another tenant is one, too."""
    bob, eve, staff = "acme\x1fbob", "else\x1feve", "group:staff"
    async with running(database) as (store, _):
        for owner in (ANN, bob, eve):
            await store.commit(make.opening(owner, "t", f"r-{owner}"))
            for day in (7, 8, 9):
                row = Spent(f"r-{owner}", day, owner, tenant_of(owner), day, 100, 0.5)
                await store.commit(Change(owner, "t", spent=(row,)))
        await store.commit(set_memberships(eve, (staff,), 7.0 * DAY_S))
        for day, entries in ((5, (staff, "role:a")), (7, ()), (9, (staff,)), (9, ()), (9, (staff,)), (9, (staff,))):
            await store.commit(set_memberships(ANN, entries, day * DAY_S + 60.0))
        await store.commit(set_memberships(bob, (staff,), 8.0 * DAY_S))
        assert await store.read(memberships, ANN) == {staff}
        groups = (staff, "role:a", "group:none")
        assert await store.read(spent_together, ANN, "acme", groups, (9, 7), 9) == {staff: [(200, 1.0), (400, 2.0)]}
        assert await store.read(spent_together, ANN, None, groups, (8,), 8) == {staff: [(200, 1.0)]}
        assert await store.read(spent_together, "acme\x1fdan", "acme", groups, (7,), 9) == {}
        assert not await store.commit(forget_memberships(8))
        assert not await store.commit(forget_spending(8))
        assert await store.read(spent_together, ANN, "acme", groups, (7,), 9) == {staff: [(300, 1.5)]}
        assert await store.delete_thread(bob, "t")
        assert await remove_user(store, bob)
        assert await store.read(memberships, bob) == set()
