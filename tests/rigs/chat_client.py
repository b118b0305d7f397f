"""A plain WebSocket client that records every event, and checks of a run's protocol arc."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

import trio
import trio_websocket
from attrs import define, field

TERMINAL = ("final_response", "error")
WAIT_S = 60.0


@define
class ChatClient:
    """One WebSocket. `seen` holds every event in the order of arrival, batches split into events."""

    socket: trio_websocket.WebSocketConnection
    seen: list[dict[str, Any]] = field(factory=list)

    async def send(self, command: dict[str, Any] | str) -> None:
        await self.socket.send_message(command if isinstance(command, str) else json.dumps(command))

    async def say(self, content: str, **payload: Any) -> None:
        await self.send({"type": "user_message", "payload": {"content": content, **payload}})

    async def ask(self, content: str, *, until: str = "", checked: bool = False, **payload: Any) -> dict[str, Any]:
        """Say something, and read up to the next event of the type `until`, or else to the end. Return that event."""
        await self.say(content, **payload)
        return await (self.until(until) if until else self.until_end(checked=checked))

    async def read(self) -> dict[str, Any]:
        """Return the next event. Raises `trio.TooSlowError` after `WAIT_S`."""
        with trio.fail_after(WAIT_S):
            event = json.loads(await self.socket.get_message())
        assert isinstance(event, dict), "batches were not requested"
        self.seen.append(event)
        return event

    async def until(self, kind: str, **data: Any) -> dict[str, Any]:
        """Read up to the next event of this type whose data has these values."""
        while True:
            event = await self.read()
            if event["type"] == kind and data.items() <= event.get("data", {}).items():
                return event
            if event["type"] in TERMINAL and kind not in TERMINAL:
                done = [frame["data"] for frame in self.seen if frame["type"] == "tool_completed"]
                raise AssertionError(f"it ended before {kind}: {event}; tools: {done}")

    async def until_end(self, *, checked: bool = False) -> dict[str, Any]:
        """Read up to the next terminal event. If `checked`, the durable events so far must be a whole arc."""
        while (event := await self.read())["type"] not in TERMINAL:
            pass
        if checked:
            check_arc(self.durable())
        return event

    async def until_closed(self) -> int:
        """Read until the socket is closed. Return the close code."""
        with suppress(trio_websocket.ConnectionClosed):
            while True:
                await self.read()
        assert self.socket.closed is not None
        return int(self.socket.closed.code)

    def durable(self, run_id: str | None = None) -> list[dict[str, Any]]:
        """Return the numbered events seen so far, of one run or of all runs."""
        return [e for e in self.seen if e.get("seq") is not None and run_id in (None, e.get("run_id"))]


@asynccontextmanager
async def connected(
    address: str,
    token: str | None = None,
    path: str = "/ws",
    *,
    headers: dict[str, str] | None = None,
    subprotocols: Sequence[str] | None = None,
    welcome: bool = True,
    host: str = "",
) -> AsyncIterator[ChatClient]:
    """Open a socket and, unless `welcome` is false, read its `welcome`. The TCP socket is always closed at the end.

    `host` is the name by which it asks, if that is not the address.

    trio-websocket's own `open_websocket_url` leaves the TCP socket open when the server closes first.
    """
    if token is not None:
        path += ("&" if "?" in path else "?") + f"session_token={token}"
    where, failure = urlsplit(address), None
    async with trio.open_nursery() as nursery:
        stream = await trio.open_tcp_stream(where.hostname or "", where.port or 80)
        try:
            extra = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
            with trio.fail_after(WAIT_S):  # it waits forever for the answer of a server that closed without one
                socket = await trio_websocket.wrap_client_stream(
                    nursery, stream, host or where.netloc, path, subprotocols=subprotocols, extra_headers=extra
                )
            peer = ChatClient(socket)
            if welcome:
                assert (await peer.read())["type"] == "welcome"
            yield peer
            with trio.move_on_after(1):
                await socket.aclose()
        except Exception as error:  # raised below by itself, not in the nursery's exception group
            failure = error
        finally:
            await trio.aclose_forcefully(stream)
            nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


def check_arc(events: list[dict[str, Any]]) -> None:
    """Check a run's events: accepted, started, every start has its end, one terminal event, consecutive numbers."""
    kinds = [event["type"] for event in events]
    assert kinds[0] == "message_accepted", kinds
    assert kinds[1] == "agent_started", kinds
    assert sum(kind in TERMINAL for kind in kinds) == 1, kinds
    assert kinds[-1] in TERMINAL, kinds
    for began, ended, name in (
        ("tool_executing", "tool_completed", "call_id"),
        ("agent_started", "agent_completed", "agent_id"),
    ):
        first = Counter(event["data"][name] for event in events if event["type"] == began)
        last = Counter(event["data"][name] for event in events if event["type"] == ended)
        assert first == last, kinds
    check_failed_agents(events)
    check_decisions(events)
    numbers = [event["seq"] for event in events]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), numbers


def check_failed_agents(events: list[dict[str, Any]]) -> None:
    """Check that each failed agent has an `agent_error` right before its end, with the data of the run's error."""
    errors = [event["data"] for event in events if event["type"] == "agent_error"]
    failed = [
        e["data"]["agent_id"] for e in events if e["type"] == "agent_completed" and e["data"]["status"] == "failed"
    ]
    assert [data["agent_id"] for data in errors] == failed
    for previous, after in pairwise(events):
        if previous["type"] == "agent_error":
            assert (after["type"], after["data"]["agent_id"]) == ("agent_completed", previous["data"]["agent_id"])
    for data in errors:
        assert {**events[-1]["data"], "agent_id": data["agent_id"]} == data


def check_decisions(events: list[dict[str, Any]]) -> None:
    """Check that each decision answers one request for approval, and that only allowed calls have run."""
    required = [event["data"]["call_id"] for event in events if event["type"] == "approval_required"]
    decided = {e["data"]["call_id"]: e["data"]["decision"] for e in events if e["type"] == "approval_decided"}
    assert len(set(required)) == len(required)
    assert len(decided) == sum(event["type"] == "approval_decided" for event in events)
    assert decided.keys() <= set(required)
    for data in (event["data"] for event in events if event["type"] == "tool_completed"):
        decision = decided.get(data["call_id"])
        assert data["status"] != "denied" or decision in ("deny", "expired")
        assert data["status"] != "ok" or data["call_id"] not in required or decision == "allow"


async def ended(client: ChatClient, thread: str) -> dict[str, Any]:
    """Read to the end of the next run in the thread, or to the refusal of the message. Return that event."""
    while True:
        event = await client.read()
        if event["type"] in ("final_response", "error") and event.get("thread_id") in (thread, None):
            return event


async def closed_with(client: ChatClient) -> tuple[int, str | None]:
    """Read until the socket is closed. Return the code and the reason."""
    with trio.fail_after(60):
        code = await client.until_closed()
    assert client.socket.closed is not None
    return code, client.socket.closed.reason
