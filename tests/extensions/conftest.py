"""Fixtures of the tests of extensions: a whole server, and a store on each database."""

from tests.rigs.clock import clock as clock
from tests.rigs.database import database as database
from tests.rigs.database import folder as folder
from tests.rigs.database import kind as kind
from tests.rigs.database import make as make
from tests.rigs.database import migrated_before as migrated_before
from tests.rigs.database import pytest_generate_tests as pytest_generate_tests
from tests.rigs.database import store as store
from tests.rigs.permissions import rules as rules
from tests.rigs.server import begin as begin
from tests.rigs.server import carrier as carrier
from tests.rigs.server import serve as serve
from tests.rigs.server import serve_client as serve_client
from tests.rigs.server import serve_guest as serve_guest
