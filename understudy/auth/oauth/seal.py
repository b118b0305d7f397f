"""Encryption of tokens and of what belongs to a sign-in, as they are stored.

AES-256-GCM with a fresh nonce for each text. The key is derived from the server's secret by HKDF (RFC 5869). A text is
bound to its place, so that one that is moved to another user, server or table cannot be opened there.
"""

import os
from functools import cached_property
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES: Final = 12  # NIST SP 800-38D, 8.2.2: random nonces of 96 bits

T = TypeVar("T")


class Seal:
    """Seals objects of attrs classes as JSON, each for its place.

    `cryptography` is loaded with the first of them: most servers seal nothing.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def __repr__(self) -> str:
        return "Seal(secret=…)"

    @cached_property
    def _cipher(self) -> "AESGCM":
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        return AESGCM(HKDF(SHA256(), 32, salt=None, info=b"understudy: sign-ins, version 1").derive(self._secret))

    def seal(self, value: object, *place: str) -> bytes:
        """Return the value, sealed for a place."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, msgspec.json.encode(value), _about(place))

    def open(self, sealed: bytes, kind: type[T], *place: str) -> T | None:
        """Return what was sealed for a place; None if it was sealed with another secret or for another place."""
        from cryptography.exceptions import InvalidTag

        try:
            plain = self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _about(place))
            return msgspec.json.decode(plain, type=kind)
        except (InvalidTag, ValueError, msgspec.ValidationError):
            return None


def _about(place: tuple[str, ...]) -> bytes:
    return "".join(f"{len(each)}:{each}" for each in place).encode("utf-8", "surrogatepass")
