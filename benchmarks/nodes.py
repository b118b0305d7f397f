"""Several servers that share one PostgreSQL, with what carries their wakeups: `NOTIFY`, and Redis beside it.

append_to_follower_ms  from the append of an event, before its commit, to its receipt by a client of another node: the
                       slowest but one in a hundred; `append_to_follower_p50_ms` the middle one
two_nodes_cost         processor time of all nodes for a message that is followed on another node than its own, times
                       that of one node with both clients
failover_s             a node that writes 200 answers is killed: seconds until the last goes on, on another node;
                       `failover_lost` of them never ended well, `failover_twice` ended more than once
listened_commit        the middle time of a commit while each of 20 nodes listens and sends wakeups 30 times a second,
                       times that without them; `listened_commit_p99` the same of the slowest but one in a hundred

Waits are by the clock on the wall; so they are worse when others use the machine.
"""

from __future__ import annotations

import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import psycopg

from benchmarks.figure import Figure, all_cores
from benchmarks.peers.home import Missing
from benchmarks.store.cluster import Cluster, append_to_follower, cost, failover
from benchmarks.store.servers import postgresql, redis
from benchmarks.store.sizes import QUICK, Sizes

__all__ = ["QUICK", "figures"]

PER_S = 30
"""Messages of a node a second: one for each window of text."""
PAYLOAD = "x" * 2_000
ROWS = "INSERT INTO written (body) SELECT repeat('x', 300) FROM generate_series(1, 4)"


def figures(sizes: Sizes | None = None) -> Iterator[Figure]:
    """Measure and yield, one by one. What is not on this machine is named on the error output."""
    sizes = sizes or Sizes()
    with ExitStack() as stack:
        try:
            server, bus = stack.enter_context(postgresql()), stack.enter_context(redis())
        except Missing as reason:
            print(f"no several nodes: {reason}", file=sys.stderr, flush=True)
            return
        by = {"ours": Cluster(server), "redis": Cluster(server, bus)}
        crossing = {name: append_to_follower(cluster, sizes.appends) for name, cluster in by.items()}
        for part, attribute in (("ms", "p99_ms"), ("p50_ms", "p50_ms")):
            found = {name: getattr(times, attribute) for name, times in crossing.items()}
            yield Figure(f"append_to_follower_{part}", "ms", found.pop("ours"), found)
        costs = {name: cost(cluster, sizes.appends // 5) for name, cluster in by.items()}
        yield Figure("two_nodes_cost", "x", costs.pop("ours"), costs)
        over = failover(by["ours"], sizes.answers)
        yield Figure("failover_s", "s", over.seconds)
        yield Figure("failover_lost", "answers", over.lost)
        yield Figure("failover_twice", "answers", over.twice)
        rounds = [[commits(server.create(), nodes, sizes.durable_s) for nodes in (0, 20)] for _ in range(sizes.rounds)]
        for place, name in enumerate(("listened_commit", "listened_commit_p99")):
            yield Figure(name, "x", statistics.median(listened[place] / alone[place] for alone, listened in rounds))


def commits(address: str, nodes: int, seconds: float) -> tuple[float, float]:
    """Commit four rows after each other; return the middle and the 99th percentile of the seconds of a commit.

    Meanwhile so many nodes listen, each to its channel and a common one, and send messages to each other.
    """
    done, taken = threading.Event(), list[float]()

    def listen(number: int) -> None:
        with closing(psycopg.connect(address, autocommit=True)) as line:
            line.execute(f"LISTEN node_{number}")
            line.execute("LISTEN news")
            while not done.is_set():
                for _ in line.notifies(timeout=0.2):
                    pass

    def send(number: int) -> None:
        with closing(psycopg.connect(address, autocommit=True)) as line:
            channel = f"node_{(number + 1) % nodes}"
            while not done.wait(1 / PER_S):
                line.execute("SELECT pg_notify(%s, %s)", [channel, PAYLOAD])

    with all_cores(), closing(psycopg.connect(address, autocommit=True)) as line:
        line.execute("CREATE TABLE written (body text)")
        threads = [
            threading.Thread(target=work, args=(number,), name=f"nodes-{number}")
            for work in (listen, send)
            for number in range(nodes)
        ]
        for thread in threads:
            thread.start()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            began = time.monotonic()
            line.execute(ROWS)
            taken.append(time.monotonic() - began)
        done.set()
        for thread in threads:
            thread.join()
    return statistics.median(taken), statistics.quantiles(taken, n=100)[98]
