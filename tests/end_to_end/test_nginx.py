"""A server behind an nginx, as the documentation has it set up, and with connections that it keeps."""

from pathlib import Path
from typing import Any

import pytest
import trio

from tests.rigs.chat_client import connected
from tests.rigs.http import request
from tests.servers.nginx import LOCATIONS, Nginx

KEPT = "upstream chat {{ server {0}; keepalive 1; }}"
"""One connection is kept, as all are by default from nginx 1.29.7 on."""


@pytest.mark.needs("nginx")
async def test_a_websocket_comes_on_a_connection_that_was_kept(serve: Any, tmp_path: Path) -> None:
    running = await serve()
    upstream = KEPT.format(running.address.removeprefix("http://"))
    proxy = await trio.to_thread.run_sync(Nginx, tmp_path / "nginx", LOCATIONS, upstream)
    try:
        for turn in range(3):
            assert (await request(proxy.address, "GET", "/healthz"))[0] == 200
            async with connected(proxy.address) as client:
                assert (await client.ask("1 + 1", thread_id=f"t{turn}"))["type"] == "final_response"
    finally:
        await trio.to_thread.run_sync(proxy.stop)
