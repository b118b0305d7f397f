"""Finds numbers by their forms: cards, accounts, telephones, and the numbers that states give to people.

A scan stops at every run of digits that could begin or be part of one, goes back to the beginning of its word, writes
down its form (`ddd-dd-dddd`), and looks that up. The context decides only if the form alone does not.
"""

import string
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Final, NamedTuple

from sanitization.findings import Hit
from sanitization.late import Late
from sanitization.prefilter import Prefilter

from . import context as context
from . import phones as phones
from .context import DOCUMENT, document_kind, is_code
from .numbers import IBAN_LENGTHS, iban
from .part import PiiPart, hit
from .rules import RULES, NumberRule

ALONE: Final = "nothing else"
CERTAIN: Final = 0.9  # least score that words such as `order` beside a number do not cancel
HOLD: Final = 64  # characters: the longest find with blanks in it, an IBAN of 33 places in groups, has 41
WORD_BACK: Final = 20  # letters and digits of a word before its first run of digits of interest

_BLANKS: Final = " \u00a0\u2009\u202f"
_DASHES: Final = "\u2010\u2011\u2012\u2013"
_ALL_DASHES: Final = frozenset("-" + _DASHES)
_WRITTEN: Final = Late("[0-9A-Za-z]+")
_FORM: Final = str.maketrans(
    "0123456789" + "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" + "_" + _BLANKS + _DASHES,
    "d" * 10 + "a" * 52 + "?" + "_" * len(_BLANKS) + "-" * len(_DASHES),
)
_SIGNS: Final = rf"{_BLANKS}{_DASHES}\-./()"
# The rest of a date, which is no person's number, unless a sign beside it may make it part of one.
_DATE: Final = (
    r"(?<![0-9A-Za-z+(.,_-].)(?<!\+ .)"
    r"(?:(?:(?<=1)9|(?<=2)0)[0-9]{2}[-./](?:0?[1-9]|1[0-2])[-./][0-9]{1,2}"
    r"|(?:(?<=[0-2])[0-9]|(?<=3)[01])?[-./](?:0?[1-9]|1[0-2])[-./](?:19|20)[0-9]{2})(?![0-9A-Za-z_@-]|[./][0-9])"
)
# The first digits of seven with signs among them, or six with few; of words of letters and digits; of an IBAN.
# Most numbers are short and end there: they are rejected first.
_WORDS: Final = r"[0-9]{0,16}[A-Za-z][0-9A-Za-z]{2}|[0-9]{2,16}[A-Za-z]"
_SCAN: Final = Late(
    rf"[0-9](?<![0-9].)(?:(?<![A-Za-z].)(?![0-9]{{0,3}}(?:[^0-9A-Za-z{_SIGNS}]|[{_SIGNS}]{{1,3}}+[^0-9])|{_DATE})"
    rf"(?=(?:[{_SIGNS}]{{0,3}}[0-9]){{6}}|(?:[{_BLANKS}{_DASHES}-]?[0-9]){{5}}|(?:[{_SIGNS}]{{0,3}}[0-9]){{4}}[A-Za-z]"
    rf"|{_WORDS})"
    rf"|(?<=[A-Za-z].)(?=(?:[{_SIGNS}]{{0,3}}[0-9]){{4}}|{_WORDS}"
    rf"|(?<=[A-Za-z]{{2}}[0-9])[0-9][{_BLANKS}-]?[0-9A-Za-z]{{4}}))"
)
# Of `AB 12 34 56 C` and `X-1234567-L` the letters.
_LETTERS_BEFORE: Final = Late(rf"(?:[A-Za-z]{{2}}[{_BLANKS}-]|(?<![A-Za-z])[A-Za-z]-)\Z")
_WORD_CHARACTERS: Final = frozenset(string.ascii_letters + string.digits)
_IBAN: Final = Late(rf"[A-Za-z]{{2}}[0-9]{{2}}(?:[{_BLANKS}-]?[A-Za-z0-9]){{11,30}}")
_AROUND: Final = " \t\r\n.,;:!?\"'`()<>*"
_ALONE_MAX: Final = 8
_DIGITS: Final = frozenset(string.digits)
_JOINTS: Final = frozenset(".,-")
_COUNTED: Final = string.digits * 2  # a placeholder number, given to no person
ELEVEN: Final = 11
"""Length of numbers of a dozen states, orders and accounts, for which a check digit alone is no evidence."""
_NAMED: Final = Late(r"(?i:(?:\b|_)(?:id|ssn|nino|nin|tin|nr|no|num|number|tax|passport|national))=\Z")
_GLUED: Final = Late(r"(?i:ssn|sin|itin|nhs|tfn|cpf|rut|ahv|nino|uid|nr|no|id|tel)(?=[0-9])")
"""Words for a number that people write without a blank before it."""
_LISTED: Final = Late(r"(?:\A|\n)(?=[^\n:]{0,120}[A-Za-z])[\w./@+~-]{1,120}[:-]\d{1,7}[:-](?:\d{1,4}:)?\Z")
"""The name of a file and the number of a line, before what `grep -n` found there."""
_VALUE_SIGNS: Final = frozenset("$€£¥#%@~^=")

