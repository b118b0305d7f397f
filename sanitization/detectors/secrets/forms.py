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
    "secret(?!ar(?:y|ies|ial)|ion|ive|ly)",
    "token(?!i[sz])",
    "key(?-i:(?![a-rt-z]))",
    "cred(?:ential)?s?(?-i:(?![a-z]))",
    "auth(?:orization)?(?-i:(?![a-z]))",
    "(?<![a-z])bearer(?![a-z])",
    "signature",
    "(?:(?<=[?&])|(?<=&amp;))sig(?==)",
)
_WORD: Final = f"(?ai:(?P<password>{'|'.join(PASSWORDS)})|(?P<secret>{'|'.join(SECRETS)}))"
_ACCESS: Final = r"(?:[ \t]?\{(?:[ ]?(?:private |protected |internal )?(?:get|set|init);?){1,3} ?\})?+"
ENTITY: Final = "&(?:quot|apos|#0?3[49]|#[xX]2[27]);"
"""A quote in mark-up, which ends a value as the quote would."""
_REST: Final = (
    r"(?P<tail>[A-Za-z0-9_.\-]{0,40}+)(?:\[\d{0,5}\])?+"
    rf"(?:\\{{0,3}}[\"'`”»’\])*_]|{ENTITY}){{0,4}}+(?:[ \t]?\([^()\n\"'`]{{1,32}}\))?+" + _ACCESS
)
NAME: Final = Late(_WORD + _REST)
"""A word and the rest of the name with what closes it: `password_old"]`, `token (staging)`."""
REST: Final = Late(_REST)

_GAP: Final = r"[ \t]{0,8}"
_TYPE: Final = r"[A-Za-z_&*\[][A-Za-z0-9_.:<>\[\]|?&*', ]{0,48}"
# The last ones require a blank after them; in `name: type = value` the type is part of the sign.
_SIGN: Final = (
    rf"(?::\*\*|={{1,3}}|!={{1,2}}|:=|=>|->|~>|\?=|\?\?|\|\||:[ ]?{_TYPE}?(?: = ?|=(?=[\"'])) ?|:|：|＝|[是为は는은]"
    r"|[|–—-](?=[ \t]))"
)
_SCHEMES: Final = "(?ai:bearer|basic|token|api-?key|ssws|digest|splunk|genie-?key)"
_SCHEME: Final = rf"(?P<scheme>{_SCHEMES}[ \t]{{1,4}})?"
_BARE: Final = r"[^\s\"'`“”„«»]"


def _inside(close: str, escaped: str = "") -> str:
    """Return what stands between quotes; a closing one that is `escaped` is part of it."""
    first, other = (f"(?:{escaped}|[^{close}{left}])" if escaped else f"[^{close}{left}]" for left in ("\\s", "\\n"))
    return rf"{first}{{1,{READ_MAX}}}|{other}{{1,{SPACED_MAX}}}"


def _begun(close: str, escaped: str = "") -> str:
    """Return what may stand behind an opening quote, up to the end of the text."""
    first, other = (f"(?:{escaped}|[^{close}{left}])" if escaped else f"[^{close}{left}]" for left in ("\\s", "\\n"))
    return rf"(?:{first}{{0,{READ_MAX}}}|{other}{{0,{SPACED_MAX}}})"


