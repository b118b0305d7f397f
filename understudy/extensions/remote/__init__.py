"""Agents that work on other servers, and are reached by a protocol. Their users see them as agents of this server.

A module here is a client of one protocol. What a user's own function does stands in `agents.turn`.
"""

from typing import Final

from understudy.extension import Extension


class RemoteAgents(Extension):
    """See the module. It has no parts: an agent with a `Remote` runs by it."""

    name = "remote"
    about = "ask agents of other servers"


EXTENSION: Final = RemoteAgents()
