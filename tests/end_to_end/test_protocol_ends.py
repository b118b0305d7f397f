"""Closes of a connection, and failures of the disk or of an actor, as a client sees them."""

from typing import Any

import pytest

from tests.end_to_end.raw_connection import beside_another, end_of, port_of
from tests.end_to_end.recording_model import RecordingModel
from tests.rigs.chat_client import connected
from tests.rigs.raw_websocket import close, raw_websocket


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
