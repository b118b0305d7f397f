"""Closes of a connection, and failures of the disk or of an actor, as a client sees them."""

from typing import Any

import pytest
import trio
import trio.testing

from tests.end_to_end.raw_connection import PONG_ASKED, beside_another, end_of, port_of
from tests.end_to_end.recording_model import RecordingModel
from tests.rigs.chat_client import connected
from tests.rigs.raw_websocket import TEXT, close, frame, raw_websocket
from tests.rigs.tokens import SECRET


@pytest.mark.promise("wire.close-4400", "wire.close-4408", "owasp.authentication")
async def test_silence_before_the_first_message_is_4408(clock: trio.testing.MockClock, serve: Any) -> None:
    running = await serve(secret=SECRET)
    async with raw_websocket(port_of(running), "/ws") as raw:
        while not running.system.find("/system/connections").children():  # type: ignore[union-attr]
            await trio.testing.wait_all_tasks_blocked(0.01)
        await trio.testing.wait_all_tasks_blocked(0.1)
        clock.jump(9)
        await trio.testing.wait_all_tasks_blocked(0.05)
        clock.jump(1.5)
        assert await end_of(raw) == 4408
    for sent, code in ((b"{", 4400), (b"hello", 4400), (PONG_ASKED, 4401)):
        async with raw_websocket(port_of(running), "/ws") as raw:
            await raw.send(frame(TEXT, sent))
            assert await end_of(raw) == code


@pytest.mark.promise("wire.close-1000")
async def test_an_end_of_the_clients_own_is_echoed(serve: Any) -> None:
    running = await serve()
    for code in (1000, 1001, 3000, 4999, None):
        async with raw_websocket(port_of(running), "/ws") as raw:
            await raw.frame()
            await raw.send(close(code))
            assert await end_of(raw) in ((1000, None) if code is None else (code,))
            assert await raw.ended()


@pytest.mark.promise("wire.close-1011", "owasp.crash")
async def test_a_fault_of_the_server_is_1011_without_details(serve_guest: Any) -> None:
    running, token = await serve_guest(RecordingModel().agent())
    async with connected(running.address, token) as client, beside_another(running):
        last = (await client.ask("one", agent_type="script", thread_id="t"))["seq"]
        outbox = running.system.find(f"/system/connections/{client.seen[0]['data']['connection_id']}/outbox")
        assert outbox is not None
        outbox.kill()
        assert await client.until_closed() == 1011
        assert "Traceback" not in (client.socket.closed.reason or "")
    async with connected(running.address, token) as client:
        await client.send({"type": "resume", "payload": {"threads": {"t": last}}})
        await client.ask("two", agent_type="script", thread_id="t", checked=True)
        assert client.durable()[0]["seq"] == last + 1
