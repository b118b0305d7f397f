"""Fixtures for tests with a database: it is migrated, and a clock stands still."""

from tests.rigs.clock import clock as clock
from tests.rigs.database import migrated_before as migrated_before