# For the prefilter: a non-ASCII blank is several bytes and cannot be in a class.
_SIGN: Final = f"(?:[ ./()-]|{'|'.join(_BLANKS[1:] + _DASHES)})"
_OUTSIDE: Final = "(?:^|[^A-Za-z0-9])"
_OTHERS: Final = "|".join(_BLANKS[1:] + _DASHES)
_ANY: Final = f"(?:[0-9 ./()-]|{_OTHERS})"
_LAST: Final = f"{_SIGN}{{0,3}}[0-9]"
_FEW: Final = f"(?:[ -]|{_OTHERS})"
_NO_POINT: Final = f"(?:[ ()]|{_OTHERS})"
_NO_DOT: Final = f"(?:[ /()-]|{_OTHERS})"
# Text after a year that begins no date.
_NO_DATE: Final = (
    rf"(?:{_NO_POINT}(?:[0-9]{{2}}|{_ANY}{{2}}{_LAST})|[-./](?:{_SIGN}{_ANY}{{2}}{_LAST}|[0-9]{{3}}|00|1[3-9]|[2-9][0-9]"
    rf"|0[-./]|(?:0[1-9]|1[0-2]|[1-9])(?:{_NO_POINT}[0-9]|[A-Za-z]|[-./](?:[0-9]{{3}}|[0-9]{{1,2}}[A-Za-z-]|{_SIGN}))))"
)
_PREFILTER: Final = (
    # Seven digits with signs among them, or six with few; but no dates that begin with the year, and no versions.
    r"(?:^|[^0-9])(?:[0-9]{6}"
    rf"|[0-9](?:{_NO_DOT}(?:[0-9]{{5}}|{_ANY}{{5}}{_LAST})|\.(?:[0-9]{{6}}|{_ANY}{{6}}{_LAST}))"
    rf"|[0-9]{{2}}(?:{_NO_DOT}(?:[0-9]{{4}}|{_ANY}{{4}}{_LAST})|\.(?:[0-9]{{5}}|{_ANY}{{5}}{_LAST}))"
    rf"|[0-9]{{3}}(?:{_SIGN}{_ANY}{{3}}{_LAST}|{_FEW}[0-9]{{3}})"
    rf"|(?:[03-9][0-9]|1[0-8]|2[1-9])[0-9]{{2}}(?:{_SIGN}{_ANY}{{2}}{_LAST}|{_FEW}[0-9]{{2}})"
    rf"|[0-9]{{5}}(?:{_SIGN}{_ANY}{_LAST}|{_FEW}[0-9])"
    rf"|(?:19|20)[0-9]{{2}}{_NO_DATE})"
    # Such digits with a plus.
    rf"|[+] ?\(?(?:[0-9]{_ANY}{{5}}|$)"
    # The end of a text that may yet become a find: groups of digits, or two letters before them.
    rf"|[0-9]{_SIGN}{{0,3}}$"
    rf"|{_OUTSIDE}[0-9][0-9A-Za-z]{{5}}|{_OUTSIDE}[A-Za-z]{{1,8}}[0-9][0-9A-Za-z-]{{3}}"
    r"|[0-9][A-Za-z][0-9A-Za-z][0-9]-[A-Za-z]"
    rf"|{_OUTSIDE}[A-Za-z]{{2}}[0-9]{{2}}(?:{_SIGN}[A-Za-z0-9]{{0,4}}){{0,3}}$"
    rf"|{_OUTSIDE}[A-Za-z]{{2}}[0-9]{{2}}(?:{_SIGN}[A-Za-z0-9]{{4}}){{2}}"
    rf"|{_OUTSIDE}[A-CEGHJ-PR-TW-Za-ceghj-pr-tw-z][A-CEGHJ-NPR-TW-Za-ceghj-npr-tw-z] ?$"
)

