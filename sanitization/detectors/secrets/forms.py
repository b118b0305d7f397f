"""The forms of assignments of a value to a name: in code, in files, in mark-up and in prose.

Each form has two expressions: the whole, and every beginning of it that more text may complete.
"""
# ruff: noqa: RUF001 - signs as people write them

import re
from typing import Final

from sanitization.late import Late

from .values import SIGNS

VALUE_MAX: Final = 4_000  # characters of a value; a longer value is a file
READ_MAX: Final = 1_000  # characters of a value without quotes that are read to judge it
SPACED_MAX: Final = 160  # characters of a value with blanks in it

PASSWORDS: Final = (
    r"pass(?:w(?:or[dt]|d)|phrase|code|ord)",
    r"(?:(?<![a-z])|(?<=db)|(?<=my)|(?<=ftp)|(?<=smtp)|(?<=user)|(?<=root)|(?<=mail)|(?<=admin)|(?<=sql)|(?<=redis)"
    r"|(?<=pg)|(?-i:(?<=[a-z])(?=P)))pass(?-i:(?![a-z]))",
    r"(?:(?<=de )|(?<=palavra-))passe(?![a-z])",
    r"pwd",
    r"(?<![a-z])(?:psw|pswd|mdp|pw|clave|sandi)(?![a-z])",
    r"kennwort|wachtwoord|contrasena|senha|heslo|salasana|parola|adgangskode|jelszo|losenord|haslo|sifre|lozinka",
)
SECRETS: Final = (
    "secret",
    "token",
    "key(?-i:(?![a-rt-z]))",
    "cred(?:ential)?s?(?-i:(?![a-z]))",
    "auth(?:orization)?(?-i:(?![a-z]))",
    "(?<![a-z])bearer(?![a-z])",
    "signature",
    "(?<=[?&])sig(?==)",
)
_WORD: Final = f"(?ai:(?P<password>{'|'.join(PASSWORDS)})|(?P<secret>{'|'.join(SECRETS)}))"
_REST: Final = r"(?P<tail>[A-Za-z0-9_.\-]{0,40}+)(?:\\{0,3}[\"'`”»’\])*_]){0,4}+(?:[ \t]?\([^()\n\"'`]{1,32}\))?+"
NAME: Final = Late(_WORD + _REST)
"""A word and the rest of the name with what closes it: `password_old"]`, `token (staging)`."""
REST: Final = Late(_REST)

_GAP: Final = r"[ \t]{0,8}"
# The last ones require a blank after them; in `name: type = value` the type is part of the sign.
_SIGN: Final = (
    r"(?::\*\*|={1,3}|!={1,2}|:=|=>|->|~>|\?=|\?\?|\|\||:[ ]?[A-Za-z_][A-Za-z0-9_.]{0,24} = ?|:|：|＝|[是为は는은]"
    r"|[|–—-](?=[ \t]))"
)
_SCHEMES: Final = "(?ai:bearer|basic|token|api-?key|ssws|digest|splunk|genie-?key)"
_SCHEME: Final = rf"(?P<scheme>{_SCHEMES}[ \t]{{1,4}})?"
_BARE: Final = r"[^\s\"'`“”„«»]"


def _inside(close: str) -> str:
    return rf"[^{close}\s]{{1,{READ_MAX}}}|[^{close}\n]{{1,{SPACED_MAX}}}"


def _begun(close: str) -> str:
    return rf"(?:[^{close}\s]{{0,{READ_MAX}}}|[^{close}\n]{{0,{SPACED_MAX}}})"


_VALUE: Final = (
    rf"{_SCHEME}(?:[bruBRU]{{0,2}}(?:\"(?P<doubled>\"[^\"\n]{{4,{SPACED_MAX}}}\")\""
    rf"|\\{{0,3}}\"(?P<double>{_inside(chr(34))})\"|\\{{0,3}}'(?P<single>{_inside(chr(39))})'"
    rf"|`(?P<tick>{_inside('`')})`|[“„](?P<curly>[^“”\n]{{1,{SPACED_MAX}}})[“”]"
    rf"|«[ ]?(?P<angle>[^«»\n]{{1,{SPACED_MAX}}})»)"
    rf"|[\"'`“„«]?(?P<bare>{_BARE}{{4,{READ_MAX}}}))"
)
_VALUE_BEGUN: Final = (
    rf"(?:{_SCHEMES}[ \t]{{0,4}})?(?:[bruBRU]{{0,2}}\\{{0,3}}(?:\"\"?{_begun(chr(34))}\"{{0,2}}|'{_begun(chr(39))}'?"
    rf"|`{_begun('`')}`?|[“„][^“”\n]{{0,{SPACED_MAX}}}[“”]?|«[^«»\n]{{0,{SPACED_MAX}}}»?)?"
    rf"|{_BARE}{{0,{VALUE_MAX}}})\Z"
)

