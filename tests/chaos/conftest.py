"""Chaos tests use the whole server of the end-to-end tests."""

import pytest
import trio.testing

from tests.rigs.server import serve as serve


@pytest.fixture
def clock() -> trio.testing.MockClock:
    """Return a clock that runs as the machine's does until a test makes it fast."""
    return trio.testing.MockClock(rate=1.0)
