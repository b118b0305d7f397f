"""An MCP server of the stock SDK whose users sign in, with the SDK's own authorization server: both in this process.

It consents at once: who is sent to its `/authorize` comes back with a code. Its refresh tokens are used once; one that
comes again ends the sign-in that it was of, as RFC 9700 has it.
"""

import json
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import trio
from attrs import define, field
from hypercorn.config import Config
from hypercorn.trio import serve as hypercorn_serve
from mcp.server import MCPServer
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import (
    AccessToken,
    AuthorizationCode,
    AuthorizationParams,
    AuthorizeError,
    RefreshToken,
    TokenError,
    construct_redirect_uri,
)
from mcp.server.auth.settings import AuthSettings, ClientRegistrationOptions, RevocationOptions
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken
from mcp.types import ToolAnnotations
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import Response

SCOPE = "notes"


@define
class Provider:
    """Issues tokens that live `life_s` seconds by `clock`. `asked`, `refreshed` count sign-ins and refreshes.

    `refuse`: the user does not consent. A refresh takes `pause_s`, and waits for `hold`.
    """

    clock: Callable[[], float] = time.time
    life_s: float = 600.0
    refuse: bool = False
    asked: int = 0
    refreshed: int = 0
    hold: trio.Event | None = None
    pause_s: float = 0.0
    clients: dict[str, OAuthClientInformationFull] = field(factory=dict)
    codes: dict[str, AuthorizationCode] = field(factory=dict)
    access: dict[str, tuple[AccessToken, float, str]] = field(factory=dict)
    fresh: dict[str, RefreshToken] = field(factory=dict)
    grants: dict[str, str] = field(factory=dict)  # of refresh tokens, used ones too
    refused: int = 0
    needs: dict[str, str] = field(factory=dict)  # scopes by method or tool
    refusal: tuple[int, str] = (403, 'Bearer error="insufficient_scope", scope="{}"')
    grants_all: bool = True
    refreshes: bool = True

    async def get_client(self, client_id: str) -> OAuthClientInformationFull | None:
        return self.clients.get(client_id)

    async def register_client(self, client_info: OAuthClientInformationFull) -> None:
        self.clients[client_info.client_id] = client_info

    async def authorize(self, client: OAuthClientInformationFull, params: AuthorizationParams) -> str:
        self.asked += 1
        if self.refuse:
            raise AuthorizeError("access_denied", "no")
        code = secrets.token_urlsafe(32)
        more = {"scopes": params.scopes or [SCOPE], "expires_at": time.time() + 60, "client_id": client.client_id}
        self.codes[code] = AuthorizationCode(code=code, **params.model_dump(exclude={"scopes", "state"}), **more)
        return construct_redirect_uri(str(params.redirect_uri), code=code, state=params.state)

    async def load_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: str
    ) -> AuthorizationCode | None:
        return self.codes.get(authorization_code)

    async def exchange_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: AuthorizationCode
    ) -> OAuthToken:
        del self.codes[authorization_code.code]
        scopes = authorization_code.scopes if self.grants_all else [SCOPE]
        return self._issue(client, authorization_code.resource, secrets.token_hex(8), scopes)

    async def load_refresh_token(self, client: OAuthClientInformationFull, refresh_token: str) -> RefreshToken | None:
        await trio.sleep(self.pause_s)
        if self.hold is not None:
            await self.hold.wait()
        if refresh_token not in self.fresh and refresh_token in self.grants:
            self.end(self.grants[refresh_token])
        return self.fresh.get(refresh_token)

    async def exchange_refresh_token(
        self, client: OAuthClientInformationFull, refresh_token: RefreshToken, scopes: list[str]
    ) -> OAuthToken:
        if self.fresh.pop(refresh_token.token, None) is None:
            self.end(self.grants[refresh_token.token])
            raise TokenError("invalid_grant")
        self.refreshed += 1
        return self._issue(client, None, self.grants[refresh_token.token], refresh_token.scopes)

    async def load_access_token(self, token: str) -> AccessToken | None:
        access, until, _ = self.access.get(token, (None, 0.0, ""))
        if access is None or self.clock() >= until:
            self.refused += 1
            return None
        return access

    async def revoke_token(self, token: AccessToken | RefreshToken) -> None:
        self.end(self.grants.get(token.token) or self.access[token.token][2])

    def end(self, grant: str | None = None) -> None:
        """Forget the tokens of a sign-in; without an argument those of all."""
        self.fresh = {fresh: token for fresh, token in self.fresh.items() if grant and self.grants[fresh] != grant}
        self.access = {access: row for access, row in self.access.items() if grant and row[2] != grant}

    def expire(self) -> None:
        """Forget the access tokens alone."""
        self.access.clear()

    def _issue(
        self, client: OAuthClientInformationFull, resource: str | None, grant: str, scopes: list[str]
    ) -> OAuthToken:
        access, refresh = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        made = AccessToken(token=access, client_id=client.client_id, scopes=scopes, subject=grant, resource=resource)
        self.access[access] = made, self.clock() + self.life_s, grant
        self.fresh[refresh] = RefreshToken(token=refresh, client_id=client.client_id, scopes=scopes)
        self.grants[refresh] = grant
        given = OAuthToken(access_token=access, expires_in=int(self.life_s), scope=" ".join(scopes))
        return given.model_copy(update={"refresh_token": refresh}) if self.refreshes else given

    async def admit(self, request: Request, call_next: Any) -> Response:
        """Refuse a request whose token is not for what it needs."""
        called = json.loads(await request.body()) if request.url.path == "/mcp" and request.method == "POST" else {}
        names = called.get("method", ""), called.get("params", {}).get("name", "")
        scope = next((self.needs[name] for name in names if name in self.needs), "")
        token, _, _ = self.access.get(request.headers.get("authorization", "").removeprefix("Bearer "), (None, 0, ""))
        if token is None or {*scope.split()} <= {*token.scopes}:
            return cast(Response, await call_next(request))
        status, challenge = self.refusal
        return Response(status_code=status, headers={"WWW-Authenticate": challenge.format(scope)})


