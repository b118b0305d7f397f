"""Probes: what they expect, and how they say that it did not come."""

import pytest
import trio
from attrs import frozen

from actors import Ask, Backoff, Killed, Shutdown
from actors.testing import Probe, ProbeFailure
from tests.actors.troupe import calls, during, failing, player


@frozen
class Ping:
    """A message with a number."""

    n: int = 0


@frozen
class Pong:
    """Another."""

    n: int = 0


@frozen(eq=False)
class Double(Ask[int]):
    """A request."""

    n: int


@pytest.fixture
async def probe(system):
    return await Probe.open(system)


def told(probe, *messages):
    for message in messages:
        probe.ref.tell(message)


@pytest.mark.promise("testing.probes")
async def test_expect_returns_the_next_message_of_that_kind(autojump_clock, probe):
    told(probe, Ping(1), Pong(2))
    assert (await probe.expect(Ping)).n == 1
    assert (await probe.expect(Pong, where=lambda pong: pong.n == 2)).n == 2
    assert probe.last == Pong(2)


async def test_expect_names_what_came_instead(autojump_clock, probe):
    told(probe, Ping(1), Ping(2), Ping(3))
    with pytest.raises(ProbeFailure, match=r"expected Pong, got Ping\(n=1\)"):
        await probe.expect(Pong)
    with pytest.raises(ProbeFailure, match=r"another Ping, got Ping\(n=2\)"):
        await probe.expect(Ping, where=lambda ping: ping.n == 1)
    with pytest.raises(ProbeFailure, match=r"expected Ping\(n=4\), got Ping\(n=3\)"):
        await probe.expect_equal(Ping(4))


@pytest.mark.promise("testing.probes")
async def test_expect_gives_up_after_its_time(autojump_clock, probe):
    with pytest.raises(ProbeFailure, match="no Ping within 5 s"):
        await probe.expect(Ping)
    assert trio.current_time() == pytest.approx(5.0)
    with pytest.raises(ProbeFailure, match="no Ping within 60 s"):
        await probe.expect(Ping, 60.0)
    assert trio.current_time() == pytest.approx(65.0)


@pytest.mark.promise("testing.probes")
async def test_expect_none_fails_at_the_first_that_comes(autojump_clock, probe):
    await probe.expect_none(3.0)
    assert trio.current_time() == pytest.approx(3.0)
    told(probe, Ping())
    with pytest.raises(ProbeFailure, match="expected nothing, got Ping"):
        await probe.expect_none()


@pytest.mark.promise("testing.probes")
async def test_fish_lets_others_go_by(autojump_clock, probe):
    told(probe, Ping(1), Pong(1), Ping(2), Pong(2))
    assert (await probe.fish(Pong, where=lambda pong: pong.n == 2)).n == 2

    async def trickle():
        while True:
            await trio.sleep(1)
            told(probe, Ping())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trickle)
        with pytest.raises(ProbeFailure, match="no Pong"):
            await probe.fish(Pong, 3.5)
        assert trio.current_time() == pytest.approx(3.5)
        nursery.cancel_scope.cancel()


async def test_expect_all_takes_them_in_any_order(autojump_clock, probe):
    told(probe, Pong(1), Ping(2), Ping(1))
    assert await probe.expect_all(Ping, Ping(2), Pong) == [Ping(1), Ping(2), Pong(1)]
    told(probe, 1, True)
    assert await probe.expect_all(int, bool) == [1, True]
    told(probe, True, 1)
    assert await probe.expect_all(int, bool) == [1, True]


async def test_expect_all_fails_at_one_too_many_of_a_kind_at_a_stranger_and_at_too_few(autojump_clock, probe):
    told(probe, Ping(1), Ping(2))
    with pytest.raises(ProbeFailure, match="expected Ping, Pong in any order"):
        await probe.expect_all(Ping, Pong)
    told(probe, "stranger")
    with pytest.raises(ProbeFailure, match="expected one of Ping, Pong, got 'stranger'"):
        await probe.expect_all(Ping, Pong)
    told(probe, Ping(1))
    with pytest.raises(ProbeFailure, match="no all of Ping, Pong"):
        await probe.expect_all(Ping, Pong, timeout_s=2.0)
    assert trio.current_time() == pytest.approx(2.0)


