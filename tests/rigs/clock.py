"""A clock that tests set."""

import pytest
from attrs import define


@define
class Clock:
    """Unix seconds that stand still until a test sets them."""

    now: float = 1_000_000.0

    def __call__(self) -> float:
        """Return the time in Unix seconds."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Return a clock that stands still."""
    return Clock()
