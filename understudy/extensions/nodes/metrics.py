"""The metrics of a node: whether Redis answers, calls of it, dropped messages, and lapses of its membership."""

from collections.abc import Callable
from typing import Final

from understudy.observe.collectors import CountedBy, CountedElsewhere
from understudy.observe.metrics import Metrics

REDIS_CALLS: Final = CountedBy(
    "understudy_redis_calls",
    "Calls of Redis: `answered`, `failed`, or `away` if the call was not made because Redis does not answer.",
    "outcome",
)
DROPPED: Final = CountedBy(
    "understudy_node_messages_dropped", "Messages of other nodes that this node dropped: `unreadable`.", "reason"
)


def register_lapses(metrics: Metrics, lapses: Callable[[], int]) -> None:
    """Register a counter whose value `lapses` returns at each scrape."""
    text = (
        "How often other nodes considered this node dead since it started, for example after a pause longer than its "
    )
    metrics.registry.register(CountedElsewhere("understudy_node_lapses", f"{text}lease.", lapses))


def redis_up(metrics: Metrics) -> Callable[[bool], object]:
    """Register a gauge of whether Redis answers, and return its setter. A node without Redis has no such metric."""
    gauge = metrics.registry.gauge(
        "understudy_redis_up", "1 while Redis answers, otherwise 0; a server without Redis does not have it."
    )
    gauge.set(False)
    return gauge.set  # type: ignore[no-any-return]
