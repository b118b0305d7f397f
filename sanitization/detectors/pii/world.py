"""Numbers that states outside Europe give to people, by their check digits and the dates within them.

Every function takes the number without its separators, letters in upper case and in the form the rule asks for, and
says whether it holds. Sources are the issuing offices' own descriptions, as cited in the OECD's TIN sheets by country.
"""

import re
from typing import Final

from .europe import day_and_month
from .numbers import digits, luhn, uniform, verhoeff, weighted


def us_ssn(number: str) -> bool:
    """SSA, POMS RM 10201: no area 000, 666 or above 899, no group 00, no serial 0000; not a well-known sample."""
    area, group, serial = number[:3], number[3:5], number[5:]
    return (
        area not in {"000", "666"} and area < "900" and group != "00" and serial != "0000" and number != "123456789"
    ) and not uniform(number)


def us_itin(number: str) -> bool:
    """IRS, ITIN: 9, and a group of 50 to 65, 70 to 88, 90 to 92 or 94 to 99."""
    group = int(number[3:5])
    return number[0] == "9" and (50 <= group <= 65 or 70 <= group <= 88 or 90 <= group <= 92 or 94 <= group <= 99)


_MBI: Final = re.compile(r"[1-9][AC-HJKMNP-RT-Y][0-9AC-HJKMNP-RT-Y][0-9][AC-HJKMNP-RT-Y][0-9AC-HJKMNP-RT-Y][0-9]"
                         r"[AC-HJKMNP-RT-Y]{2}[0-9]{2}")  # fmt: skip


def us_mbi(number: str) -> bool:
    """Medicare Beneficiary Identifier: the places of letters and digits (CMS, 2017)."""
    return _MBI.fullmatch(number) is not None


def us_dea(number: str) -> bool:
    """DEA registration: (1st + 3rd + 5th) + 2 (2nd + 4th + 6th), its last digit is the seventh."""
    return weighted(number[2:8], (1, 2, 1, 2, 1, 2)) % 10 == int(number[8])


def us_npi(number: str) -> bool:
    """National Provider Identifier: Luhn with 80840 in front (45 CFR 162.406)."""
    return number[0] in "12" and luhn("80840" + number)


def ca_sin(number: str) -> bool:
    """Social Insurance Number: Luhn; none begins with 0 or 8."""
    return number[0] not in "08" and luhn(number) and not uniform(number)


_CURP: Final = re.compile(r"[A-Z][AEIOUX][A-Z]{2}[0-9]{6}[HMX][A-Z]{2}[B-DF-HJ-NP-TV-Z]{3}[0-9A-Z][0-9]")


def mx_curp(number: str) -> bool:
    """CURP (RENAPO): places of letters and digits, a date, and the check digit over 37 signs with Ñ between N and O."""
    if not _CURP.fullmatch(number) or not day_and_month(number[8:10], number[6:8]):
        return False
    total = weighted([int(each, 36) + (each > "N") for each in number[:17]], range(18, 1, -1))
    return -total % 10 == int(number[17])


def mx_rfc(number: str) -> bool:
    """RFC of a person: four letters, a date, three places (SAT)."""
    return day_and_month(number[8:10], number[6:8])


def br_cpf(number: str) -> bool:
    """CPF: two digits modulo 11."""
    first = weighted(number[:9], range(10, 1, -1)) * 10 % 11 % 10
    second = weighted(number[:10], range(11, 1, -1)) * 10 % 11 % 10
    return not uniform(number) and (first, second) == (int(number[9]), int(number[10]))


def br_cnpj(number: str) -> bool:
    """CNPJ: two digits modulo 11."""
    weights = (6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)
    first = weighted(number[:12], weights[1:]) * 10 % 11 % 10
    second = weighted(number[:13], weights) * 10 % 11 % 10
    return not uniform(number) and (first, second) == (int(number[12]), int(number[13]))


