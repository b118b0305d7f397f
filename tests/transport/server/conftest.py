"""Fixtures of the tests over TLS: an authority, the server's context and a client's."""

import ssl
from pathlib import Path

import pytest
import trustme

from tests.transport.certificates import files
from transport.server.tls import server_context


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server(authority: trustme.CA, tmp_path: Path) -> ssl.SSLContext:
    return server_context(*files(tmp_path, authority.issue_cert("localhost", "127.0.0.1")))


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context
