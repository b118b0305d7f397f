"""Schedules on two servers that are killed while they fire: each due time is one run.

schedule_fired  due times that were claimed
schedule_kills  servers that were killed meanwhile, just after due times
schedule_lost   due times without a message, or whose message has no run that ended well
schedule_twice  due times with more than one run, and messages of no due time

A PostgreSQL and a Redis of its own are started for it. Many schedules are due in the same second, so that a kill meets
many of their claims.
"""

from __future__ import annotations

import json
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import psycopg
import trio
from attrs import define

from benchmarks.agents.killing import READY, started
from benchmarks.agents.progress import Extent, Progress
from benchmarks.figure import Figure, all_cores
from tests.servers.needed import free_port
from tests.servers.postgresql import Postgres
from tests.servers.redis import Redis
from transport.auth.tokens import Tokens
from understudy import Agent
from understudy.chat.schedules import firing
from understudy.models.model import Emit, Reply, TextDelta, Turn

AGENT = "benchmarks.agents.schedules:agent"
SECRET = "schedules-of-two-servers-with-one-secret"
SCHEDULES, EVERY_S = 50, 5
"""Schedules, and the seconds between two due times of one: more than a hundred behind, the oldest would be dropped."""
FIRINGS_AND_KILLS, SMALL = (10_000, 100), (60, 2)
"""What is waited for: messages in the database, and kills."""
BETWEEN_S = (4.0, 10.0)
"""Seconds between the start of a server and its kill."""
SETTLE_S = 120.0
"""Limit for the firings and runs that are left after the last kill."""
CLAIM_S = 3.0
"""Seconds after which a claim is repeated here, in place of the product's 20, so that a run meets more repeats."""
QUICK = "UNDERSTUDY_BENCH_QUICK_CLAIMS"
if QUICK in os.environ:
    firing.CLAIM_S = CLAIM_S