@asynccontextmanager
async def serving(provider: Provider) -> AsyncIterator[str]:
    """Serve both. Yield the address of the MCP server."""
    listener = socket.create_server(("127.0.0.1", 0))
    origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
    config = Config()
    config.bind, config.graceful_timeout, config.loglevel = [f"fd://{listener.detach()}"], 0.1, "CRITICAL"
    async with trio.open_nursery() as nursery:
        app = _server(provider, origin).streamable_http_app()
        app.add_middleware(BaseHTTPMiddleware, dispatch=provider.admit)
        await nursery.start(hypercorn_serve, cast(Any, app), config)
        yield f"{origin}/mcp"
        nursery.cancel_scope.cancel()


def _server(provider: Provider, origin: str) -> MCPServer:
    settings = AuthSettings(
        issuer_url=cast(Any, origin),
        resource_server_url=cast(Any, f"{origin}/mcp"),
        client_registration_options=ClientRegistrationOptions(enabled=True, valid_scopes=[SCOPE, "write"]),
        revocation_options=RevocationOptions(enabled=True),
        required_scopes=[SCOPE],
        validate_token_resource=False,
    )
    notes = MCPServer(
        "notes", version="1.0", log_level="WARNING", auth_server_provider=cast(Any, provider), auth=settings
    )

    @notes.tool(annotations=ToolAnnotations(read_only_hint=True))
    def whose() -> str:
        """Say for whom this is called."""
        token = get_access_token()
        return "" if token is None else str(token.subject)

    @notes.resource("notes://all")
    def read_all() -> str:
        """Give all notes."""
        return "none"

    return notes


async def main() -> None:
    """Serve until this process is ended, and print the address."""
    async with serving(Provider()) as url:
        print(url, flush=True)
        await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(main)
