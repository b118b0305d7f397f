"""A user with files, for tools that read them."""

from tests.rigs.user_files import attach as attach
