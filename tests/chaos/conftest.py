"""Chaos runs against the same whole server as the end-to-end tests."""

from tests.end_to_end.conftest import serve as serve
