"""The numbers of `pii`, as data: their written forms, their checks, the words beside them.

A form has a `d` for each digit, an `a` for each letter, and `_` for a blank; other signs stand for themselves. The
check is a function. `plain` is the score without a topic: 0 if that would be a guess. Topics are those of `context`.
"""

from collections.abc import Callable
from typing import Final

from attrs import frozen

from . import national as national
from . import numbers as numbers

Check = Callable[[str], bool]


@frozen
class NumberRule:
    """One kind of number: its written forms, and its scores.

    `score` applies if one of the `topics` is named beside it, `plain` if none is, `alone` if the number is the whole
    text.
    """

    kind: str
    forms: tuple[str, ...]
    topics: frozenset[str]
    check: Check | None
    score: float
    plain: float
    alone: float


def rule(
    kind: str,
    forms: str,
    topics: str = "",
    check: Check | None = None,
    *,
    plain: float = 0.0,
    alone: float | None = None,
) -> NumberRule:
    """Build a rule; a check digit raises the score, also of a number that is the whole text."""
    score = 0.95 if check else 0.79
    single = alone if alone is not None else (0.6 if check else 0.0)
    return NumberRule(kind, tuple(forms.split()), frozenset(topics.split()), check, score, plain, max(plain, single))


def _runs(first: int, last: int) -> str:
    """Return forms of digits alone, of these lengths."""
    return " ".join(["d" * size for size in range(first, last + 1)])


def _uatp(number: str) -> bool:
    return number[0] == "1" and numbers.card(number)


def _in_passport(number: str) -> bool:
    return number[0] not in "QXZ" and "0" not in (number[1], number[7])


def _de_passport(number: str) -> bool:
    return number[0] in "CFGHJK" and national.de_card(number)


_FOURS: Final = "dddd_dddd_dddd_dddd dddd-dddd-dddd-dddd dddd.dddd.dddd.dddd"
_CARDS: Final = (
    f"{_FOURS} dddd_dddddd_ddddd dddd-dddddd-ddddd dddd_dddd_dddd_ddd dddd-dddd-dddd-ddd dddd_dddddd_dddd"
    " dddd-dddddd-dddd dddd_dddd_dddd_dd dddd-dddd-dddd-dd dddd_dddd_dddd_dddd_ddd dddd-dddd-dddd-dddd-ddd"
    " dddd_dddd_dddd_dddd_d dddd_dddd_dddd_dddd_dd dddd_dddd_dddd_d dddddddddddddd ddddddddddddddd dddddddddddddddd"
)
_GB_NINO: Final = "aadddddda aa_dd_dd_dd_a aa-dd-dd-dd-a aadddddd_a aa_dddddd_a aadd_dd_dd_a"
_HYPHENATED: Final = "ddd-dd-dddd ddd_dd_dddd ddd.dd.dddd"

PAYMENT: Final = (
    rule("credit_card", _CARDS, "card", lambda number: number[0] != "1" and numbers.card(number), plain=0.95),
    rule("credit_card", "ddddddddddddddd dddd_dddddd_ddddd", "card", _uatp, alone=0.6),
    rule("credit_card", f"{_runs(12, 13)} {_runs(17, 19)} dddd_dddd_dddd", "card", numbers.card),
    rule("us_bank_routing", "ddddddddd dddd-dddd-d dddd_dddd_d", "routing", numbers.aba_routing),
    rule("bank_account", f"{_runs(6, 18)} dddd_dddd_dddd dddd-dddd-dddd dd-dddd-ddddddd-dd ddd-dddddd-d", "account"),
    rule("uk_sort_code", "dd-dd-dd dd_dd_dd", "sort"),
)