_IN_DOUBLE: Final = r"\\[^\s\\]|\\\\"
_IN_SINGLE: Final = r"'\\''|''(?=[^\s,;:)\]}'])|\\[^\s\\]|\\\\"
_IN_NESTED: Final = r"\\{3}\""
"""Quotes that do not end what they stand in: after a backslash, closed and opened again in a shell, doubled in SQL and
YAML; in a text that is itself in quotes."""
_WRAP: Final = (
    r"(?:&(?![a-z]{1,8};|#)(?:mut )?|(?:new )?(?:Some|Just|Optional(?:\.(?:of|some))?|Ok|Right|Box::new|Arc::new"
    r"|Cow::Borrowed"
    r"|(?:std::)?[Ss]tring(?:::from|\.init|Value)?|(?:[A-Z][a-z]{0,9}){0,2}Secret(?:Str|String|Value)?(?:::(?:new|from))?"
    r"|SecureString|Field|str|bytes)[(\[{] ?(?:default=)?|Just |\([ ]?(?=\\{0,3}[\"'])"
    r"|\{ ?\\{0,3}\"?(?:String|[Vv]alue)\\{0,3}\"?: ?)?"
)
"""What languages write around a text: `Some("…")`, `String::from("…")`, `{"String":"…"}`."""
_WRAP_BEGUN: Final = r"(?:&(?:mut? ?)?|\( ?|new [A-Za-z:.]{0,24}|Just ?|\{ ?\\{0,3}\"?[A-Za-z]{0,6}\\{0,3}\"?:? ?)\Z"

_PREFIX: Final = r"[bBrRuUfENL@$]{0,2}#{0,3}"
"""What languages write before the quote of a text: `b"`, `@"`, `$'`, `E'`, `r#"`."""

_VALUE: Final = (
    rf"{_SCHEME}(?:{_PREFIX}(?:\"(?P<doubled>\"[^\"\n]{{4,{SPACED_MAX}}}\")\""
    rf"|\"{{3}}\s{{0,8}}(?P<triple>[^\"\s]{{4,{READ_MAX}}})"
    rf"|\"(?P<double>{_inside(chr(34) + chr(92) * 2, _IN_DOUBLE)})\""
    rf"|\\{{1,3}}\"(?P<nested>{_inside(chr(34), _IN_NESTED)})\""
    rf"|\\{{0,3}}'(?P<single>{_inside(chr(39) + chr(92) * 2, _IN_SINGLE)})'"
    rf"|(?P<mark>{ENTITY})(?P<entity>(?:(?!(?P=mark))[^\s\"'<]){{4,{READ_MAX}}})(?P=mark)"
    rf"|`(?P<tick>{_inside('`')})`|[“„](?P<curly>[^“”\n]{{1,{SPACED_MAX}}})[“”]"
    rf"|«[ ]?(?P<angle>[^«»\n]{{1,{SPACED_MAX}}})»)"
    rf"|[\"'`“„«]?(?!{ENTITY})(?P<bare>{_BARE}{{4,{READ_MAX}}}))"
)
_VALUE_BEGUN: Final = (
    rf"(?:{_SCHEMES}[ \t]{{0,4}})?(?:{_PREFIX}(?:\"\"?{_begun(chr(34) + chr(92) * 2, _IN_DOUBLE)}\\?\"{{0,2}}"
    rf"|\"{{3}}\s{{0,8}}[^\"\s]{{0,{READ_MAX}}}|\\{{1,3}}\"\"?{_begun(chr(34), _IN_NESTED)}\"{{0,2}}"
    rf"|\\{{0,3}}'{_begun(chr(39) + chr(92) * 2, _IN_SINGLE)}\\?(?:'\\?'?)?|\\{{1,3}}"
    rf"|`{_begun('`')}`?|[“„][^“”\n]{{0,{SPACED_MAX}}}[“”]?|«[^«»\n]{{0,{SPACED_MAX}}}»?)?"
    rf"|{_BARE}{{0,{VALUE_MAX}}})\Z"
)

MORE: Final = Late(rf"{_BARE}{{0,{VALUE_MAX}}}")
"""The rest of a value beyond the part that was read."""

EQUALS: Final = Late(rf"{_GAP}(?P<sign>{_SIGN}){_GAP}{_WRAP}{_VALUE}")
EQUALS_BEGUN: Final = Late(
    rf"{_GAP}(?:[=!:?|~>\-*：＝–—是为は는은]{{0,3}}{_GAP}\Z|:[ ]?{_TYPE} ?=? ?\Z"
    rf"|{_SIGN}{_GAP}(?:{_WRAP_BEGUN}|{_WRAP}{_VALUE_BEGUN}))"
)

