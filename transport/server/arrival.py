"""When the command that is being done arrived at the server.

A context variable of the task that does the command: it goes with it through every layer of this process, and neither
onto the wire nor into the log.
"""

from contextvars import ContextVar
from typing import Final

arrived_at: Final[ContextVar[float | None]] = ContextVar("transport.arrived_at", default=None)
"""Unix seconds; None if the command did not come from a client. Set once for each frame and each request."""
