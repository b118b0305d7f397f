"""The settings of retention."""

from attrs import field, frozen
from attrs.validators import ge


@frozen
class KeepSettings:
    """Retention periods in days; 0 is unlimited."""

    threads_days: float = field(default=0.0, validator=ge(0))
    """How long a thread is kept after its last message; for ever unless set."""
    events_days: float = field(default=0.0, validator=ge(0))
    """How long the events of a run that has ended are kept in the log of its thread; as long as the thread unless
    set."""
