"""Remote: agents that work on other servers, and appear to users as agents of this server.

The modules here are clients of AG-UI and A2A. `agents.turn` is the interface of hand-written agents.
"""

from typing import Final

from understudy.extension import Extension


class RemoteAgents(Extension):
    """See the module. It has no parts: an agent with a `Remote` runs by it."""

    name = "remote"
    about = "ask agents of other servers"


EXTENSION: Final = RemoteAgents()
