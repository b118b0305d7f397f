"""Finds postal addresses of a reliable pattern: a street with its number, and the town if it is given.

The forms are those of the postal services (UPU S42 templates): number first in English and French, street first in most
of Europe. A street type that is also a common word (`Drive`, `Way`, `Platz`) requires the town with its code.
"""

from typing import Final

from sanitization.findings import Hit
from sanitization.late import Late
from sanitization.prefilter import Prefilter

from .context import NamedTopics
from .part import PiiPart, hit

SPAN: Final = 160  # characters of an address

_UPPER: Final = "A-Z\u00c0-\u00d6\u00d8-\u00de\u0141\u015a\u017b"
_LETTERS: Final = r"A-Za-z\u00c0-\u024f'\u2019.-"
_NAME: Final = rf"[{_UPPER}][{_LETTERS}]{{0,24}}"
_TOWN_NAME: Final = rf"[{_UPPER}](?:[{_LETTERS}]{{0,23}}[A-Za-z\u00c0-\u024f])?"
_ORDINAL: Final = "[0-9]{1,3}(?:st|nd|rd|th)"
_POINT: Final = r"(?:(?:N|S|E|W|NE|NW|SE|SW|North|South|East|West)\.? )?"

# United States, United Kingdom, Canada, Australia, New Zealand, Ireland, India.
_STREETS: Final = "Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln"
_MAYBE_STREETS: Final = (
    "Drive|Dr|Court|Ct|Way|Place|Pl|Terrace|Ter|Circle|Cir|Highway|Hwy|Parkway|Pkwy|Square|Sq|Trail|Trl|Crescent"
    "|Close|Gardens|Grove|Mews|Hill|Row|Walk|Loop|Pike|Plaza|Broadway|Alley|Parade|Quay|Green|Park"
)
_UNIT: Final = (
    r"(?:\.?,? (?:Apt|Apartment|Suite|Ste|Unit|Flat|Floor|Fl|Room|Rm)\.? ?#?[A-Za-z0-9-]{1,6}|,? #[A-Za-z0-9-]{1,6})?"
)
_STATE: Final = (
    "(?:A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|PA|RI|S[CD]|T[NX]|UT|V[AT]"
    "|W[AIVY])"
)
_CODES: Final = (
    rf"(?:,? {_STATE},? [0-9]{{5}}(?:-[0-9]{{4}})?"
    r"|,? [A-Z]{1,2}[0-9][0-9A-Z]? [0-9][A-Z]{2}"
    r"|,? (?:AB|BC|MB|NB|NL|NS|ON|PE|QC|SK|YT),? [A-Z][0-9][A-Z] ?[0-9][A-Z][0-9]"
    r"|,? (?:NSW|VIC|QLD|SA|WA|TAS|ACT|NT),? [0-9]{4})(?![0-9A-Za-z])"
)
_TOWN: Final = rf"(?:\.?,? {_NAME}(?:,? {_NAME}){{0,3}}?)?"
_ENGLISH: Final = Late(
    rf"[0-9]{{1,5}}[A-Za-z]?,? {_POINT}(?:(?:{_NAME}|{_ORDINAL}) ){{1,4}}?"
    rf"(?:(?:{_STREETS})(?![A-Za-z]){_UNIT}(?:{_TOWN}{_CODES})?"
    rf"|(?:{_MAYBE_STREETS})(?![A-Za-z]){_UNIT}{_TOWN}{_CODES})"
)
# France, Belgium, Switzerland, Quebec.
_FRENCH_STREETS: Final = (
    "rue|avenue|av\\.|boulevard|bd|place|allée|allées|impasse|chemin|quai|cours|route|square|passage|faubourg|ruelle"
)
_FRENCH: Final = Late(
    rf"[0-9]{{1,4}}(?: ?(?:bis|ter|quater|[A-D]))?,? (?:{_FRENCH_STREETS}) "
    rf"(?:(?:de l'|de|du|des|la|le|les|l'|d') ?){{0,3}}{_TOWN_NAME}"
    rf"(?: (?:{_TOWN_NAME}|(?:de|du|des|la|le|les)(?= ))){{0,4}}"
    rf"(?:,? (?:[A-Z]{{1,2}}-)?[0-9]{{4,5}} {_TOWN_NAME}(?: {_TOWN_NAME}){{0,2}})?"
)
# Germany, Austria, Switzerland; the Netherlands, Belgium; Scandinavia.
_ENDINGS: Final = "straße|strasse|str\\.|gasse|allee|straat|laan|gracht|plein"
_MAYBE_ENDINGS: Final = "weg|platz|damm|ufer|ring|steig|chaussee|kade|singel|dijk|gatan|vägen|gade|vej|veien|gata|katu"
_GERMANIC_TOWN: Final = (
    r"(?:,? |, ?)(?:(?:DK|CH|NL|FI|D|A|B|S|N)-)?(?:[0-9]{4} ?[A-Z]{2}|[0-9]{3} ?[0-9]{2}|[0-9]{4})"
    rf" {_TOWN_NAME}(?: {_TOWN_NAME})?"
)
_HOUSE: Final = r" [0-9]{1,4}(?: ?[a-hA-H])?(?![0-9A-Za-z]|\.[0-9])"
_STEM: Final = rf"[{_UPPER}][{_LETTERS}]{{0,30}}?"
_GERMANIC: Final = Late(
    rf"(?:{_STEM}(?:{_ENDINGS})|Straße|Strasse|Str\.){_HOUSE}(?:{_GERMANIC_TOWN})?"
    rf"|{_STEM}(?:{_MAYBE_ENDINGS}){_HOUSE}{_GERMANIC_TOWN}"
)
_ENDING: Final = Late(rf"(?:{_ENDINGS}|{_MAYBE_ENDINGS}|Straße|Strasse|Str\.) [0-9]")
# Italy, Spain, Portugal, Latin America, Poland.
_ROMANCE_STREETS: Final = "Viale|Piazza|Piazzale|Vicolo|Calle|Avenida|Avda\\.|Carrer|Travessa|Praça|ulica|ul\\."
_MAYBE_ROMANCE: Final = "Via|Corso|Largo|Av\\.|Plaza|Paseo|Ronda|Rua|aleja|al\\."
_ROMANCE_NAME: Final = (
    rf" (?:(?:dell'|della|dei|delle|del|de|di|da|dos|das|do|las|los|la|el|d') ?){{0,3}}{_NAME}"
    rf"(?: (?:{_NAME}|dei|della|del|de|di|da|do|dos|y|e|las|los|la)){{0,4}}"
)
_ROMANCE_HOUSE: Final = r"(?:n[.º°]{0,2} ?|nº ?)?[0-9]{1,4}(?:/[0-9A-Za-z]{1,3}| ?[A-D](?![0-9A-Za-z]))?(?![0-9])"
_ROMANCE_TOWN: Final = (
    r"(?:,? [0-9]{1,2}[ºª°] ?[A-Z]?)?,? (?:[0-9]{5}|[0-9]{4}-[0-9]{3}|[0-9]{2}-[0-9]{3})"
    rf" {_TOWN_NAME}(?: {_TOWN_NAME})?(?: \([A-Z]{{2}}\))?"
)
_ROMANCE: Final = Late(
    rf"(?:{_ROMANCE_STREETS}){_ROMANCE_NAME},? {_ROMANCE_HOUSE}(?:{_ROMANCE_TOWN})?"
    rf"|(?:{_MAYBE_ROMANCE}){_ROMANCE_NAME}(?:, {_ROMANCE_HOUSE}(?:{_ROMANCE_TOWN})?| {_ROMANCE_HOUSE}{_ROMANCE_TOWN})"
)
_ROMANCE_AT: Final = Late(rf"(?<![^\W_])(?:{_ROMANCE_STREETS}|{_MAYBE_ROMANCE}) ")
_NUMBER_AT: Final = Late(
    r"[0-9](?<![0-9A-Za-z.,/:$€£#%_-].)(?=[0-9]{0,4}(?: ?(?:bis|ter|quater|[A-Za-z]))?,? [A-Z0-9a-z])"
)

