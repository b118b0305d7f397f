"""The metrics of a server, grouped by subject, and the counters of extensions. Names end in their unit.

Each server has its own registry, so that two servers in one process, and tests, count separately. Labels come from
closed sets (codes, event types, dialects, path patterns); the number of names that users could invent is capped.
"""

import platform
import time
from collections.abc import Callable
from typing import Any

from prometheus_client import Info, ProcessCollector, generate_latest

from understudy.observe.actor_metrics import ActorMetrics
from understudy.observe.collectors import CountedBy, MetricRegistry
from understudy.observe.connection_metrics import PrometheusConnectionMetrics
from understudy.observe.finding_metrics import FindingMetrics
from understudy.observe.recent import Recent
from understudy.observe.run_metrics import RunMetrics
from understudy.observe.storage_metrics import StorageMetrics


class Metrics:
    """The metrics of one server. All methods are cheap, and none raises for an unknown label."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.registry = registry = MetricRegistry()
        ProcessCollector(registry=registry)
        self.recent = Recent(clock)
        self.connections = PrometheusConnectionMetrics(registry, self.recent)
        self.runs = RunMetrics(registry, self.recent)
        self.findings = FindingMetrics(registry)
        self.storage = StorageMetrics(registry, self.recent)
        self.actors = ActorMetrics(registry, self.recent)
        self._declared: dict[CountedBy, Any] = {}
        self._removed = registry.counter(
            "understudy_removed",
            "`threads`, `events`, `files`, `audit_entries` that were removed because of their age.",
            "what",
        )

    def removed(self, what: str, count: int) -> None:
        """Count `count` objects of a kind that were removed because of their age."""
        self._removed[what].inc(count)

    def describe_build(self, version: str) -> None:
        """Register the running release and its Python version as a metric."""
        build = Info("understudy_build", "The release that runs.", registry=self.registry)
        build.info({"version": version, "python": platform.python_version()})

    def render(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def declare(self, counter: CountedBy) -> None:
        """Register a counter of an extension."""
        self._declared[counter] = self.registry.counter(counter.name, counter.text, counter.label)

    def count(self, counter: CountedBy, value: str, number: int = 1) -> None:
        """Add `number` to a counter of an extension, for this value of its label. Thread-safe."""
        self._declared[counter][value].inc(number)
