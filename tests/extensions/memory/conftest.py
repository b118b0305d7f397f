"""Fixtures of other tests, by names of their own."""

from tests.rigs.terminal_chat import serve as chat_house  # noqa: F401
