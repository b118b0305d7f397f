"""Numbers that European states give to people, by their check digits and the dates within them.

Every function takes the number without its separators, letters in upper case and in the form the rule asks for, and
says whether it holds. Sources are the issuing offices' own descriptions, as cited in the OECD's TIN sheets by country.
"""

import re
from typing import Final

from .numbers import digits, luhn, mod_11_10, uniform, weighted


def day_and_month(day: str, month: str) -> bool:
    """Whether there is such a day, in some year."""
    return 1 <= int(month) <= 12 and 1 <= int(day) <= (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)[int(month) - 1]


def uk_nhs(number: str) -> bool:
    """NHS Data Dictionary: weights 10 to 2, modulus 11, ten is never issued."""
    check = -weighted(number[:9], range(10, 1, -1)) % 11
    return not uniform(number) and check == int(number[9])


def uk_nino(number: str) -> bool:
    """HMRC NIM39110: letters that are not given, prefixes that are not allocated, suffix A to D; not all noughts."""
    prefix = number[:2]
    return (
        not set(prefix) & set("DFIQUV")
        and prefix[1] != "O"
        and prefix not in {"BG", "GB", "KN", "NK", "NT", "TN", "ZZ"}
        and number[8:] in {"", "A", "B", "C", "D"}
        and not uniform(number[2:8])
    )


def de_tax_id(number: str) -> bool:
    """Steueridentifikationsnummer (§ 139b AO): MOD 11,10.

    In numbers that are issued one digit of the first ten stands twice or thrice; those of forms and manuals often
    have each digit once, and pass here.
    """
    return number[0] != "0" and not uniform(number[:10]) and mod_11_10(number)


def icao_731(number: str, check: str) -> bool:
    """ICAO 9303 part 3, 4.9: weights 7, 3, 1; letters count from ten."""
    return weighted([int(each, 36) for each in number], (7, 3, 1) * 8) % 10 == int(check)


def de_card(number: str) -> bool:
    """Personalausweis, Reisepass: nine places without vowels, B, D, Q, S, and the check digit of ICAO 9303."""
    return not set(number) & set("ABDEIOQSU") and (len(number) == 9 or icao_731(number[:9], number[9]))


def de_pension(number: str) -> bool:
    """Rentenversicherungsnummer (§ 147 SGB VI): area, birth date, initial, serial, digit by cross sums."""
    if not day_and_month(f"{(int(number[2:4]) - 1) % 50 + 1:02}", number[4:6]):
        return False
    values = digits(f"{number[:8]}{ord(number[8]) - 64:02}{number[9:11]}")
    sums = [
        sum(divmod(value * weight, 10))
        for value, weight in zip(values, (2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1), strict=True)
    ]
    return sum(sums) % 10 == int(number[11])


def fr_nir(number: str) -> bool:
    """Numéro de sécurité sociale (INSEE): sex, month, and 97 less the rest by 97; Corsica's 2A and 2B are 19 and 18."""
    month = int(number[3:5]) if number[3:5].isdigit() else 0
    if number[0] not in "123478" or not (1 <= month <= 12 or 20 <= month <= 42 or 50 <= month <= 99):
        return False
    body = number[:13].replace("2A", "19").replace("2B", "18")
    return body.isdigit() and 97 - int(body) % 97 == int(number[13:])


_DNI: Final = "TRWAGMYFPDXBNJZSQVHLCKE"


def es_nif(number: str) -> bool:
    """DNI: the letter is the number modulo 23; NIE: X, Y, Z stand for 0, 1, 2 in front (BOE, RD 1553/2005)."""
    body = number[:-1].translate({88: "0", 89: "1", 90: "2"})
    return body.isdigit() and len(body) in (7, 8) and int(body) > 0 and _DNI[int(body) % 23] == number[-1]


_CODICE: Final = re.compile(r"[A-Z]{6}[0-9LMNPQRSTUV]{2}[ABCDEHLMPRST][0-9LMNPQRSTUV]{2}[A-Z][0-9LMNPQRSTUV]{3}[A-Z]")
_ODD: Final = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)


def it_fiscal_shape(number: str) -> bool:
    """Codice fiscale by its places: letters, year, month letter, day, place of birth (DM 23.12.1976)."""
    return _CODICE.fullmatch(number) is not None


def it_fiscal_code(number: str) -> bool:
    """Codice fiscale with its last letter: odd places by a table, even ones by their value, modulo 26."""
    if not it_fiscal_shape(number):
        return False
    values = [int(each) if each.isdigit() else ord(each) - 65 for each in number[:15]]
    return chr(65 + (sum(_ODD[each] for each in values[::2]) + sum(values[1::2])) % 26) == number[15]