TYPED: Final = Late(rf"[ \t]{{1,4}}(?:\*?string|\[\](?:byte|rune))[ \t]{{1,4}}={_GAP}{_WRAP}{_VALUE}")
"""The type stands behind the name: `var password string = "…"`."""
TYPED_BEGUN: Final = Late(
    rf"[ \t]{{1,4}}(?:[*\[\]a-z]{{0,8}}\Z|(?:\*?string|\[\](?:byte|rune))[ \t]{{1,4}}"
    rf"(?:=?{_GAP}\Z|={_GAP}{_WRAP}{_VALUE_BEGUN}))"
)

_COMMENT: Final = r"[ \t]{0,2}(?:(?:#|//)[^\n]{0,80})?"
_HERE: Final = r"<<[<~-]?[ \t]?\\?[\"']?\w{1,20}[\"']?;?"
_OPENING: Final = (
    r"(?::[ \t]{0,2}(?:[!&][\w!]{1,20}[ \t]{1,2})?[|>][+-]?\d?[+-]?"
    rf"|(?::?=|=>)[ \t]?(?:\$\(cat[ \t]{{1,2}})?{_HERE}"
    rf"|(?::?=|=>|:)[ \t]{{0,2}}(?:@?[\"']{{1,3}}\\?|[`\\]|\(?(?={_COMMENT}\r?\n[ \t]{{0,16}}[bru]?[\"'])))"
)
_BLOCK: Final = (
    rf"(?:{_OPENING}|(?-i:<<[~-]?\\?[\"']?[A-Z_]{{2,20}}[\"']?)){_COMMENT}(?:[ \t]{{0,16}}\r?\n){{1,3}}[ \t]{{0,16}}"
)
BLOCK: Final = Late(rf"{_GAP}{_BLOCK}{_VALUE}")
"""The value is a line below: a block scalar of YAML, a here-document, a text in three quotes or brackets, what follows
an assignment that is broken.
"""
NESTED: Final = Late(
    rf"{_GAP}(?:{_SIGN}{_GAP}|{_BLOCK})[\"'`]?[^\s=:：\"'`]{{0,24}}?(?:(?ai:pass|pwd|key|secret|token|auth|cred|bearer)|密码|密碼|パスワード|пароль)"
    r"[\w.-]{0,16}(?:[=:：]|(?<=密码)是|(?<=密碼)是|(?<=パスワード)は)"
)
"""The value is another assignment, which is judged by itself."""
BLOCK_BEGUN: Final = Late(
    r"[ \t]{0,8}(?:(?:[:=]{0,2}>?[ \t]{0,2}(?:[!&][\w!]{0,20}[ \t]{0,2})?(?:[|>][+\d-]{0,3}"
    r"|(?:\$\(?c?a?t?[ \t]{0,2})?<{0,3}[~-]?[ \t]?\\?[\"']?\w{0,20}[\"']?;?|@?[\"']{0,3}\\?|[(`\\]))"
    rf"[ \t]{{0,2}}(?:[#/][^\n]{{0,81}})?(?:[ \t]{{0,16}}\r?\n){{0,2}}[ \t]{{0,16}}\r?\Z|{_BLOCK}{_VALUE_BEGUN})"
)

_LINE_END: Final = r"(?:\r?\n[ \t]{0,16}|\\r\\n)"
_HEADERS: Final = rf"{_LINE_END}(?:Content-[^\r\n\\]{{0,80}}{_LINE_END}){{0,2}}"
PART: Final = Late(rf"{_HEADERS}{_LINE_END}{_VALUE}")
"""The value of a part of a form, after the line that names it: `name="password"`."""
PART_BEGUN: Final = Late(
    rf"(?:\\?r?\\?\r?\Z|{_HEADERS}(?:[A-Za-z-]{{0,8}}|Content-[^\r\n\\]{{0,80}})\\?r?\\?\r?\Z"
    rf"|{_HEADERS}{_LINE_END}{_VALUE_BEGUN})"
)

