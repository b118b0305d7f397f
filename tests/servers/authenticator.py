"""A software authenticator: makes passkeys with real keys, and signs challenges with them as WebAuthn says."""

import hashlib
import json
import secrets
import struct
from typing import Any

import cbor2
from attrs import define, field
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from transport.auth import base64url

PRESENT, VERIFIED, HAS_KEY = 0x01, 0x04, 0x40


@define
class Authenticator:
    """One passkey at a time, for pages at `origin`. `step` is by how much the counter grows with each use; `flags` are
    those of what it signs."""

    origin: str
    framed: bool = False  # by a page of another origin
    step: int = 1
    flags: int = PRESENT | VERIFIED
    count: int = 0
    id: bytes = field(factory=lambda: secrets.token_bytes(32))
    key: ec.EllipticCurvePrivateKey = field(factory=lambda: ec.generate_private_key(ec.SECP256R1()), repr=False)
    handle: str = ""

    def create(self, options: dict[str, Any]) -> dict[str, Any]:
        """Answer the options of `navigator.credentials.create`."""
        self.handle = options["user"]["id"]
        numbers = self.key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32), -3: numbers.y.to_bytes(32)}
        attested = bytes(16) + struct.pack(">H", len(self.id)) + self.id + cbor2.dumps(cose)
        data = self._data(options["rp"]["id"], self.flags | HAS_KEY) + attested
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        client_data = self._said("webauthn.create", options["challenge"])
        return self._credential({"clientDataJSON": client_data, "attestationObject": attestation})

    def get(self, options: dict[str, Any]) -> dict[str, Any]:
        """Answer the options of `navigator.credentials.get`."""
        self.count += self.step
        data, client_data = self._data(options["rpId"], self.flags), self._said("webauthn.get", options["challenge"])
        signature = self.key.sign(data + hashlib.sha256(client_data).digest(), ec.ECDSA(SHA256()))
        answer = self._credential({"clientDataJSON": client_data, "authenticatorData": data, "signature": signature})
        answer["response"]["userHandle"] = self.handle
        return answer

    def _data(self, site: str, flags: int) -> bytes:
        return hashlib.sha256(site.encode()).digest() + struct.pack(">BI", flags, self.count)

    def _said(self, kind: str, challenge: str) -> bytes:
        client_data = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": self.framed}
        return json.dumps(client_data).encode()

    def _credential(self, response: dict[str, bytes]) -> dict[str, Any]:
        name = base64url.encode(self.id)
        encoded: dict[str, Any] = {key: base64url.encode(value) for key, value in response.items()}
        return {"id": name, "rawId": name, "type": "public-key", "response": encoded, "clientExtensionResults": {}}
