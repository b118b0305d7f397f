"""What the actor of schedules does with a claim: sends, repeats, and records. Whole firings are in `end_to_end`."""

from collections.abc import Callable
from typing import Any

import trio
from attrs import define, evolve, field

from actors import ActorSystem, ChildSpec
from transport.auth.identity import Identity
from transport.wire.errors import CommandRejected
from understudy.chat.commands.request import Accepted
from understudy.extensions.schedules.due import When
from understudy.extensions.schedules.firing import ScheduleRunner
from understudy.extensions.schedules.storage import Due, LastFiring, Schedule, claim_firing, due, end_firing
from understudy.storage.owners import owner_of
from understudy.storage.records import Message
from understudy.storage.write import Call
from understudy.wire.commands import Say

ANN = owner_of("ann", "acme")
ONE = Schedule(
    "s", ANN, "", None, "hi", When("0 * * * *", None, "UTC", 0.0), None, "skip", {}, True, 0.0, 3600.0, 7
)  # fmt: skip


@define
class Table:
    """Stands for the store: one schedule that is due at `now`, and the `writes` that were committed.

    `claimable`: no other node has the firing.
    """

    row: Schedule
    now: float
    claimable: bool = True
    there: Message | None = None
    writes: list[Any] = field(factory=list)
    looked: trio.Event = field(factory=trio.Event)

    async def read(self, query: Callable[..., Due]) -> Due:
        assert query is due
        if self.writes:
            self.looked.set()
            return Due(self.now, [], None)
        return Due(self.now, [self.row], None)

    async def commit(self, write: Call) -> bool:
        self.writes.append(write)
        return self.claimable or write.made_by is end_firing

    async def message(self, owner: str, message_id: str) -> Message | None:
        return self.there


async def fire(table: Table, refusal: str | None = None) -> tuple[list[Any], list[tuple[Identity, Say]], list[str]]:
    """Let the actor work. Return what it stored, sent and counted."""
    sent: list[tuple[Identity, Say]] = []
    counted: list[str] = []

    async def send(identity: Identity, say: Say) -> Accepted:
        sent.append((identity, say))
        if refusal is not None:
            raise CommandRejected(refusal, "No.")
        return Accepted(say.message_id or "", "r", say.thread_id or "")

    store: Any = table
    make: Callable[[], ScheduleRunner] = lambda: ScheduleRunner(store, {}, send, counted.append, 9.0)  # noqa: E731
    with trio.fail_after(60):
        async with ActorSystem("s", [ChildSpec("schedules", make)]):
            await table.looked.wait()
    return table.writes, sent, counted


async def test_a_due_time_is_claimed_sent_and_recorded() -> None:
    stored, ((identity, say),), counted = await fire(Table(ONE, 3601.0))
    name = "auto-s-3600"
    assert stored == [claim_firing("s", 7, 3600.0, 7200.0, 9.0), end_firing("s", LastFiring(3600.0, name, "r"))]
    assert (identity.user, identity.tenant, identity.roles, identity.groups) == (ANN, "acme", (), ())
    assert (say.content, say.message_id, say.thread_id, counted) == ("hi", name, name, ["fired"])


async def test_what_another_node_has_is_left_to_it() -> None:
    stored, sent, _ = await fire(Table(ONE, 3601.0, claimable=False))
    assert (len(stored), sent) == (1, [])


async def test_a_late_firing_is_dropped_unless_it_was_claimed() -> None:
    stored, sent, counted = await fire(Table(ONE, 9000.0))
    assert stored == [claim_firing("s", 7, None, 10800.0, 9.0, "2 due times passed while the server was away.")]
    assert (sent, counted) == ([], ["missed"])
    stored, sent, counted = await fire(Table(evolve(ONE, firing_at=3600.0, next_due_at=10800.0), 9000.0))
    assert stored[0] == claim_firing("s", 7, 3600.0, 10800.0, 9.0)
    assert (len(sent), counted) == (1, ["fired"])


async def test_a_repeated_firing_finds_its_message() -> None:
    """It is not sent again: the limits that it passed may be reached meanwhile."""
    there = Message(ANN, "auto-s-3600", "t", "r9", "user", "hi", "guide", None, "accepted", 1.0)
    stored, sent, _ = await fire(Table(evolve(ONE, firing_at=3600.0), 9000.0, there=there))
    assert (stored[1], sent) == (end_firing("s", LastFiring(3600.0, "t", "r9")), [])


async def test_a_refusal_is_recorded_and_a_passing_one_is_repeated() -> None:
    stored, _, counted = await fire(Table(ONE, 3601.0), "quota_exceeded")
    refused = LastFiring(3600.0, None, None, "quota_exceeded", "No.")
    assert (stored[1:], counted) == ([end_firing("s", refused)], ["refused"])
    stored, _, counted = await fire(Table(ONE, 3601.0), "storage_unavailable")
    assert (len(stored), counted) == (1, [])


async def test_a_time_zone_that_is_gone_stops_the_schedule_with_a_sentence() -> None:
    stored, _, _ = await fire(Table(evolve(ONE, when=evolve(ONE.when, time_zone="Mars/Olympus")), 3601.0))
    (claim,) = stored
    assert (claim.given["at"], claim.given["next_at"]) == (None, None)
    assert "no time zone Mars/Olympus" in claim.given["dropped"]
