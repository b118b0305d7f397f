"""Numbers that states give to people, by their check digits and the dates within them.

Every function takes the number without its separators, letters in upper case and in the form the rule asks for, and
returns whether it is valid. Sources are the issuing offices' own descriptions, as cited in the OECD's TIN sheets by
country.
"""

from typing import Final

from sanitization.late import Late

from .numbers import digits, luhn, mod_11_10, uniform, verhoeff, weighted

# --- Europe -----------------------------------------------------------------------------------------------------------


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
    return weighted([int(letter, 36) for letter in number], (7, 3, 1) * 8) % 10 == int(check)


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


_CODICE: Final = Late(r"[A-Z]{6}[0-9LMNPQRSTUV]{2}[ABCDEHLMPRST][0-9LMNPQRSTUV]{2}[A-Z][0-9LMNPQRSTUV]{3}[A-Z]")
_ODD: Final = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)


def it_fiscal_shape(number: str) -> bool:
    """Codice fiscale by its places: letters, year, month letter, day, place of birth (DM 23.12.1976)."""
    return _CODICE.fullmatch(number) is not None


def it_fiscal_code(number: str) -> bool:
    """Codice fiscale with its last letter: odd places by a table, even ones by their value, modulo 26."""
    if not it_fiscal_shape(number):
        return False
    values = [int(letter) if letter.isdigit() else ord(letter) - 65 for letter in number[:15]]
    return chr(65 + (sum(_ODD[value] for value in values[::2]) + sum(values[1::2])) % 26) == number[15]


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


def pl_pesel(number: str) -> bool:
    """PESEL: date, and weights 1, 3, 7, 9 to a multiple of ten."""
    month = f"{int(number[2:4]) % 20:02}"  # 80, 20, 40, 60 are added for 1800, 2000, 2100, 2200
    return day_and_month(number[4:6], month) and weighted(number, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)) % 10 == 0


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


# --- other continents -------------------------------------------------------------------------------------------------


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


_MBI: Final = Late(r"[1-9][AC-HJKMNP-RT-Y][0-9AC-HJKMNP-RT-Y][0-9][AC-HJKMNP-RT-Y][0-9AC-HJKMNP-RT-Y][0-9]"
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


_CURP: Final = Late(r"[A-Z][AEIOUX][A-Z]{2}[0-9]{6}[HMX][A-Z]{2}[B-DF-HJ-NP-TV-Z]{3}[0-9A-Z][0-9]")


def mx_curp(number: str) -> bool:
    """CURP (RENAPO): places of letters and digits, a date, and the check digit over 37 signs with Ñ between N and O."""
    if not _CURP.fullmatch(number) or not day_and_month(number[8:10], number[6:8]):
        return False
    total = weighted([int(letter, 36) + (letter > "N") for letter in number[:17]], range(18, 1, -1))
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
    values = [36] * (8 - len(body)) + [int(letter, 36) for letter in body]
    return "0123456789A"[-weighted(values, range(9, 1, -1)) % 11] == check


def dated_id(number: str) -> bool:
    """An identity number that begins with a date, year first: Malaysia's MyKad, Kazakhstan's IIN."""
    return day_and_month(number[4:6], number[2:4])


def id_nik(number: str) -> bool:
    """NIK of Indonesia: region, and a date whose day is 40 more for women."""
    return number[0] in "123456789" and day_and_month(f"{(int(number[6:8]) - 1) % 40 + 1:02}", number[8:10])
