"""Fixtures of other tests, by names of their own."""

from tests.understudy.cli.test_chat import serve as chat_house  # noqa: F401
