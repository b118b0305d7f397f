"""Finds personal data: mail and network addresses, telephone and payment numbers, and numbers that states give people.

Each form is a part of its own, with its prefilters. Each part is asked for its next hit; the hit that begins first is
yielded, and at equal places the part that comes first in the list wins.
"""

from collections.abc import Collection, Iterator
from typing import Final

from sanitization.findings import Category, Hit, kinds_of
from sanitization.prefilter import Prefilter

from .addresses import COLONS, HARDWARE, IPV4, MAIL, SPELLED, WALLETS
from .context import NamedTopics
from .digits import DIGITS
from .labelled import BIRTHS, LABELLED
from .part import CONTEXT, REACH, PiiPart
from .places import GERMANIC, NUMBER_FIRST, ROMANCE

PARTS: Final[tuple[PiiPart, ...]] = (
    MAIL, SPELLED, BIRTHS, LABELLED, WALLETS, COLONS, IPV4, HARDWARE, DIGITS, NUMBER_FIRST, GERMANIC, ROMANCE,
)  # fmt: skip
_BY_PREFILTER: Final = {name: number for number, part in enumerate(PARTS) for name, _ in part.prefilters}
ZEROS: Final = (0x660, 0x6F0, 0x966, 0x9E6, 0xE50, 0xFF10)
"""The zeros of other digits: Arabic-Indic, Persian, of Devanagari, Bengali and Thai, full-width."""
_ASCII: Final = {first + digit: 0x30 + digit for first in ZEROS for digit in range(10)}


KINDS: Final = kinds_of(
    "pii",
    """
address | A postal address: street and number, and the town if given. | I live at 221 Baker Street, London NW1 6XE
ae_emirates_id | Identity card number of the United Arab Emirates. | 784-1990-1234567-1
ar_cuit | CUIT or CUIL, the tax number of Argentina. | CUIT 20-12345678-6
ar_dni | DNI, the identity number of Argentina. | DNI 12.345.678
at_svnr | Social insurance number of Austria. | SVNR 1237 010180
au_abn | Business number of Australia. | ABN 51 824 753 556
au_acn | Company number of Australia. | ACN 004 085 616
au_medicare | Medicare card number of Australia. | Medicare 2123 45670 1
au_tfn | Tax file number of Australia. | TFN 876 543 210
baltic_code | Personal code of Estonia and Lithuania. | isikukood 37605030299
bank_account | The number of a bank account. | account number: 12345678901
be_national | National register number of Belgium. | 85.07.30-033.28
bg_egn | EGN, the citizen number of Bulgaria. | EGN 7523169263
bic | The identifier of a bank (BIC, SWIFT code). | BIC: COBADEFFXXX
br_cnpj | CNPJ, the number of a legal person in Brazil. | 11.222.333/0001-81
br_cpf | CPF, the taxpayer number of Brazil. | 529.982.247-25
ca_sin | Social insurance number of Canada. | SIN 130 692 544
ch_ahv | AHV number of Switzerland. | 756.9217.0769.85
cl_rut | RUT, the identity number of Chile. | 12.345.678-5
cn_resident_id | Resident identity number of China. | 11010519491231002X
co_cedula | Identity card number of Colombia. | cédula 12.345.678
co_nit | NIT, the tax number of Colombia. | NIT 800.197.268-4
credit_card | A payment card: issuer's range and check digit. | 4111 1111 1111 1111
crypto_wallet | The address of a cryptocurrency wallet. | 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa
cz_rodne_cislo | Birth number of Czechia and Slovakia. | 710319/2745
date_of_birth | A date that is said to be somebody's day of birth. | born on 3 May 1990
de_passport | Passport or identity card number of Germany. | C01X00T47
de_pension | Pension insurance number of Germany. | 15 070649 C 103
de_tax_id | Tax identification number of Germany. | Steuer-ID 86 095 742 719
de_tax_number | Tax number of a German tax office. | Steuernummer 181/815/08155
dk_cpr | CPR number of Denmark. | CPR 070761-4285
driving_licence | The number of a driving licence. | driver's license D1234567
email | A mail address. | write to jo.bloggs@example.org
es_nif | DNI, NIE or NIF of Spain. | 12345678Z
es_social_security | Social security number of Spain. | NUSS 28/12345678/40
fi_hetu | Personal identity code of Finland. | 131052-308T
fr_nir | Social security number of France. | 2 55 08 14 168 025 38
gr_afm | AFM, the tax number of Greece. | AFM 090000045
gr_amka | AMKA, the social security number of Greece. | AMKA 01018012342
hk_id | Identity card number of Hong Kong. | A123456(3)
hr_oib | OIB, the personal number of Croatia. | OIB: 33392005961
hu_taj | TAJ, the social security number of Hungary. | TAJ 402 991 885
iban | International bank account number. | DE89 3704 0044 0532 0130 00
id_nik | NIK, the identity number of Indonesia. | NIK 7268684411240825
id_number | A number said to be of an identity document, or to identify a person. | national ID 1234567890
ie_pps | PPS number of Ireland. | PPS number 1234567FA
il_id | Identity number of Israel. | Teudat Zehut 123456782
in_aadhaar | Aadhaar number of India. | 3123 4567 8909
in_pan | Permanent account number of India. | ABCPE1234F
in_passport | Passport number of India. | J8369854
in_voter | Voter identity number of India. | voter ID ABC1234567
ip | The address of a machine (IPv4, IPv6). | from 203.0.113.9
it_fiscal_code | Codice fiscale of Italy. | RSSMRA85T10A562S
it_id_card | Identity card number of Italy. | ID card CA12345AB
it_vat | Partita IVA of Italy. | P. IVA 12345670785
jmbg | JMBG or EMŠO of the countries of former Yugoslavia. | JMBG 0101006500006
jp_my_number | My Number of Japan. | My Number 1234 5678 9018
kr_frn | Foreigner registration number of Korea. | 900101-5234567
kr_rrn | Resident registration number of Korea. | 900101-1234567
kz_iin | IIN, the identity number of Kazakhstan. | IIN 880528752327
lv_code | Personal code of Latvia. | personas kods 010180-12345
mac_address | The hardware address of a machine. | 00:1a:2b:3c:4d:5e
medical_record | The number of a patient or a medical record. | MRN: 12345678
mx_curp | CURP of Mexico. | HEGG560427MVZRRL04
mx_rfc | RFC, the tax number of Mexico. | RFC HEGG560427AB1
my_kad | Identity card number of Malaysia. | MyKad 620227-29-5536
nl_bsn | Citizen service number of the Netherlands. | BSN 111222333
no_fodselsnummer | Birth number of Norway. | fødselsnummer 01010750160
number_plate | The plate of a vehicle. | license plate 7ABC123
nz_ird | IRD number of New Zealand. | IRD 49-091-850
passport | The number of a passport. | passport no. X1234567
phone | A telephone number. | +44 20 7946 0958
pk_cnic | Identity card number of Pakistan. | 35202-1234567-1
pl_id_card | Identity card number of Poland. | ID card ABC123456
pl_nip | NIP, the tax number of Poland. | 376-514-43-95
pl_pesel | PESEL of Poland. | 44051401458
pt_nif | NIF, the tax number of Portugal. | contribuinte 123456789
ro_cnp | CNP of Romania. | 1800101221144
ru_inn | INN, the tax number of a person in Russia. | INN 500100732259
ru_passport | Passport number of Russia. | passport 4509 123456
ru_snils | SNILS of Russia. | 112-233-445 95
se_personnummer | Personal identity number of Sweden. | 811228-9874
sg_fin | NRIC or FIN of Singapore. | S1234567D
th_id | Citizen number of Thailand. | 1-1017-00203-45-0
tr_tckn | Identity number of Turkey. | 10000000146
tw_id | Identity number of Taiwan. | A123456789
ua_rnokpp | Taxpayer number of Ukraine. | INN 3184710691
uk_nhs | NHS number of England, Wales and the Isle of Man. | NHS number 943 476 5919
uk_nino | National insurance number of the United Kingdom. | AB 12 34 56 C
uk_passport | Passport number of two letters and seven digits, as the only thing a text says. | XO4279025
uk_sort_code | The sort code of a British bank. | sort code 12-34-56
uk_utr | Unique taxpayer reference of the United Kingdom. | UTR 1234567890
us_bank_routing | Routing number of a bank in the United States. | routing number 021000021
us_dea | Registration of a prescriber in the United States. | DEA AB1234563
us_ein | Employer identification number of the United States. | EIN 12-3456789
us_itin | Individual taxpayer number of the United States. | 911-70-1234
us_mbi | Medicare beneficiary identifier of the United States. | 1EG4-TE5-MK73
us_npi | National provider identifier of the United States. | NPI 1234567893
us_passport | Passport number of the United States, as the only thing a text says. | A12803456
us_ssn | Social security number of the United States. | my ssn is 536-22-8726
vehicle_id | The number of a vehicle (VIN). | VIN 1M8GDM9AXKP042788
za_id | Identity number of South Africa. | South African ID 8001015009087
""",
)
"""The kinds of personal data: their meaning, and an example of each."""


