"""Authenticated encryption of the data that nodes put into Redis: packets and cached answers.

1. Only holders of the server's secret can encrypt and decrypt. The secret also signs tokens, so keys are derived from
   it by HKDF (RFC 5869) with a separate label.
2. Each process has a key of its own, derived from the secret and 128 random bits, and counts its nonces from 0. So no
   nonce occurs twice under one key, which AES-GCM demands (NIST SP 800-38D, 8.2.1), however long nodes run and however
   many there are. Random nonces would allow 2**32 messages under one key, a few weeks of a busy installation.
3. Data is bound to its place (a node's stream, a channel, a cached question): moved elsewhere it is not authentic. A
   replay in the same place is detected by the reader (`understudy.extensions.nodes.bus_receiver`).

Layout: a version byte, the 16 bytes of the process, the 12 bytes of the nonce, then ciphertext and tag of AES-256-GCM.
"""

import contextlib
import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

FORMAT: Final = b"\x01"
PROCESS_BYTES: Final = 16
NONCE_BYTES: Final = 12
HEAD_BYTES: Final = len(FORMAT) + PROCESS_BYTES + NONCE_BYTES
TAG_BYTES: Final = 16
KNOWN: Final = 256
"""Limit of cached keys of other processes; the oldest is dropped. A key is cached only after a successful decryption,
so that forgeries cannot evict keys in use."""


class NotAuthentic(ValueError):
    """The bytes were encrypted under another secret or for another place, or were changed."""

    def __init__(self) -> None:
        super().__init__("not authentic")


class Cipher:
    """Encrypts under the key of this process, and decrypts what any process with the same secret encrypted.

    What was encrypted with one of the secrets `accepted` is decrypted too, so that nodes work together while their
    secret is being replaced.
    """

    def __init__(self, secret: str, accepted: Sequence[str] = ()) -> None:
        self._secrets = tuple(each.encode() for each in (secret, *accepted))
        self._process = os.urandom(PROCESS_BYTES)
        self._own = _derive(self._secrets[0], self._process)
        self._count = 0
        self._known: OrderedDict[bytes, AESGCM] = OrderedDict()

    def encrypt(self, data: bytes, place: str) -> bytes:
        """Return `data` encrypted, for this place."""
        nonce = self._count.to_bytes(NONCE_BYTES, "big")
        self._count += 1
        head = FORMAT + self._process + nonce
        return head + self._own.encrypt(nonce, data, _about(head, place))

    def decrypt(self, data: bytes, place: str) -> bytes:
        """Return the data that was encrypted for this place.

        Raises:
            NotAuthentic: It was encrypted under another secret or for another place, or was changed.
        """
        head, rest = data[:HEAD_BYTES], data[HEAD_BYTES:]
        if len(rest) < TAG_BYTES or not head.startswith(FORMAT):
            raise NotAuthentic
        process, nonce = head[len(FORMAT) : -NONCE_BYTES], head[-NONCE_BYTES:]
        for key in self._keys_of(process):
            with contextlib.suppress(InvalidTag):
                plain = key.decrypt(nonce, rest, _about(head, place))
                self._keep(process, key)
                return plain
        raise NotAuthentic

    def _keep(self, process: bytes, key: AESGCM) -> None:
        if key is not self._own:
            self._known[process] = key
            self._known.move_to_end(process)
            if len(self._known) > KNOWN:
                self._known.popitem(last=False)

    def _keys_of(self, process: bytes) -> Iterator[AESGCM]:
        """Yield the keys that a process can have; only one if it is known."""
        if process == self._process:
            yield self._own
        elif (known := self._known.get(process)) is not None:
            yield known
        else:
            yield from (_derive(secret, process) for secret in self._secrets)


def _derive(secret: bytes, process: bytes) -> AESGCM:
    label = b"understudy: what nodes put into Redis, version 1"
    return AESGCM(HKDF(SHA256(), 32, salt=process, info=label).derive(secret))


def _about(head: bytes, place: str) -> bytes:
    """Return the associated data: a header of fixed length and the place, so that it is unambiguous."""
    return head + place.encode("utf-8", "surrogatepass")
