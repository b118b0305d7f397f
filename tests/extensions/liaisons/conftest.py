"""A user with files, and a server, for the tools of liaisons."""

from tests.rigs.user_files import attach as attach
