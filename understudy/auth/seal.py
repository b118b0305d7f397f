"""Encrypts tokens and data of sign-ins before they are stored.

1. Texts are encrypted by AES-256-GCM with fresh nonces; the key is derived from the server's secret by HKDF (RFC 5869).
2. A text is bound to its place, so it cannot be opened after it was moved to another user, server or table.
3. While the secret is being replaced there are several: the first one seals, and each can open.
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

    `cryptography` is loaded on first use, because most servers seal nothing.
    """

    def __init__(self, secret: bytes, *accepted: bytes) -> None:
        self._secrets = secret, *accepted

    def __repr__(self) -> str:
        return "Seal(secret=…)"

    @cached_property
    def _ciphers(self) -> "tuple[AESGCM, ...]":
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        label = b"understudy: sign-ins, version 1"
        return tuple(AESGCM(HKDF(SHA256(), 32, salt=None, info=label).derive(secret)) for secret in self._secrets)

    def seal(self, value: object, *place: str) -> bytes:
        """Return the value, sealed for a place."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._ciphers[0].encrypt(nonce, msgspec.json.encode(value), _about(place))

    def open(self, sealed: bytes, kind: type[T], *place: str) -> T | None:
        """Return a value that was sealed for this place; None if the place or the secret is another one."""
        from cryptography.exceptions import InvalidTag

        for cipher in self._ciphers:
            try:
                plain = cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _about(place))
            except (InvalidTag, ValueError):  # ValueError: the text is too short for a nonce
                continue
            try:
                return msgspec.json.decode(plain, type=kind)
            except (ValueError, msgspec.ValidationError):
                return None
        return None


def _about(place: tuple[str, ...]) -> bytes:
    return "".join(f"{len(part)}:{part}" for part in place).encode("utf-8", "surrogatepass")