_EXTENSIONS: Final = "(?i:extension|extn|ext|durchwahl|poste|interno|anexo|ramal)"
_EXTENSION: Final = Late(
    rf"(?:[{_BLANKS}]{{1,2}}|;)(?:{_EXTENSIONS}[.:]{{0,2}}(?:=|[{_BLANKS}]{{0,2}})|[xX])[0-9]{{1,6}}(?![0-9A-Za-z_])"
)
_PART: Final = Late(
    r"[+(]{0,2}(?=[A-Za-z]{0,7}[0-9])[0-9A-Za-z()./\-\u2010-\u2013+]{1,40}"
    r"|[A-Za-z]{1,2}|[A-Za-z]{4}|[A-Z]{3}|[-/\u2013(+]"
    rf"|(?:{_EXTENSIONS})[.:]{{0,2}}"
)
_END_PART: Final = Late(r"(?:[+(]{1,2}|(?<![A-Za-z0-9]))[A-Za-z]{0,7}[0-9][0-9A-Za-z()./\-\u2010-\u2013+]{0,40}\Z")
_END_ALONE: Final = Late(r"(?<![A-Za-z0-9])[A-Za-z]{2}\Z|(?<![^\W_])\+\(?\Z")  # with a blank before the digits
_BLANK: Final = Late(f"[{_BLANKS}]")


class _Match(NamedTuple):
    score: float
    end: int
    kind: str
    reason: str


_NONE: Final = _Match(0.0, 0, "", "")


_Table = Mapping[str, Sequence[NumberRule]]


def _by_form(rules: Iterable[NumberRule]) -> _Table:
    table: dict[str, list[NumberRule]] = defaultdict(list)
    for rule in rules:
        for form in rule.forms:
            table[form].append(rule)
    return table


_ALL: Final = (*RULES, *phones.PHONES)
_FORMS: Final = _by_form(_ALL)
# Forms that need no topic, and those that are safe among other numbers.
_PLAIN_FORMS: Final = {
    form: plain for form, rules in _FORMS.items() if (plain := [rule for rule in rules if rule.plain])
}
_CROWDED_FORMS: Final = {
    form: rules
    for form, rules in _PLAIN_FORMS.items()
    if "_" not in form or any(rule.plain >= CERTAIN for rule in rules)
}
_LONGEST: Final = max(map(len, _FORMS))
_PARTS: Final = Late("[da](?![da])|[)]")  # of a form: where it may end
FORMS_MAX: Final = 2_048
"""Forms whose candidates are cached: numbers in a row mostly have few forms."""
_BEGINNINGS: Final = frozenset(form[: part.end()] for form in _FORMS for part in _PARTS.finditer(form))


def first_number(text: str, position: int, topics: context.NamedTopics) -> Hit | None:
    """Return the first number at `position` or later, from the beginning of its word, or a part of it before that."""
    tried = -1
    for match in _SCAN.finditer(text, position):
        start = match.start()
        low = max(0, start - WORD_BACK - 1)
        while start > low and text[start - 1] in _WORD_CHARACTERS:
            start -= 1
        if start == tried or start < position:
            continue
        tried = start
        before = text[max(0, start - 3) : start]
        last = before[-1:]
        # Skip the end of a word and the rest of a longer number.
        if last in _WORD_CHARACTERS or (last in _JOINTS and before[-2:-1] in _DIGITS):
            continue
        number = _signed(text, start, before, position, topics) or _number(text, start, topics)
        if number:
            more = _EXTENSION.match(text, number.end) if number.kind == "pii.phone" else None
            return number._replace(end=more.end()) if more else number
        glued = _GLUED.match(text, start)
        if glued and (number := _number(text, glued.end(), topics)):
            return number
    return None


