"""Chaos tests use the whole server of the end-to-end tests."""

from tests.end_to_end.conftest import serve as serve
