"""Maps foreign characters to the ASCII letter or digit they look like.

Letters and digits that Unicode itself calls Latin (fullwidth, mathematical, enclosed, superscript, small capitals) are
derived from its decompositions and names. The look-alikes of other scripts are listed by hand: a character is listed if
a reader takes it for that letter in a usual typeface (compare UTS #39, confusables).
"""

import string
import unicodedata
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from .late import Late

# ruff: noqa: RUF001, RUF002 - look-alikes are what this file is about

ASCII: Final = frozenset(string.ascii_letters + string.digits)

# Each pair is the foreign letter and the one it looks like.
BY_SCRIPT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "cyrillic": (
            "аa вb гr еe кk мm нh оo пn рp сc тt уy хx ьb іi јj ѕs һh ћh ђh ѡw ѵv ӏl ԁd ԍg ԛq ԝw єe ѳo өo ғf ҫc ҳx қk "
            "ҝk ҟk ҡk ӄk ԟk үy ұy ӊh ӈh ңh ҥh ӎm АA ВB ЕE КK МM НH ОO РP СC ТT УY ХX ЬB ІI ЈJ ЅS ҺH ЋH ЂH ѠW ѴV ӀI ԀD "
            "ԌG ԚQ ԜW ѲO ӨO ҒF ҪC ҲX ҚK ҜK ҞK ҠK ӃK ԞK ҮY ҰY ӉH ӇH ҢH ҤH ӍM"
        ),
        "greek": (
            "αa βb γy εe ζz ηn ιi κk μu νv οo ρp σo τt υu χx ωw ϲc ϳj ϐb ϱp ϰk ϵe ϒY "
            "ΑA ΒB ΕE ΖZ ΗH ΙI ΚK ΜM ΝN ΟO ΡP ΤT ΥY ΧX ϹC ϜF ͿJ µu"
        ),
        "armenian": "աw գq զq հh յj ոn ռn սu ցg օo ԼL ՍU ՏS ՕO",
        "coptic": "ⲁa ⲕk ⲛn ⲟo ⲣp ⲥc ⲧt ⲭx ⲀA ⲂB ⲌZ ⲎH ⲒI ⲔK ⲘM ⲚN ⲞO ⲢP ⲤC ⲦT ⲨY ⲬX",
        "cherokee": ("ᎠD ᎡR ᎢT Ꭵi ᎩY ᎪA ᎫJ ᎬE ᎳW ᎷM ᎻH ᎽY ᏀG Ꮒh ᏃZ Ꮞ4 Ꮟb ᏒR ᏔW ᏕS ᏙV ᏚS ᏞL ᏟC ᏢP ᏦK Ꮷd ᏳG ᏴB ᏌU"),
        "lisu": ("ꓐB ꓑP ꓒd ꓓD ꓔT ꓖG ꓗK ꓙJ ꓚC ꓜZ ꓝF ꓟM ꓠN ꓡL ꓢS ꓣR ꓦV ꓧH ꓪW ꓫX ꓬY ꓮA ꓰE ꓲI ꓳO ꓴU"),
        "canadian": "ᐯV ᑌU ᑎN ᑕC ᑫq ᑭP ᑯd ᒍJ ᒪL ᔕS ᕁx ᕼH ᖇR ᖴF ᗅA ᗝO ᗞD ᗩA ᗪD ᗯW ᗰM ᗴE ᗷB ᘔZ ᘜG ᙭X",
        "tifinagh": "ⴹE ⵏl ⵔO ⵕQ ⵝX",
        "runic": "ᚱR ᚷX ᚺH ᛁl ᛒB ᛕK ᛖM",
        "georgian": "ჿo ႽS",
        "old": "𐌀A 𐌁B 𐌄E 𐌉I 𐌊K 𐌏O 𐌕T 𐌗X 𐐄O 𐐕C 𐐬o 𐐽c",
        # Rings: the letter o of half the world's scripts.
        "round": "סo هo ٥o ०o ০o ੦o ૦o ୦o ഠo ๐o ໐o ဝo",
    }
)
"""Look-alikes from other scripts: for each script, pairs of a letter and the ASCII letter it looks like."""

