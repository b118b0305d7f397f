"""Fixtures of the tests of extensions: a whole server, and a store on each database."""

from tests.end_to_end.conftest import begin as begin
from tests.end_to_end.conftest import carrier as carrier
from tests.end_to_end.conftest import serve as serve
from tests.end_to_end.conftest import serve_client as serve_client
from tests.end_to_end.conftest import serve_guest as serve_guest
from tests.rigs.permissions import rules as rules
from tests.understudy.auth.conftest import clock as clock
from tests.understudy.auth.conftest import migrated_before as migrated_before
from tests.understudy.storage.conftest import database as database
from tests.understudy.storage.conftest import folder as folder
from tests.understudy.storage.conftest import kind as kind
from tests.understudy.storage.conftest import make as make
from tests.understudy.storage.conftest import pytest_generate_tests as pytest_generate_tests
from tests.understudy.storage.conftest import store as store
