"""Finds data that is recognisable only by the words before it: dates of birth, bank identifiers, number plates.

Bank identifiers are those of ISO 9362 (BIC). Words for being born are searched in many languages.
"""

from typing import Final

from sanitization.findings import Hit
from sanitization.late import Late

from .context import NamedTopics
from .part import PiiPart, anchor, hit, prefilter

# --- bank identifiers and number plates -------------------------------------------------------------------------------

_BANK: Final = ("bic", "swift")
_PLATE: Final = (
    "plate", "kennzeichen", "nummernschild", "immatriculation", "matrícula", "matricula", "targa", "kenteken", "placa",
)  # fmt: skip
_WORDS: Final = (*_BANK, *_PLATE)
_ANCHOR: Final = anchor(_WORDS)
_GLUE: Final = (
    r"(?:[ \t:=\"'#(./-]{1,4}+"
    r"(?:(?i:code|number|no|nr|num|is|ist|swift|bic|est|es|del|vehicle|auto)(?![A-Za-z]))?+){1,5}+"
)
_GLUED: Final = Late(_GLUE)
_BIC: Final = Late(r"[A-Z]{6}[A-Z0-9]{2}(?:[A-Z0-9]{3})?(?![A-Za-z0-9])")
_NUMBER: Final = Late(
    r"(?=[A-ZÄÖÜ -]{0,8}[0-9])(?=[0-9 -]{0,5}[A-ZÄÖÜ])[A-ZÄÖÜ0-9]{1,8}(?:[ -][A-Z0-9]{1,4}){0,3}(?![A-Za-z0-9])"
)
SPAN: Final = 80  # characters from the label to the end of the labelled data
_OPEN: Final = Late(r"[^\n\w]{0,8}+(?:[\w/-]{1,12}+[^\n\w]{1,4}+){0,5}+[\w/-]{0,12}+\Z")


def first_labelled(text: str, position: int, _topics: NamedTopics) -> Hit | None:
    """Return the first of them whose label is at `position` or later."""
    for label in _ANCHOR.finditer(text, position):
        glued = _GLUED.match(text, label.end())
        if not glued:
            continue
        bank = label[0].lower() in _BANK
        value = (_BIC if bank else _NUMBER).match(text, glued.end())
        if value and value.end() - label.start() <= SPAN:
            return hit(*value.span(), "bic" if bank else "number_plate", 0.75, label.start(), "said to be")
    return None


def pending_labelled(text: str, start: int) -> int:
    """Return where a label begins whose data may follow."""
    for label in _ANCHOR.finditer(text, max(start, len(text) - SPAN)):
        if _OPEN.match(text, label.end()):
            return label.start()
    return len(text)


# --- dates of birth ---------------------------------------------------------------------------------------------------

# Each also matches capitalised, and the ASCII ones in upper case.
_CASED: Final = (
    "born birth birthday birthdate bday b-day dob d.o.b geboren geburtsdatum geburtstag geb.dat geb gebdat né née "
    "naissance nacido nacida nací nació nacimiento cumpleaños nascido nascida nasceu nasci nascimento nato nata "
    "nascita geboortedatum geboortedag urodzony urodzona urodzenia urodziła urodził ur. född födelsedatum født "
    "fødselsdato fødselsdag syntynyt syntymäaika syntymäpäivä narozen narozena narozený narozená narození született "
    "születési născut născută naștere nașterii doğum doğdu γέννησης γεννήθηκε γεννήθηκα рождения родился родилась "
    "родившийся народження народився народилася роден родена rođen rođena rođenja sinh lahir"
)
_BORN: Final = tuple(_CASED.split())
# Written without blanks around them, and without capitals.
_OTHERS: Final = (
    "出生日期 出生年月日 出生年月 出生日 出生 生年月日 生日 誕生日 생년월일 생일 출생 الميلاد ميلاد לידה נולד जन्म เกิด"
)
_UNSPACED: Final = tuple(_OTHERS.split())


