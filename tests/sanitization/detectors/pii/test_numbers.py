"""Check digits, by the specimens that the issuers or the standards publish, and by every slip of one digit."""

import pytest

from sanitization.detectors.pii import national as national
from sanitization.detectors.pii import numbers as numbers

# The function, a specimen, and whether any single digit that is changed must be noticed.
SPECIMENS = [
    (numbers.luhn, "79927398713", True),
    (numbers.verhoeff, "2363", True),
    (numbers.mod_11_10, "07945", True),
    (numbers.mod_97_10, "3214282912345698765432161182", True),
    (numbers.iban, "GB82WEST12345698765432", False),
    (numbers.card, "4111111111111111", False),
    (numbers.card, "378282246310005", False),
    (numbers.card, "6011111111111117", False),
    (numbers.card, "30569309025904", False),
    (numbers.aba_routing, "021000021", False),
    (national.uk_nhs, "9434765919", True),
    (national.uk_nino, "AB123456C", False),
    (national.de_tax_id, "86095742719", False),
    (national.de_pension, "15070649C103", False),
    (national.de_card, "T220001293", False),
    (national.fr_nir, "255081416802538", False),
    (national.es_nif, "12345678Z", False),
    (national.es_nif, "X1234567L", False),
    (national.it_fiscal_code, "RSSMRA85T10A562S", False),
    (national.it_vat, "12345670785", False),
    (national.nl_bsn, "111222333", True),
    (national.be_national, "85073003328", False),
    (national.pl_pesel, "44051401458", False),
    (national.pl_nip, "1234563218", False),
    (national.pt_nif, "123456789", False),
    (national.se_personnummer, "8112289874", False),
    (national.fi_hetu, "131052308T", False),
    (national.dk_cpr, "0707614285", False),
    (national.no_fodselsnummer, "01010750160", False),
    (national.cz_rodne_cislo, "7103192745", False),
    (national.ro_cnp, "1800101221144", False),
    (national.bg_egn, "7523169263", False),
    (national.hr_oib, "33392005961", True),
    (national.yu_jmbg, "0101006500006", False),
    (national.ch_ahv, "7569217076985", False),
    (national.at_svnr, "1237010180", False),
    (national.ie_pps, "1234567T", False),
    (national.ie_pps, "1234567FA", False),
    (national.gr_afm, "090000045", False),
    (national.baltic_code, "37605030299", False),
    (national.hu_taj, "111111110", False),
    (national.tr_tckn, "10000000146", False),
    (national.ru_snils, "11223344595", True),
    (national.ru_inn, "500100732259", False),
    (national.ua_rnokpp, "3184710691", False),
    (national.us_ssn, "536228726", False),
    (national.us_itin, "911701234", False),
    (national.us_mbi, "1EG4TE5MK73", False),
    (national.us_dea, "AB1234563", False),
    (national.us_npi, "1234567893", True),
    (national.ca_sin, "130692544", False),
    (national.mx_curp, "HEGG560427MVZRRL04", False),
    (national.br_cpf, "52998224725", False),
    (national.br_cnpj, "11222333000181", False),
    (national.ar_cuit, "20123456786", False),
    (national.cl_rut, "123456785", True),
    (national.co_nit, "8001972684", False),
    (national.au_tfn, "876543210", True),
    (national.au_medicare, "2123456701", False),
    (national.au_abn, "51824753556", True),
    (national.au_acn, "004085616", False),
    (national.nz_ird, "49091850", False),
    (national.in_aadhaar, "312345678909", True),
    (national.cn_resident_id, "11010519491231002X", False),
    (national.jp_my_number, "123456789018", False),
    (national.sg_fin, "S1234567D", False),
    (national.sg_fin, "G1234567X", False),
    (national.za_id, "8001015009087", False),
    (national.il_id, "123456782", True),
    (national.th_id, "1101700203450", False),
    (national.tw_id, "A123456789", False),
    (national.hk_id, "A1234563", False),
    (national.hk_id, "AB9876543", False),
]


@pytest.mark.parametrize(
    ("check", "number", "every"), SPECIMENS, ids=lambda value: getattr(value, "__name__", str(value))
)
def test_a_specimen_holds_and_slips_do_not(check, number: str, every: bool) -> None:  # type: ignore[no-untyped-def]
    """The specimen holds; of all numbers one digit away from it, none does, or at most a quarter."""
    assert check(number)
    slips = [
        number[:place] + digit + number[place + 1 :]
        for place, old in enumerate(number)
        if old.isdigit()
        for digit in "0123456789"
        if digit != old
    ]
    holding = [slip for slip in slips if check(slip)]
    if every:
        assert holding == []
    elif check not in LOOSE:
        assert len(holding) <= len(slips) / 4


LOOSE = {national.uk_nino, national.dk_cpr, national.de_card, national.us_ssn, national.us_itin, national.us_mbi}
"""Without a check digit, or with one that only some forms have."""


def test_bitcoin_addresses() -> None:
    """The address of the first block, BIP 173's and BIP 350's samples, and each with a slip."""
    for address in ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy"):
        assert numbers.base58_check(address)
        assert not numbers.base58_check(address[:-1] + "b")
        assert not numbers.base58_check(address[:5] + "0" + address[6:])
        assert not numbers.base58_check(f"1{address}")
    for address in (
        "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
        "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4",
        "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
    ):
        assert numbers.bech32(address)
        assert not numbers.bech32(address[:-1] + ("p" if address[-1] != "p" else "q"))
    assert not numbers.bech32("bc1qW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4")
    assert not numbers.bech32("bc1b")
    assert not numbers.bech32("nothing")


@pytest.mark.parametrize(
    "number", ["000000000000000", "4111111111111112", "9111111111111111", "41111111", "378282246310006"]
)
def test_no_card(number: str) -> None:
    """Wrong digit, unknown issuer, wrong length."""
    assert not numbers.card(number)


def test_iban_lengths() -> None:
    """The check digits alone do not make an IBAN."""
    assert not numbers.iban("GB82WEST1234569876543")
    assert not numbers.iban("XX82WEST12345698765432")
    assert not numbers.iban("DE82WEST12345698765432")


def test_dates_within_numbers() -> None:
    """A day that the month does not have is refused."""
    assert national.day_and_month("29", "02")
    assert not national.day_and_month("30", "02")
    assert not national.day_and_month("31", "04")
    assert not national.day_and_month("00", "01")
    assert not national.day_and_month("01", "13")
    assert not national.kr_rrn("0013321234567")
    assert not national.kr_rrn("9601215234567")
    assert national.kr_frn("9601215234567")
    assert not national.dk_cpr("3502614285")
