"""Distinguishes real secrets from stand-ins. Pure arithmetic on short strings."""

import base64
import binascii
import math
import re
from collections import Counter
from typing import Final

from sanitization.late import Late

# The lengths and bits are chosen on generated values: random base62 of 16 characters has 3.6 bits a character on
# average (2.9 at the one-in-a-thousand end); random hex of 32 has 3.6; English words of that length 3.0 and no digit.
RANDOM_LENGTH: Final = 10
RANDOM_BITS: Final = 2.6
TOKEN_DISTINCT: Final = 5  # of a token of TOKEN_LENGTH characters; one less of a shorter one
TOKEN_LENGTH: Final = 16
PASSWORD_LENGTH: Final = 6
STRONG_LENGTH: Final = 8
JUDGED: Final = 128  # characters of a value that are judged
SIGNS: Final = "!@#$%^&*+=?~"  # signs that password rules require and names in code lack

# Words that mark a value as a stand-in. All of them have four letters at least: by chance, a random token
# of 40 has one of those once in 30,000.
_STAND_IN_WORDS: Final = (
    "example xxxx placeholder changeme change_me change-me changethis change_this redacted dummy insert replace"
    " your_ your- yourpass yourtoken yourkey yourapi yoursecret my_api my-api my_secret my-secret mysecret"
    " my_token my-token mytoken my_pass my-pass mypass myapi not-a-real not_a_real notreal fake_ fake- ${ $( {{"
    " <% %( *** ... … ••• ### _here -here goes-here 00000000 1234567890 0123456789 foobar todo_ todo-"
    " [filtered] [hidden] [masked] deadbeef lorem a-za-z a-z0-9 0-9a-z"
)
_STAND_INS: Final = _STAND_IN_WORDS.split()
_NAMED_WORDS: Final = (
    "pass password passwd passphrase passwort secret token pwd user username host admin root test guest"
    " postgres mysql mongo redis rabbitmq rabbit letmein none null true false nil undefined string str text"
    " required optional hidden empty default value apikey key api_key changeit p@ssword p@ssw0rd passw0rd"
    " password1 password123 pass123 secret123 test123 admin123 test1234 user123 tiger"
)
_NAMED: Final = frozenset(_NAMED_WORDS.split())
_WRAPPED: Final = Late(
    r"<[^<>]*>|\[[^\[\]]*\]|\{[^{}]*\}|\$\{?\w+\}?|%\w+%|__\w+__|@\w+@|[*•.xX#?_-]+|&\w+|\*\w+", re.ASCII
)
# Names of formats and methods in place of a password: `the password is sha256-hashed`.
_METHOD: Final = Late(
    r"(?:sha-?\d{1,3}|md[45]|base\d\d|utf-?\d\d?|oauth-?\d|bcrypt|scrypt|argon2(?:id|[id])?|pbkdf2|aes-?\d{1,3}|rsa-?\d{1,4}"
    r"|ed25519|x509|ipv\d|https?|tls|ssl|rfc\d*|pkcs\d*|[hre]s\d\d\d|1password|2fa|mp3|win32|b2b|b2c|i18n|k8s|s3)(?![A-Za-z0-9])",
    re.IGNORECASE,
)
# Words, each with a number at most, joined by dots, dashes and so on.
_NAME: Final = Late(
    r"[~.$@:]{0,3}(?:[A-Za-z]{2,}[0-9]{0,4}|[A-Za-z]|v?[0-9]{1,4})(?:(?:[_.\-/:+ ]|::|->)"
    r"(?:[A-Za-z]{2,}[0-9]{0,4}|[A-Za-z]|v?[0-9]{1,4}))+/?",
    re.ASCII,
)
# Two or more of: a word with a capital (`Key`), capitals with a number (`PKCS12`), small letters (`key`). Written by
# runs of letters, each of which can be read in one way only: tried in every way, sixty letters would take years.
_CAMEL: Final = Late(
    r"(?!(?:[A-Z][a-z]{2,4}|[A-Z]{2,3}[0-9]{0,3}|[a-z]{3,5})\Z)"  # one of them alone
    r"(?:[A-Z](?![A-Z])[a-z]{2,}+|[A-Z]{2}(?![A-Z])[a-z]{3,}+|[A-Z]{3,}+[a-z]{2,}+"
    r"|[A-Z]{2,}+(?![a-z])[0-9]{0,3}+(?![0-9])|(?<![A-Za-z])[a-z]{3,}+)++",
    re.ASCII,
)
_ATTRIBUTE: Final = Late(r"[A-Za-z_$][A-Za-z0-9_$]*(?:(?:\.|->|::|\?\.)[A-Za-z_][A-Za-z0-9_]*)+", re.ASCII)
_CALL: Final = Late(
    r"[A-Za-z_$@][\w.$:>-]*[(\[{]|new\s|await\s|function|lambda|\$[A-Za-z_{(]|!(?:Ref|Sub|vault|secret)"
)
_SNAKE: Final = Late(r"[a-z]+(?:_[a-z0-9]+)+|[A-Z]+(?:_[A-Z0-9]+)*|_[a-z_]+", re.ASCII)
_PATH: Final = Late(r"[a-z]{2,10}://[^:@]*|[~.]{0,2}/[\w./-]+|[A-Za-z]:\\[\w\\.-]+", re.ASCII)
_UUID: Final = Late(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_DATE: Final = Late(r"\d{4}-\d\d-\d\d(?:[T_ ][\d:.+Z-]*)?|\d{1,2}[./:]\d{1,2}[./:]\d{2,4}")
_HASHED: Final = Late(r"(?:sha|md)\d{1,3}[-:$=]|\$(?:2[aby]|5|6|1|argon2\w*|scrypt|pbkdf2[\w-]*)\$", re.IGNORECASE)
_DIGIT: Final = Late(r"\d")
_LETTER: Final = Late(r"[^\W\d_]")
_SMALL: Final = Late(r"[a-zß-ÿа-я]")
_CAPITAL: Final = Late(r"[A-ZÀ-ÞА-Я]")
_SIGN: Final = Late(f"[{re.escape(SIGNS)}]")
_VOWEL: Final = Late("[aeiouAEIOU]")
_CONSONANTS: Final = Late(r"[bcdfghjklmnpqrstvwxz]{5}", re.IGNORECASE)


_SAYS: Final = Late(
    r"pass|pwd|secret|token|(?<!mon|tur|hoc|his)key|cred|auth|login|user|account|^(?:required|optional|incorrect|invalid|wrong|missing"
    r"|expired|unknown|enabled|disabled|changed|unchanged|denied|rejected|accepted|correct|protected|encrypted|hashed"
    r"|stored|unset|hidden|masked|redacted|removed|deleted|revoked|rotated|random|generated|prompt|manual|default"
    r"|inherit|external|internal|plain(?:text)?|cleartext|string|varchar|bytes|binary|bool(?:ean)?|number|integer|object"
    r"|array|email|public|private|bearer|digest|refresh|session|kennwort|wachtwoord|contrasena|senha|heslo|salasana"
    r"|parola)$",
    re.IGNORECASE,
)


def says_something(value: str) -> bool:
    """Return whether a value says something about a secret, or names another one."""
    return _SAYS.search(value) is not None


def bits(value: str) -> float:
    """Return Shannon's entropy of the characters, in bits a character."""
    counts = Counter(value)
    return -sum(n / len(value) * math.log2(n / len(value)) for n in counts.values()) if value else 0.0


def is_stand_in(value: str) -> bool:
    """Return whether the value only illustrates a secret."""
    value = value[:JUDGED]
    if len(set(value)) < min(TOKEN_DISTINCT if len(value) >= TOKEN_LENGTH else TOKEN_DISTINCT - 1, len(value)):
        return True
    lowered = value.lower()
    return (
        any(word in lowered for word in _STAND_INS)
        or lowered.strip("_-<>[]") in _NAMED
        or bool(_WRAPPED.fullmatch(value))
    )


def is_code(value: str, *, quoted: bool = False) -> bool:
    """Return whether the value is an expression, a name, a path or a date."""
    if _PATH.fullmatch(value) or _DATE.fullmatch(value) or _HASHED.match(value):
        return True
    if quoted:
        return False
    return bool(_CALL.match(value) or _ATTRIBUTE.fullmatch(value) or _SNAKE.fullmatch(value))


def is_name(value: str) -> bool:
    """Return whether the value consists of words and small numbers: `user-service-v2`, `PKCS12PrivateKey`."""
    return bool(_NAME.fullmatch(value) or _CAMEL.fullmatch(value)) and not _CONSONANTS.search(value)


def is_uuid(value: str) -> bool:
    """Return whether the value has the form of a UUID."""
    return bool(_UUID.fullmatch(value))


def is_random(value: str, least: int = RANDOM_LENGTH) -> bool:
    """Return whether the value looks machine-made: long, mixed, and not a name in code."""
    value = value[:JUDGED]
    return (
        len(value) >= least
        and bool(_DIGIT.search(value))
        and bool(_LETTER.search(value))
        and bits(value) >= RANDOM_BITS
        and not is_name(value)
    )


def is_gibberish(value: str) -> bool:
    """Return whether its letters are combined as in no word."""
    value = value[:JUDGED]
    return (
        value.isalnum()
        and (bool(_CONSONANTS.search(value)) or 5 * len(_VOWEL.findall(value)) < len(value))
        and bits(value) >= RANDOM_BITS
    )


def is_password(value: str, *, prose: bool, quoted: bool = False) -> bool:
    """Return whether the value of a password field is one. In prose (`the password is …`) a plain word is not."""
    value = value[:JUDGED]
    if len(value) < PASSWORD_LENGTH or is_code(value, quoted=quoted):
        return False
    digit, letter = bool(_DIGIT.search(value)), bool(_LETTER.search(value))
    sign = bool(_SIGN.search(value.rstrip("!?.,") if prose else value))
    if prose and (_METHOD.match(value) or is_name(value) or "'" in value):
        return False
    return (digit and letter) or (sign and letter) or (digit and not prose)


def is_strong(value: str) -> bool:
    """Return whether the value can only be a password, wherever it stands: long, and of three sorts of characters."""
    value = value[:JUDGED]
    if len(value) < STRONG_LENGTH or _METHOD.match(value) or is_name(value) or is_code(value):
        return False
    digit, sign = bool(_DIGIT.search(value)), bool(_SIGN.search(value.rstrip("!?.,")))
    cases = bool(_SMALL.search(value)) + bool(_CAPITAL.search(value))
    return digit and cases + sign >= 2 and (sign or bits(value) >= RANDOM_BITS)


def is_complex(value: str) -> bool:
    """Return whether the value has small and capital letters and signs, with signs inside."""
    return (
        bool(_SMALL.search(value))
        and bool(_CAPITAL.search(value))
        and bool(_SIGN.search(value[1:-1]))
        and " " not in value
    )


def decoded(value: str) -> str:
    """Return the readable text of a base64 value, or an empty text."""
    try:
        # Of a text that was cut off, what can be decoded.
        raw = base64.b64decode(value[: len(value) // 4 * 4].replace("-", "+").replace("_", "/"), validate=True)
        return raw.decode("utf-8") if value else ""
    except (binascii.Error, ValueError):
        return ""


def is_basic(value: str) -> bool:
    """Return whether the value is a credential of HTTP's Basic scheme: base64 of user, colon, password (RFC 7617)."""
    credentials = decoded(value.rstrip("=") + "=" * (-len(value.rstrip("=")) % 4))
    user, colon, password = credentials.partition(":")
    return bool(colon and user + password) and credentials.isprintable() and not is_stand_in(password)
