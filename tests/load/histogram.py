"""Latencies counted in buckets whose widths grow with the value, so that every percentile is within 1 %. Pure."""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from attrs import define, field

GROWTH: Final = 1.02
"""Upper bound of a bucket over its lower bound. Its geometric middle is within 1 % of every value in it."""
LOWEST: Final = 1e-5
"""Seconds: smaller values count as this one. 10 µs is below what a timer of an event loop resolves."""
PERCENTILES: Final[Mapping[str, float]] = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99_9": 0.999}
_LOG: Final = math.log(GROWTH)


@define
class Histogram:
    """Counts of durations in seconds by bucket. Memory grows with the logarithm of their range, not their number."""

    counts: Counter[int] = field(factory=Counter)
    count: int = 0
    total: float = 0.0
    highest: float = 0.0

    def add(self, seconds: float) -> None:
        """Count a duration."""
        self.counts[int(math.log(max(seconds, LOWEST) / LOWEST) / _LOG)] += 1
        self.count += 1
        self.total += seconds
        self.highest = max(self.highest, seconds)

    def percentile(self, share: float) -> float | None:
        """Return the smallest duration that `share` of all do not exceed; None if there are none."""
        left = max(1, math.ceil(share * self.count))
        for bucket in sorted(self.counts):
            left -= self.counts[bucket]
            if left <= 0:
                return _middle(bucket)
        return None

    def as_json(self) -> dict[str, Any]:
        """Return count, mean, percentiles and maximum in milliseconds, and the buckets as [middle, count]."""
        values = {name: self.percentile(share) for name, share in PERCENTILES.items()}
        return {
            "count": self.count,
            "mean": _ms(self.total / self.count if self.count else None),
            **{name: _ms(value) for name, value in values.items()},
            "max": _ms(self.highest if self.count else None),
            "buckets": [[_ms(_middle(bucket)), self.counts[bucket]] for bucket in sorted(self.counts)],
        }


def _middle(bucket: int) -> float:
    return LOWEST * float(GROWTH ** (bucket + 0.5))


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else float(f"{seconds * 1000:.4g}")
