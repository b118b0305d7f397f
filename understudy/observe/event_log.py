"""One line of the log for each event of some runs, by which a delivery can be followed. Off unless it is asked for.

A run is logged whole or not at all, as its id decides. No line has a text, or the name of a thread.
"""

import logging
import time
from collections.abc import Callable

from transport.wire.events import Envelope
from understudy.observe.metrics import Metrics
from understudy.observe.spans import is_sampled

log = logging.getLogger(__name__)


class LoggingMetrics(Metrics):
    """Metrics that also log each event of a share of all runs, `ratio`, at the level debug."""

    def __init__(self, ratio: float, clock: Callable[[], float] = time.time) -> None:
        super().__init__(clock)
        self._ratio = ratio

    def event(
        self, envelope: Envelope, arrived_at: float | None = None, owner: str = "", *, watched: bool = False
    ) -> float | None:
        """Log a committed event, and record it."""
        self._log(envelope)
        return super().event(envelope, arrived_at, owner, watched=watched)

    def passing(self, envelope: Envelope) -> None:
        """Log an event that is not committed, and record it."""
        self._log(envelope)
        super().passing(envelope)

    def _log(self, envelope: Envelope) -> None:
        if envelope.run_id is not None and is_sampled(envelope.run_id, self._ratio):
            extra = {"run_id": envelope.run_id, "type": envelope.event.type, "seq": envelope.seq}
            log.debug("run.event", extra=extra)
