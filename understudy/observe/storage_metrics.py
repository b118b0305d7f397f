"""The metrics of storage: commits, reads, and answers of the cache."""

from collections.abc import Callable, Sequence

from understudy.observe.collectors import DELIVERY_S, ROWS, BatchHistogram, MetricRegistry
from understudy.observe.recent import Recent


class StorageMetrics:
    """Measures commits and reads of the store. All methods are cheap."""

    def __init__(self, registry: MetricRegistry, recent: Recent) -> None:
        self._recent = recent
        self._cache_reads = registry.counter(
            "understudy_cache_reads",
            "Reads of threads, messages and events by source: the `database`; the cache while the database is "
            "away (`stale`); neither (`missed`).",
            "outcome",
        )
        self._commit_rows = BatchHistogram("understudy_store_commit_events", "Events in one commit.", ROWS, registry)
        self._commit_s = BatchHistogram("understudy_store_commit_seconds", "Time of a commit.", DELIVERY_S, registry)
        self._reads = registry.gauge(
            "understudy_reads_waiting",
            "Reads that wait for a worker thread and its connection; if it stays above 0, all of these are busy.",
        )
        self.read_waits = BatchHistogram(
            "understudy_read_wait_seconds",
            "How long reads waited for a worker thread; if a read waits longer than 0.25 s, the log has "
            "`storage.readers_busy`, at most once a second.",
            DELIVERY_S,
            registry,
        )

    def observe(self, waiting: Callable[[], int]) -> None:
        """Call `waiting` at each scrape for the number of reads that wait."""
        self._reads.set_function(waiting)

    def committed(self, events: int, seconds: float) -> None:
        """Record a transaction with `events` events."""
        self._commit_rows.observe(events)
        self._commit_s.observe(max(0.0, seconds))
        self._recent.observe("commit", seconds)

    def reads_began(self, requested: Sequence[float], now: float) -> None:
        """Record that reads, requested at these times, got a thread now."""
        self.read_waits.observe_since(requested, now)
        self._recent.observe("read_wait", now - min(requested))

    def read(self, query: str, seconds: float) -> None:
        """Record a read of the database by the name of its query."""
        self._recent.observe("read", seconds, query)

    def cache_read(self, outcome: str) -> None:
        """Count a read by its outcome: answered by the database, by the cache, or by neither."""
        self._cache_reads[outcome].inc()
