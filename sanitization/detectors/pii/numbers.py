"""Check digits of numbers that people carry: the general methods, and payment numbers.

Every function takes a number without its separators, letters in upper case, and returns whether it is valid.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final


def digits(number: str) -> list[int]:
    """Return the digits of a number; letters and signs are left out."""
    return [ord(digit) - 48 for digit in number if "0" <= digit <= "9"]


def weighted(number: str | Sequence[int], weights: Iterable[int]) -> int:
    """Return the sum of digits times weights, up to the shorter of both."""
    values = digits(number) if isinstance(number, str) else number
    return sum(value * weight for value, weight in zip(values, weights, strict=False))


def uniform(number: str) -> bool:
    """Return whether one digit repeats throughout: such numbers are made up, though many have a valid check digit."""
    return len(set(number)) < 2


# Twice a digit, the two digits of it summed.
_DOUBLED: Final = bytes.maketrans(b"0123456789", b"0246813579")


def luhn(number: str) -> bool:
    """ISO/IEC 7812-1, annex B: every second digit from the right doubled, digits summed, a multiple of ten."""
    values = number.encode()
    return (sum(values[-1::-2]) + sum(values[-2::-2].translate(_DOUBLED)) - 48 * len(values)) % 10 == 0


_DIHEDRAL: Final = (
    "0123456789", "1234067895", "2340178956", "3401289567", "4012395678",
    "5987604321", "6598710432", "7659821043", "8765932104", "9876543210",
)  # fmt: skip
_PERMUTED: Final = (
    "0123456789", "1576283094", "5803796142", "8916043527",
    "9453126870", "4286573901", "2793806415", "7046913258",
)  # fmt: skip


def verhoeff(number: str) -> bool:
    """Verhoeff 1969: products in the dihedral group of order ten, with a permutation for each place."""
    state = 0
    for place, value in enumerate(reversed(digits(number))):
        state = int(_DIHEDRAL[state][int(_PERMUTED[place % 8][value])])
    return state == 0


def mod_11_10(number: str) -> bool:
    """ISO/IEC 7064, hybrid system MOD 11,10."""
    values, product = digits(number), 10
    for value in values[:-1]:
        total = (value + product) % 10 or 10
        product = 2 * total % 11
    return (11 - product) % 10 == values[-1]


_LETTER_VALUES: Final = {code: str(code - 55) for code in range(ord("A"), ord("Z") + 1)}


def mod_97_10(number: str) -> bool:
    """ISO/IEC 7064, MOD 97-10: letters as 10 to 35, the whole leaves one."""
    return int(number.translate(_LETTER_VALUES)) % 97 == 1


# Lengths by country: SWIFT, IBAN Registry, release 99, and the countries known to use the form besides.
_LENGTHS: Final = (
    "AD24 AE23 AL28 AO25 AT20 AZ28 BA20 BE16 BF28 BG22 BH22 BI27 BJ28 BR29 BY28 CF27 CG27 CH21 CI28 CM27 CR22 CV25 "
    "CY28 CZ24 DE22 DJ27 DK18 DO28 DZ26 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GA27 GB22 GE22 GI23 GL18 GQ27 GR27 GT28 "
    "GW25 HN28 HR21 HU28 IE22 IL23 IQ23 IR26 IS26 IT27 JO30 KM27 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MA28 "
    "MC27 MD24 ME22 MG27 MK19 ML28 MN20 MR27 MT31 MU30 MZ25 NE28 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 "
    "RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SN28 SO23 ST25 SV28 TD27 TG28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30"
)
IBAN_LENGTHS: Final = {entry[:2]: int(entry[2:]) for entry in _LENGTHS.split()}


def iban(number: str) -> bool:
    """ISO 13616: the length of its country, and MOD 97-10 with the first four characters put last."""
    return len(number) == IBAN_LENGTHS.get(number[:2]) and mod_97_10(number[4:] + number[:4])


# Issuer identification numbers with the lengths of their cards: the schemes' public ranges (ISO/IEC 7812).
_ISSUERS: Final[tuple[tuple[str, str, tuple[int, ...]], ...]] = (
    ("4", "4", (13, 16, 19)),  # Visa
    ("51", "55", (16,)),  # Mastercard
    ("2221", "2720", (16,)),
    ("34", "34", (15,)),  # American Express
    ("37", "37", (15,)),
    ("300", "305", (14, 16)),  # Diners Club
    ("3095", "3095", (14, 16)),
    ("36", "36", (14, 16)),
    ("38", "39", (14, 16)),
    ("3528", "3589", (16, 17, 18, 19)),  # JCB
    ("6011", "6011", (16, 19)),  # Discover
    ("644", "649", (16, 19)),
    ("65", "65", (16, 19)),
    ("62", "62", (16, 17, 18, 19)),  # UnionPay
    ("81", "82", (16, 17, 18, 19)),
    ("60", "60", (16,)),  # RuPay
    ("508", "508", (16,)),
    ("2200", "2204", (16, 17, 18, 19)),  # Mir
    ("50", "50", (12, 13, 14, 15, 16, 17, 18, 19)),  # Maestro, Verve, Elo, Dankort
    ("56", "58", (12, 13, 14, 15, 16, 17, 18, 19)),
    ("6304", "6304", (12, 13, 14, 15, 16, 17, 18, 19)),
    ("6759", "6763", (12, 13, 14, 15, 16, 17, 18, 19)),
    ("6277", "6277", (16,)),  # Elo
    ("636", "639", (16, 19)),  # Elo, InterPayment, InstaPayment
    ("9792", "9792", (16,)),  # Troy
    ("9860", "9860", (16,)),  # Humo
    ("8600", "8600", (16,)),  # Uzcard
    ("1", "1", (15,)),  # UATP
)


def _by_digits() -> dict[str, list[tuple[str, str, tuple[int, ...]]]]:
    """Return the ranges by the first two digits of their numbers."""
    return {
        two: [issuer for issuer in _ISSUERS if issuer[0][:2] <= two[: len(issuer[0])] and two <= f"{issuer[1]:9<2}"[:2]]
        for two in (f"{value:02}" for value in range(100))
    }


_RANGES: Final = _by_digits()


def card(number: str) -> bool:
    """A payment card: the range and length of an issuer, and Luhn."""
    for low, high, sizes in _RANGES[number[:2]]:
        if len(number) in sizes and low <= number[: len(low)] <= high:
            return luhn(number) and not uniform(number)
    return False


def aba_routing(number: str) -> bool:
    """ABA routing transit number: a Federal Reserve prefix, weights 3, 7, 1, a multiple of ten."""
    first = int(number[:2])
    valid = first <= 12 or 21 <= first <= 32 or 61 <= first <= 72 or first == 80
    return valid and not uniform(number) and weighted(number, (3, 7, 1) * 3) % 10 == 0


_BASE58: Final = {
    letter: value for value, letter in enumerate("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz")
}


def base58_check(address: str) -> bool:
    """Base58Check of Bitcoin and its kin: 25 bytes, the last four the double SHA-256 of the others."""
    number = 0
    for letter in address:
        value = _BASE58.get(letter)
        if value is None:
            return False
        number = number * 58 + value
    if number.bit_length() > 200:
        return False
    raw = number.to_bytes(25, "big")
    leading = len(address) - len(address.lstrip("1"))
    if leading != len(raw) - len(raw.lstrip(b"\0")):
        return False
    return hashlib.sha256(hashlib.sha256(raw[:21]).digest()).digest()[:4] == raw[21:]


_BECH32: Final = {letter: value for value, letter in enumerate("qpzry9x8gf2tvdw0s3jn54khce6mua7l")}
_GENERATORS: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_BECH32_ENDS: Final = (1, 0x2BC830A3)  # Bech32 (BIP 173) and Bech32m (BIP 350)


def bech32(address: str) -> bool:
    """A segregated-witness address: BIP 173 or BIP 350, all in one case."""
    if address not in (address.lower(), address.upper()):
        return False
    prefix, _, data = address.lower().rpartition("1")
    values = [_BECH32.get(letter, -1) for letter in data]
    if not prefix or -1 in values:
        return False
    check = 1
    for value in (*(ord(char) >> 5 for char in prefix), 0, *(ord(char) & 31 for char in prefix), *values):
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for place, generator in enumerate(_GENERATORS):
            if top >> place & 1:
                check ^= generator
    return check in _BECH32_ENDS
