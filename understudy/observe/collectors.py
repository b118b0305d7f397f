"""The building blocks of metrics: a registry, collectors for frequent events, and bounded sets of labels."""

import math
import time
from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, Final, Protocol

from attrs import frozen
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from understudy.observe.paths import OTHER, PathLabels

# Bounds of histograms, in seconds. A delivery takes some hundred microseconds on one machine; a person notices a tenth
# of a second.
DELIVERY_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
RUN_S: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0)
ROWS: Final = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000)


@frozen
class CountedBy:
    """The declaration of an extension's counter, which has one label."""

    name: str
    text: str
    label: str


class MetricRegistry(CollectorRegistry):
    """A registry in which metrics are declared. A metric with labels is returned as its children, see `Labelled`."""

    def counter(self, name: str, text: str, *labels: str) -> Any:
        """Declare a counter."""
        return _by_labels(Counter(name, text, labels, registry=self), labels)

    def gauge(self, name: str, text: str, *labels: str) -> Any:
        """Declare a gauge."""
        return _by_labels(Gauge(name, text, labels, registry=self), labels)

    def histogram(self, name: str, text: str, *labels: str, buckets: Sequence[float]) -> Any:
        """Declare a histogram with the upper bounds of its buckets."""
        return _by_labels(Histogram(name, text, labels, registry=self, buckets=buckets), labels)


def _by_labels(metric: Any, labels: Sequence[str]) -> Any:
    return Labelled(metric) if labels else metric


class Names:
    """Maps names to labels: the first `most` names are labels themselves, all further ones are `other`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._labels: set[str] = set()

    def __call__(self, name: str) -> str:
        """Return the label of a name."""
        if name not in self._labels:
            if len(self._labels) >= self._most:
                return OTHER
            self._labels.add(name)
        return name


class Labelled(dict[Any, Any]):
    """The children of a metric by their labels, cached: `labels()` takes a lock and builds a tuple on each call."""

    def __init__(self, metric: Any) -> None:
        self._metric = metric

    def __missing__(self, labels: str | tuple[str, ...]) -> Any:
        child = self[labels] = self._metric.labels(*((labels,) if isinstance(labels, str) else labels))
        return child


class BatchHistogram(Collector):
    """A histogram of frequent events: an observation costs a tenth of prometheus_client's, which takes two locks.

    Only one thread may observe; any may scrape. `bounds` are the upper bounds of the buckets, rising, without infinity.
    """

    def __init__(self, name: str, help_text: str, bounds: Sequence[float], registry: CollectorRegistry) -> None:
        self._name = name
        self._help = help_text
        self._bounds = (*bounds, math.inf)
        self._counts = [0] * len(self._bounds)
        self._sum = 0.0
        registry.register(self)

    def observe(self, value: float) -> None:
        """Record a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def observe_since(self, times: Sequence[float], now: float) -> None:
        """Record the time from each of `times` to `now`. A time in the future is recorded as 0."""
        counts, bounds = self._counts, self._bounds
        if len(times) == 1:  # the usual case for a word of an answer
            self.observe(max(0.0, now - times[0]))
            return
        shortest, longest = now - max(times), now - min(times)
        bucket = bisect_left(bounds, shortest)
        if shortest > 0.0 and bucket == bisect_left(bounds, longest):  # the usual case for events of one write
            counts[bucket] += len(times)
            self._sum += len(times) * now - sum(times)
            return
        for at in times:
            counts[bisect_left(bounds, now - at)] += 1
            self._sum += max(0.0, now - at)

    def collect(self) -> Iterator[Metric]:
        """Yield the cumulative buckets and the sum."""
        buckets = zip(map(floatToGoString, self._bounds), accumulate(self._counts), strict=True)
        yield HistogramMetricFamily(self._name, self._help, buckets=list(buckets), sum_value=self._sum)


class BatchCounter(Collector):
    """A counter with one label, for events at some hundred thousand a second: counting takes a tenth of `Counter.inc`.

    prometheus_client takes a lock for each call. Here only one thread may count, and any thread may scrape.
    """

    def __init__(self, name: str, help_text: str, label: str, registry: CollectorRegistry) -> None:
        self._name = name
        self._help = help_text
        self._labelnames = (label,)
        self._counts: dict[str, int] = {}
        self._began: dict[str, float] = {}
        registry.register(self)

    def add(self, label: str, count: int = 1) -> None:
        """Count events of a label."""
        try:
            self._counts[label] += count
        except KeyError:
            self._began[label] = time.time()
            self._counts[label] = count

    def collect(self) -> Iterator[Metric]:
        """Yield the counts, each with the time of its first event."""
        family = CounterMetricFamily(self._name, self._help, labels=self._labelnames)
        for label, count in list(self._counts.items()):
            family.add_metric([label], count, created=self._began[label])
        yield family


class CountedElsewhere(Collector):
    """A counter whose value is kept elsewhere: `read` returns it at each scrape."""

    def __init__(self, name: str, help_text: str, read: Callable[[], int]) -> None:
        self._name, self._help, self._read = name, help_text, read

    def collect(self) -> Iterator[Metric]:
        """Yield the current value."""
        yield CounterMetricFamily(self._name, self._help, value=self._read())


class ScrapedNode(Protocol):
    """A node of a supervision tree, as a scrape reads it. `depth` is the number of waiting messages by lane."""

    @property
    def path(self) -> str: ...  # noqa: D102 - named above
    @property
    def depth(self) -> Mapping[Any, int]: ...  # noqa: D102
    @property
    def children(self) -> Sequence[Any]: ...  # noqa: D102


class MailboxDepths(Collector):
    """Waiting messages by path pattern and lane, counted at each scrape."""

    def __init__(self, tree: Callable[[], ScrapedNode | None]) -> None:
        self._tree = tree
        self._paths = PathLabels()

    def describe(self) -> list[Metric]:
        """Return nothing, so that registering does not walk a tree that may not exist yet."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges of waiting messages and of actors. Actors of one pattern are added up."""
        waiting: Tally[tuple[str, str]] = Tally()
        alive: Tally[str] = Tally()
        root = self._tree()
        nodes = [root] if root is not None else []
        while nodes:
            node = nodes.pop()
            pattern = self._paths.label(node.path)
            alive[pattern] += 1
            for lane, count in node.depth.items():
                waiting[pattern, str(getattr(lane, "value", lane)).lower()] += count
            nodes.extend(node.children)
        depth = GaugeMetricFamily(
            "understudy_mailbox_depth_messages",
            "Messages in mailboxes, counted at each scrape.",
            labels=["path", "lane"],
        )
        for (pattern, lane), count in sorted(waiting.items()):
            depth.add_metric([pattern, lane], count)
        yield depth
        actors = GaugeMetricFamily("understudy_actors", "Actors alive.", labels=["path"])
        for pattern, count in sorted(alive.items()):
            actors.add_metric([pattern], count)
        yield actors
