"""Fixtures of other tests, by names of their own."""

from tests.rigs.admin_command import folder as operators_folder  # noqa: F401
from tests.rigs.terminal_chat import serve as house  # noqa: F401
