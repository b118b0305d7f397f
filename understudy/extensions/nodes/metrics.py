"""The metrics of a node: whether Redis answers, calls of it, dropped messages, and lapses of its membership."""

from collections.abc import Callable
from typing import Any, Final

from understudy.observe.collectors import CountedBy, CountedElsewhere
from understudy.observe.metrics import Metrics

REDIS_CALLS: Final = CountedBy(
    "understudy_redis_calls",
    "Calls of Redis: `answered`, `failed`, or `away` if the call was not made because Redis does not answer.",
    "outcome",
)
DROPPED: Final = CountedBy(
    "understudy_node_messages_dropped",
    "Messages of other nodes that this node dropped: `unreadable`.",
    "reason",
)


class NodeMetrics:
    """The metrics of a node among `metrics`. `lapses` is read at each scrape."""

    def __init__(self, metrics: Metrics, lapses: Callable[[], int]) -> None:
        self._metrics = metrics
        self._redis: Any = None
        metrics.registry.register(
            CountedElsewhere(
                "understudy_node_lapses",
                "How often other nodes considered this node dead since it started, for example after a pause longer "
                "than its lease.",
                lapses,
            )
        )

    def redis_up(self, up: bool) -> None:
        """Record whether Redis answers. A node without Redis never calls this, and has no such metric."""
        if self._redis is None:
            text = "1 while Redis answers, otherwise 0; a server without Redis does not have it."
            self._redis = self._metrics.registry.gauge("understudy_redis_up", text)
        self._redis.set(up)

    def redis_called(self, outcome: str) -> None:
        """Count a call of Redis that was `answered`, `failed`, or not made because Redis is `away`."""
        self._metrics.count(REDIS_CALLS, outcome)

    def node_message_dropped(self, reason: str) -> None:
        """Count a message of a node that was dropped, as `unreadable`."""
        self._metrics.count(DROPPED, reason)
