"""Telephone numbers: their written forms, by country or in the international form.

National forms are those of the numbering plans (ITU-T E.164 and its national notices); a form that other numbers share
is only accepted if the text speaks of telephones.
"""

from typing import Final

from sanitization.late import Late

from .rules import NumberRule, rule

KIND: Final = "phone"
TOPIC: Final = "phone"

# Country calling codes with the lengths of national numbers (ITU-T E.164 and the national plans), the area code in.
_CODES: Final = (
    "1:10-10 7:10-10 20:8-10 27:9-9 30:10-10 31:9-9 32:8-9 33:9-9 34:9-9 36:8-9 39:6-11 40:9-9 41:9-9 43:4-13 44:9-10"
    " 45:8-8 46:7-10 47:8-8 48:9-9 49:5-12 51:8-9 52:10-10 53:6-8 54:10-11 55:10-11 56:8-9 57:8-10 58:10-10 60:8-10"
    " 61:9-9 62:8-12 63:8-10 64:8-10 65:8-8 66:8-9 81:9-10 82:8-11 84:8-10 86:8-11 90:10-10 91:10-10 92:9-10 93:9-9"
    " 94:9-9 95:7-10 98:10-10 211:9-9 212:9-9 213:8-9 216:8-8 218:8-9 220:7-7 221:9-9 222:8-8 223:8-8 224:8-9 225:10-10"
    " 226:8-8 227:8-8 228:8-8 229:8-10 230:7-8 231:7-9 232:8-8 233:9-9 234:8-10 235:8-8 236:8-8 237:9-9 238:7-7 239:7-7"
    " 240:9-9 241:7-8 242:9-9 243:9-9 244:9-9 245:7-9 248:7-7 249:9-9 250:9-9 251:9-9 252:7-9 253:8-8 254:9-9 255:9-9"
    " 256:9-9 257:8-8 258:8-9 260:9-9 261:9-9 262:9-9 263:8-9 264:8-9 265:7-9 266:8-8 267:7-8 268:8-8 269:7-7 290:4-5"
    " 291:7-7 297:7-7 298:6-6 299:6-6 350:8-8 351:9-9 352:5-9 353:7-9 354:7-7 355:8-9 356:8-8 357:8-8 358:5-11 359:8-9"
    " 370:8-8 371:8-8 372:7-8 373:8-8 374:8-8 375:9-9 376:6-9 377:8-9 378:6-10 380:9-9 381:8-9 382:8-8 383:8-9 385:8-9"
    " 386:8-8 387:8-9 389:8-8 420:9-9 421:9-9 423:7-9 501:7-7 502:8-8 503:8-8 504:8-8 505:8-8 506:8-8 507:7-8 509:8-8"
    " 591:8-8 592:7-7 593:8-9 594:9-9 595:8-9 596:9-9 597:6-7 598:8-8 599:7-8 670:7-8 673:7-7 674:7-7 675:7-8 676:5-7"
    " 677:5-7 679:7-7 680:7-7 682:5-5 685:5-7 687:6-6 689:6-8 691:7-7 692:7-7 800:8-8 852:8-8 853:8-8 855:8-9 856:8-10"
    " 870:9-9 880:8-10 886:8-9 960:7-7 961:7-8 962:8-9 963:8-9 964:8-10 965:8-8 966:8-9 967:7-9 968:8-8 970:8-9 971:8-9"
    " 972:8-9 973:8-8 974:8-8 975:7-8 976:8-8 977:8-10 992:9-9 993:8-8 994:9-9 995:9-9 996:9-9 998:9-9"
)


def _lengths() -> dict[str, tuple[int, int]]:
    table = {}
    for row in _CODES.split():
        code, _, lengths = row.partition(":")
        low, _, high = lengths.partition("-")
        table[code] = (int(low), int(high))
    return table


LENGTHS: Final = _lengths()
MAX_DIGITS: Final = 15  # ITU-T E.164, 6.2.1

_SIGNS: Final = " \\-./()\u00a0\u2009\u2011\u2013\u202f"
_INTERNATIONAL: Final = Late(rf"\+[ ]?\(?(?=[1-9])(?:[{_SIGNS}]{{0,3}}[0-9]){{7,17}}")
_TRUNK: Final = Late(r"\(0\)")
# With the word for it beside it, any 7 to 15 digits in a row or in groups.
_ANY: Final = Late(rf"\(?[0-9](?:[{_SIGNS}]{{0,3}}[0-9]){{6,14}}")
_NOT_ANY: Final = Late(
    r"(?:19|20)[0-9]{2}[-./](?:0?[1-9]|1[0-2])[-./][0-9]{1,2}(?![0-9])"
    r"|(?:[0-2]?[0-9]|3[01])[-./](?:0?[1-9]|1[0-2])[-./](?:19|20)[0-9]{2}(?![0-9])"
    r"|[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![0-9])|[0-9]+\.[0-9]+(?![0-9 \-./])|[0-9](?:-[0-9]){6,}"
)
_ENDS: Final = Late(r"[0-9](?![0-9])")


