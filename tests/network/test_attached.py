"""A short search for screens that stop in silence; a longer one is `python -m tests.network.attached`."""

from pathlib import Path

import pytest
import trio

from tests.network.attached import Attached


@pytest.mark.slow
async def test_every_open_screen_gets_the_whole_log_whatever_conversation_is_killed(tmp_path: Path) -> None:
    """150 rounds of kills and resets: nobody waits for an event that the log has."""
    attached = Attached(rounds=150, seed=3, where=tmp_path)
    with trio.fail_after(120):
        await attached.run()
    assert not attached.faults, "\n".join(attached.faults)
    assert attached.counts["killed: conversation"] > 50
    assert attached.counts["reset"] > 50
