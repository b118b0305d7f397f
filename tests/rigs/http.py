"""Send one HTTP request over a real socket and decode a JSON answer."""

import json
from typing import Any, Protocol
from urllib.parse import urlsplit

import h11
import trio


async def request(
    address: str,
    method: str,
    path: str,
    *,
    token: str | None = None,
    body: Any = b"",
    content_type: str = "application/json",
    headers: dict[str, str] | None = None,
) -> tuple[int, dict[str, str], Any]:
    """Send a request; a body that is not bytes is sent as JSON.

    Return the status, the headers in lower case, and the body of the answer (decoded if it is JSON or text).
    """
    where, body = urlsplit(address), body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = {
        "Host": where.netloc, "Content-Length": str(len(body)), "Content-Type": content_type, "Connection": "close",
    }  # fmt: skip
    if token is not None:
        lines["Authorization"] = f"Bearer {token}"
    lines |= headers or {}
    client = h11.Connection(h11.CLIENT)
    with trio.fail_after(60):
        stream = await trio.open_tcp_stream(where.hostname or "", where.port or 80)
        async with stream:
            head = h11.Request(method=method, target=path, headers=list(lines.items()))
            await stream.send_all(
                (client.send(head) or b"")
                + (client.send(h11.Data(body)) or b"")
                + (client.send(h11.EndOfMessage()) or b"")
            )
            return await _answer(client, stream)


async def _answer(client: h11.Connection, stream: trio.SocketStream) -> tuple[int, dict[str, str], Any]:
    status, headers, pieces = 0, {}, []
    while True:
        event = client.next_event()
        if event is h11.NEED_DATA:
            client.receive_data(await stream.receive_some(65536))
        elif isinstance(event, h11.Response):
            status = event.status_code
            headers = {name.decode(): value.decode() for name, value in event.headers}
        elif isinstance(event, h11.Data):
            pieces.append(bytes(event.data))
        else:
            break
    raw = b"".join(pieces)
    kind = headers.get("content-type", "")
    if kind.startswith("application/json"):
        return status, headers, json.loads(raw or b"null")
    return status, headers, raw.decode() if kind.startswith("text/") else raw


async def handshake(address: str, path: str, **headers: str) -> tuple[int, Any]:
    """Request a WebSocket that the server refuses. Return the status and the decoded body."""
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    return (await request(address, "GET", path, headers=upgrade | headers))[::2]


def multipart(name: str, content: bytes, media_type: str = "text/csv") -> tuple[bytes, str]:
    """Return a body with one file in the field `file`, and its content type."""
    edge = "edge-7d1f0c"
    part = f'Content-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: {media_type}'
    head = f"--{edge}\r\n{part}\r\n\r\n"
    return head.encode() + content + f"\r\n--{edge}--\r\n".encode(), f"multipart/form-data; boundary={edge}"


async def upload(
    server: "Served", token: str, name: str = "a.csv", content: bytes = b"a,b\n1,2\n", media_type: str = "text/csv"
) -> tuple[int, Any]:
    """Upload a file. Return the status and the decoded body."""
    body, kind = multipart(name, content, media_type)
    return (await request(server.address, "POST", "/api/files", token=token, body=body, content_type=kind))[::2]


class Served(Protocol):
    """What has an address."""

    @property
    def address(self) -> str: ...


async def get(server: Served, path: str, token: str | None = None) -> Any:
    """Return the decoded body that is at a path, which must be there."""
    status, _, body = await request(server.address, "GET", path, token=token)
    assert status == 200, body
    return body


async def new_token(server: Served) -> str:
    """Return the token of a new session."""
    status, _, session = await request(server.address, "POST", "/api/sessions")
    assert status == 201
    return str(session["session_token"])


UPGRADE = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