MORE: Final = Late(rf"{_BARE}{{0,{VALUE_MAX}}}")
"""The rest of a value beyond the part that was read."""

EQUALS: Final = Late(rf"{_GAP}(?P<sign>{_SIGN}){_GAP}{_VALUE}")
NESTED: Final = Late(
    rf"{_GAP}{_SIGN}{_GAP}[\"'`]?[^\s=:：\"'`]{{0,24}}?(?:(?ai:pass|pwd|key|secret|token|auth|cred|bearer)|密码|密碼|パスワード|пароль)"
    r"[\w.-]{0,16}(?:[=:：]|(?<=密码)是|(?<=密碼)是|(?<=パスワード)は)"
)
"""The value is another assignment, which is judged by itself."""
EQUALS_BEGUN: Final = Late(
    rf"{_GAP}(?:[=!:?|~>\-*：＝–—是为は는은]{{0,3}}{_GAP}\Z|:[ ]?[A-Za-z_][A-Za-z0-9_.]{{0,24}} ?=? ?\Z"
    rf"|{_SIGN}{_GAP}{_VALUE_BEGUN})"
)

LINE: Final = Late(rf"{_GAP}:\*{{0,2}}[ \t]{{0,2}}\r?\n[ \t]{{0,8}}{_VALUE}")
"""The value stands on the next line."""
LINE_BEGUN: Final = Late(rf"{_GAP}:\*{{0,2}}[ \t]{{0,2}}(?:\r?\Z|\r?\n[ \t]{{0,8}}{_VALUE_BEGUN})")

_QUOTE_NEXT: Final = r"(?=\\{0,3}[\"'])"
PAIR: Final = Late(
    rf"(?:[ \t]{{0,2}}>|,?\s{{0,24}}\\{{0,3}}[\"']?[vV]alue\\{{0,3}}[\"']?\s{{0,2}}[=:]\s{{0,2}}"
    rf"|,[ \t]{{0,2}}{_QUOTE_NEXT}|\([ \t]{{0,2}}{_QUOTE_NEXT}){_VALUE}"
)
"""`<password>…`, `name="password" value="…"`, `{"name": "password", "value": "…"}`, `password("…")`."""
PAIR_BEGUN: Final = Late(
    rf"(?:(?:[ \t]{{0,2}}>|[,(][ \t]{{0,2}}){_VALUE_BEGUN}"
    r"|,?\s{0,24}\\{0,3}[\"']?(?:[vV]|[vV]a|[vV]al|[vV]alu|[vV]alue\\{0,3}[\"']?\s{0,2})?\Z"
    rf"|,?\s{{0,24}}\\{{0,3}}[\"']?[vV]alue\\{{0,3}}[\"']?\s{{0,2}}[=:]\s{{0,2}}{_VALUE_BEGUN}"
    r"|[ \t]?\([^()\n\"'`]{0,32}\Z)"
)

_BE_WORDS: Final = (
    "is was are ist war lautet est était es era é è ê será sarà är er jest to as là adalah это 是 为 は 는 은"
)
BE: Final = frozenset(_BE_WORDS.split())
_DONE_WORDS: Final = "changed set reset updated rotated has been got were"
DONE: Final = frozenset(_DONE_WORDS.split())
_WHOSE_WORDS: Final = "for to of on at für pour para de del per voor"
WHOSE: Final = frozenset(_WHOSE_WORDS.split())
_NOW_WORDS: Final = "now still currently jetzt nun maintenant ahora agora ora nu just"
NOW: Final = frozenset(_NOW_WORDS.split())
"""The words of a sentence that says what a password is: `the password for the server has been changed to …`."""
STEP: Final = Late(r"[ \t]{1,4},?([^\s:=,]{1,24})")
STEPS: Final = 8
SAID: Final = Late(rf"[ \t]{{0,2}}:?[ \t]{{1,4}}{_VALUE}")
SAID_BEGUN: Final = Late(rf"[ \t]{{0,2}}:?(?:[ \t]{{0,4}}\Z|[ \t]{{1,4}}{_VALUE_BEGUN})")

BLANK: Final = Late(rf"[ \t]{{1,4}}{_VALUE}")
"""`--password …`, `user bob and password …`."""
BLANK_BEGUN: Final = Late(rf"[ \t]{{1,4}}{_VALUE_BEGUN}")
WORTH: Final = Late(
    rf"[ \t]{{0,8}}(?::\*{{0,2}})?[ \t]{{0,8}}(?:\r?\n[ \t]{{0,8}})?(?=\S{{6}})"
    rf"(?:{_SCHEMES}[ \t]|[^\s\d{re.escape(SIGNS)}]{{0,{READ_MAX}}}+[\d{re.escape(SIGNS)}])"
)
"""A value in a sentence contains more than letters; every value has six characters or more."""
GROUPS: Final = ("doubled", "double", "single", "tick", "curly", "angle", "bare")