def international(text: str, start: int) -> int:
    """Return where the number whose `+` is at `start` ends; 0 if there is none."""
    match = _INTERNATIONAL.match(text, start)
    if not match:
        return 0
    trunk = _TRUNK.search(text, start, match.end())
    best = 0
    for last in _ENDS.finditer(text, start, match.end()):
        end = last.end()
        if is_latin(text, end):
            continue
        number = "".join([digit for digit in text[start:end] if "0" <= digit <= "9"])
        if trunk and trunk.end() <= end:
            number = number.replace("0", "", 1) if number.find("0") < 4 else number
        if _known(number):
            best = end
        elif best or len(number) > MAX_DIGITS:
            break
    return best + 1 if best and text[start + 1] == "(" and text[best : best + 1] == ")" else best


def _known(number: str) -> bool:
    """Return whether a number with its country code has a length of that country."""
    for size in (1, 2, 3):
        lengths = LENGTHS.get(number[:size])
        if lengths:
            rest = number[size:]
            if size == 1 and number[0] == "1":
                return _nanp(rest)
            return lengths[0] <= len(rest) <= lengths[1] + (rest[:1] == "0") and len(set(rest)) > 1
    return False


def spoken_of(text: str, start: int) -> int:
    """Return where the digits at `start`, called a telephone number in the text, end; 0 if they cannot be one."""
    match = _ANY.match(text, start)
    if not match or _NOT_ANY.match(text, start):
        return 0
    end = match.end()
    return 0 if is_latin(text, end) and text[end] not in "x" else end


def is_latin(text: str, at: int) -> bool:
    """Return whether a digit or a Latin letter is at a place. A word in a script without blanks ends a number."""
    return at >= 0 and text[at : at + 1].isalnum() and text[at] < LATIN_END


LATIN_END: Final = "\u0250"
"""The first character after the Latin letters."""


def _nanp(number: str) -> bool:
    """North American Numbering Plan: area and exchange begin with 2 to 9 and are no service codes."""
    return (len(number) == 10 and number[0] in "23456789" and number[3] in "23456789" and number[1:3] != "11") and len(
        set(number)
    ) > 2


def _zero(number: str) -> bool:
    """A trunk prefix, and not a run of noughts."""
    return number[0] == "0" and number[1] != "0" and len(set(number)) > 2


def _chinese(number: str) -> bool:
    return number[0] == "1" and number[1] in "3456789"


def _brazilian(number: str) -> bool:
    return number[0] in "123456789" and number[1] in "123456789" and (len(number) == 10 or number[2] == "9")


