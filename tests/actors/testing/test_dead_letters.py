"""The probe for dead letters."""

import pytest
import trio

from actors.testing import DeadLetterProbe, ProbeFailure


@pytest.mark.promise("testing.probes")
async def test_a_lost_message_is_expected_by_kind_target_and_reason(autojump_clock, system, ref):
    await ref.stop()
    with await DeadLetterProbe.open(system) as letters:
        ref.tell("one")
        ref.tell("two")
        ref.tell("three")
        assert (await letters.expect_lost(str, to=ref, why="dead")).message == "one"
        assert (await letters.expect_lost(to="/test/*")).message == "two"
        assert (await letters.expect_lost()).message == "three"


@pytest.mark.parametrize("wanted", [{"kind": int}, {"to": "/test/b"}, {"why": "overflow"}])
async def test_another_lost_message_is_a_failure(autojump_clock, system, ref, wanted):
    await ref.stop()
    with await DeadLetterProbe.open(system) as letters:
        ref.tell("one")
        with pytest.raises(ProbeFailure, match=r"expected a lost .* got DeadLetter"):
            await letters.expect_lost(**wanted)


async def test_no_lost_message_is_expected_too(autojump_clock, system, ref):
    with await DeadLetterProbe.open(system) as letters:
        ref.tell("one")
        await letters.expect_none(60.0)
        await ref.stop()
        with pytest.raises(ProbeFailure, match="no DeadLetter within 5 s"):
            await letters.expect_lost()
        assert trio.current_time() == pytest.approx(65.0)
    ref.tell("two")
    assert letters.seen == ()
