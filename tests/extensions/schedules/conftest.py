"""Fixtures of other tests, by names of their own."""

from tests.extensions.terminal.test_chat import serve as house  # noqa: F401
from tests.understudy.cli.test_admin import folder as operators_folder  # noqa: F401