class Echo:
    """Answers with a word."""

    name = "echo"
    notice = "A script for benchmarks."

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Say it."""
        await emit(TextDelta("done"))
        return Reply("done")


agent = Agent("echo", model=Echo())


@define
class Outcome:
    """What was counted."""

    fired: int = 0
    kills: int = 0
    lost: int = 0
    twice: int = 0


async def _serve(
    number: int, folder: Path, environment: dict[str, str], made: trio.Event, over: trio.Event, outcome: Outcome,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:  # fmt: skip
    """Run a server, kill it just after a due time, and start it again: from `made` on, until `over`."""
    serve = ("understudy", "serve", "--port", str(free_port()), "--data-dir", str(folder / f"data-{number}"), AGENT)
    first = True
    while True:
        async with started(*serve, ready=READY, environment=environment) as (server, address):
            if first:
                task_status.started(address)
                first = False
            await made.wait()
            with trio.move_on_after(random.uniform(*BETWEEN_S)):
                await over.wait()
            await trio.sleep(1 - time.time() % 1 + random.uniform(0, 0.3))
            if over.is_set():
                await trio.sleep_forever()
            server.kill()
            await server.wait()
            outcome.kills += 1


def _make(address: str) -> None:
    """Make the schedules of a user; each has a new thread for each firing."""
    token = Tokens(SECRET, time.time).issue("ada", "s", ttl_s=3600)
    body = json.dumps({"message": "go", "agent": "echo", "every_s": EVERY_S, "policy": "all"}).encode()
    for _ in range(SCHEDULES):
        request = Request(f"{address}/api/schedules", body, {"Authorization": f"Bearer {token}"})
        with urlopen(request, timeout=30):
            pass


def _number(database: str, query: str) -> int:
    with psycopg.connect(database) as connection:
        row = connection.execute(query).fetchone()  # type: ignore[arg-type]
    return 0 if row is None else int(row[0] or 0)


async def _until(database: str, query: str) -> None:
    """Wait until this number is 0."""
    while await trio.to_thread.run_sync(_number, database, query):  # noqa: ASYNC110 - other processes change it
        await trio.sleep(0.5)


async def _run(
    folder: Path, environment: dict[str, str], database: str, progress: Progress, kills: int, outcome: Outcome
) -> None:
    made, over = trio.Event(), trio.Event()
    progress.details = lambda: f"due times, {outcome.kills} kills"
    async with progress.told() as nursery:
        for number in (0, 1):
            address = await nursery.start(_serve, number, folder, environment, made, over, outcome)
            if number == 0:
                await trio.to_thread.run_sync(_make, address)
        made.set()
        while (progress.done < progress.wanted or outcome.kills < kills) and not progress.over():
            await trio.sleep(0.5)
            accepted = "SELECT count(*) FROM messages WHERE role = 'user'"
            progress.done = await trio.to_thread.run_sync(_number, database, accepted)
        over.set()
        with trio.fail_after(SETTLE_S):
            await trio.to_thread.run_sync(_stop, database)
            await _until(database, "SELECT count(*) FROM schedules WHERE firing_at IS NOT NULL")
            await _until(database, "SELECT count(*) FROM runs WHERE ended_at IS NULL")


def _stop(database: str) -> None:
    """Let nothing be due any more, and keep what was due next in `created_at`, which nothing reads."""
    with psycopg.connect(database) as connection:
        connection.execute(
            "UPDATE schedules SET created_at = next_due_at, next_due_at = NULL, version = version + 1, "
            "wake_at = CASE WHEN firing_at IS NULL THEN NULL ELSE wake_at END"
        )


def _judge(database: str, outcome: Outcome) -> None:
    """Compare the due times that have passed with the messages and runs in the database."""
    with psycopg.connect(database) as connection:
        rows = connection.execute("SELECT id, starts_at, created_at FROM schedules").fetchall()
        accepted = Counter(row[0] for row in connection.execute("SELECT id FROM messages WHERE role = 'user'"))
        ended = Counter(row[0] for row in connection.execute("SELECT message_id FROM runs WHERE status = 'success'"))
        started_runs = Counter(row[0] for row in connection.execute("SELECT message_id FROM runs"))
    due = {
        f"schedule-{name}-{at}" for name, start, end in rows for at in range(int(start) + EVERY_S, int(end), EVERY_S)
    }
    outcome.fired = len(due)
    outcome.lost = sum(accepted[each] == 0 or ended[each] == 0 for each in due)
    outcome.twice = sum(started_runs[each] > 1 for each in due) + len(accepted.keys() - due)


async def _measure(progress: Progress, kills: int) -> Outcome:
    outcome = Outcome()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        await trio.to_thread.run_sync(folder.chmod, 0o755)  # PostgreSQL runs as another user
        postgres, redis = Postgres(folder / "postgres"), Redis(folder / "redis")
        try:
            await trio.to_thread.run_sync(postgres.start)
            await trio.to_thread.run_sync(redis.start)
            database = await trio.to_thread.run_sync(postgres.create)
            environment = {
                "UNDERSTUDY_DATABASE_URL": database, "UNDERSTUDY_REDIS_URL": redis.url, "UNDERSTUDY_SECRET": SECRET,
                "UNDERSTUDY_LIMITS_SCHEDULE_EVERY_S": "1", "UNDERSTUDY_LIMITS_SCHEDULES_PER_USER": str(SCHEDULES),
                QUICK: "1",
            }  # fmt: skip
            await _run(folder, environment, database, progress, kills, outcome)
            await trio.to_thread.run_sync(_judge, database, outcome)
        finally:
            redis.stop()
            postgres.stop_if_running()
    return outcome


def figures(extent: Extent) -> Iterator[Figure]:
    """Yield the figures."""
    firings, kills = SMALL if extent.small else FIRINGS_AND_KILLS
    progress = Progress("schedules", firings, extent.limit_s)
    with all_cores():
        outcome = trio.run(_measure, progress, kills)
    yield Figure("schedule_fired", progress.count("due times"), outcome.fired)
    yield Figure("schedule_kills", f"kills of {kills}", outcome.kills)
    yield Figure("schedule_lost", "due times", outcome.lost)
    yield Figure("schedule_twice", "due times", outcome.twice)
