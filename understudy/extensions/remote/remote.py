"""`Remote`: the address of an agent of another server, and the protocol by which it is asked."""

import json
import uuid
from collections.abc import Mapping
from importlib.util import find_spec
from pkgutil import resolve_name
from typing import Any, Final
from urllib.parse import urlsplit

import trio
from attrs import field, frozen

from understudy.agents.turn import AgentTurn
from understudy.extensions.remote.wording import TOO_MUCH
from understudy.models.model import ModelUnavailable


@frozen
class RemoteProtocol:
    """A protocol: the name of the class that implements it, the extra that it needs, and a package that is importable
    if the extra is installed."""

    work: str
    extra: str
    package: str


AG_UI: Final = "ag-ui"
A2A: Final = "a2a"
PROTOCOLS: Final = {
    AG_UI: RemoteProtocol("understudy.extensions.remote.agui:AguiWork", "remote", "httpx2"),
    A2A: RemoteProtocol("understudy.extensions.remote.a2a:A2aWork", "a2a", "a2a"),
}

CONNECT_S: Final = 10.0
"""Timeout of opening a connection."""
MAX_ROUNDS: Final = 50
"""Limit of questions of one task or run, one after the other."""
CONVERSATIONS: Final = uuid.UUID("6d1e6f1c-7a42-5c0e-9d5c-0a5b5f6f2f10")
"""Namespace (RFC 9562) of the ids that remotes are sent."""


def form_of(name: str, **schema: Any) -> dict[str, Any]:
    """Return the schema of an object with one field, which has this name and schema."""
    return {"type": "object", "properties": {name: {"title": name.capitalize(), **schema}}, "required": [name]}


@frozen
class Remote:
    """An agent at `url`, by the `protocol` ``ag-ui`` or ``a2a``; by A2A the agent's card is below that address.

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

        It is unique over all users, while ids of threads are unique per user: a remote sees all users under one token.
        """
        return str(uuid.uuid5(CONVERSATIONS, json.dumps([turn.owner, turn.thread_id])))

    async def run(self, turn: AgentTurn) -> None:
        """Have the agent work on a message, and show its work here. This is the `run` of a hand-written agent."""
        # The import is late and in a thread, because HTTP, pydantic and protobuf are slow to import.
        work = await trio.to_thread.run_sync(resolve_name, PROTOCOLS[self.protocol].work)
        try:
            await work(self, turn).run()
        except RecursionError as error:  # the remote sent JSON of very many levels
            raise ModelUnavailable(TOO_MUCH, retryable=False) from error
