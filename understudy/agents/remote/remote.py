"""`Remote`: where an agent of another server is, and how it is asked."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Final
from urllib.parse import urlsplit

from attrs import field, frozen

from understudy.agents.turn import AgentTurn

AG_UI: Final = "ag-ui"
PROTOCOLS: Final = (AG_UI,)


@frozen
class Remote:
    """An agent at `url`. `headers` are sent with each request, such as its token; they are in no log.

    `idle_s` is the time in seconds without any byte after which the agent is given up. Raises ValueError for an address
    that is not HTTP, an unknown protocol, a non-positive `idle_s`, or if the extra `remote` is not installed.
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
        if find_spec("httpx2") is None:
            raise ValueError("a remote agent needs `pip install 'understudy[remote]'`")
        if not self.idle_s > 0:
            raise ValueError(f"idle_s must be more than 0 seconds, not {self.idle_s!r}")

    async def run(self, turn: AgentTurn) -> None:
        """Have the agent work on a message, and show its work as this server's: the `run` of a hand-written agent."""
        from understudy.agents.remote.agui import AguiWork  # only now: HTTP and pydantic are slow to import

        await AguiWork(self, turn).run()


def to_remote(given: "Remote | str | None") -> Remote | None:
    """Return what a user gives as `remote`; a text is an address by AG-UI."""
    return Remote(given) if isinstance(given, str) else given
