"""Which passwords are taken, after NIST SP 800-63B: long enough, and none that is guessed first. Pure.

No mix of kinds of characters is asked for, as that makes passwords worse.
"""

import re
import unicodedata
from typing import Final

SHORTEST: Final = 12
LONGEST: Final = 256
"""Characters of a password, after normalization."""
DISTINCT: Final = 6
"""Different characters that are left of a password without common words and sequences, each of which counts as one."""
RUN: Final = 4
"""Characters in the order of the alphabet, of digits or of a keyboard that are a sequence."""
SHORTEST_NAME: Final = 3
"""Characters below which a user's name may be part of the password: too many words have it in them."""
SENTENCE: Final = (
    f"Choose another password: {SHORTEST} to {LONGEST} characters, without your name, and none that is easily guessed."
)
_COMMON: Final = (
    "password", "passwort", "passphrase", "kennwort", "letmein", "welcome", "willkommen", "iloveyou", "changeme",
    "trustno", "administrator", "correcthorsebatterystaple", "understudy", "sunshine", "princess", "football", "dragon",
    "monkey", "superman", "batman", "master", "shadow", "starwars", "hello", "secret", "admin", "login", "qwerty",
    "qwertz", "azerty", "qazwsx", "zaqxsw", "server",
)  # fmt: skip
"""Words of the passwords that lists of stolen ones have most often."""
_SEQUENCES: Final = (
    "01234567890123",
    "abcdefghijklmnopqrstuvwxyzabc",
    "qwertyuiop",
    "qwertzuiop",
    "asdfghjkl",
    "zxcvbnm",
)
_LEET: Final = str.maketrans("013457@$!|", "oieastasil")


def normalized(password: str) -> str:
    """Return a password in the form that is hashed, which does not depend on how a keyboard composes characters."""
    return unicodedata.normalize("NFKC", password)


def is_taken(password: str, name: str) -> bool:
    """Whether a password, in its normalized form, is good enough for a user of this name."""
    if not SHORTEST <= len(password) <= LONGEST:
        return False
    folded = password.casefold()
    forms = (folded, folded.translate(_LEET))
    return not any(_has_name(form, name.casefold()) or len(set(_rest(form))) < DISTINCT for form in forms)


def _has_name(password: str, name: str) -> bool:
    parts = {name, *re.split(r"[@._+-]", name)}
    return any(len(part) >= SHORTEST_NAME and part in password for part in parts)


def _rest(password: str) -> str:
    """Return a password with one character in place of each common word and each sequence."""
    for word in _COMMON:
        password = password.replace(word, "\0")
    kept, at = "", 0
    while at < len(password):
        end = at + 1
        while end < len(password) and _is_sequence(password[at : end + 1]):
            end += 1
        kept += password[at] if end - at >= RUN else password[at:end]
        at = end
    return kept


def _is_sequence(text: str) -> bool:
    return any(text in sequence or text[::-1] in sequence for sequence in _SEQUENCES)
