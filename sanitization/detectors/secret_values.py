"""Is a value a real secret or a stand-in? Pure arithmetic on short strings."""

import math
import re
from collections import Counter
from typing import Final

# The lengths and bits are chosen on generated values: random base62 of 16 characters has 3.6 bits a character on
# average (2.9 at the one-in-a-thousand end); random hex of 32 has 3.6; English words of that length 3.0 and no digit.
RANDOM_LENGTH: Final = 16
RANDOM_BITS: Final = 2.8
TOKEN_DISTINCT: Final = 5
PASSWORD_LENGTH: Final = 6
SIGNS: Final = "!@#$%^&*+=?~"  # what password rules ask for, and names in code do not have

_STAND_IN: Final = re.compile(
    r"example|xxxx|placeholder|change[-_]?me|redacted|dummy|sample|insert|replace|your[-_]|\byour|my[-_]?(?:api|secret|token|pass)"
    r"|<|>|\$\{|\$\(|\{\{|%\(|\*\*\*|\.\.\.|…|#{3}|_here\b|0{8}|1234567890|abcdefgh",
    re.IGNORECASE,
)
_NAMED: Final = frozenset({"pass", "password", "passwd", "secret", "token", "pwd", "user", "username", "host"})
_CODE: Final = re.compile(
    r"(?:[A-Za-z_]\w*\.)+[A-Za-z_]\w*|\$\w+|%\w+%|process\.env.*|os\.\w+.*|https?://.*|[~.]{0,2}/[\w./-]+|[A-Z_]+"
)


def bits(value: str) -> float:
    """Shannon's entropy of the characters, in bits a character."""
    counts = Counter(value)
    return -sum(n / len(value) * math.log2(n / len(value)) for n in counts.values()) if value else 0.0


def is_placeholder(value: str) -> bool:
    """Whether the value only shows what a secret would look like."""
    return (
        bool(_STAND_IN.search(value))
        or value.strip("_-<>[]").lower() in _NAMED
        or len(set(value)) < min(TOKEN_DISTINCT, len(value))
    )


def is_random(value: str) -> bool:
    """Whether the value looks made by a machine: long, mixed, and not a name in code."""
    return (
        len(value) >= RANDOM_LENGTH
        and any(letter.isdigit() or letter in SIGNS for letter in value)
        and any(letter.isalpha() for letter in value)
        and bits(value) >= RANDOM_BITS
        and not _CODE.fullmatch(value)
    )


def is_password(value: str, *, prose: bool) -> bool:
    """Whether the value of a password field is one. In prose (`the password is …`) a plain word is only a word."""
    if len(value) < PASSWORD_LENGTH or _CODE.fullmatch(value):
        return False
    digit, letter = any(map(str.isdigit, value)), any(map(str.isalpha, value))
    sign = any(mark in SIGNS for mark in (value.rstrip("!?.,") if prose else value))
    return (digit and letter) or (sign and letter) or (digit and not prose)
