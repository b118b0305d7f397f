"""An authorization server of pages that each test gives."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import trio

from understudy import McpServer, mcp

RESOURCE, ISSUER = "/.well-known/oauth-protected-resource", "/.well-known/oauth-authorization-server"
Pages = dict[str, Any]


@asynccontextmanager
async def answering(pages: Pages) -> AsyncIterator[tuple[str, list[str]]]:
    """Serve pages by path: JSON, or a whole response as bytes. Yield the origin, and the paths that are called."""
    called: list[str] = []

    async def answer(stream: trio.SocketStream) -> None:
        head = await stream.receive_some(65536)
        path = head.split()[1].decode().partition("?")[0]
        called.append(path)
        page = pages.get(path)
        if not isinstance(page, bytes):
            body = b"" if page is None else json.dumps(page).encode()
            status = b"404 Not Found" if page is None else b"200 OK"
            page = b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)
        await stream.send_all(page)
        if page.endswith(b"hang"):
            await trio.sleep_forever()
        await stream.aclose()

    async def tolerant(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            await answer(stream)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
            nursery.start_soon(trio.serve_listeners, tolerant, [listener])
            yield f"http://127.0.0.1:{listener.socket.getsockname()[1]}", called
            nursery.cancel_scope.cancel()


def metadata(origin: str, **more: Any) -> Pages:
    """Return metadata that are right, with changes to those of the authorization server."""
    members = {
        "issuer": origin,
        "authorization_endpoint": f"{origin}/authorize",
        "token_endpoint": f"{origin}/token",
        "code_challenge_methods_supported": ["S256"],
    }
    resource = {"resource": f"{origin}/mcp", "authorization_servers": [origin]}
    return {f"{RESOURCE}/mcp": resource, ISSUER: members | more}


def at(origin: str) -> McpServer:
    return mcp(f"{origin}/mcp", name="notes", auth="user")
