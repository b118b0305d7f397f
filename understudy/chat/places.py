"""Giving places for runs back, and telling those who wait what that means for them. See `understudy.chat.slots`."""

from actors import ActorRef
from understudy.chat.messages import PlaceMoved, SlotFree
from understudy.chat.offer import offer
from understudy.chat.slots import Slots

NEAR = 10
"""How many at the front of the line are told at once that they moved up; the others learn it with their next sign of
life. A place given back must not cost as much as the line is long."""


def give_back(slots: Slots[ActorRef], run_id: str, *, resting: bool = False) -> None:
    """Give back the place of a run, or its place in line; with `resting` only until it asks for one again."""
    ahead = slots.front(NEAR)
    for begun, waiter in slots.rest(run_id) if resting else slots.free(run_id):
        waiter.tell(SlotFree(begun))
    was = [waiting for waiting, _ in ahead]
    for number, (waiting, waiter) in enumerate(slots.front(NEAR)):
        if number >= len(was) or was[number] != waiting:
            offer(waiter, PlaceMoved(waiting))