def it_vat(number: str) -> bool:
    """Partita IVA: Luhn, and a province in the eighth to tenth place."""
    return (
        luhn(number)
        and not uniform(number)
        and (1 <= int(number[7:10]) <= 100 or number[7:10] in {"120", "121", "888"})
    )


def nl_bsn(number: str) -> bool:
    """Burgerservicenummer: the eleven test, weights 9 to 2 and minus one."""
    number = number.zfill(9)
    return not uniform(number) and weighted(number, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0


def be_national(number: str) -> bool:
    """Rijksregisternummer: birth date, and 97 less the rest by 97; from 2000 on a 2 stands in front."""
    month = int(number[2:4]) % 20
    if month > 12 or int(number[4:6]) > 31:
        return False
    return int(number[9:]) in {97 - int(front + number[:9]) % 97 for front in ("", "2")}


def _pesel_date(number: str) -> bool:
    """Month with the century in it: 80, 20, 40, 60 added for 1800, 2000, 2100, 2200."""
    return day_and_month(number[4:6], f"{int(number[2:4]) % 20:02}")


def pl_pesel(number: str) -> bool:
    """PESEL: date, and weights 1, 3, 7, 9 to a multiple of ten."""
    return _pesel_date(number) and weighted(number, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)) % 10 == 0


def pl_nip(number: str) -> bool:
    """NIP: weights 6, 5, 7, 2 to 7, modulus 11."""
    return not uniform(number) and weighted(number, (6, 5, 7, 2, 3, 4, 5, 6, 7)) % 11 == int(number[9])


def pt_nif(number: str) -> bool:
    """NIF: first digit of a person or body, weights 9 to 2, modulus 11."""
    rest = weighted(number[:8], range(9, 1, -1)) % 11
    return number[0] in "1235689" and not uniform(number) and int(number[8]) == (11 - rest if rest > 1 else 0)


def se_personnummer(number: str) -> bool:
    """Personnummer: date (day plus 60 for a coordination number) and Luhn over the last ten digits."""
    number = number[-10:]
    return day_and_month(f"{(int(number[4:6]) - 1) % 60 + 1:02}", number[2:4]) and luhn(number)


_HETU: Final = "0123456789ABCDEFHJKLMNPRSTUVWXY"


def fi_hetu(number: str) -> bool:
    """Henkilötunnus: date and serial modulo 31; the sign of the century is left out here."""
    body = number[:6] + number[-4:-1]
    return body.isdigit() and day_and_month(number[:2], number[2:4]) and _HETU[int(body) % 31] == number[-1]


def dk_cpr(number: str) -> bool:
    """CPR number: a date; its check digit has not been binding since 2007."""
    return day_and_month(number[:2], number[2:4]) and number[6:] != "0000"


def no_fodselsnummer(number: str) -> bool:
    """Fødselsnummer: date (day plus 40 for a D-number) and two digits modulo 11."""
    return (
        day_and_month(f"{(int(number[:2]) - 1) % 40 + 1:02}", f"{(int(number[2:4]) - 1) % 40 + 1:02}")
        and weighted(number, (3, 7, 6, 1, 8, 9, 4, 5, 2, 1)) % 11 == 0
        and weighted(number, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)) % 11 == 0
    )


def cz_rodne_cislo(number: str) -> bool:
    """Rodné číslo, of Czechia and Slovakia: date (month plus 50 for women, 20 more when full), modulo 11."""
    month = int(number[2:4]) % 50
    month -= 20 * (month > 20)
    if not (1 <= month <= 12 and 1 <= int(number[4:6]) <= 31):
        return False
    return len(number) == 9 or int(number) % 11 == 0 or (int(number[:9]) % 11 == 10 and number[9] == "0")


def ro_cnp(number: str) -> bool:
    """CNP: sex and century, date, county, weights 2 7 9 1 4 6 3 5 8 2 7 9, modulo 11 with ten as one."""
    rest = weighted(number, (2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9)) % 11
    return (
        number[0] != "0" and day_and_month(number[5:7], number[3:5]) and int(number[12]) == (rest if rest < 10 else 1)
    )


def bg_egn(number: str) -> bool:
    """EGN: date (month plus 20 or 40 for other centuries), weights 2 4 8 5 10 9 7 3 6, modulo 11."""
    month = int(number[2:4])
    month -= 40 if month > 40 else 20 if month > 20 else 0
    check = weighted(number, (2, 4, 8, 5, 10, 9, 7, 3, 6)) % 11 % 10
    return day_and_month(number[4:6], f"{month:02}") and check == int(number[9])


