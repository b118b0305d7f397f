"""Fixtures of the tests of files: a database of one kind alone."""

from tests.rigs.database import address as address
from tests.rigs.database import on_sqlite as on_sqlite
