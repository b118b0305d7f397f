"""What a load run has seen so far: counts, latencies, errors and broken promises. Pure."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from attrs import define, field

from tests.load.histogram import Histogram

LATENCIES: Final[Mapping[str, str]] = {
    "sent": "from due to sent: the load's own lateness",
    "accepted": "from due to message_accepted",
    "first_event": "from due to the first event after that",
    "end": "from due to final_response or error",
    "delivery": "from an event's time to its arrival",
    "reconnect": "from connecting again to welcome",
}
"""Names of the latencies and what they span."""
EXAMPLES: Final = 10
"""Broken promises that are described in the report; the others are counted only."""


def _histograms() -> dict[str, Histogram]:
    return {name: Histogram() for name in LATENCIES}


@define
class LoadTally:
    """Counts of a run. `recent` are the latencies since the last line of the table."""

    messages: Counter[str] = field(factory=Counter)
    """By what became of them: due, sent, accepted, answered (any end), refused."""
    events: int = 0
    moved_at: float = 0.0
    """When the last event came that is not only a sign of life."""
    reconnects: int = 0
    errors: Counter[str] = field(factory=Counter)
    violations: Counter[str] = field(factory=Counter)
    examples: list[str] = field(factory=list)
    latencies: dict[str, Histogram] = field(factory=_histograms)
    recent: dict[str, Histogram] = field(factory=_histograms)

    def add_latency(self, name: str, seconds: float) -> None:
        """Count a latency."""
        self.latencies[name].add(seconds)
        self.recent[name].add(seconds)

    def add_violation(self, kind: str, sentence: str) -> None:
        """Count a broken promise."""
        self.violations[kind] += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(f"{kind}: {sentence}")

    @property
    def kept(self) -> bool:
        """Whether no promise was broken, and at least one message was answered."""
        return not self.violations and self.messages["answered"] > 0

    def take_line(self, at_s: float, users: int, sent_before: int) -> str:
        """Return the table's line of the time since the last one, and begin the next."""
        cells = [f"{at_s:>7.0f}", f"{users:>6}", f"{self.messages['sent'] - sent_before:>6}"]
        for name in ("accepted", "first_event", "end"):
            histogram = self.recent[name]
            cells.append(f"{milliseconds(histogram.percentile(0.5)):>7} /{milliseconds(histogram.percentile(0.99)):>7}")
        cells += [f"{self.errors.total():>7}", f"{self.violations.total():>7}"]
        self.recent = _histograms()
        return " ".join(cells)

    def as_json(self) -> dict[str, Any]:
        """Return the counts as members of the report."""
        return {
            "messages": {name: self.messages[name] for name in ("due", "sent", "accepted", "answered", "refused")},
            "events": self.events,
            "reconnects": self.reconnects,
            "latency_ms": {name: histogram.as_json() for name, histogram in self.latencies.items()},
            "errors": dict(self.errors.most_common()),
            "violations": dict(self.violations.most_common()),
            "examples": self.examples,
        }


HEAD: Final = (
    f"{'second':>7} {'users':>6} {'msg/s':>6} {'accepted ms':>16} {'first event ms':>16} {'end ms':>16} "
    f"{'errors':>7} {'broken':>7}\n{'':22}{'p50 /    p99':>16} {'p50 /    p99':>16} {'p50 /    p99':>16}"
)
"""The two lines above the table."""


def milliseconds(seconds: float | None) -> str:
    """Return a duration in milliseconds with three digits, or a dash."""
    if seconds is None:
        return "-"
    return f"{seconds * 1000:,.{0 if seconds >= 0.1 else 1}f}"


def report_text(report: Mapping[str, Any]) -> str:
    """Return the report for a person."""
    sums = report["messages"]
    lines = [
        f"{report['users']} users, {report['seconds']:.1f} s, a message every {report['every_s']:g} s each; "
        + ", ".join(f"{count} {name}" for name, count in report["behaviours"].items()),
        "messages: " + ", ".join(f"{count:,} {name}" for name, count in sums.items()),
        f"events: {report['events']:,}, reconnects: {report['reconnects']:,}, "
        f"processor time of the load: {report['client_cpu_s']:.1f} s",
        "",
        f"{'ms':<12} {'count':>9} {'mean':>9} {'p50':>9} {'p90':>9} {'p99':>9} {'p99.9':>9} {'max':>9}",
    ]
    for name, row in report["latency_ms"].items():
        cells = (
            "-" if row[key] is None else f"{row[key]:,.1f}" for key in ("mean", "p50", "p90", "p99", "p99_9", "max")
        )
        lines.append(f"{name:<12} {row['count']:>9,} " + " ".join(f"{cell:>9}" for cell in cells))
    for title in ("errors", "violations"):
        line = ", ".join(f"{count:,} {name}" for name, count in report[title].items()) or "none"
        lines.append(f"{'broken promises' if title == 'violations' else title}: {line}")
    lines += [f"  {example}" for example in report["examples"]]
    if not report["whole"]:
        lines.append("Interrupted: messages without an end were not judged.")
    late = report["latency_ms"]["sent"]["p99"]
    if late is not None and late > LATE_MS:
        lines.append(
            f"The load itself was late by {late:,.0f} ms (p99 of sent): its processor is busy, and the figures show it."
        )
    return "\n".join(lines)


LATE_MS: Final = 20.0
"""p99 of the load's own lateness from which the report warns: a fifth of the 100 ms a person takes for at once."""