NORTH_AMERICA: Final = (
    rule("us_ssn", _HYPHENATED, "ssn", national.us_ssn, plain=0.6),
    rule("us_ssn", "ddd-dddddd ddddd-dddd ddd_dddddd ddddd_dddd", "ssn", national.us_ssn),
    rule("us_ssn", "ddd-dddddd ddddd-dddd", "ssn", national.us_ssn, plain=0.5),
    rule("us_ssn", "ddddddddd", "ssn", national.us_ssn),
    rule("us_itin", _HYPHENATED, "ssn", national.us_itin, plain=0.6),
    rule("us_itin", "ddd-dddddd ddddd-dddd", "ssn", national.us_itin, plain=0.5),
    rule("us_itin", "ddddddddd", "ssn", national.us_itin),
    rule("us_ein", "dd-ddddddd ddddddddd", "ein"),
    rule("us_mbi", "dadd-add-aadd dadd-aad-aadd daad-add-aadd daad-aad-aadd", "mbi", national.us_mbi, plain=0.7),
    rule("us_mbi", "daddaddaadd daddaadaadd daadaddaadd daadaadaadd", "mbi", national.us_mbi),
    rule("us_dea", "aaddddddd", "dea", national.us_dea),
    rule("us_npi", "dddddddddd", "npi", national.us_npi),
    rule("ca_sin", "ddd-ddd-ddd", "sin", national.ca_sin, plain=0.6),
    rule("ca_sin", "ddd_ddd_ddd ddddddddd", "sin", national.ca_sin),
    rule("mx_curp", "aaaaddddddaaaaaadd aaaaddddddaaaaaaad", "rfc id", national.mx_curp, plain=0.95),
    rule(
        "mx_rfc",
        "aaaaddddddddd aaaaddddddadd aaaaddddddaad aaaaddddddaaa aaaadddddddda aaaaddddddada aaaadddddddad"
        " aaaadddddddaa",
        "rfc",
        national.mx_rfc,
        plain=0.7,
    ),
)

EUROPE: Final = (
    rule("uk_nhs", "ddd_ddd_dddd ddd-ddd-dddd", "nhs", national.uk_nhs, plain=0.55),
    rule("uk_nhs", "dddddddddd", "nhs", national.uk_nhs),
    rule("uk_nino", _GB_NINO, "nino", national.uk_nino, plain=0.85),
    rule("uk_nino", "aadddddd aa_dd_dd_dd", "nino", national.uk_nino, alone=0),
    rule("uk_utr", "dddddddddd ddddd_ddddd", "utr"),
    rule("de_tax_id", "ddddddddddd dd_ddd_ddd_ddd ddd_dddd_dddd ddd/dddd/dddd", "de_tax", national.de_tax_id),
    rule("de_tax_number", "dd/ddd/ddddd ddd/ddd/ddddd ddd/dddd/dddd ddddd/ddddd", "de_tax"),
    rule(
        "de_pension",
        "dd_dddddd_a_ddd ddddddddaddd dd_dd_dd_dd_a_ddd dd_dddddd_addd",
        "de_pension",
        national.de_pension,
        plain=0.9,
    ),
    rule(
        "fr_nir",
        "d_dd_dd_dd_ddd_ddd_dd ddddddddddddddd d_dd_dd_da_ddd_ddd_dd ddddddadddddddd"
        " d_dd_dd_ddddd_ddd_dd ddddddddddddd_dd d.dd.dd.dd.ddd.ddd.dd",
        "insee",
        national.fr_nir,
        plain=0.95,
    ),
    rule("fr_nir", "d_dd_dd_dd_ddd_ddd ddddddddddddd", "insee"),
    rule(
        "es_nif",
        "dddddddda dddddddd-a dddddddd_a dd.ddd.ddd-a dd.ddd.ddda ddddddd-a addddddda a-ddddddd-a addddddd-a",
        "es_nif",
        national.es_nif,
        plain=0.85,
    ),
    rule("es_nif", "ddddddda", "es_nif", national.es_nif),
    rule("es_social_security", "dd/dddddddd/dd dd_dddddddd_dd dddddddddddd dd-dddddddd-dd", "es_social"),
    rule("it_fiscal_code", "aaaaaaddaddaddda", "", national.it_fiscal_code, plain=0.95),
    rule("it_fiscal_code", "aaaaaaddaddaddda", "", national.it_fiscal_shape, plain=0.6),
    rule("it_vat", "ddddddddddd", "it_vat", national.it_vat),
    rule("it_id_card", "aadddddaa", "id"),
    rule("nl_bsn", "ddddddddd dddd.dd.ddd dddd_dd_ddd ddd_ddd_ddd dddddddd ddd.ddd.ddd", "bsn", national.nl_bsn),
    rule("be_national", "dd.dd.dd-ddd.dd dd.dd.dd-ddd-dd dd.dd.dd_ddd.dd", "be", national.be_national, plain=0.95),
    rule("be_national", "ddddddddddd dd_dd_dd_ddd_dd dddddd-ddd-dd", "be", national.be_national, plain=0.75),
    rule("pl_pesel", "ddddddddddd", "pesel", national.pl_pesel, plain=0.7),
    rule("pl_nip", "ddd-ddd-dd-dd ddd-dd-dd-ddd", "nip", national.pl_nip, plain=0.7),
    rule("pl_nip", "dddddddddd", "nip", national.pl_nip, alone=0),
    rule("pl_id_card", "aaadddddd", "id"),
    rule("pt_nif", "ddddddddd ddd_ddd_ddd", "pt_nif es_nif", national.pt_nif),
    rule("se_personnummer", "dddddd-dddd dddddddd-dddd dddddd+dddd", "se no", national.se_personnummer, plain=0.85),
    rule("se_personnummer", "dddddddddd dddddddddddd", "se", national.se_personnummer),
    rule("fi_hetu", "dddddd-ddda dddddd+ddda dddddd-dddd dddddd+dddd", "fi", national.fi_hetu, plain=0.9),
    rule("fi_hetu", "ddddddaddda ddddddadddd", "fi", national.fi_hetu, plain=0.9),
    rule("dk_cpr", "dddddd-dddd", "dk", national.dk_cpr, plain=0.55),
    rule("dk_cpr", "dddddddddd dddddd_dddd", "dk", national.dk_cpr, alone=0),
    rule("no_fodselsnummer", "ddddddddddd dddddd_ddddd", "no", national.no_fodselsnummer, plain=0.85),
    rule("cz_rodne_cislo", "dddddd/dddd dddddd/ddd", "cz", national.cz_rodne_cislo, plain=0.85),
    rule("cz_rodne_cislo", "dddddddddd ddddddddd", "cz", national.cz_rodne_cislo, alone=0),
    rule("ro_cnp", "ddddddddddddd", "ro", national.ro_cnp, plain=0.75),
    rule("bg_egn", "dddddddddd", "bg", national.bg_egn),
    rule("hr_oib", "ddddddddddd", "hr", national.hr_oib),
    rule("jmbg", "ddddddddddddd", "jmbg", national.yu_jmbg, plain=0.7),
    rule("ch_ahv", "ddd.dddd.dddd.dd ddd_dddd_dddd_dd ddddddddddddd", "ahv", national.ch_ahv, plain=0.9),
    rule("at_svnr", "dddd_dddddd dddd-dddddd dddd_dd_dd_dd", "at de_pension", national.at_svnr, plain=0.55),
    rule("at_svnr", "dddddddddd", "at de_pension", national.at_svnr),
    rule("ie_pps", "ddddddda dddddddaa", "pps", national.ie_pps, plain=0.55),
    rule("gr_afm", "ddddddddd", "afm", national.gr_afm),
    rule("gr_amka", "ddddddddddd", "amka", national.gr_amka, plain=0.6),
    rule("baltic_code", "ddddddddddd", "baltic", national.baltic_code, plain=0.7),
    rule("lv_code", "dddddd-ddddd", "baltic", national.lv_code, plain=0.55),
    rule("hu_taj", "ddddddddd ddd_ddd_ddd ddd-ddd-ddd", "taj", national.hu_taj, alone=0),
    rule("tr_tckn", "ddddddddddd", "tckn", national.tr_tckn, plain=0.85),
    rule("ru_snils", "ddd-ddd-ddd_dd ddd-ddd-ddd-dd", "snils", national.ru_snils, plain=0.95),
    rule("ru_snils", "ddddddddddd", "snils", national.ru_snils, alone=0),
    rule("ru_inn", "dddddddddddd", "inn", national.ru_inn, plain=0.7),
    rule("ua_rnokpp", "dddddddddd", "inn", national.ua_rnokpp, alone=0),
    rule("ru_passport", "dddd_dddddd dd_dd_dddddd", "passport"),
)