# The continuation of an incomplete address: words with capitals or digits, and the small words of names.
_SMALL: Final = (
    f"{_FRENCH_STREETS}|de|du|des|la|le|les|l'|d'|bis|ter|quater|del|della|dei|delle|di|da|do|dos|das|las|los|el|y|e|nº"
)
_OPENING: Final = Late(
    r"[0-9](?<![0-9A-Za-z.,/:$€£#%_-].)[0-9]{0,4}[A-Za-z]?,?(?= |\Z)"
    rf"|(?<![^\W_])(?:{_ROMANCE_STREETS}|{_MAYBE_ROMANCE})(?= |\Z)"
    rf"|(?<![^\W_])(?:{_STEM}(?:{_ENDINGS}|{_MAYBE_ENDINGS})|Straße|Strasse|Str\.)(?= |\Z)"
)
_TAIL: Final = Late(
    rf"(?: (?:[{_UPPER}0-9#(][^ \n]{{0,24}}+|(?:{_SMALL})(?![^\W_])[^ \n]{{0,24}}+)){{0,14}}+(?: [a-zé.']{{0,10}}+)?+\Z"
)

# Words with a capital or of other scripts. Without a bound, since RE2 would have to count each from every place.
_WORD: Final = r"[^\x00-@\[-\x7f][^\x00-&(-,/-@\[-`{-\x7f]*"
_WORDS_SO_FAR: Final = rf"(?:(?:{_WORD}|{_ORDINAL}) ){{0,5}}"