# Latin letters that are not ASCII but read as it.
_LATIN: Final = "ɑa ƅb ɗd ɡg ıi ɩi ȷj ƙk ƚl ɲn ɵo ƿp ƍg ꞵb ʀr ꜱs ƨs ƽs ʋv ɯw ƴy ʏy ƶz ſs ƖI ƼS ǀl ꞮI ꞓc ꬲe ꭇr ꭎu ꭓx ꭥo"
# Blocks in which Unicode dresses up ASCII letters and digits.
_BLOCKS: Final = (
    (0x00AA, 0x00BA),  # ª º
    (0x0250, 0x02FF),  # IPA extensions, modifier letters
    (0x1D00, 0x1DBF),  # phonetic extensions
    (0x2070, 0x209F),  # superscripts and subscripts
    (0x2100, 0x218B),  # letterlike symbols, Roman numerals
    (0x2460, 0x24FF),  # enclosed alphanumerics
    (0x2776, 0x2793),  # dingbat circled digits
    (0x2C60, 0x2C7F),
    (0xA720, 0xA7FF),
    (0xAB30, 0xAB6F),
    (0xFF10, 0xFF5A),  # fullwidth
    (0x10780, 0x107BF),  # modifier letters
    (0x1D400, 0x1D7FF),  # mathematical alphanumerics
    (0x1F100, 0x1F1FF),  # enclosed alphanumerics, regional indicators
    (0x1FBF0, 0x1FBF9),  # segmented digits
)
_NAMED: Final = Late(
    r"(?:LATIN LETTER SMALL CAPITAL|(?:MODIFIER LETTER|LATIN SUBSCRIPT|COMBINING LATIN) SMALL LETTER"
    r"|LATIN SUBSCRIPT (?P<small>SMALL) LETTER|MODIFIER LETTER (?P<capital>CAPITAL)"
    r"|(?:NEGATIVE |CROSSED NEGATIVE )?(?:PARENTHESIZED|CIRCLED|SQUARED) LATIN (?P<size>CAPITAL|SMALL) LETTER"
    r"|REGIONAL INDICATOR SYMBOL LETTER) (?P<letter>[A-Z])"
)
_DIGIT: Final = Late(r"\((\d)\)|(\d)[.,]?")


def _dressed() -> Iterator[tuple[str, str]]:
    """Yield the characters that Unicode derives from an ASCII letter or digit, with that letter or digit."""
    for low, high in _BLOCKS:
        for code in range(low, high + 1):
            character = chr(code)
            plain = unicodedata.normalize("NFKC", character)
            if len(plain) == 1:
                if plain in ASCII:
                    yield character, plain
                    continue
            else:
                digit = _DIGIT.fullmatch(plain)
                if digit:
                    yield character, digit[1] or digit[2]
                    continue
            named = _NAMED.fullmatch(unicodedata.name(character, ""))
            if named:
                large = named["capital"] or named["size"] == "CAPITAL"
                yield character, named["letter"] if large else named["letter"].lower()
    for code in range(0x2460, 0x2793):
        digit_value = unicodedata.digit(chr(code), None)
        if digit_value is not None:
            yield chr(code), str(digit_value)


def pairs(table: str) -> dict[str, str]:
    """Return a table of pairs such as `"аa вb"` as a mapping."""
    return {pair[0]: pair[1] for pair in table.split()}


def _all() -> dict[str, str]:
    letters = dict(_dressed())
    for table in (_LATIN, *BY_SCRIPT.values()):
        letters.update(pairs(table))
    # Cherokee writes small letters like small capitals of the large ones (Unicode 8).
    for letter, like in pairs(BY_SCRIPT["cherokee"]).items():
        if letter < "\u13f0":
            letters[chr(ord(letter) - 0x13A0 + 0xAB70)] = like.lower()
    return letters


LATIN: Final[Mapping[str, str]] = MappingProxyType(_all())
"""From a character that is not ASCII to the ASCII letter or digit it looks like, in the case it shows."""
