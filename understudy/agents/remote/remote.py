"""`Remote`: where an agent of another server is, and how it is asked."""

import json
import uuid
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Final
from urllib.parse import urlsplit

import trio
from attrs import field, frozen

from understudy.agents.turn import AgentTurn


@frozen
class RemoteProtocol:
    """The module that speaks a protocol, the extra it needs, and the package by which that is known to be installed."""

    module: str
    extra: str
    package: str


AG_UI: Final = "ag-ui"
A2A: Final = "a2a"
PROTOCOLS: Final = {AG_UI: RemoteProtocol("agui", "remote", "httpx2"), A2A: RemoteProtocol("a2a", "a2a", "a2a")}

CONVERSATIONS: Final = uuid.UUID("6d1e6f1c-7a42-5c0e-9d5c-0a5b5f6f2f10")
"""Namespace of the ids that remotes are given."""


@frozen
class Remote:
    """An agent at `url`, by the `protocol` ``ag-ui`` or ``a2a``; by A2A it is the address whose card is the agent's.

    `headers` are sent with each request, such as its token; they are in no log. `idle_s` is the time in seconds without
    any byte after which the agent is given up. Raises ValueError for an address that is not HTTP, an unknown protocol,
    a non-positive `idle_s`, or if the extra of the protocol (`remote`, `a2a`) is not installed.
    """

    url: str
    protocol: str = AG_UI
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    idle_s: float = 120.0

    def __attrs_post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{self.url!r} is no address of an agent: it must be like https://example.org/agent")
        if self.protocol not in PROTOCOLS:
            raise ValueError(f"a remote agent's protocol is one of {', '.join(PROTOCOLS)}, not {self.protocol!r}")
        protocol = PROTOCOLS[self.protocol]
        if find_spec(protocol.package) is None:
            extra = f"understudy-server[{protocol.extra}]"
            raise ValueError(f"a remote agent by {self.protocol} needs `pip install '{extra}'`")
        if not self.idle_s > 0:
            raise ValueError(f"idle_s must be more than 0 seconds, not {self.idle_s!r}")

    def conversation_id(self, turn: AgentTurn) -> str:
        """Return the remote's id of the conversation.

        It is the user's own: ids of threads are unique for each user only, and a remote sees them all behind one token.
        """
        return str(uuid.uuid5(CONVERSATIONS, json.dumps([turn.owner, turn.thread_id])))

    async def run(self, turn: AgentTurn) -> None:
        """Have the agent work on a message, and show its work as this server's: the `run` of a hand-written agent."""
        # Only now, and in a thread: HTTP, pydantic and protobuf are slow to import.
        await trio.to_thread.run_sync(import_module, "understudy.agents.remote." + PROTOCOLS[self.protocol].module)
        if self.protocol == A2A:
            from understudy.agents.remote.a2a import A2aWork

            await A2aWork(self, turn).run()
        else:
            from understudy.agents.remote.agui import AguiWork

            await AguiWork(self, turn).run()


def to_remote(given: "Remote | str | None") -> Remote | None:
    """Return what a user gives as `remote`; a text is an address by AG-UI."""
    return Remote(given) if isinstance(given, str) else given
