"""A short soak with a fixed seed; for a longer one run `python -m tests.network.soak`."""

from pathlib import Path

import pytest
import trio

from tests.network.soak import Soak

pytestmark = pytest.mark.proof("soak")


async def test_every_client_ends_a_soak_with_the_whole_log_in_order(tmp_path: Path) -> None:
    """Twelve clients, a faulty network, a server that is killed and restarted: each client has the log's events, once,
    in order.
    """
    soak = Soak(clients=12, seconds=7.0, seed=7, where=tmp_path, life_s=4.0, pause_s=0.6, within_s=120.0)
    with trio.fail_after(300):
        await soak.run()
    assert not soak.faults, "\n".join([f"seed {soak.seed}", *soak.faults])
    assert soak.counts["server starts"] >= 2
    assert min(soak.counts["swallow"], soak.counts["reset"], soak.counts["fin"]) > 0
    assert soak.counts["events held by clients"] > soak.counts["events in the logs"] > 0
