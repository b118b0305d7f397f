"""A short chaos run over two servers with a fixed seed; for a longer one run `python -m tests.cluster.chaos`."""

from pathlib import Path
from typing import Any

import pytest
import trio

from tests.cluster.chaos import Chaos

pytestmark = pytest.mark.proof("chaos")

FIRST = (
    "node, held past its lease", "Redis, flushed", "node, SIGKILL", "storage writer", "PostgreSQL, crashed",
    "sockets, half open", "Redis, killed", "node, SIGTERM", "wakeups, cut off",
    "PostgreSQL, cut from a node", "PostgreSQL, silent to a node", "PostgreSQL, slow",
)  # fmt: skip
"""Faults that a short run must include; the others are drawn."""


@pytest.mark.needs("postgresql", "redis")
async def test_every_client_has_the_whole_log_after_the_kills(tmp_path: Path) -> None:
    """Two servers, six clients, 25 kills: each message ends once, each client has the log, no call is made twice."""
    options: dict[str, Any] = {"pause_s": 0.6, "within_s": 120.0, "hold_s": (2.5, 3.0)}
    chaos = Chaos(clients=6, seconds=60.0, seed=3, where=tmp_path, kills=25, first=FIRST, **options)
    with trio.fail_after(500):
        await chaos.run()
    assert not chaos.faults, "\n".join(chaos.summary())
    assert chaos.done.total() == chaos.kills
    assert chaos.done.keys() >= set(FIRST)
    assert chaos.counts["server starts"] > chaos.nodes
    for done in ("calls that must not be made twice", "payments", "events steer_taken", "events question_answered"):
        assert chaos.counts[done] > 0, done


@pytest.mark.needs("postgresql")
async def test_each_message_ends_once_while_each_of_three_nodes_is_killed(tmp_path: Path) -> None:
    options: dict[str, Any] = {"nodes": 3, "messages": 60, "kill_each_node": True, "with_redis": False}
    chaos = Chaos(clients=12, seconds=60.0, seed=4, where=tmp_path, pause_s=1.0, **options)
    with trio.fail_after(500):
        await chaos.run()
    assert not chaos.faults, "\n".join(chaos.summary())
    assert chaos.counts["messages that ended once"] == chaos.counts["messages"] == 60
    assert chaos.done.total() == 3
    assert chaos.counts["open runs of the clients at the kills"] > 0
