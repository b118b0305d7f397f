"""Chaos tests use the whole server of the end-to-end tests, on a clock that is fast."""

import pytest
import trio.testing

from tests.end_to_end.conftest import serve as serve


@pytest.fixture
def clock() -> trio.testing.MockClock:
    """Return a clock on which what was killed backs off, and what hangs is out of time, three times sooner."""
    return trio.testing.MockClock(rate=3.0)