_OTHER: Final = ("other_digits", Prefilter(ranges=tuple((first, first + 9) for first in ZEROS)))


class Pii:
    """Finds `pii.*`."""

    name = "pii"
    category = Category.PII
    prefilters = (*(prefilter for part in PARTS for prefilter in part.prefilters), _OTHER)
    kinds = KINDS
    context = CONTEXT
    reach = REACH

    def find(self, text: str, start: int = 0, active: Collection[str] = tuple(_BY_PREFILTER)) -> Iterator[Hit]:
        """Yield the hits of all parts whose prefilters match."""
        if _OTHER[0] in active:
            text, active = text.translate(_ASCII), _BY_PREFILTER
        following: list[tuple[int, int, Hit]] = []
        topics = NamedTopics(text)
        for number in sorted(set(map(_BY_PREFILTER.__getitem__, active))):
            if hit := PARTS[number].first(text, start, topics):
                following.append((hit.anchor, number, hit))
        while following:
            _, _, best = min(following)
            yield best
            again, following = following, []
            for entry in again:
                hit = entry[2] if entry[0] >= best.end else PARTS[entry[1]].first(text, best.end, topics)
                if hit:
                    following.append((hit.anchor, entry[1], hit))

    def settled(self, text: str, start: int = 0, active: Collection[str] = tuple(_BY_PREFILTER)) -> int:
        """Return the least `pending` of the active parts."""
        if _OTHER[0] in active:
            text, active = text.translate(_ASCII), _BY_PREFILTER
        numbers = set(map(_BY_PREFILTER.__getitem__, active))
        return min([len(text), *[PARTS[number].pending(text, start) for number in numbers]])
