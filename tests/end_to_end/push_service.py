"""A push service and a browser for tests: a local HTTP server that opens what it gets with the browser's keys."""

import json
import struct
from typing import Any

import jwt
from attrs import define, field
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tests.end_to_end.receiver import Receiver
from transport.auth import base64url
from understudy.chat.notices.encryption import CURVE, point_of

AUTH = b"sixteen bytes --"


@define
class Device:
    """A browser's side of a subscription."""

    key: ec.EllipticCurvePrivateKey = field(factory=lambda: ec.generate_private_key(CURVE))
    auth: bytes = AUTH

    @property
    def keys(self) -> dict[str, str]:
        """The keys as `PushSubscription.toJSON` gives them."""
        return {"p256dh": base64url.encode(point_of(self.key)), "auth": base64url.encode(self.auth)}

    def open(self, body: bytes) -> bytes:
        """Decrypt a push message, step by step as RFC 8188 and RFC 8291 have it."""
        salt, (record, length) = body[:16], struct.unpack("!IB", body[16:21])
        theirs, sealed = body[21 : 21 + length], body[21 + length :]
        assert len(sealed) <= record
        shared = self.key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(CURVE, theirs))
        about = b"WebPush: info\0" + point_of(self.key) + theirs
        secret = HKDF(SHA256(), 32, salt=self.auth, info=about).derive(shared)
        key = HKDF(SHA256(), 16, salt=salt, info=b"Content-Encoding: aes128gcm\0").derive(secret)
        nonce = HKDF(SHA256(), 12, salt=salt, info=b"Content-Encoding: nonce\0").derive(secret)
        plain = AESGCM(key).decrypt(nonce, sealed, None)
        assert plain.rstrip(b"\0")[-1:] == b"\x02"
        return plain.rstrip(b"\0")[:-1]


@define
class PushService(Receiver):
    """A local push service for one device. It keeps what it was sent as the device reads it."""

    device: Device = field(factory=Device)
    done: int = 201

    @property
    def subscription(self) -> dict[str, Any]:
        return {"endpoint": f"{self.origin}/push/device", "keys": self.device.keys}

    def read(self, head: dict[str, str], body: bytes) -> Any:
        """Return the message in a body."""
        return json.loads(self.device.open(body))


def claims_of(authorization: str, public: str) -> dict[str, Any]:
    """Check a header of RFC 8292 against the server's public key. Return the claims of its token."""
    scheme, _, parameters = authorization.partition(" ")
    token, key = (each.strip().partition("=")[2] for each in parameters.split(","))
    assert (scheme, key) == ("vapid", public)
    point = ec.EllipticCurvePublicKey.from_encoded_point(CURVE, base64url.decode(public))
    claims: dict[str, Any] = jwt.decode(token, point, algorithms=["ES256"], options={"verify_aud": False})
    return claims