# Text between the word and the date in labels and sentences.
_TO_DATE: Final = (
    "date|day|on|is|was|in|the|of|am|dem|ist|war|le|du|est|de|del|el|la|fue|es|em|é|a|il|è|di|op|dnia|den|data|w|ble"
    "|som|tarihi|дата|ngày|ich|i|my|his|her|at|around|c|o|t|at"
)
_SIGNS: Final = r"[ \t:=\-\u2013\"'*|(),.\uff1a/]"
_BETWEEN: Final = rf"(?:{_SIGNS}{{1,4}}+(?:(?:{_TO_DATE})(?![^\W\d_]))?+){{0,6}}+"
_MONTHS: Final = (
    "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|mär|mai|okt|dez|fév|avr|juin|juil|aoû|déc|ene|abr|ago|dic|fev"
    "|set|out|gen|mag|giu|lug|ott|maa|mrt|mei|sty|lut|kwi|maj|cze|lip|sie|wrz|paź|lis|gru|янв|фев|мар|апр|мая|май|июн"
    "|июл|авг|сен|окт|ноя|дек|січ|лют|бер|кві|тра|чер|лип|сер|вер|жов|лис|гру|tammi|helmi|maalis|huhti|touko|kesä"  # noqa: RUF001
    "|heinä|elo|syys|loka|marras|joulu|oca|şub|nis|haz|tem|ağu|eyl|eki|kas|ara|led|úno|bře|dub|kvě|čer|srp|zář|říj"
    "|lis|pro|ian|mart|iun|iul|ιαν|φεβ|μαρ|απρ|μαΐ|ιουν|ιουλ|αυγ|σεπ|οκτ|νοε|δεκ"  # noqa: RUF001
)
_MONTH: Final = rf"(?i:{_MONTHS})[^\W\d_]{{0,9}}+\.?"
_DAY: Final = r"(?:0?[1-9]|[12][0-9]|3[01])"
_MONTH_NUMBER: Final = r"(?:0?[1-9]|1[0-2])"
_YEAR: Final = r"(?:1[89]|20)[0-9]{2}"
_DATE: Final = Late(
    rf"(?:{_YEAR} ?[-./年] ?(?:1[0-2]|0?[1-9]) ?[-./月] ?(?:[12][0-9]|3[01]|0?[1-9])日?"
    rf"|{_YEAR}년 ?{_MONTH_NUMBER}월 ?{_DAY}일"
    rf"|{_DAY} ?(?P<sign>[-./]) ?{_MONTH_NUMBER} ?(?P=sign) ?(?:{_YEAR}|[0-9]{{2}})"
    rf"|{_MONTH_NUMBER}(?P<us>[-./]){_DAY}(?P=us)(?:{_YEAR}|[0-9]{{2}})"
    rf"|{_DAY}(?:st|nd|rd|th|er|º|ª|\.)?[ -]?(?:(?:de|of|d') ?)?{_MONTH}(?:,? ?(?:(?:de|del|of) )?|-)"
    rf"(?:{_YEAR}|'?[0-9]{{2}})"
    rf"|{_MONTH}[ -]?{_DAY}(?:st|nd|rd|th)?(?:, ?| |-){_YEAR}"
    rf"|{_YEAR},? {_MONTH} {_DAY}"
    r"|(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01]))"
    r"(?![0-9A-Za-z_]|[-/.][0-9])"
)
DATE_SPAN: Final = 128  # characters from the word to the end of the date
_BORN_ANCHOR: Final = anchor(_BORN, _UNSPACED)
_ASCII_ANCHOR: Final = anchor([word for word in _BORN if word.isascii()])  # three times as fast
_BETWEEN_DATE: Final = Late(_BETWEEN)
_SO_FAR: Final = Late(
    rf"(?:[\W\d_]{{1,16}}+(?:(?:{_TO_DATE}|st|nd|rd|th|er|[年月日년월일]|{_MONTH})(?![^\W\d_]))?+){{0,10}}+[^\W\d_]{{0,12}}+[.,]?+\Z"
)


def first_birth(text: str, position: int, _topics: NamedTopics) -> Hit | None:
    """Return the first date of birth whose word is at `position` or later."""
    for word in _born_anchor(text).finditer(text, position):
        glued = _BETWEEN_DATE.match(text, word.end())
        date = _DATE.match(text, glued.end() if glued else word.end())
        if date and date.end() - word.start() <= DATE_SPAN:
            return hit(*date.span(), "date_of_birth", 0.85, word.start(), "said to be")
    return None


def pending_birth(text: str, start: int) -> int:
    """Return the last word for being born, if a date may still follow."""
    for word in _born_anchor(text).finditer(text, max(start, len(text) - DATE_SPAN)):
        if _SO_FAR.match(text, word.end()):
            return word.start()
    return len(text)


def _born_anchor(text: str) -> Late:
    return _ASCII_ANCHOR if text.isascii() else _BORN_ANCHOR


LABELLED: Final = PiiPart((("label", prefilter(_WORDS)),), first_labelled, pending_labelled)
BIRTHS: Final = PiiPart((("born", prefilter(_BORN, _UNSPACED)),), first_birth, pending_birth)
