"""The benchmark of the store, with sizes too small for meaningful numbers, and its detection of lost events."""

import threading
from pathlib import Path
from typing import Any

import pytest

from benchmarks import nodes
from benchmarks.store.bare import bare
from benchmarks.store.cluster import Ends
from benchmarks.store.durable import Count, Follower, Wrong, durable
from benchmarks.store.grown import Times, read
from benchmarks.store.sizes import QUICK
from benchmarks.store.tabs import Tab
from benchmarks.wire.server import ServerFailed
from tests.servers.postgresql import Postgres


def test_events_reach_the_disk_and_a_follower(tmp_path: Path) -> None:
    """The product and the bare store both deliver as many events as were committed."""
    for rate in (
        durable(tmp_path / "ours", QUICK.producers, QUICK.durable_s),
        bare(tmp_path / "bare", QUICK.producers, QUICK.durable_s),
    ):
        assert 10 < rate.events_per_s < 1e6
        assert 0 < rate.p50_ms <= rate.p99_ms


def test_an_event_that_is_not_delivered_leaves_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A subscriber that gets fewer events than were committed is an error."""

    async def reach(_: Count, __: int, within_s: float = 0.0) -> None:
        """Do not wait."""

    def take(follower: Follower, envelope: Any) -> None:
        follower.last = envelope.seq or follower.last

    monkeypatch.setattr(Count, "reach", reach)
    monkeypatch.setattr(Follower, "_take", take)
    with pytest.RaisesGroup(Wrong, flatten_subgroups=True, allow_unwrapped=True):
        durable(tmp_path, QUICK.producers, QUICK.durable_s)


def test_threads_of_a_grown_database_are_opened_and_resumed(tmp_path: Path) -> None:
    """Full pages, and every event in order."""
    for times in read(tmp_path, QUICK.events, QUICK.looks, tmp_path):
        assert 0 < times.p50_ms <= times.p99_ms


def test_a_tab_notices_an_event_that_lacks() -> None:
    """Duplicates are ignored; a gap ends the measurement."""
    node: Any = None
    tab = Tab(node, "reader")
    taken: list[int] = []
    tab.take = lambda event: taken.append(event["seq"])
    for seq in (1, 2, 2, 1, 3):
        tab._heard({"type": "agent_thinking", "seq": seq, "thread_id": "t"})
    assert taken == [1, 2, 3]
    with pytest.raises(ServerFailed, match="came after 3"):
        tab._heard({"type": "agent_thinking", "seq": 5, "thread_id": "t"})


def test_ends_are_counted_by_run() -> None:
    """Ephemeral events are no ends; failed runs are counted separately."""
    ends = Ends(2)
    for seq, kind, run, status in (
        (None, "final_response", "a", "success"),
        (4, "final_response", "a", "success"),
        (5, "error", "b", None),
        (6, "error", "b", None),
    ):
        ends.take({"type": kind, "seq": seq, "run_id": run, "data": {"status": status}})
    assert (ends.count, ends.by_run, ends.failed) == (3, {"a": 1, "b": 2}, 2)


def test_of_one_time_the_middle_is_the_slowest() -> None:
    """All percentiles of a single time are that time, in ms."""
    assert Times.of([0.5]) == Times(500.0, 500.0)


@pytest.mark.needs("postgresql")
def test_commits_are_measured_alone_and_beside_nodes_that_listen(postgres: Postgres) -> None:
    """What listens and sends meanwhile is ended."""
    for count in (0, 2):
        middle, slowest = nodes.commits(postgres.create(), count, QUICK.durable_s)
        assert 0 < middle <= slowest
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("nodes-")]
