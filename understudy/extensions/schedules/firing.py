"""The actor that fires schedules, one per node: it sleeps until the next due time, and claims due schedules.

1. A firing is claimed in the database by one node, then its message is sent, then its end is recorded. A node that dies
   in between loses its claim after CLAIM_S; another sends the message again, under the same id, which is accepted once.
2. A run of a schedule belongs to its owner, in the owner's tenant, without roles and groups, as there is no token that
   names these. The checks of any message apply: agents, quotas, spending, the content policy.
3. A refused message is not sent again: the refusal is recorded for the owner, and the schedule continues.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import trio

from transport.auth.identity import Identity
from transport.wire.errors import CommandRejected
from understudy.agents.agent import Agent
from understudy.chat.commands.request import Accepted
from understudy.chat.messages import AUTOMATIC
from understudy.extensions.schedules import storage
from understudy.extensions.schedules.cron import BadCron
from understudy.extensions.schedules.due import Firing, next_firing
from understudy.extensions.schedules.storage import LARGEST_BATCH, LastFiring, Schedule, claim_firing, end_firing
from understudy.observe.collectors import CountedBy
from understudy.storage.errors import StorageError
from understudy.storage.owners import tenant_of
from understudy.storage.polling import Poller
from understudy.storage.store import Store
from understudy.storage.write import Call, Write
from understudy.wire.commands import Say
from understudy.wire.vocabulary import parse_command

log = logging.getLogger(__name__)

RUNNER: Final = "/system/schedules/runner"
DUE_TIMES: Final = CountedBy(
    "understudy_schedules",
    "Due times of schedules: `fired`, `refused` (its message was), `missed` (it passed while no server ran).",
    "outcome",
)
EVERY_S: Final = 10.0
"""Longest sleep in seconds: a schedule that was made on another node, which then died, fires at most that late."""
SOON_S: Final = 0.05
"""Shortest sleep after firings in seconds, as the same schedules may be due again already."""
SEND_S: Final = 10.0
"""Timeout of sending one message."""
CLAIM_S: Final = 20.0
"""Seconds after which a claimed firing is repeated, if its node died: longer than it takes to send the message."""
PASSING: Final = ("storage_unavailable", "busy")
"""Codes of temporary refusals, after which the message is sent again when its claim has expired."""


def say_of(schedule: Schedule, due_at: float, agents: Mapping[str, Agent]) -> Say:
    """Return the message that a schedule sends for a due time.

    Raises:
        CommandRejected: The text or the thread of the schedule is invalid for a message.
    """
    message_id = schedule.message_id(due_at)
    frame: dict[str, Any] = {"type": "chat", "content": schedule.message, "message_id": message_id}
    frame |= {"thread_id": schedule.thread_id or message_id, "settings": schedule.settings}
    if schedule.agent is not None:
        agent = agents.get(schedule.agent)
        frame["agent_type"] = schedule.agent if agent is None else agent.agent_type
        if agent is not None and agent.pillar is not None:
            frame["pillar"] = agent.pillar
    command = parse_command(frame)
    assert isinstance(command, Say)  # noqa: S101 - for the type checker: frames of this type are parsed to it
    return command


def identity_of(schedule: Schedule) -> Identity:
    """Return the identity of a schedule's runs: the owner's, without roles and groups."""
    return Identity(schedule.owner, f"{AUTOMATIC}{schedule.id}", tenant_of(schedule.owner))


class ScheduleRunner(Poller):
    """Fires the schedules of all users, on each node.

    `send` has a message accepted, as `Chat.accept` does; `count(outcome)` counts due times: `fired`, `refused`, or
    `missed`. `claim_s` and `every_s` replace CLAIM_S and EVERY_S.
    """

    def __init__(
        self,
        store: Store,
        agents: Mapping[str, Agent],
        send: Callable[[Identity, Say], Awaitable[Accepted]],
        count: Callable[[str], None],
        claim_s: float | None = None,
        every_s: float | None = None,
    ) -> None:
        self.store, self.agents, self.send, self.count = store, agents, send, count
        self.claim_s = CLAIM_S if claim_s is None else claim_s
        self.every_s = EVERY_S if every_s is None else every_s

    async def poll(self) -> float:
        """Fire the due schedules. Return the seconds until the next due time; a changed schedule causes a `Poll`."""
        sleep_s = self.every_s
        try:
            due = await self.store.read(storage.due)
            async with trio.open_nursery() as nursery:
                for schedule in due.schedules:
                    nursery.start_soon(self._fire, schedule, due.now)
            if due.next_at is not None:
                sleep_s = min(sleep_s, max(due.next_at - due.now, SOON_S))
            if due.schedules:
                sleep_s = 0.0 if len(due.schedules) == LARGEST_BATCH else SOON_S
        except StorageError as error:
            log.debug("schedule.postponed", extra={"reason": str(error)})
        return sleep_s

    async def _fire(self, schedule: Schedule, now: float) -> None:
        """Claim and send one firing; if the database is down, it is repeated later."""
        try:
            claim = self._claim(schedule, now)
            if not await self.store.commit(claim):
                return
            at: float | None = claim.given["at"]
            if at is None:
                self.count("missed")
                log.warning("schedule.missed", extra={"schedule_id": schedule.id})
            elif (end := await self._send(schedule, at)) is not None:
                await self.store.commit(end)
        except StorageError as error:
            log.debug("schedule.postponed", extra={"reason": str(error), "schedule_id": schedule.id})

    def _claim(self, schedule: Schedule, now: float) -> Call:
        if schedule.firing_at is not None:  # another node claimed it, and did not record its end in time
            return claim_firing(schedule.id, schedule.version, schedule.firing_at, schedule.next_due_at, self.claim_s)
        assert schedule.next_due_at is not None  # noqa: S101 - for the type checker: else nothing would be due
        try:
            firing = next_firing(schedule.when.read(), schedule.next_due_at, now, schedule.policy)
        except BadCron as error:
            return claim_firing(schedule.id, schedule.version, None, None, self.claim_s, f"It does not fire: {error}.")
        return claim_firing(schedule.id, schedule.version, firing.at, firing.next_at, self.claim_s, _dropped(firing))

    async def _send(self, schedule: Schedule, at: float) -> Write | None:
        """Have the message of a due time accepted. Return the write of the outcome, None to send the message again."""
        if schedule.firing_at is not None:
            # Look first: the message may be stored, and a second attempt may exceed limits that it passed.
            stored = await self.store.message(schedule.owner, schedule.message_id(at))
            if stored is not None:
                return end_firing(schedule.id, LastFiring(at, stored.thread_id, stored.run_id))
        try:
            with trio.fail_after(SEND_S):
                accepted = await self.send(identity_of(schedule), say_of(schedule, at, self.agents))
        except trio.TooSlowError:
            return None
        except CommandRejected as refused:
            if refused.code in PASSING:
                return None
            self.count("refused")
            extra = {"schedule_id": schedule.id, "code": refused.code}
            log.warning("schedule.refused", extra=extra)
            return end_firing(schedule.id, LastFiring(at, schedule.thread_id, None, refused.code, refused.message))
        assert accepted is not None  # noqa: S101 - for the type checker: messages start runs
        self.count("fired")
        log.info("schedule.fired", extra={"schedule_id": schedule.id, "run_id": accepted.run_id})
        return end_firing(schedule.id, LastFiring(at, accepted.thread_id, accepted.run_id))


def _dropped(firing: Firing) -> str | None:
    if firing.at is not None:
        return None
    times = "1 due time" if firing.missed == 1 else f"{firing.missed} due times"
    return f"{times} passed while the server was away."
