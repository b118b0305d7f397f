"""Encryption of a notice for one browser (RFC 8291, in the encoding `aes128gcm` of RFC 8188), and the server's own key.

Pure. A push service sees neither the text nor its user; only the browser has the key that opens it.
"""

import os
import struct
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import jwt
from attrs import field, frozen
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from transport.auth import base64url

CURVE: Final = ec.SECP256R1()
ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""The number of private keys on P-256 (SEC 2, 2.4.2)."""
POINT_BYTES: Final = 65
AUTH_BYTES: Final = 16
RECORD_BYTES: Final = 4096
"""RFC 8291, section 4: one record, which push services take up to this size."""
MAX_PLAIN: Final = 3000
TOKEN_S: Final = 12 * 3600
"""RFC 8292, section 2: a token may be valid for a day at most."""


@frozen
class BrowserKeys:
    """The keys of a browser: its point on P-256, and the secret that authenticates."""

    p256dh: bytes = field(repr=False)
    auth: bytes = field(repr=False)


def read_keys(p256dh: str, auth: str) -> BrowserKeys:
    """Return the keys as a browser gives them, in base64url. Raises ValueError if they are none."""
    point, secret = base64url.decode(p256dh), base64url.decode(auth)
    if len(secret) != AUTH_BYTES or len(point) != POINT_BYTES:
        raise ValueError("keys of the wrong length")
    ec.EllipticCurvePublicKey.from_encoded_point(CURVE, point)
    return BrowserKeys(point, secret)


def encrypt(
    plain: bytes, keys: BrowserKeys, own: ec.EllipticCurvePrivateKey | None = None, salt: bytes | None = None
) -> bytes:
    """Return a text as the body of a push message. `own` and `salt` are made anew for each unless a test gives them."""
    if len(plain) > MAX_PLAIN:
        raise ValueError("a notice of more than 3000 bytes")
    own, salt = own or ec.generate_private_key(CURVE), salt or os.urandom(16)
    mine = point_of(own)
    shared = own.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(CURVE, keys.p256dh))
    about = b"WebPush: info\0" + keys.p256dh + mine
    secret = HKDF(SHA256(), 32, salt=keys.auth, info=about).derive(shared)
    key = HKDF(SHA256(), 16, salt=salt, info=b"Content-Encoding: aes128gcm\0").derive(secret)
    nonce = HKDF(SHA256(), 12, salt=salt, info=b"Content-Encoding: nonce\0").derive(secret)
    head = salt + struct.pack("!IB", RECORD_BYTES, len(mine)) + mine
    return head + AESGCM(key).encrypt(nonce, plain + b"\x02", None)


class ServerKey:
    """The key by which push services know this server (VAPID, RFC 8292).

    It is derived from the server's secret: the same after a restart and on every node. `contact` is an address for the
    operators of push services, empty for none.
    """

    def __init__(self, secret: bytes, contact: str = "", clock: Callable[[], float] = time.time) -> None:
        derived = HKDFExpand(SHA256(), 48, b"understudy: web push, version 1").derive(_of_32(secret))
        number = int.from_bytes(derived) % (ORDER - 1) + 1  # 48 bytes: the bias is below 2**-128
        self._key = ec.derive_private_key(number, CURVE)
        self._contact, self._clock = contact, clock
        self.public = base64url.encode(point_of(self._key))
        """The public key, in base64url, as a browser wants it to subscribe."""

    def authorization(self, endpoint: str) -> str:
        """Return the value of the header `Authorization` for a request to this address."""
        where = urlsplit(endpoint)
        claims: dict[str, object] = {"aud": f"{where.scheme}://{where.netloc}", "exp": int(self._clock()) + TOKEN_S}
        if self._contact:
            claims["sub"] = self._contact
        return f"vapid t={jwt.encode(claims, self._key, algorithm='ES256')}, k={self.public}"


def _of_32(secret: bytes) -> bytes:
    """Return a key of 32 bytes from a secret of any length."""
    return HKDF(SHA256(), 32, salt=None, info=b"understudy: web push, secret").derive(secret)


def point_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return the public point of a key, uncompressed."""
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
