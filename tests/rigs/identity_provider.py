"""An identity provider for tests: keys of its own, the document that publishes them, and tokens signed with them."""

import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache, partial
from typing import Any

import trio
from attrs import define, field
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.api_jws import PyJWS

_JWS = PyJWS()


@cache
def rsa_key(number: int = 0, bits: int = 2048) -> rsa.RSAPrivateKey:
    """A key, made once for all tests: that takes a while."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


@cache
def ec_key(number: int = 0, curve: type[ec.EllipticCurve] = ec.SECP256R1) -> ec.EllipticCurvePrivateKey:
    """The same on a curve."""
    return ec.generate_private_key(curve())


def published(key: Any, key_id: str | None = None, **more: Any) -> dict[str, Any]:
    """The entry of a key in a JWKS; of its public half, or of the whole when it is given in `more`."""
    kinds = {rsa.RSAPrivateKey: RSAAlgorithm, ec.EllipticCurvePrivateKey: ECAlgorithm}
    kind = next((algorithm for of, algorithm in kinds.items() if isinstance(key, of)), OKPAlgorithm)
    entry = json.loads(kind.to_jwk(key.public_key()))
    entry.pop("key_ops", None)
    return entry | ({} if key_id is None else {"kid": key_id}) | more


def key_set(*entries: dict[str, Any]) -> bytes:
    """A JWKS document."""
    return json.dumps({"keys": entries}).encode()


def signed(key: Any, claims: dict[str, Any], key_id: str | None = None, algorithm: str = "", **headers: Any) -> str:
    """A token signed with this key, by this algorithm or the first one of its kind."""
    curves = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
    of_kind = "EdDSA" if isinstance(key, ed25519.Ed25519PrivateKey) else "RS256"
    algorithm = algorithm or (curves[key.curve.name] if isinstance(key, ec.EllipticCurvePrivateKey) else of_kind)
    named = headers | ({} if key_id is None else {"kid": key_id})
    return _JWS.encode(json.dumps(claims).encode(), key, algorithm=algorithm, headers=named)  # whatever the claims are


def part(value: object) -> str:
    """One part of a JWT."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@define
class Publisher:
    """An HTTP server that answers each request with `answer`, raw bytes, after `wait`. `asked` counts requests; `found`
    is set at the first.
    """

    answer: bytes = b""
    asked: int = 0
    address: str = ""
    wait: Callable[[], Any] | None = None
    requests: list[bytes] = field(factory=list)
    found: trio.Event = field(factory=trio.Event)

    def publish(self, document: bytes) -> None:
        """Answer with this document from now on."""
        self.answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(document), document)

    async def serve(self, stream: trio.SocketStream) -> None:
        """Answer one request."""
        async with stream:
            head = b""
            while b"\r\n\r\n" not in head:
                piece = await stream.receive_some()
                if not piece:
                    return
                head += piece
            self.asked += 1
            self.found.set()
            self.requests.append(head)
            if self.wait is not None:
                await self.wait()
            try:
                await stream.send_all(self.answer)
                await stream.send_eof()
                while await stream.receive_some():
                    pass
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass


@asynccontextmanager
async def publishing(document: bytes = b"", port: int = 0) -> AsyncIterator[Publisher]:
    """Serve a document on a port of this machine until the block ends."""
    publisher = Publisher()
    publisher.publish(document)
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, publisher.serve, port, host="127.0.0.1"))
        publisher.address = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/keys"
        yield publisher
        nursery.cancel_scope.cancel()


FIRST = key_set(published(rsa_key(), "first"), published(ec_key(), "curve"))
