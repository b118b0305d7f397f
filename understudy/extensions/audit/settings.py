"""The settings of the audit log."""

from attrs import field, frozen
from attrs.validators import ge


@frozen
class AuditSettings:
    """The retention of entries."""

    days: float = field(default=0.0, validator=ge(0))
    """How long an entry of the audit log is kept; for ever unless set."""
