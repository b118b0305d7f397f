"""Which alerts fire while nothing is wrong: two servers at ordinary work, and a Prometheus with the rules of `deploy`.

calm_alerts: how many fired in 20 minutes (`--minutes`); calm_minutes: how long it was; calm_pending: how many were
pending without firing; calm_messages: those that were answered; calm_broken: promises that were broken

One server has SQLite, the other PostgreSQL and Redis. The people of `tests.load` write to both: most of them only
chat, some stop answers, reload, write in several threads or tabs, or have a bad network. Answers stream short and long
texts, and call tools. The rules keep their durations; Prometheus scrapes and evaluates every second.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import trio

from benchmarks.figure import Figure, all_cores
from benchmarks.soak import agents
from benchmarks.store.servers import SECRET, Node, postgresql, redis
from benchmarks.wire.server import ServerFailed
from tests.deploy.incidents.site import ALERTS
from tests.load.person import Behaviour
from tests.load.run import Load, run_load
from tests.servers.prometheus import Prometheus
from transport.auth.tokens import Tokens
from transport.client.dial import SocketUrl
from understudy.auth.rights import OPERATOR

OPTIONS = ("minutes",)
MINUTES: Final = 20.0
USERS: Final = 24
"""People at each server."""
EVERY_S: Final = 15.0
"""Seconds between two messages of one of them."""
BEHAVIOURS: Final = {each: 4 if each is Behaviour.TYPIST else 1 for each in Behaviour}
PLANS: Final = ("text", "tool", "text", "long", "text", "tool", "text")
"""What messages ask of `agents.Talker`, in turns: nothing that fails."""
TOKEN_S: Final = 24 * 3600.0
SCRAPED_S: Final = 30.0
"""Longest time until Prometheus has scraped the servers and evaluated its rules, in seconds."""


def figures(minutes: float | None = None) -> Iterator[Figure]:
    """Soak for so many minutes, by default `MINUTES`. Yield the figures; alerts are named on the error output.

    Raises:
        ServerFailed: A message has no answer, or Prometheus does not scrape the servers or evaluate the rules.
        Missing: There is no PostgreSQL or no Redis.
    """
    with TemporaryDirectory(prefix="understudy-bench-") as name, all_cores(), ExitStack() as stack:
        folder = Path(name)
        database, bus = stack.enter_context(postgresql()), stack.enter_context(redis())
        stores = {"UNDERSTUDY_DATABASE_URL": database.create(), "UNDERSTUDY_NODES_REDIS_URL": bus.url}
        given = (("sqlite", {}), ("postgresql", stores))
        nodes = [
            stack.enter_context(Node(folder / kind, None, agents=f"{agents.__name__}:AGENTS", **figure))
            for kind, figure in given
        ]
        addresses = [f"http://127.0.0.1:{node.port}" for node in nodes]
        operator = Tokens(SECRET, time.time).issue("operator", "operator", roles=[OPERATOR], ttl_s=TOKEN_S)
        prometheus = stack.enter_context(Prometheus(folder / "prometheus", addresses, [ALERTS], operator))
        wait_until_scraped(prometheus, len(nodes))
        began = time.monotonic()
        reports = trio.run(_load, nodes, (MINUTES if minutes is None else minutes) * 60)
        alerts = seen(prometheus, time.monotonic() - began)
        check(reports, prometheus)
    for state, names in alerts.items():
        for alert, seconds in names.items():
            print(f"calm: {alert} was {state} for {seconds:.0f} s", file=sys.stderr, flush=True)
    yield Figure("calm_alerts", "alerts", len(alerts["firing"]), aim=0)
    yield Figure("calm_minutes", "minutes", MINUTES if minutes is None else minutes)
    yield Figure("calm_pending", "alerts", len(alerts["pending"].keys() - alerts["firing"].keys()))
    yield Figure("calm_messages", "messages", sum(report["messages"]["answered"] for report in reports))
    yield Figure("calm_broken", "promises", sum(sum(report["violations"].values()) for report in reports), aim=0)


def wait_until_scraped(prometheus: Prometheus, nodes: int) -> None:
    """Return once so many nodes are scraped and every rule was evaluated. Raises ServerFailed."""
    deadline = time.monotonic() + SCRAPED_S
    while len(prometheus.query('up{job="understudy"} == 1')) < nodes or unhealthy(prometheus):
        if time.monotonic() > deadline:
            raise ServerFailed(f"prometheus does not scrape the servers, or evaluate {unhealthy(prometheus)}")
        time.sleep(0.1)


def unhealthy(prometheus: Prometheus) -> list[str]:
    """Return the names of the rules that were not evaluated, or failed."""
    return [rule["name"] for rule in prometheus.rules() if rule["health"] != "ok"]


def seen(prometheus: Prometheus, seconds: float) -> dict[str, dict[str, float]]:
    """Return the names of the alerts that were `firing` or `pending` in the last seconds, with the seconds for which
    one of their series was."""
    found: dict[str, dict[str, float]] = {"firing": {}, "pending": {}}
    for alert in prometheus.query(f"count_over_time(ALERTS[{seconds:.0f}s])"):
        labels, (_, count) = alert["metric"], alert["value"]
        names = found[labels["alertstate"]]
        names[labels["alertname"]] = max(names.get(labels["alertname"], 0.0), float(count))
    return found


def check(reports: Sequence[Mapping[str, Any]], prometheus: Prometheus) -> None:
    """Raise ServerFailed unless every load was whole and had answers, and all rules are still evaluated."""
    for report in reports:
        print(f"calm: {report['messages']}, {report['errors']}, {report['examples']}", file=sys.stderr, flush=True)
        if not (report["whole"] and report["messages"]["answered"]):
            raise ServerFailed("a load was cut short, or had no answer")
    if broken := unhealthy(prometheus):
        raise ServerFailed(f"prometheus does not evaluate {broken}")


async def _load(nodes: Sequence[Node], for_s: float) -> list[dict[str, Any]]:
    """Load all servers at once. Return the reports."""
    reports: list[dict[str, Any]] = []

    async def one(number: int, node: Node) -> None:
        chance = random.Random(number)
        load = Load(
            SocketUrl.parse(f"ws://127.0.0.1:{node.port}/ws"),
            USERS,
            for_s,
            min(EVERY_S, for_s / 2),
            BEHAVIOURS,
            [f"{plan} {chance.random()}" for plan in PLANS * 10],
            "talker",
            seed=number,
        )
        reports.append(await run_load(load, partial(_sign_in, number), lambda _: None))

    async with trio.open_nursery() as nursery:
        for number, node in enumerate(nodes):
            nursery.start_soon(one, number, node)
    return reports


async def _sign_in(server: int, number: int) -> str:
    await trio.lowlevel.checkpoint()
    name = f"calm-{server}-{number}"
    return Tokens(SECRET, time.time).issue(name, f"session-{name}", ttl_s=TOKEN_S)
