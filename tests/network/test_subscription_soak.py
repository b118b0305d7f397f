"""A short search for subscribers that miss events; for a longer one run `python -m tests.network.subscription_soak`."""

from pathlib import Path

import pytest
import trio

from tests.network.subscription_soak import SubscriptionSoak

pytestmark = pytest.mark.proof("soak")


async def test_every_open_screen_gets_the_whole_log_whatever_conversation_is_killed(tmp_path: Path) -> None:
    """150 rounds of kills and resets: no open connection lacks an event of the log."""
    soak = SubscriptionSoak(rounds=150, seed=3, where=tmp_path)
    with trio.fail_after(400):
        await soak.run()
    assert not soak.faults, "\n".join(soak.faults)
    assert soak.counts["killed: conversation"] > 50
    assert soak.counts["reset"] > 50
