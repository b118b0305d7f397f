"""Fixtures of the tests of files: a database of one kind alone."""

from tests.understudy.storage.conftest import address as address
from tests.understudy.storage.conftest import on_sqlite as on_sqlite
