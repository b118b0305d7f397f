"""Fixtures of other tests, by names of their own."""

from tests.extensions.terminal.test_chat import serve as chat_house  # noqa: F401