NAME_BEGUN: Final = Late(r"(?:[\w.\-\\\"' \t]*|(?:Content-[^\n]*)?name=[\\\"']*)\Z")
"""The rest of a line before a name, after what a tool prints before each line."""
BETWEEN: Final = Late(r"(?:Content-[^\r\n\\]{0,80})?\r?\n")
"""A line of a form that is not yet the value of its part."""

LINE: Final = Late(rf"{_GAP}:\*{{0,2}}[ \t]{{0,2}}\r?\n[ \t]{{0,8}}{_VALUE}")
"""The value stands on the next line."""
LINE_BEGUN: Final = Late(rf"{_GAP}:\*{{0,2}}[ \t]{{0,2}}(?:\r?\Z|\r?\n[ \t]{{0,8}}{_VALUE_BEGUN})")

_ATTRIBUTES: Final = r"(?:[ \t]{1,4}[\w:.-]{1,40}=(?:\"[^\"<>\n]{0,80}\"|'[^'<>\n]{0,80}')){0,6}"
_TAG: Final = rf"(?:{_ATTRIBUTES}[ \t]{{0,2}}>|</key>(?=\s{{0,24}}<\w))"
_INNER_TAG: Final = r"\s{0,24}(?:<\w[^<>\n]{0,80}>\s{0,24})?"
ELEMENT: Final = Late(
    rf"{_TAG}{_INNER_TAG}(?:<!\[CDATA\[\s{{0,24}}(?P<cdata>(?:(?!\]\]>)[^\n]){{4,{READ_MAX}}})\]\]>"
    rf"|(?P<element>[^\s<][^<\n]{{2,{READ_MAX}}}(?<!\s))(?=\s{{0,24}}</))"
)
"""The content of an element, or of one behind it: `<password type="x">…</password>`, `<key>token</key><string>…`."""
ELEMENT_BEGUN: Final = Late(
    rf"(?:{_ATTRIBUTES}(?:[ \t]{{1,4}}[\w:.-]{{0,40}}(?:=(?:\"[^\"<>\n]{{0,80}}|'[^'<>\n]{{0,80}})?)?|[ \t]{{0,2}}/?)"
    rf"|<(?:/|/k|/ke|/key|/key>\s{{0,24}}<?)?|{_TAG}\s{{0,24}}(?:<\w[^<>\n]{{0,80}})?"
    rf"|{_TAG}{_INNER_TAG}(?:<!?\[?[CDAT]{{0,5}}\[?|<!\[CDATA\[[^\n]{{0,{READ_MAX}}}|[^<\n]{{0,{READ_MAX}}}\s{{0,24}}<?))\Z"
)
TAGGED: Final = Late(r"(?:<(?:[A-Za-z/][^<>\n]{0,47})?|<key>[ \t]{0,2}[\w.-]{0,20})\Z")
"""What stands before a name that is in a tag, or the key of a property list."""

_QUOTE_NEXT: Final = r"(?=\\{0,3}[\"'])"
PAIR: Final = Late(
    rf"(?:[ \t]{{0,2}}>|,?\s{{0,24}}\\{{0,3}}[\"']?[vV]alue\\{{0,3}}[\"']?\s{{0,2}}[=:]\s{{0,2}}"
    rf"|,[ \t]{{0,2}}{_QUOTE_NEXT}|[({{][ \t]{{0,2}}{_QUOTE_NEXT}){_VALUE}"
)
"""`<password>…`, `name="password" value="…"`, `{"name": "password", "value": "…"}`, `password("…")`."""
PAIR_BEGUN: Final = Late(
    rf"(?:(?:[ \t]{{0,2}}>|[,({{][ \t]{{0,2}}){_VALUE_BEGUN}"
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
