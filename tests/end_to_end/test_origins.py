"""Pages of other origins are refused before any work, over sockets and HTTP."""

from typing import Any
from urllib.parse import urlsplit

import pytest
import trio

from tests.rigs.http import UPGRADE
from understudy.app.server import Running

SECRET = "a secret of more than thirty-two bytes"
LISTED = ["https://app.example.org", "https://b\u00fccher.example"]
OWN = "http://{host}"
REFUSED = {
    "null": ["null"],
    "another port": ["http://127.0.0.1:1"],
    "another name of this machine": ["http://localhost:{port}"],
    "listed with another scheme": ["http://app.example.org"],
    "two, the first good": [OWN, "https://evil.example"],
    "two, the second good": ["https://evil.example", OWN],
    "twice the same": [OWN, OWN],
}
"""More spellings are in `tests/transport/auth/test_identity.py`."""
TAKEN = {
    "none": [],
    "own": [OWN],
    "listed": ["https://app.example.org"],
    "listed, in capitals": ["HTTPS://APP.example.org"],
    "listed, with its port": ["https://app.example.org:443"],
    "listed, as a browser spells it": ["https://xn--bcher-kva.example"],
}


async def status_of(running: Running, origins: list[str], path: str, more: str = "") -> int:
    where = urlsplit(running.address)
    named = [origin.format(host=where.netloc, port=where.port) for origin in origins]
    lines = [f"GET {path} HTTP/1.1", f"Host: {where.netloc}", *(f"Origin: {origin}" for origin in named)]
    with trio.fail_after(60):
        async with await trio.open_tcp_stream(where.hostname or "", where.port or 80) as stream:
            await stream.send_all(("\r\n".join(lines) + "\r\n" + more + "\r\n").encode("latin-1"))
            return int((await stream.receive_some()).split()[1])


@pytest.mark.promise("wire.origin", "wire.bad-origin", "owasp.origin")
async def test_other_origins_are_refused(serve: Any) -> None:
    running = await serve(secret=SECRET, allowed_origins=LISTED)
    for name, origins in REFUSED.items():
        assert await status_of(running, origins, "/ws", UPGRADE) == (403 if len(origins) == 1 else 400), name
        assert await status_of(running, origins, "/api/agents") == 403, name


@pytest.mark.promise("wire.origin", "owasp.origin")
async def test_own_and_listed_origins_are_let_in(serve: Any) -> None:
    running = await serve(secret=SECRET, allowed_origins=LISTED)
    for name, origins in TAKEN.items():
        assert await status_of(running, origins, "/ws", UPGRADE) == 101, name
        assert await status_of(running, origins, "/api/agents") == 401, name
