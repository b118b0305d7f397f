"""Decides which passwords are accepted, after NIST SP 800-63B: long enough, and not easily guessed. Pure.

No mix of character classes is required, because such rules make passwords worse.
"""

import re
import unicodedata
from typing import Final

SHORTEST: Final = 12
LONGEST: Final = 256
"""Limits of a password's length, in characters after normalization."""
DISTINCT: Final = 6
"""Least number of different characters in a password, where a common word or a sequence counts as one character."""
RUN: Final = 4
"""Least length of a sequence: characters in the order of the alphabet, of the digits or of a keyboard row."""
SHORTEST_NAME: Final = 3
"""Length from which a part of the user's name is refused in the password; shorter parts are in too many words."""
SENTENCE: Final = (
    f"Choose another password: {SHORTEST} to {LONGEST} characters, without your name, and none that is easily guessed."
)
_COMMON: Final = (
    "password", "passwort", "passphrase", "kennwort", "letmein", "welcome", "willkommen", "iloveyou", "changeme",
    "trustno", "administrator", "correcthorsebatterystaple", "understudy", "sunshine", "princess", "football", "dragon",
    "monkey", "superman", "batman", "master", "shadow", "starwars", "hello", "secret", "admin", "login", "qwerty",
    "qwertz", "azerty", "qazwsx", "zaqxsw", "server",
)  # fmt: skip
"""The most frequent words in lists of stolen passwords."""
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
    """Return a password in the Unicode form that is hashed, so that it does not depend on how a keyboard composes."""
    return unicodedata.normalize("NFKC", password)


def is_taken(password: str, name: str) -> bool:
    """Return whether a normalized password is accepted for a user of this name."""
    if not SHORTEST <= len(password) <= LONGEST:
        return False
    folded = password.casefold()
    forms = (folded, folded.translate(_LEET))
    return not any(_has_name(form, name.casefold()) or len(set(_simplified(form))) < DISTINCT for form in forms)


def _has_name(password: str, name: str) -> bool:
    parts = {name, *re.split(r"[@._+-]", name)}
    return any(len(part) >= SHORTEST_NAME and part in password for part in parts)


def _simplified(password: str) -> str:
    """Return a password with one character in place of each common word and each sequence."""
    for word in _COMMON:
        password = password.replace(word, "\0")
    simplified, start = "", 0
    while start < len(password):
        end = start + 1
        while end < len(password) and _is_sequence(password[start : end + 1]):
            end += 1
        simplified += password[start] if end - start >= RUN else password[start:end]
        start = end
    return simplified


def _is_sequence(text: str) -> bool:
    return any(text in sequence or text[::-1] in sequence for sequence in _SEQUENCES)
