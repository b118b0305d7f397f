"""The settings of schedules."""

from attrs import field, frozen
from attrs.validators import ge


@frozen
class ScheduleSettings:
    """The limits of users' schedules."""

    per_user: int = field(default=50, validator=ge(1))
    """Schedules of one user."""
    every_s: int = field(default=60, validator=ge(1))
    """Least time between two due times of a schedule."""
