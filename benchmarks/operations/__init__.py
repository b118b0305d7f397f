"""What it costs to operate a server: `python -m benchmarks operations [--only PART] [--quick] [--before DIR]
[--minutes N]`, half an hour.

traced      traced_cost: processor time of a turn with one tool call, with every run traced and sent to a collector, by
            that of the same turn without traces. untraced_cost: that without traces, by the one of the checkout DIR,
            from before there were any
stop        stop_switch_s: from an operator's stop of an agent on one node to the end of its run on another, the longest
incidents   incident_seconds: from the cause of an alert until it fires, beyond its own `for`, the longest of all,
            with the durations of the rules cut short; incident_cleared_s: from the end of the cause until it is gone
calm        calm_alerts: how many alerts fired in 20 minutes (`--minutes`) of ordinary work; calm_minutes: how
            long it was; calm_pending: how many were pending without firing; calm_messages: those that were answered;
            calm_broken: promises that were broken
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from benchmarks.figure import Figure
from benchmarks.operations import calm, incidents, stop_switch, traced
from benchmarks.operations.traced import QUICK, Sizes

__all__ = ["OPTIONS", "QUICK", "Sizes", "figures"]

OPTIONS = ("before", "minutes", "only")


def figures(
    sizes: Sizes | None = None, *, before: str | None = None, minutes: float | None = None, only: str | None = None
) -> Iterator[Figure]:
    """Yield the figures of every part, or of `only` one, as they are measured; with `sizes` those of traces.

    `minutes`: the length of the calm soak.
    """
    parts: dict[str, Callable[[], Iterator[Figure]]] = {
        "traced": lambda: traced.figures(sizes or Sizes(), before),
        "stop": stop_switch.figures,
        "incidents": incidents.figures,
        "calm": lambda: calm.figures(minutes),
    }
    if only is not None and only not in parts:
        raise SystemExit(f"there is no part {only!r}; there are {', '.join(parts)}")
    for name, measure in parts.items():
        if only in (None, name) and (sizes is None or name == "traced"):
            yield from measure()