def pending_number(text: str, start: int) -> int:
    """Return where the numbers at the end begin, which may continue after the blank."""
    end = len(text)
    place, upto = end, end
    for word in reversed(_BLANK.split(text[max(start, end - HOLD) :])):
        begin = place - len(word)
        if word and not _PART.fullmatch(word):
            last = _END_PART.search(word) or (_END_ALONE.search(word) if upto in (end, place + 1) else None)
            upto = begin + last.start() if last else upto
            break
        # Letters alone are held only if digits follow or may follow.
        numbered = not _DIGITS.isdisjoint(word)
        if word and (numbered or (len(word) <= 2 and (place + 1 == upto < end or begin >= end - 3))):
            upto = begin
        place = begin - 1
    if end - start > 6 and (naming := context.IS_PENDING.search(text, max(start, end - HOLD - context.AFTER))):
        upto = min(upto, naming.start())
    if start <= _ALONE_MAX and end < HOLD + _ALONE_MAX:
        rest = text.strip(_AROUND)
        first = len(text) - len(text.lstrip(_AROUND))
        if rest and first <= _ALONE_MAX and all(map(_PART.fullmatch, _BLANK.split(rest))):
            upto = min(upto, max(start, first))
    return upto


def _signed(text: str, start: int, before: str, position: int, topics: context.NamedTopics) -> Hit | None:
    """Return the number that begins with a plus, a bracket or letters before the word at `start`."""
    last = before[-1:]
    if "+" in before and last in {"+", "(", " "}:
        plus = start - len(before) + before.rindex("+")
        if plus >= position and not phones.is_latin(text, plus - 1):
            end = phones.international(text, plus)
            if end:
                return hit(plus, end, phones.KIND, 0.9, reason="form")
    if last == "(" and start - 1 >= position and (number := _number(text, start - 1, topics)):
        return number
    if before[-2:-1].isalpha() and (letters := _LETTERS_BEFORE.search(before)):
        early = start - len(letters[0])
        outside = early == 0 or text[early - 1] not in _WORD_CHARACTERS
        if outside and early >= position:
            return _number(text, early, topics)
    return None


def _number(text: str, start: int, topics: context.NamedTopics) -> Hit | None:
    """Return the best match of the word at `start` and those after it."""
    form = text[start : start + _LONGEST + 1].translate(_FORM) + "\n"
    if form.startswith("aadd") and (end := _iban_end(text, start)):
        return hit(start, end, "iban", 0.99, reason="check digits")
    # In a row of numbers without a topic, few forms are distinctive.
    crowded = start > _ALONE_MAX and text[start - 1] in _BLANKS and text[start - 2] in _DIGITS
    word, near = None, context.NOTHING
    if not (crowded and form[0] == "d" and form.find("a", 1, 8) < 0 and topics.none_before(start)):
        word = DOCUMENT.match(text, start)
        near = topics.near(start, word.end() if word else start)
    hits = [
        _judged(text, start, start + size, rules, near)
        for size, rules in _candidates(form, not near and start > _ALONE_MAX, crowded)
        if _ends(text, start + size)
    ]
    if near:
        if context.counts(near, phones.TOPIC) and (end := phones.spoken_of(text, start)):
            hits.append(_Match(0.8, end, phones.KIND, "said to be"))
        if word and (kind := document_kind(word[0], near)):
            hits.append(_Match(0.78, word.end(), kind, "said to be"))
    if word and start <= _ALONE_MAX and is_code(word[0]) and _alone(text, start, word.end()):
        hits.append(_Match(0.5, word.end(), "id_number", ALONE))
    if not hits:
        return None
    best = max(hits, key=attrgetter("score", "end"))
    return hit(start, best.end, best.kind, best.score, reason=best.reason) if best.score else None


