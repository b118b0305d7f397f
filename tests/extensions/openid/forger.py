"""A provider that says what no real one does: it speaks the protocol, and each test bends what it says."""

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import parse_qs

import trio
from attrs import define, field

from actors import ActorSystem, ChildSpec
from tests.rigs.identity_provider import key_set, published, rsa_key, signed
from understudy.extensions.openid.claims import ClaimNames
from understudy.extensions.openid.provider import Provider, Registration

CLIENT = "chat"
NONCE = "n" * 20


@define
class Forger:
    """Answers each path with `(status, JSON)`; a callable is given the form. `hang`: it accepts, and never answers."""

    issuer: str = ""
    claims: dict[str, Any] = field(factory=dict)
    token: dict[str, Any] = field(factory=dict)
    userinfo: dict[str, Any] | None = None
    answers: dict[str, Any] = field(factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(factory=list)
    key: Any = field(factory=rsa_key)
    kid: str = "one"
    hang: bool = False

    def id_token(self, **claims: Any) -> str:
        """Sign an ID token; None leaves a claim out."""
        now = int(time.time())
        usual = {"iss": self.issuer, "aud": CLIENT, "sub": "ann", "iat": now, "exp": now + 300, "nonce": NONCE}
        present = {name: value for name, value in {**usual, **self.claims, **claims}.items() if value is not None}
        return signed(self.key, present, self.kid)

    def answer(self, path: str, form: dict[str, str]) -> tuple[int, Any]:
        if path in self.answers:
            prepared = self.answers[path]
            answer: tuple[int, Any] = prepared(form) if callable(prepared) else prepared
            return answer
        if path == "/.well-known/openid-configuration":
            named = {
                "authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys",
                "revocation_endpoint": "revoke", "end_session_endpoint": "end",
                **({"userinfo_endpoint": "me"} if self.userinfo is not None else {}),
            }  # fmt: skip
            return 200, {"issuer": self.issuer, **{name: f"{self.issuer}/{path}" for name, path in named.items()}}
        if path == "/keys":
            return 200, json.loads(key_set(published(self.key, self.kid)))
        if path == "/token":
            usual = {"access_token": "a", "token_type": "Bearer", "expires_in": 300, "refresh_token": "r1"}
            members = {**usual, "id_token": self.id_token(), **self.token}
            return 200, {name: value for name, value in members.items() if value is not None}
        return (200, self.userinfo) if path == "/me" else (200, {})

    async def serve(self, stream: trio.SocketStream) -> None:
        async with stream:
            if self.hang:
                await trio.sleep_forever()
            data = b""
            while b"\r\n\r\n" not in data:
                data += await self._more(stream)
            head, _, body = data.partition(b"\r\n\r\n")
            length = next(
                (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
            )
            while len(body) < length:
                body += await self._more(stream)
            path = head.split()[1].decode().partition("?")[0]
            form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
            self.requests.append((path, form))
            status, payload = self.answer(path, form)
            text = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
            kind = b"application/json"
            await stream.send_all(
                b"HTTP/1.1 %d x\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s" % (status, kind, len(text), text)
            )

    async def _more(self, stream: trio.SocketStream) -> bytes:
        piece = await stream.receive_some()
        if not piece:
            raise trio.BrokenResourceError
        return bytes(piece)


@asynccontextmanager
async def forging(
    clock: Callable[[], float] = time.time, *, secret: str = "s", claims: ClaimNames | None = None
) -> AsyncIterator[tuple[Forger, Provider]]:
    forger = Forger()
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(_serve, forger)
        forger.issuer = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        registration = Registration(forger.issuer, CLIENT, secret, title="Example", claims=claims or ClaimNames())
        provider = Provider(registration, clock)
        async with ActorSystem("openid", [ChildSpec("keys", provider.keeper)]):
            yield forger, provider
        nursery.cancel_scope.cancel()


async def _serve(forger: Forger, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):  # the client has left
            await forger.serve(stream)

    await trio.serve_tcp(serve, 0, host="127.0.0.1", task_status=task_status)
