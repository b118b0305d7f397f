"""Release permits of the run limiter, and send those who wait what that means for them."""

from actors import ActorRef
from understudy.chat.messages import PlaceMoved, SlotFree
from understudy.chat.run_limiter import Slots

NEAR = 10
"""How many at the front of the line are told at once that they moved up; the others learn it with their next sign of
life. A place given back must not cost as much as the line is long."""


def waiting_note(slots: Slots[ActorRef], run_id: str) -> str:
    """Return the sentence that a waiting run's user is shown; empty if it does not stand in line."""
    place = slots.place(run_id)
    if not place:
        return ""
    if slots.tenant_holds_all(run_id):
        return f"Your organisation has as many answers at work as it may; number {place} in line"
    return f"Waiting for a free place: number {place} in line"


def give_back(slots: Slots[ActorRef], run_id: str, *, resting: bool = False) -> None:
    """Give back the place of a run, or its place in line; with `resting` only until it asks for one again."""
    ahead = slots.front(NEAR)
    for begun, waiter in slots.rest(run_id) if resting else slots.free(run_id):
        waiter.tell(SlotFree(begun))
    was = [waiting for waiting, _ in ahead]
    for number, (waiting, waiter) in enumerate(slots.front(NEAR)):
        if number >= len(was) or was[number] != waiting:
            waiter.try_tell(PlaceMoved(waiting))