def ar_cuit(number: str) -> bool:
    """CUIT or CUIL: weights 5 4 3 2 7 6 5 4 3 2, modulo 11."""
    check = -weighted(number[:10], (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
    return number[:2] in {"20", "23", "24", "25", "26", "27", "30", "33", "34"} and check == int(number[10])


def cl_rut(number: str) -> bool:
    """RUT: weights 2 to 7 from the right, modulo 11, K for ten."""
    rest = -weighted(number[-2::-1], (2, 3, 4, 5, 6, 7, 2, 3)) % 11
    return "0123456789K"[rest] == number[-1] and not uniform(number[:-1])


def co_nit(number: str) -> bool:
    """NIT: primes from the right, modulo 11."""
    rest = weighted(number[-2::-1], (3, 7, 13, 17, 19, 23, 29, 37, 41, 43)) % 11
    return int(number[-1]) == (11 - rest if rest > 1 else rest)


def au_tfn(number: str) -> bool:
    """Tax File Number: weights 1 4 3 7 5 8 6 9 10 for nine digits, 10 7 8 4 6 3 5 1 for eight, modulo 11."""
    weights = (1, 4, 3, 7, 5, 8, 6, 9, 10) if len(number) == 9 else (10, 7, 8, 4, 6, 3, 5, 1)
    return not uniform(number) and weighted(number, weights) % 11 == 0


def au_medicare(number: str) -> bool:
    """Medicare card: begins with 2 to 6, weights 1 3 7 9 1 3 7 9, modulo 10 in the ninth place."""
    return number[0] in "23456" and weighted(number[:8], (1, 3, 7, 9) * 2) % 10 == int(number[8])


def au_abn(number: str) -> bool:
    """ABN: one off the first digit, weights 10 1 3 5 … 19, modulo 89."""
    values = digits(number)
    values[0] -= 1
    return not uniform(number) and weighted(values, (10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19)) % 89 == 0


def au_acn(number: str) -> bool:
    """ACN: weights 8 to 1, modulo 10."""
    return not uniform(number) and -weighted(number[:8], range(8, 0, -1)) % 10 == int(number[8])


def nz_ird(number: str) -> bool:
    """IRD number: weights 3 2 7 6 5 4 3 2, modulo 11; where that leaves ten, 7 4 3 2 5 2 7 6."""
    number = number.zfill(9)
    for weights in ((3, 2, 7, 6, 5, 4, 3, 2), (7, 4, 3, 2, 5, 2, 7, 6)):
        check = -weighted(number[:8], weights) % 11
        if check < 10:
            return check == int(number[8]) and 10_000_000 < int(number) < 150_000_000
    return False


def in_aadhaar(number: str) -> bool:
    """Aadhaar (UIDAI): begins with 2 to 9, Verhoeff; a palindrome is never issued."""
    return number[0] not in "01" and number != number[::-1] and verhoeff(number)


def in_pan(number: str) -> bool:
    """Permanent Account Number: the fourth letter tells the holder's status (P for a person)."""
    return number[3] in "ABCFGHJLPTK"


_CN_WEIGHTS: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


def cn_resident_id(number: str) -> bool:
    """居民身份证 (GB 11643): area, birth date, ISO 7064 MOD 11-2."""
    known = (
        number[0] in "12345689" and number[6:8] in {"18", "19", "20"} and day_and_month(number[12:14], number[10:12])
    )
    return known and "10X98765432"[weighted(number[:17], _CN_WEIGHTS) % 11] == number[17]


def jp_my_number(number: str) -> bool:
    """個人番号 (My Number): weights 6 5 4 3 2 7 6 5 4 3 2, modulo 11."""
    rest = weighted(number[:11], (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
    return not uniform(number) and int(number[11]) == (11 - rest if rest > 1 else 0)


def kr_rrn(number: str) -> bool:
    """주민등록번호: a date, sex and century 1 to 4. Numbers since October 2020 have no check digit."""
    return number[6] in "1234" and day_and_month(number[4:6], number[2:4])


def kr_frn(number: str) -> bool:
    """외국인등록번호: a date, sex and century 5 to 8."""
    return number[6] in "5678" and day_and_month(number[4:6], number[2:4])


def sg_fin(number: str) -> bool:
    """NRIC and FIN: weights 2 7 6 5 4 3 2, an offset and a list of letters by the first letter."""
    first, offset = number[0], {"T": 4, "G": 4, "M": 3}.get(number[0], 0)
    total = (weighted(number[1:8], (2, 7, 6, 5, 4, 3, 2)) + offset) % 11
    if first in "ST":
        return "JZIHGFEDCBA"[total] == number[8]
    if first in "FG":
        return "XWUTRQPNMLK"[total] == number[8]
    return first == "M" and "KLJNPQRTUWX"[10 - total] == number[8]


def za_id(number: str) -> bool:
    """South African ID: date, citizenship 0 to 2, Luhn."""
    return day_and_month(number[4:6], number[2:4]) and number[10] in "012" and luhn(number)


def il_id(number: str) -> bool:
    """Teudat Zehut: Luhn over nine digits."""
    return not uniform(number) and luhn(number)


def th_id(number: str) -> bool:
    """Thai citizen number: weights 13 to 2, modulo 11."""
    check = -weighted(number[:12], range(13, 1, -1)) % 11 % 10
    return number[0] != "0" and not uniform(number) and check == int(number[12])


def tw_id(number: str) -> bool:
    """身分證字號: the letter as two digits, weights 1 9 8 … 1 1, a multiple of ten."""
    code = "ABCDEFGHJKLMNPQRSTUVXYWZIO".index(number[0]) + 10
    values = [code // 10, code % 10, *digits(number[1:])]
    return number[1] in "1289" and weighted(values, (1, 9, 8, 7, 6, 5, 4, 3, 2, 1, 1)) % 10 == 0


def hk_id(number: str) -> bool:
    """HKID: weights 9 to 2 with a blank (36) for a missing first letter, modulo 11, A for ten."""
    body, check = number[:-1], number[-1]
    values = [36] * (8 - len(body)) + [int(each, 36) for each in body]
    return "0123456789A"[-weighted(values, range(9, 1, -1)) % 11] == check


def dated_id(number: str) -> bool:
    """An identity number that begins with a date, year first: Malaysia's MyKad, Kazakhstan's IIN."""
    return day_and_month(number[4:6], number[2:4])


def id_nik(number: str) -> bool:
    """NIK of Indonesia: region, and a date whose day is 40 more for women."""
    return number[0] in "123456789" and day_and_month(f"{(int(number[6:8]) - 1) % 40 + 1:02}", number[8:10])