_ZERO_FORMS: Final = (
    # Area code and number, in two or three parts.
    "ddd_dddd_dddd dddd_ddd_dddd ddddd_dddddd ddddd_ddddd ddddd_ddd_ddd dddd_ddd_ddd dddd_dddddd dddd_ddddddd "
    "dddd_dddddddd ddd_dddddd ddd_ddddddd ddd_dddddddd dd_dddd_dddd dd_dddddddd dd_ddddddd ddd_ddd_dddd ddd_dddd_ddd "
    "dddd_dddd_ddd ddd/ddddddd ddd/dddddd ddd/dddddddd dddd/dddddd dddd/ddddddd dddd/dddddddd ddddd/dddddd ddddd/ddddd "
    "ddd-dddddd ddd-ddddddd ddd-dddddddd dddd-ddddddd dddd-dddddd dddd-dddddddd ddddd-dddddd ddddd-ddddd ddd-dddd-dddd "
    "dd-dddd-dddd dddd-ddd-ddd ddd-ddd-dddd dd-dddddddd dd-ddddddd dddd-dd-dddd dd-ddd-dddd dddd-ddd-dddd "
    "ddd_/_ddddddd ddd_/_dddddddd dddd_/_ddddddd dddd_/_dddddddd ddd_-_ddddddd ddd_-_dddddddd dddd_-_ddddddd "
    "ddd_/_dddddd dddd_/_dddddd ddd.ddd.dddd dddd.ddd.ddd"
    # Pairs.
    " dd_dd_dd_dd_dd dd.dd.dd.dd.dd dd-dd-dd-dd-dd ddd_ddd_dd_dd ddd_dd_dd_dd dddd_dd_dd_dd dddd_ddd_dd_dd"
    " ddd-ddd_dd_dd dd-ddd_ddd_dd dd-ddd_dd_dd ddd-dddd_dd_dd ddd/ddd_dd_dd ddd/dd_dd_dd dddd/dd_dd_dd dddd/dd.dd.dd"
    " ddd.ddd.dd.dd dddd_dd_dd_dd_dd ddd_dd_dd_ddd ddd_ddddd_ddd ddd-ddd-dd-dd"
    # Area code in brackets.
    " (ddd)_dddd_dddd (ddd)_dddd-dddd (dddd)_dddddd (ddddd)_dddddd (dddd)_ddd_dddd (dddd)_ddd_ddd (dddd)_ddddddd"
    " (dd)_dddd_dddd (dd)_dddd-dddd (ddd)_dddddd (ddd)_ddddddd (ddd)_dddddddd (ddd)_ddd_dddd (ddd)_ddd_dd_dd"
    " (ddd)_ddd-dd-dd (dddd)_ddd_dd_dd (ddd)_dd_dd_dd (dddd)_dddddddd (ddddd)_ddddd (ddd)_dddddd-dd"
)
_NANP_FORMS: Final = (
    "(ddd)_ddd-dddd (ddd)ddd-dddd (ddd)_ddd_dddd (ddd)_ddd.dddd (ddd)-ddd-dddd (ddd)_ddddddd ddd-ddd-dddd ddd.ddd.dddd"
    " ddd/ddd-dddd ddd_ddd-dddd ddd-ddd_dddd"
)
_TRUNK_FORMS: Final = (
    "d-ddd-ddd-dddd d_ddd_ddd_dddd d.ddd.ddd.dddd d_(ddd)_ddd-dddd d-(ddd)-ddd-dddd d_ddd-ddd-dddd d_(ddd)_ddd_dddd"
    " d(ddd)ddd-dddd d-ddd-ddddddd d(ddd)_ddd-dddd"
)

PHONES: Final[tuple[NumberRule, ...]] = (
    rule(KIND, _NANP_FORMS, TOPIC, _nanp, plain=0.6),
    rule(KIND, "ddd_ddd_dddd", TOPIC, _nanp, plain=0.5),
    rule(KIND, "dddddddddd", TOPIC, _nanp, alone=0),
    rule(KIND, _TRUNK_FORMS, TOPIC, lambda number: number[0] == "1" and _nanp(number[1:]), plain=0.65),
    rule(KIND, _ZERO_FORMS, TOPIC, _zero, plain=0.6),
    rule(KIND, "dddddddddd ddddddddddd", "phone number", _zero, alone=0),
    rule(
        KIND,
        "dddd_dd_ddd_dddd dddd_dd_dddddd dddd_dd_dddddddd dddd_d_dd_dd_dd_dd dddd_ddd_ddd_dddd dddd_ddd_ddddddd"
        " dddd_dd_ddd_dd_dd dddd_dd_dddd_dddd dddd-dd-dddddddd dddd-dd-ddddddd",
        TOPIC,
        lambda number: number.startswith("00") and _known(number[2:]),
        plain=0.6,
    ),
    rule(
        KIND,
        "d_(ddd)_ddd-dd-dd d_ddd_ddd-dd-dd d_ddd_ddd_dd_dd d(ddd)ddd-dd-dd d-ddd-ddd-dd-dd d_(ddd)_ddd_dd_dd"
        " d(ddd)_ddd-dd-dd",
        TOPIC,
        lambda number: number[0] in "78" and number[1] in "3489",
        plain=0.65,
    ),
    rule(KIND, "ddd_dddd_dddd ddd-dddd-dddd", TOPIC, _chinese, plain=0.6),
    rule(KIND, "ddddddddddd", "phone number", _chinese, alone=0),
    rule(
        KIND,
        "ddddd_ddddd ddddd-ddddd",
        "phone number",
        lambda number: number[0] in "6789" and len(set(number)) > 2,
        plain=0.55,
    ),
    rule(KIND, "(dd)_ddddd-dddd (dd)_dddd-dddd (dd)ddddd-dddd (dd)_ddddd_dddd", TOPIC, _brazilian, plain=0.65),
    rule(KIND, "dd_ddddd-dddd dd_dddd-dddd dd_ddddd_dddd", TOPIC, _brazilian, plain=0.55),
    rule(
        KIND,
        "ddd_ddd_ddd ddd-ddd-ddd dd_dd_dd_dd dddd_dddd dddd-dddd ddd_dd_dd_dd ddd_dd_ddd dd_ddd_dd_dd ddd-dddd"
        " ddd_dddd ddd_ddd_dd_dd",
        "phone number",
        alone=0,
    ),
)
