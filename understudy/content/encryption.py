"""Encryption of users' original texts, for operators who must keep them.

AES-256-GCM with a fresh nonce for each text. The key is derived from the operator's by HKDF (RFC 5869). A text is bound
to its user and message: a ciphertext that is moved to another row cannot be decrypted there.
"""

import os
from pathlib import Path
from typing import Final

MIN_KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12  # NIST SP 800-38D, 8.2.2: random nonces of 96 bits


class DecryptionFailed(ValueError):
    """A text cannot be decrypted: it was encrypted with another key, or is damaged."""


class TextCipher:
    """Encrypts and decrypts texts. Raises ValueError if the key is too short.

    `cryptography` is loaded with the first cipher: most servers have none.
    """

    def __init__(self, key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        if len(key) < MIN_KEY_BYTES:
            raise ValueError(f"the key for raw texts is too short: it needs {MIN_KEY_BYTES} bytes or more")
        derived = HKDF(SHA256(), 32, salt=None, info=b"understudy: raw texts, version 1").derive(key)
        self._cipher = AESGCM(derived)

    def encrypt(self, owner: str, message_id: str, text: str) -> bytes:
        """Encrypt the text of a user's message."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, text.encode("utf-8", "surrogatepass"), _about(owner, message_id))

    def decrypt(self, owner: str, message_id: str, sealed: bytes) -> str:
        """Decrypt the text of a user's message.

        Raises:
            DecryptionFailed: It was encrypted with another key or for another message, or is damaged.
        """
        from cryptography.exceptions import InvalidTag

        try:
            nonce, rest = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
            plain = self._cipher.decrypt(nonce, rest, _about(owner, message_id))
        except (InvalidTag, ValueError) as error:
            raise DecryptionFailed("a raw text cannot be opened with this key") from error
        return plain.decode("utf-8", "surrogatepass")


def load_cipher(key: str, key_file: Path | None) -> TextCipher:
    """Build the cipher from the settings `raw_key` and `raw_key_file`.

    Raises:
        ValueError, OSError: The key is too short, or its file cannot be read.
    """
    if key:
        return TextCipher(key.encode())
    if key_file is None:
        raise ValueError("there is no key for raw texts")
    try:
        return TextCipher(key_file.read_bytes().strip())
    except OSError as error:
        raise OSError(f"raw_key_file {key_file} cannot be read: {error.strerror}") from error


def _about(owner: str, message_id: str) -> bytes:
    return f"{len(owner)}:{owner}{message_id}".encode("utf-8", "surrogatepass")
