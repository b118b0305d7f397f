"""Fixtures of a database, and rows for it."""

from tests.rigs.database import address as address
from tests.rigs.database import book as book
from tests.rigs.database import database as database
from tests.rigs.database import folder as folder
from tests.rigs.database import kind as kind
from tests.rigs.database import make as make
from tests.rigs.database import on_sqlite as on_sqlite
from tests.rigs.database import pytest_generate_tests as pytest_generate_tests
from tests.rigs.database import store as store
