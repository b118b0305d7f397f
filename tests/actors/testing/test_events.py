"""The probe for crashes and other records."""

import pytest
import trio

from actors import ActorStarted, ActorSystem, Decision, Directive
from actors.testing import EventProbe, ProbeFailure
from tests.actors.troupe import Boom, player


@pytest.mark.promise("testing.probes")
async def test_a_crash_is_expected_by_path_and_error(autojump_clock, system, ref):
    with await EventProbe.open(system) as log:
        ref.tell(Boom())
        ref.tell(Boom(KeyError("b")))
        crash = await log.expect_crash(ref, KeyError)
        assert (crash.incarnation, crash.decision) == (2, Decision.RESTART)
        assert (await log.expect_crash("/test/*")).incarnation == 1
        await log.expect_no_crash(60.0)


async def test_a_crash_that_does_not_come_is_a_failure(autojump_clock, system, ref):
    with await EventProbe.open(system) as log:
        ref.tell(Boom())
        with pytest.raises(ProbeFailure, match="no crash of /test/a by OSError within 3 s"):
            await log.expect_crash(ref, OSError, 3.0)
        assert trio.current_time() == pytest.approx(3.0)
        with pytest.raises(ProbeFailure, match="no crash of /test/b"):
            await log.expect_crash("/test/b")
        await log.expect_crash(ref)


@pytest.mark.promise("testing.probes")
async def test_nothing_crashed_is_expected_too(autojump_clock, system):
    ref = await system.spawn(player("a", directives={ValueError: Directive.RESUME}))
    with await EventProbe.open(system) as log:
        ref.kill()
        await log.expect_no_crash(1.0)
        ref.tell(Boom())
        with pytest.raises(ProbeFailure, match=r"(?s)/test/a crashed: ValueError at Boom.*Traceback.*boom"):
            await log.expect_no_crash(1.0)
        assert [crash.decision for crash in log.unexpected] == [Decision.RESUME]


async def test_crashes_by_some_errors_can_be_allowed(autojump_clock, system, ref):
    with await EventProbe.open(system) as log:
        log.allow(ValueError)
        ref.tell(Boom())
        await log.expect_no_crash(1.0)
        await log.expect_crash(ref)
        log.allow((KeyError, TypeError))
        ref.tell(Boom(OSError()))
        with pytest.raises(ProbeFailure, match="OSError"):
            await log.expect_no_crash(1.0)


async def test_other_records_are_expected_like_messages(autojump_clock):
    log = EventProbe()
    async with ActorSystem("own", on_event=log.heard) as system:
        await system.spawn(player("a"))
        assert await log.fish(ActorStarted, where=lambda event: event.path == "/own/a") == ActorStarted("/own/a", 1)
    log.close()


async def test_a_probe_that_was_closed_hears_no_more(autojump_clock, system):
    with await EventProbe.open(system) as log:
        pass
    await system.spawn(player("a"))
    assert log.seen == ()