@lru_cache(maxsize=FORMS_MAX)
def _candidates(form: str, nothing_said: bool, crowded: bool) -> tuple[tuple[int, Sequence[NumberRule]], ...]:
    """Return the rules for the beginnings of `form`, each with its length."""
    table = _FORMS if not nothing_said else _CROWDED_FORMS if crowded else _PLAIN_FORMS
    candidates = []
    for part in _PARTS.finditer(form):
        beginning = form[: part.end()]
        if beginning not in _BEGINNINGS:
            break
        if beginning in table:
            candidates.append((part.end(), table[beginning]))
    return tuple(candidates)


def _judged(text: str, start: int, end: int, rules: Iterable[NumberRule], near: Mapping[str, int]) -> _Match:
    """Return the best of the rules for one form."""
    among: bool | None = None
    alone = start <= _ALONE_MAX and _alone(text, start, end)
    number, best = "", _NONE
    for rule in rules:
        if rule.plain and rule.plain < CERTAIN and among is None:
            among = context.NOT_A_PERSON in near or _among_others(text, start, end)
        if near and context.counts(near, *rule.topics):
            score, reason = rule.score, "said to be"
        elif rule.plain >= CERTAIN or (rule.plain and not among):
            score, reason = rule.plain, "check digits" if rule.check else "form"
        elif alone and not (end - start == ELEVEN and text[start:end].isdigit()):
            score, reason = rule.alone, ALONE
        else:
            continue
        if score > best.score:
            number = number or "".join(_WRITTEN.findall(text, start, end)).upper()
            if (rule.check is None or rule.check(number)) and not (reason == ALONE and number in _COUNTED):
                best = _Match(score, end, rule.kind, reason)
    return best


def _among_others(text: str, start: int, end: int) -> bool:
    """Return whether signs beside it, or numbers before and after it, make it part of something else."""
    before, after = text[max(0, start - 2) : start], text[end : end + 2]
    if after[:1] in _VALUE_SIGNS:
        return True
    if before[-1:] in _VALUE_SIGNS:
        return not _NAMED.search(text, max(0, start - 24), start)
    if before[1:] in (":", "-") and _LISTED.search(text, max(0, start - 140), start):
        return False
    if len(before) == 2 and before[1] in "-/:.,_" and before[0] in _WORD_CHARACTERS:
        return before[1] not in ".:" or before[0].isdigit()
    grouped = " " in text[start:end]
    return grouped and ((before[1:] == " " and before[0].isdigit()) or (after[:1] == " " and after[1:].isdigit()))


def _alone(text: str, start: int, end: int) -> bool:
    """Return whether the number is the whole text."""
    around = start <= _ALONE_MAX and len(text) - end <= _ALONE_MAX
    return around and not text[:start].strip(_AROUND) and not text[end:].strip(_AROUND)


def _ends(text: str, end: int) -> bool:
    """Return whether a number may end here."""
    sign, after = text[end : end + 1], text[end + 1 : end + 2]
    if sign in _WORD_CHARACTERS or sign in {"_", "@"}:
        return False
    if sign in _ALL_DASHES:
        return after not in _WORD_CHARACTERS
    return not (sign and sign in ".,/" and after.isdigit())


def _iban_end(text: str, start: int) -> int:
    """Return where the IBAN at `start` ends; 0 if there is none."""
    match = _IBAN.match(text, start)
    size = IBAN_LENGTHS.get(text[start : start + 2].upper())
    if not match or not size:
        return 0
    letters: list[str] = []
    for place in range(start, match.end()):
        if text[place] in _WORD_CHARACTERS:
            letters.append(text[place])
            if len(letters) == size:
                return place + 1 if _ends(text, place + 1) and iban("".join(letters).upper()) else 0
    return 0


DIGITS: Final = PiiPart((("digits", Prefilter(pattern=_PREFILTER)),), first_number, pending_number)
"""Numbers of all kinds."""
