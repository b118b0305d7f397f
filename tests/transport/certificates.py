"""Certificates as files."""

from pathlib import Path

import trustme


def files(folder: Path, issued: trustme.LeafCert) -> tuple[Path, Path]:
    """The certificate chain and the key of a certificate, as files."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    return certificate, key
