"""Finds addresses of cryptocurrency wallets: Base58Check, Bech32, and Ethereum's by form."""

import re
from typing import Final

from sanitization.findings import Hit
from sanitization.prefilter import Prefilter

from .context import Said
from .numbers import base58_check, bech32
from .part import hit

# Bitcoin (1, 3), Litecoin (L, M), Dogecoin (D), Tron (T), Dash (X), and the test networks (m, n, 2).
_BASE58: Final = r"[123DLMTXmn][1-9A-HJ-NP-Za-km-z]{25,34}"
_BECH32: Final = r"(?:bc1|tb1|ltc1|BC1|TB1|LTC1)[0-9A-Za-z]{25,71}"
_ETHEREUM: Final = r"0x[0-9A-Fa-f]{40}"
_WALLET: Final = re.compile(
    r"[0123DLMTXmnbtlBTL](?<![A-Za-z0-9_].)(?:(?<=0)x[0-9A-Fa-f]{40}|(?<!0)[0-9A-Za-z]{25,74})(?![A-Za-z0-9_])"
)


class Wallets:
    """Addresses of wallets."""

    prefilters = (
        (
            "wallet",
            Prefilter(
                pattern=r"(?:^|[^A-Za-z0-9])(?:[123DLMTXmn][1-9A-HJ-NP-Za-km-z]{25}"
                r"|(?:bc1|tb1|ltc1|BC1|TB1|LTC1)[0-9A-Za-z]{25}|0x[0-9A-Fa-f]{40})",
            ),
        ),
    )

    def first(self, text: str, position: int, _said: Said | None = None) -> Hit | None:
        """Return the first wallet at `position` or later."""
        for match in _WALLET.finditer(text, position):
            score = _score(match[0])
            if score:
                return hit(match.start(), match.end(), "crypto_wallet", score)
        return None

    def pending(self, text: str, start: int) -> int:
        """Return the end of the text: no wallet contains a blank."""
        return len(text)


def _score(address: str) -> float:
    if address.startswith("0x"):
        return 0.7
    if address[:3].lower() in {"bc1", "tb1", "ltc"}:
        return 0.99 if bech32(address) else 0.0
    return 0.99 if len(address) < 36 and base58_check(address) else 0.0
