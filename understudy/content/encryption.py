"""Encryption of users' original texts, for operators who must keep them.

AES-256-GCM with a fresh nonce for each text. The key is derived from the operator's by HKDF (RFC 5869). A text is bound
to its user and message: a ciphertext that is moved to another row cannot be decrypted there.

While the key is being replaced there are several: the first encrypts, and each of them decrypts what it encrypted.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MIN_KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12  # NIST SP 800-38D, 8.2.2: random nonces of 96 bits
FILE_PREFIX: Final = "file:"
"""Begins an entry of the setting `accepted_raw_keys` that names the file of a key."""


class DecryptionFailed(ValueError):
    """A text cannot be decrypted: it was encrypted with another key, or is damaged."""


class TextCipher:
    """Encrypts texts with `key`, and decrypts those of `key` and of `accepted` keys. Raises ValueError if one of them
    is too short.

    `cryptography` is loaded with the first cipher: most servers have none.
    """

    def __init__(self, key: bytes, accepted: Sequence[bytes] = ()) -> None:
        self._own, *self._accepted = (_derive(each) for each in (key, *accepted))

    def encrypt(self, owner: str, message_id: str, text: str) -> bytes:
        """Encrypt the text of a user's message."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._own.encrypt(nonce, text.encode("utf-8", "surrogatepass"), _about(owner, message_id))

    def decrypt(self, owner: str, message_id: str, sealed: bytes) -> str:
        """Decrypt the text of a user's message.

        Raises:
            DecryptionFailed: It was encrypted with another key or for another message, or is damaged.
        """
        about = _about(owner, message_id)
        for each in (self._own, *self._accepted):
            if (plain := _decrypt(each, about, sealed)) is not None:
                return plain.decode("utf-8", "surrogatepass")
        raise DecryptionFailed("a raw text cannot be opened with this key")

    def reseal(self, owner: str, message_id: str, sealed: bytes) -> bytes | None:
        """Encrypt the text of a user's message again if an accepted key encrypted it. Return None if `key` did.

        Raises:
            DecryptionFailed: As `decrypt` raises it.
        """
        if _decrypt(self._own, _about(owner, message_id), sealed) is not None:
            return None
        return self.encrypt(owner, message_id, self.decrypt(owner, message_id, sealed))


def load_cipher(key: str, key_file: Path | None, accepted: Sequence[str] = ()) -> TextCipher:
    """Build the cipher from the settings `raw_key`, `raw_key_file` and `accepted_raw_keys`.

    Raises:
        ValueError, OSError: A key is too short, or its file cannot be read.
    """
    if not key and key_file is None:
        raise ValueError("there is no key for raw texts")
    own = key.encode() if key_file is None else _read_key(key_file, "raw_key_file")
    others = [
        _read_key(Path(each.removeprefix(FILE_PREFIX)), "the file of accepted_raw_keys")
        if each.startswith(FILE_PREFIX)
        else each.encode()
        for each in accepted
    ]
    return TextCipher(own, others)


def _read_key(file: Path, name: str) -> bytes:
    try:
        return file.read_bytes().strip()
    except OSError as error:
        raise OSError(f"{name} {file} cannot be read: {error.strerror}") from error


def _derive(key: bytes) -> "AESGCM":
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    if len(key) < MIN_KEY_BYTES:
        raise ValueError(f"the key for raw texts is too short: it needs {MIN_KEY_BYTES} bytes or more")
    return AESGCM(HKDF(SHA256(), 32, salt=None, info=b"understudy: raw texts, version 1").derive(key))


def _decrypt(cipher: "AESGCM", about: bytes, sealed: bytes) -> bytes | None:
    """Return the plain bytes, or None if another key encrypted them, for another message, or they are damaged."""
    from cryptography.exceptions import InvalidTag

    try:
        return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], about)
    except (InvalidTag, ValueError):
        return None


def _about(owner: str, message_id: str) -> bytes:
    return f"{len(owner)}:{owner}{message_id}".encode("utf-8", "surrogatepass")
