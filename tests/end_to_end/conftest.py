"""Fixtures: a whole server in the test's own process, and a pair of them."""

from tests.rigs.server import begin as begin
from tests.rigs.server import carrier as carrier
from tests.rigs.server import clock as clock
from tests.rigs.server import serve as serve
from tests.rigs.server import serve_client as serve_client
from tests.rigs.server import serve_guest as serve_guest