async def test_within_gives_all_expectations_one_deadline(autojump_clock, probe):
    async def trickle():
        for n in range(3):
            await trio.sleep(4)
            told(probe, Ping(n))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trickle)
        with probe.within(10):
            await probe.expect(Ping)
            await probe.expect(Ping)
            with probe.within(60), pytest.raises(ProbeFailure, match="no Ping within 2 s"):
                await probe.expect(Ping, 60.0)
        assert trio.current_time() == pytest.approx(10)
        await probe.expect(Ping)


async def test_within_fails_a_block_that_took_longer(autojump_clock, probe):
    with pytest.raises(ProbeFailure, match="longer than 1 s"), probe.within(1):
        await trio.sleep(2)


async def test_take_returns_so_many_of_whatever_kind(autojump_clock, probe):
    told(probe, Ping(), Pong(), Ping())
    assert await probe.take(2) == [Ping(), Pong()]
    with pytest.raises(ProbeFailure, match=r"no 2 things \(1 came\)"):
        await probe.take(2)


@pytest.mark.usefixtures("one_batch")
async def test_everything_seen_can_be_read(autojump_clock, probe):
    probe.ignore(Pong)
    told(probe, Ping(1), Pong(1), Ping(2))
    await probe.expect(Ping)
    assert probe.waiting == (Ping(2),)
    probe.clear()
    assert probe.waiting == ()
    await probe.expect_none()
    assert probe.seen == (Ping(1), Pong(1), Ping(2))


async def test_a_captured_request_is_answered_when_the_test_wants(autojump_clock, probe):
    async with calls(lambda: probe.ref.ask(Double(2))) as answers:
        assert (await probe.expect(Double)).n == 2
        await trio.sleep(1)
        probe.reply(4)
    assert answers == [4]
    async with during(failing, LookupError, lambda: probe.ref.ask(Double(3)), "three"):
        await probe.expect(Double)
        probe.fail(LookupError("three"))


async def test_only_a_request_that_waits_can_be_answered(autojump_clock, probe):
    told(probe, Ping(), Double(1))
    await probe.expect(Ping)
    with pytest.raises(ProbeFailure, match="no request"):
        probe.reply(1)
    await probe.expect(Double)
    with pytest.raises(ProbeFailure, match="no caller waits"):
        probe.reply(1)


@pytest.mark.promise("testing.probes")
async def test_the_end_of_a_watched_actor_is_expected(autojump_clock, probe, system):
    first, second = await system.spawn(player("first")), await system.spawn(player("second"))
    await probe.watch(first)
    await probe.watch(second)
    await first.stop()
    assert (await probe.expect_end(first)).reason == Shutdown()
    await second.stop()
    with pytest.raises(ProbeFailure, match="expected the end of /test/first, got that of /test/second"):
        await probe.expect_end(first)


async def test_a_restart_of_a_watched_actor_is_expected(autojump_clock, probe, system):
    ref = await system.spawn(player("a", backoff=Backoff(min_s=60.0, max_s=60.0, jitter=0.0)))
    other = await system.spawn(player("b"))
    await probe.watch(ref, restarts=True)
    ref.kill()
    notice = await probe.expect_restarted(ref, 120.0)
    assert (notice.incarnation, notice.reason) == (2, Killed())
    ref.kill()
    with pytest.raises(ProbeFailure, match="expected a restart of /test/b, got one of /test/a"):
        await probe.expect_restarted(other, 120.0)
    await probe.unwatch(ref)
    ref.kill()
    await probe.expect_none(300.0)
