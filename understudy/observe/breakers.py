"""States of a server's circuit breakers, for the log, the metrics and `/healthz`."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from attrs import define, field

from actors.behaviours import CircuitChange, CircuitState
from understudy.observe.health import HealthCheck, HealthStatus

log = logging.getLogger(__name__)

_NOTES: Final = {
    CircuitState.OPEN: "it failed time and again: calls are refused for a while",
    CircuitState.HALF_OPEN: "it failed time and again: one call finds out whether it is back",
}


class BreakerMetrics(Protocol):
    """Receives state changes of breakers."""

    def breaker_changed(self, name: str, state: str) -> None:
        """Record that a breaker is now `closed`, `open` or `half_open`."""


@define
class Breakers:
    """The last known state of each breaker. `clock` returns seconds. May be read from any thread."""

    metrics: BreakerMetrics
    clock: Callable[[], float] = time.monotonic
    _states: dict[str, tuple[CircuitState, float]] = field(factory=dict, init=False)

    def add(self, name: str) -> None:
        """Register a closed breaker."""
        self._states[name] = CircuitState.CLOSED, self.clock()
        self.metrics.breaker_changed(name, CircuitState.CLOSED.value)

    def record_change(self, change: CircuitChange) -> None:
        """Record and log a state change. It is the breakers' `on_change`."""
        self._states[change.name] = change.new, self.clock()
        self.metrics.breaker_changed(change.name, change.new.value)
        if change.new is CircuitState.OPEN:
            log.warning(
                "breaker.opened", extra={"breaker": change.name, "retry_after_s": round(change.retry_after_s, 3)}
            )
        elif change.new is CircuitState.CLOSED:
            log.info("breaker.closed", extra={"breaker": change.name})

    def checks(self) -> Mapping[str, HealthCheck]:
        """Return a health check for each breaker by name. None is essential: the service behind a breaker is not the
        server."""
        now = self.clock()
        return {
            name: HealthCheck()
            if state is CircuitState.CLOSED
            else HealthCheck(HealthStatus.DEGRADED, _NOTES[state], now - since, essential=False)
            for name, (state, since) in self._states.items()
        }