_SO_FAR: Final = rf"[0-9][A-Za-z]?(?: ?(?:bis|ter|quater))?,?(?: {_WORDS_SO_FAR}[^\x00-\x20]*)?$"


def first_number_first(text: str, position: int, _topics: NamedTopics) -> Hit | None:
    """Return the first address such as `10 Example Street, Town`, `10 rue de l'Exemple` at `position` or later."""
    for number in _NUMBER_AT.finditer(text, position):
        start = number.start()
        match = _ENGLISH.match(text, start) or _FRENCH.match(text, start)
        if match and match.end() - start <= SPAN:
            return hit(start, match.end(), "address", 0.7)
    return None


def first_germanic(text: str, position: int, _topics: NamedTopics) -> Hit | None:
    """Return the first address such as `Beispielstraße 10, 12345 Ort` at `position` or later."""
    for ending in _ENDING.finditer(text, position):
        start = ending.start()
        low = max(0, start - 31)
        while start > low and (text[start - 1].isalpha() or text[start - 1] in "'\u2019.-"):
            start -= 1
        if start < position or (start and text[start - 1].isalnum()):
            continue
        if match := _GERMANIC.match(text, start):
            return hit(start, match.end(), "address", 0.7)
    return None


def first_romance(text: str, position: int, _topics: NamedTopics) -> Hit | None:
    """Return the first address such as `Calle Ejemplo 10, 12345 Ciudad` at `position` or later."""
    for street in _ROMANCE_AT.finditer(text, position):
        if match := _ROMANCE.match(text, street.start()):
            return hit(street.start(), match.end(), "address", 0.65)
    return None


def pending_address(text: str, start: int) -> int:
    """Return where an incomplete address begins: a number, or the first words of a street."""
    for opening in _OPENING.finditer(text, max(start, len(text) - SPAN)):
        if _TAIL.match(text, opening.end()):
            return opening.start()
    return len(text)


NUMBER_FIRST: Final = PiiPart(
    (
        (
            "street",
            Prefilter(
                literals=tuple(f"{_STREETS}|{_MAYBE_STREETS}".split("|")),
                pattern=rf"[0-9][A-Za-z]?,? {_WORDS_SO_FAR}(?:{_STREETS}|{_MAYBE_STREETS})(?:[^A-Za-z]|$)",
            ),
        ),
        (
            "rue",
            Prefilter(
                literals=tuple(_FRENCH_STREETS.replace("\\", "").split("|")),
                pattern=rf"[0-9](?: ?(?:bis|ter|quater|[A-D]))?,? (?:{_FRENCH_STREETS})(?: |$)",
            ),
        ),
        # A number at the end of a text, and the words after it so far.
        ("street_number", Prefilter(pattern=_SO_FAR)),
    ),
    first_number_first,
    pending_address,
)
GERMANIC: Final = PiiPart(
    (
        (
            "strasse",
            Prefilter(
                literals=tuple(f"{_ENDINGS}|{_MAYBE_ENDINGS}|Straße|Strasse|Str.".replace("\\", "").split("|")),
                pattern=rf"(?:{_ENDINGS}|{_MAYBE_ENDINGS}|Straße|Strasse|Str\.)(?: [0-9]| ?$)",
            ),
        ),
    ),
    first_germanic,
    pending_address,
)
ROMANCE: Final = PiiPart(
    (
        (
            "via",
            Prefilter(
                literals=tuple(f"{_ROMANCE_STREETS}|{_MAYBE_ROMANCE}".replace("\\", "").split("|")),
                pattern=rf"(?:^|[^A-Za-z])(?:{_ROMANCE_STREETS}|{_MAYBE_ROMANCE})(?: |$)",
            ),
        ),
    ),
    first_romance,
    pending_address,
)