WORLD: Final = (
    rule("br_cpf", "ddd.ddd.ddd-dd ddd_ddd_ddd-dd ddd.ddd.ddd.dd", "cpf", national.br_cpf, plain=0.95),
    rule("br_cpf", "ddddddddddd", "cpf", national.br_cpf, plain=0.85),
    rule("br_cnpj", "dd.ddd.ddd/dddd-dd", "cnpj", national.br_cnpj, plain=0.95),
    rule("br_cnpj", "dddddddddddddd", "cnpj", national.br_cnpj, plain=0.8),
    rule("ar_cuit", "dd-dddddddd-d", "cuit", national.ar_cuit, plain=0.9),
    rule("ar_cuit", "ddddddddddd", "cuit", national.ar_cuit),
    rule("ar_dni", "dd.ddd.ddd dddddddd", "es_nif"),
    rule("cl_rut", "dd.ddd.ddd-d dd.ddd.ddd-a d.ddd.ddd-d d.ddd.ddd-a", "rut", national.cl_rut, plain=0.95),
    rule("cl_rut", "dddddddd-d dddddddd-a ddddddd-d ddddddd-a", "rut", national.cl_rut, plain=0.6),
    rule("cl_rut", "ddddddddd dddddddda", "rut", national.cl_rut, alone=0),
    rule("co_nit", "ddd.ddd.ddd-d ddddddddd-d", "cedula", national.co_nit, plain=0.7),
    rule("co_cedula", "d.ddd.ddd.ddd dd.ddd.ddd dddddddd dddddddddd", "cedula"),
    rule("au_tfn", "ddd_ddd_ddd ddd-ddd-ddd ddddddddd dddddddd", "tfn", national.au_tfn),
    rule("au_medicare", "dddd_ddddd_d dddd-ddddd-d", "medicare mbi", national.au_medicare, plain=0.8),
    rule("au_medicare", "dddddddddd ddddddddddd", "medicare mbi", national.au_medicare),
    rule("au_abn", "dd_ddd_ddd_ddd", "abn", national.au_abn, plain=0.8),
    rule("au_abn", "ddddddddddd", "abn", national.au_abn),
    rule("au_acn", "ddd_ddd_ddd ddddddddd", "acn", national.au_acn),
    rule("nz_ird", "ddd-ddd-ddd dd-ddd-ddd ddddddddd dddddddd", "ird", national.nz_ird),
    rule("in_aadhaar", "dddd_dddd_dddd dddd-dddd-dddd", "aadhaar", national.in_aadhaar, plain=0.8),
    rule("in_aadhaar", "dddddddddddd", "aadhaar", national.in_aadhaar),
    rule("in_pan", "aaaaadddda", "pan", national.in_pan, plain=0.8),
    rule("in_pan", "aaaaadddda", "pan", plain=0.5),
    rule("in_voter", "aaaddddddd", "voter"),
    rule(
        "cn_resident_id",
        "dddddddddddddddddd ddddddddddddddddda dddddd_dddddddd_dddd dddddd_dddddddd_ddda",
        "id",
        national.cn_resident_id,
        plain=0.95,
    ),
    rule("jp_my_number", "dddd_dddd_dddd dddd-dddd-dddd dddddddddddd", "jp", national.jp_my_number, alone=0),
    rule("kr_rrn", "dddddd-ddddddd", "kr", national.kr_rrn, plain=0.85),
    rule("kr_rrn", "ddddddddddddd", "kr", national.kr_rrn),
    rule("kr_frn", "dddddd-ddddddd", "kr", national.kr_frn, plain=0.8),
    rule("sg_fin", "addddddda", "sg", national.sg_fin, plain=0.95),
    rule("sg_fin", "addddddda", "sg", lambda number: number[0] in "STFGM", plain=0.55),
    rule("za_id", "ddddddddddddd dddddd_dddd_ddd dddddd_dddd_dd_d", "za", national.za_id, plain=0.7),
    rule("il_id", "ddddddddd dddddddd-d", "il id", national.il_id),
    rule("th_id", "d-dddd-ddddd-dd-d d_dddd_ddddd_dd_d", "id", national.th_id, plain=0.95),
    rule("th_id", "ddddddddddddd", "id", national.th_id),
    rule("tw_id", "addddddddd", "id", national.tw_id, plain=0.85),
    rule("hk_id", "adddddd(d) aadddddd(d) adddddd(a) aadddddd(a)", "id", national.hk_id, plain=0.9),
    rule("my_kad", "dddddd-dd-dddd", "id", national.dated_id, plain=0.7),
    rule("id_nik", "dddddddddddddddd", "id", national.id_nik, alone=0),
    rule("kz_iin", "dddddddddddd", "id", national.dated_id, alone=0),
    rule("pk_cnic", "ddddd-ddddddd-d", "id", plain=0.7),
    rule("ae_emirates_id", "ddd-dddd-ddddddd-d", "id", lambda number: number.startswith("784"), plain=0.85),
    rule("id_number", f"{_runs(7, 15)} dd.ddd.ddd d.ddd.ddd.ddd", "id"),
)

# Passports have no public check digit: by form alone they are found only as the whole text.
PASSPORTS: Final = (
    rule("us_passport", "ddddddddd adddddddd", check=lambda number: not numbers.uniform(number[1:]), alone=0.55),
    rule("uk_passport", "aaddddddd", alone=0.55),
    rule("in_passport", "addddddd", check=_in_passport, alone=0.55),
    rule("de_passport", "addaddadd adaddaddd addddaddd addaddddd adddddadd", check=_de_passport, alone=0.55),
)

RULES: Final[tuple[NumberRule, ...]] = (*PAYMENT, *NORTH_AMERICA, *EUROPE, *WORLD, *PASSPORTS)
