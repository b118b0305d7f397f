"""What a caller is told of an actor that cannot answer: whether it comes back, or has ended for good."""

import math

import pytest
import trio

from actors import (
    Actor,
    ActorDied,
    ActorError,
    ActorUnavailable,
    Backoff,
    ChildSpec,
    Directive,
    IncarnationDied,
    MailboxFull,
    MailboxSpec,
    Overflow,
    Restart,
    StartChild,
    StopMode,
    Strategy,
    Supervisor,
)
from actors.behaviours.pool import NoWorkers, Pool, PoolRef
from tests.actors.troupe import Boom, Read, Run, calls, during, player, settled, sleeping

ANSWERED = None
"""The outcome of an ask that is answered."""


async def outcome(ref, request, **options):
    """Ask, and return the type of the error; `ANSWERED` without one."""
    try:
        await ref.ask(request, **options)
    except ActorError as error:
        return type(error)
    return ANSWERED


async def crash(context):
    await trio.sleep(1)
    raise ValueError


CRASHES = {
    "permanent": ({}, IncarnationDied, ANSWERED),
    "transient": ({"restart": Restart.TRANSIENT}, IncarnationDied, ANSWERED),
    "backing off": ({"backoff": Backoff(min_s=2)}, IncarnationDied, ANSWERED),
    "temporary": ({"restart": Restart.TEMPORARY}, ActorDied, ActorDied),
    "stopped by its directive": ({"directives": {ValueError: Directive.STOP}}, ActorDied, ActorDied),
    "escalated": ({"directives": {ValueError: Directive.ESCALATE}}, ActorDied, ActorDied),
    "resumed": ({"directives": {ValueError: Directive.RESUME}}, ValueError, ANSWERED),
    "restarted too often": ({"intensity": 0}, ActorDied, ActorDied),
    "restarted with its group": ({"strategy": Strategy.ONE_FOR_ALL}, IncarnationDied, ANSWERED),
}


@pytest.mark.promise("ask.death-during-call", "ask.restarted-or-dead")
@pytest.mark.parametrize("case", CRASHES)
async def test_a_caller_at_a_crash_is_told_whether_the_actor_is_restarted(autojump_clock, system, case):
    """One request is being handled at the crash, another one waits behind it."""
    options, in_work, queued = CRASHES[case]
    supervision = {name: options[name] for name in ("intensity", "strategy") if name in options}
    child = {name: value for name, value in options.items() if name not in supervision}
    sup = await system.spawn(ChildSpec("sup", lambda: Supervisor(**supervision)))
    await sup.ask(StartChild(player("sibling")))
    ref = await sup.ask(StartChild(player("a", **child)))
    outcomes = {}

    async def ask(name, request):
        try:
            outcomes[name] = await outcome(ref, request, timeout_s=math.inf)
        except ValueError:
            outcomes[name] = ValueError

    async with during(ask, "in work", Run(crash)) as nursery:
        nursery.start_soon(ask, "queued", Read())
    assert outcomes == {"in work": in_work, "queued": queued}
    assert ref.alive is (queued is ANSWERED)


async def backing_off(system):
    ref = await system.spawn(player("a", backoff=Backoff(min_s=2)))
    ref.tell(Boom())
    await settled()
    return ref


async def full(system):
    mailbox = MailboxSpec(capacity=1, overflow=Overflow.REJECT)
    ref = await system.spawn(player("a", backoff=Backoff(min_s=2), mailbox=mailbox))
    ref.tell(Boom())
    await settled()
    ref.tell("waits")
    return ref


async def stopping(system):
    ref = await system.spawn(player("a", stopping=sleeping(2)))
    system.start_soon(system.nursery, "stop", ref.stop)
    await settled()
    return ref


async def draining(system):
    ref = await system.spawn(player("a"))
    ref.tell(Run(sleeping(2)))
    await settled()
    system.start_soon(system.nursery, "stop", ref.stop, StopMode.AFTER_DRAIN)
    await settled()
    return ref


async def draining_again(system):
    """It backed off when it was told to drain, so that another incarnation handles what waits."""
    ref = await backing_off(system)
    ref.tell(Run(sleeping(2)))
    system.start_soon(system.nursery, "stop", ref.stop, StopMode.AFTER_DRAIN)
    await settled()
    return ref


async def gone(system):
    ref = await system.spawn(player("a"))
    await ref.stop()
    return ref


STATES = {
    backing_off: (ANSWERED, ActorUnavailable, []),
    full: (MailboxFull, ActorUnavailable, MailboxFull),
    stopping: (ActorDied, ActorDied, ["stopped"]),
    draining: (ActorDied, ActorDied, ["stopping"]),
    draining_again: (ActorDied, ActorDied, ["stopping"]),
    gone: (ActorDied, ActorDied, ["dead"]),
}


@pytest.mark.promise("bitten.ask-restarting", "ask.restarted-or-dead")
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
async def test_a_sender_is_told_whether_an_actor_that_does_not_run_comes_back(autojump_clock, system, state):
    outcome_of_ask, outcome_of_fail_fast, outcome_of_tell = STATES[state]
    ref = await state(system)
    assert await outcome(ref, Read(), fail_fast=True) is outcome_of_fail_fast
    assert trio.current_time() == 0
    if outcome_of_tell is MailboxFull:
        assert not ref.try_tell("news")
    else:
        ref.tell("news")
    assert await outcome(ref, Read()) is outcome_of_ask
    if outcome_of_tell is not MailboxFull:
        assert [letter.why for letter in system.dead_letters] == outcome_of_tell


@pytest.mark.promise("ask.restarted-or-dead")
async def test_a_request_in_work_at_the_end_of_a_drain_fails_for_good(autojump_clock, ref):
    """The drain goes on with another incarnation, which takes no new request."""
    async with calls(lambda: ref.ask(Run(crash))) as outcomes:
        ref.tell("waits")
        await ref.stop(StopMode.AFTER_DRAIN)
    assert list(map(type, outcomes)) == [ActorDied]


@pytest.mark.promise("ask.restarted-or-dead")
async def test_a_request_that_its_actor_kept_fails_with_the_incarnation(autojump_clock, system):
    """The crash comes from another message, and the request is in the state that goes away with the incarnation."""

    class Keeper(Actor):
        async def receive(self, message, context):
            if isinstance(message, Boom):
                raise message.error
            self.kept = message

    ref = await system.spawn(ChildSpec("keeper", Keeper))
    async with calls(lambda: ref.ask(Read(), timeout_s=math.inf)) as outcomes:
        ref.tell(Boom())
    assert list(map(type, outcomes)) == [IncarnationDied]
    assert system.late_replies == 0


@pytest.mark.promise("ask.restarted-or-dead")
async def test_a_caller_of_a_pool_is_told_of_the_worker_and_of_the_pool(autojump_clock, system):
    """A worker that is restarted, one that is not, a pool without workers, and one that has ended."""
    pool = PoolRef()
    worker = player("w", directives={KeyError: Directive.STOP})
    ref = await system.spawn(ChildSpec("pool", lambda: Pool(pool, worker, 1)))

    def fail(error):
        raise error

    assert await outcome(pool, Run(lambda _: fail(ValueError()))) is IncarnationDied
    assert await outcome(pool, Run(lambda _: fail(KeyError()))) is ActorDied
    assert await outcome(pool, Read()) is NoWorkers
    await ref.stop()
    assert await outcome(pool, Read()) is ActorDied
