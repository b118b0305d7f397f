"""The watch over a connection whose server is idle, computes, refuses or is silent. Calls: `end_to_end/test_mcp.py`."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import trio
from mcp import MCPError

from tests.extensions.mcp.linked import context_of
from understudy import mcp
from understudy.extensions.mcp.connection import PROBE_S, McpSession, SessionWatch
from understudy.extensions.mcp.errors import ConnectionLost
from understudy.extensions.mcp.open_calls import ServerCall


def session_of(pinged: Callable[..., Awaitable[object]], protocol: str = "2025-11-25") -> McpSession:
    sdk = {"session": SimpleNamespace(send_request=pinged), "server_capabilities": SimpleNamespace(tools=None)}
    return McpSession(mcp("it"), SimpleNamespace(**sdk, protocol_version=protocol), lambda: False)  # type: ignore[arg-type]


@pytest.mark.parametrize("protocol", ["2025-11-25", "2026-07-28"])
async def test_an_idle_server_is_asked_for_a_sign_of_life(
    protocol: str, tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    """It is pinged, which it may refuse; a server that knows no ping is asked for its tools."""
    pings, changes = list[float](), list[float]()

    async def refuse(*_: object) -> None:
        pings.append(trio.current_time())
        raise MCPError(-32601, "no such method")

    async def watch_for(seconds: float) -> None:
        with trio.move_on_after(seconds):
            await SessionWatch(session, lambda: changes.append(trio.current_time())).run()

    session = session_of(refuse, protocol)
    await watch_for(2.5 * PROBE_S)
    async with session.calls.opened(ServerCall(context_of(tmp_path))):
        await watch_for(2.5 * PROBE_S)
    assert (len(pings), len(changes)) == ((2, 0) if protocol == "2025-11-25" else (0, 2))


async def test_a_silent_server_is_lost(autojump_clock: trio.abc.Clock) -> None:
    async def hang(*_: object) -> None:
        await trio.sleep_forever()

    with pytest.RaisesGroup(pytest.RaisesExc(ConnectionLost, match="did not answer")):
        await SessionWatch(session_of(hang), lambda: None).run()