def hr_oib(number: str) -> bool:
    """OIB: MOD 11,10."""
    return not uniform(number) and mod_11_10(number)


def yu_jmbg(number: str) -> bool:
    """JMBG, EMŠO: date, weights 7 to 2 twice, modulo 11 (Slovenia, Serbia, Bosnia, North Macedonia, Montenegro)."""
    check = -weighted(number[:12], (7, 6, 5, 4, 3, 2) * 2) % 11
    return day_and_month(number[:2], number[2:4]) and check % 10 == int(number[12]) and number[4] in "09"


def ch_ahv(number: str) -> bool:
    """AHV number: 756 and the check digit of an EAN-13."""
    return number.startswith("756") and weighted(number, (1, 3) * 6 + (1,)) % 10 == 0


def at_svnr(number: str) -> bool:
    """Sozialversicherungsnummer: serial, check digit in the fourth place (weights 3 7 9 5 8 4 2 1 6), date."""
    check = weighted(number[:3] + number[4:], (3, 7, 9, 5, 8, 4, 2, 1, 6)) % 11
    return number[0] != "0" and 1 <= int(number[4:6]) <= 31 and 1 <= int(number[6:8]) <= 15 and check == int(number[3])


def ie_pps(number: str) -> bool:
    """PPS number: weights 8 to 2 and 9 for a second letter, modulo 23."""
    second = number[8:9]
    total = weighted(number[:7], range(8, 1, -1)) + (9 * (ord(second) - 64) if second and second != "W" else 0)
    return (not second or second in "ABCDEFGHIW") and "WABCDEFGHIJKLMNOPQRSTUV"[total % 23] == number[7]


def gr_afm(number: str) -> bool:
    """AFM: powers of two, modulo 11, modulo 10."""
    return not uniform(number) and weighted(number[:8], (256, 128, 64, 32, 16, 8, 4, 2)) % 11 % 10 == int(number[8])


def gr_amka(number: str) -> bool:
    """AMKA: date and Luhn."""
    return day_and_month(number[:2], number[2:4]) and luhn(number)


def baltic_code(number: str) -> bool:
    """Isikukood and asmens kodas: century, date, weights 1 to 9 and 1, then 3 to 9 and 1 to 3, modulo 11."""
    if number[0] not in "12345678" or not day_and_month(number[5:7], number[3:5]):
        return False
    check = weighted(number, (1, 2, 3, 4, 5, 6, 7, 8, 9, 1)) % 11
    if check == 10:
        check = weighted(number, (3, 4, 5, 6, 7, 8, 9, 1, 2, 3)) % 11 % 10
    return check == int(number[10])


def lv_code(number: str) -> bool:
    """Personas kods: a date in front (since 2017 a number that begins with 32)."""
    return number.startswith("32") or (day_and_month(number[:2], number[2:4]) and number[6] in "012")


def hu_taj(number: str) -> bool:
    """TAJ szám: weights 3 and 7, modulo 10."""
    return not uniform(number) and weighted(number, (3, 7) * 4) % 10 == int(number[8])


def tr_tckn(number: str) -> bool:
    """T.C. kimlik no.: two check digits over the odd and even places."""
    values = digits(number)
    tenth = (7 * sum(values[:9:2]) - sum(values[1:8:2])) % 10
    return values[0] > 0 and values[9] == tenth and sum(values[:10]) % 10 == values[10]


def ru_snils(number: str) -> bool:
    """СНИЛС: weights 9 to 1, modulo 101."""
    return not uniform(number[:9]) and weighted(number[:9], range(9, 0, -1)) % 101 % 100 == int(number[9:])


def ru_inn(number: str) -> bool:
    """ИНН of a person: two digits modulo 11."""
    first = weighted(number, (7, 2, 4, 10, 3, 5, 9, 4, 6, 8)) % 11 % 10
    second = weighted(number, (3, 7, 2, 4, 10, 3, 5, 9, 4, 6, 8)) % 11 % 10
    return not uniform(number) and (first, second) == (int(number[10]), int(number[11]))


def ua_rnokpp(number: str) -> bool:
    """РНОКПП: weights -1 5 7 9 4 6 10 5 7, modulo 11."""
    return not uniform(number) and weighted(number, (-1, 5, 7, 9, 4, 6, 10, 5, 7)) % 11 % 10 == int(number[9])
