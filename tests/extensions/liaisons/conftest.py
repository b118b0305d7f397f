"""A user with files, and a server, for the tools of liaisons."""

from tests.understudy.tools.conftest import attach as attach
