"""Recognises a number's topic by the words beside it, in many languages.

A number without a check digit is only found if its topic is named near it. The nearer word wins, and words of trade and
engineering (`NOT_A_PERSON`) mean that a number is something else. Numbers of documents have as many forms as there are
offices: they are only found if the document is named.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from attrs import Factory, define

from sanitization.late import Late

BEFORE: Final = 64
"""Code points before a number that are searched for words."""
AFTER: Final = 40
"""Code points after a number that are searched for `is my …`."""

NOT_A_PERSON: Final = "not"

# One or two words each, in lower case; `_` stands for a blank. Compounds are listed as written.
WORDS_BY_TOPIC: Final[Mapping[str, str]] = {
    NOT_A_PERSON: (
        "order orders invoice tracking parcel shipment ticket issue pull commit version release build revision rev "
        "sku model serial isbn issn doi port timestamp epoch unix ref reference transaction txn batch quote coupon "
        "voucher hash checksum md5 sha crc uuid guid error row rows item items article product catalog catalogue "
        "barcode ean upc asin lot bestellung bestellnummer rechnung rechnungsnummer auftrag auftragsnummer "
        "sendungsnummer artikelnummer artikel commande facture pedido factura fattura ordine bestelling factuur "
        "price cost total sum bytes size offset range zip part_number part_no part_nr case_number case_no"
    ),
    "phone": (
        "phone phones telephone tel telefon telefono telefone téléphone teléfono telefoon telefonnummer phonenumber "
        "telephonenumber mobile mobil mobiel mobilnummer mobilephone cell cellphone celular cellulare handy "
        "handynummer whatsapp signal telegram viber sms text call calls calling called ring dial fax contact hotline "
        "helpline landline festnetz rufnummer durchwahl erreichbar erreichen anrufen appelez appeler llama llamar "
        "llámame ligue ligar chiama chiamare bel bellen movil móvil fijo tlf tfno gsm voicemail pager puhelin "
        "telefonszám telefonní telefonu τηλέφωνο телефон тел мобильный mob ph msisdn reach my_number his_number "
        "her_number our_number your_number their_number meine_nummer mon_numéro mi_número meu_número mio_numero "
        "мой_номер"
    ),
    "number": "number numbers nummer numéro número numero numer номер",
    "card": (
        "card cards creditcard credit debit visa mastercard amex maestro pan cc kreditkarte karte carte tarjeta "
        "cartão carta kaart karta карта uatp"
    ),
    "ssn": "ssn ssns socialsecurity itin taxpayer social_security soc_sec security_number tax_id",
    "ein": "ein fein employer_identification tax_id employer_id taxpayer_id",
    "mbi": "mbi medicare beneficiary_identifier",
    "dea": "dea prescriber",
    "npi": "npi national_provider",
    "routing": "routing aba rtn transit",
    "account": (
        "acct iban kontonummer konto compte cuenta conta conto rekening rekeningnummer bankkonto account_number "
        "account_no bank_account checking_account savings_account account_nr a_c"
    ),
    "sort": "sortcode sort_code",
    "nhs": "nhs health_service",
    "nino": "nino ni national_insurance insurance_number",
    "utr": "utr unique_taxpayer",
    "de_tax": (
        "steuer steuernummer idnr tin steueridentifikationsnummer steuerid identifikationsnummer tax_id steuer_id"
    ),
    "de_pension": "rentenversicherungsnummer sozialversicherungsnummer rvnr svnr rentenversicherung",
    "insee": "insee nir sécu sécurité vitale",
    "es_nif": "dni nif nie",
    "es_social": "naf nuss seguridad",
    "it_vat": "iva partita vat",
    "bsn": "bsn burgerservicenummer sofinummer sofi",
    "be": "rijksregister rijksregisternummer insz niss nn registre",
    "pesel": "pesel",
    "nip": "nip",
    "pt_nif": "nif contribuinte nipc",
    "se": "personnummer samordningsnummer personal",
    "fi": "hetu henkilötunnus sotu",
    "dk": "cpr personnummer",
    "no": "fødselsnummer fodselsnummer personnummer fnr",
    "cz": "rodné rodne rodného rč",
    "ro": "cnp",
    "bg": "egn егн",
    "hr": "oib",
    "jmbg": "jmbg emšo emso jmb matični",
    "ahv": "ahv avs ahvn sozialversicherungsnummer navs",
    "at": "svnr sozialversicherungsnummer sv sozialversicherung",
    "pps": "pps ppsn",
    "afm": "afm αφμ",
    "amka": "amka αμκα",
    "baltic": "isikukood asmens ak ik kodas kods personas",
    "taj": "taj",
    "tckn": "tckn tc kimlik",
    "snils": "snils снилс",
    "inn": "inn инн рнокпп іпн",
    "sin": "sin nas social_insurance insurance_number",
    "rfc": "rfc curp",
    "cpf": "cpf",
    "cnpj": "cnpj",
    "cuit": "cuit cuil",
    "rut": "rut run",
    "cedula": "cédula cedula nit c_c",
    "tfn": "tfn file_number tax_file",
    "medicare": "medicare",
    "abn": "abn business_number",
    "acn": "acn company_number",
    "ird": "ird",
    "aadhaar": "aadhaar aadhar adhaar uidai uid",
    "pan": "pan permanent_account",
    "voter": "voter epic",
    "jp": "mynumber my_number individual_number",
    "kr": "rrn frn resident_registration",
    "sg": "nric fin",
    "za": "rsa south_african",
    "il": "teudat zehut",
    "dob": "dob",
    "passport": (
        "passport passports reisepass reisepassnummer passeport pasaporte passaporto passaporte paspoort paszport "
        "pass passnummer pas pasnummer passi pasaportu паспорт паспорта travel_document document_number document_is"
    ),
    "licence": (
        "licence license driver drivers driving dl dln führerschein führerscheinnummer permis rijbewijs patente "
        "carnet licencia körkort kørekort førerkort ajokortti"
    ),
    "id": (
        "identity identification ausweis ausweisnummer personalausweis personalausweisnummer identité identidad "
        "identiteit identità cni tin nin nik ktp mykad nric cccd cmnd iin iqama emirates citizen national_id "
        "id_number id_card id_no identity_card tax_number tax_id taxpayer_number"
    ),
    "medical": (
        "mrn patient patients patientid chart patientennummer krankenversichertennummer versichertennummer "
        "medical_record health_record hospital_number health_card health_insurance member_id"
    ),
    "vin": "vin chassis fahrgestellnummer fahrzeugidentifikationsnummer fin bastidor telaio vehicle_identification",
}
# Words of scripts that set no blanks between them.
_UNSPACED_BY_TOPIC: Final[Mapping[str, str]] = {
    "phone": "电话 電話 手机 手機 携帯 热线 联系 전화 휴대 연락처 هاتف اتصل جوال טלפון נייד फ़ोन फोन मोबाइल โทร",
    "number": "号码 番号",
    "card": "银行卡 信用卡 カード",
    "id": "身份证 身份證",
    "jp": "マイナンバー 個人番号",
    "kr": "주민등록 외국인등록",
    "passport": "护照 護照 旅券 パスポート 여권",
    "aadhaar": "आधार",
    "licence": "驾驶证 免許",
    NOT_A_PERSON: "订单 注文 주문",
}
_UNSPACED: Final = {word: topic for topic, words in _UNSPACED_BY_TOPIC.items() for word in words.split()}


def _by_word() -> dict[str, tuple[str, ...]]:
    topics: dict[str, tuple[str, ...]] = {}
    for topic, listing in WORDS_BY_TOPIC.items():
        for word in listing.split():
            spaced = word.replace("_", " ")
            topics[spaced] = (*topics.get(spaced, ()), topic)
    return topics


_TOPICS: Final = _by_word()
_SECONDS: Final = frozenset(name.partition(" ")[2] for name in _TOPICS if " " in name)
_WORD: Final = Late(r"[^\W\d_]+")
_OTHERS: Final = Late("|".join(_UNSPACED))
_LETTER: Final = Late(r"[^\W\d_]")
_IS: Final = Late(r"[ ,]{1,2}(?:is|was) (?:my|his|her|their|your|our|the|a|an) ")
_ENDS: Final = Late(r"[\n.]")
IS_PENDING: Final = Late(
    r"(?<![A-Za-z0-9])(?=[A-Za-z-]{0,7}[0-9])[A-Za-z0-9-]{6,24}[ ,]{1,2}(?:i|w|(?:is|was)(?: [a-z]{0,5}|"
    rf" (?:my|his|her|their|your|our|the|a|an) [^\n.]{{0,{AFTER}}})?)?\Z"
)
"""A number at the end of a text whose topic may still follow."""


BESIDE: Final = 500
"""Lowest rank of a topic that was named by `is my …`."""
WORDS: Final = "."
"""The entry that counts the words before a number."""


NOTHING: Final[Mapping[str, int]] = MappingProxyType({})
"""No topic."""


class _Word(NamedTuple):
    """A word that names topics, by itself or with the one before it."""

    start: int
    number: int
    before: int  # where the word before it begins
    topics: Sequence[str]
    together: Sequence[str]
    of_orders: bool  # whether the word before it means that it is no person's


@define
class NamedTopics:
    """The topics that a text names for the numbers in it. Every word is read once, and only near numbers."""

    _text: str
    _letter_from: int = 0
    _letter: int = -1  # place of the first letter at `_letter_from` or later
    _low: int = 0  # bounds of the part read so far
    _upto: int = 0
    _starts: list[int] = Factory(list)  # of the words in it
    _named: list[_Word] = Factory(list)
    _previous: str = ""

    def none_before(self, start: int) -> bool:
        """Return whether there is no letter near before `start`."""
        low = start - BEFORE if start > BEFORE else 0
        if low > self._letter or low < self._letter_from:
            match = _LETTER.search(self._text, low)
            self._letter_from, self._letter = low, match.start() if match else len(self._text)
        return self._letter >= start

    def near(self, start: int, end: int) -> Mapping[str, int]:
        """Return the topics named before `start` or, by `is my …`, after `end`; the nearer, the higher the number."""
        text = self._text
        near: dict[str, int] = {}
        words = 0 if self.none_before(start) else self._before(near, start)
        after = _IS.match(text, end)
        if after:
            # Text still to come must not change the topics: the sentence and the line end them, and a word at the far
            # end, which may be cut, counts only if its end is visible.
            window, *ended = _ENDS.split(text[after.end() : end + AFTER], maxsplit=1)
            following = NamedTopics(window if ended or len(text) >= end + AFTER else window.rpartition(" ")[0])
            after_near: dict[str, int] = {}
            following._before(after_near, len(following._text), BESIDE - 1)
            after_near.pop(NOT_A_PERSON, None)
            near |= after_near
        if near:
            near[WORDS] = words
        return near

    def _before(self, near: dict[str, int], start: int, place: int = 0) -> int:
        """Add the topics named before `start`, numbered from `place` on; return the number of the next word.

        Each word is read once, however many numbers follow it.
        """
        text, low = self._text, max(0, start - BEFORE)
        if low < self._low or low > self._upto:
            self._starts, self._named, self._previous = [], [], ""
            cut = _WORD.match(text, low) if low and _LETTER.match(text, low - 1) else None
            self._low, self._upto = low, cut.end() if cut else low
        starts, before = self._starts, self._starts[-1] if self._starts else -1
        while self._upto < start:
            found = _WORD.search(text, self._upto)
            if not found or found.start() >= start:
                self._upto = found.start() if found else len(text)
                break
            word, at = found[0].lower(), found.start()
            topics = _TOPICS.get(word, ())
            together = _TOPICS.get(f"{self._previous} {word}", ()) if word in _SECONDS else ()
            if topics or together:
                of_orders = NOT_A_PERSON in _TOPICS.get(self._previous, ())
                self._named.append(_Word(at, len(starts), before, topics, together, of_orders))
            starts.append(at)
            before, self._previous, self._upto = at, word, found.end()
        first, last = bisect_left(self._starts, low), bisect_left(self._starts, start)
        for named in reversed(self._named):
            if named.start < low:
                break
            if named.start >= start:
                continue
            at = place + named.number - first + 1
            if named.before >= low:
                for topic in named.together:
                    near.setdefault(topic, at)
            of_orders = named.of_orders and named.before >= low
            for topic in named.topics:
                near.setdefault(NOT_A_PERSON if of_orders and topic == "number" else topic, at)
        next_one = place + last - first + 1
        if not self._text.isascii():
            for match in _OTHERS.finditer(self._text, low, start):
                near[_UNSPACED[match[0]]] = next_one
        return next_one


def counts(near: Mapping[str, int], *names: str) -> bool:
    """Return whether one of these topics is named, and no nearer word means that the number is something else."""
    refused = near.get(NOT_A_PERSON, 0)
    return any(near.get(name, 0) > refused for name in names)


DOCUMENT: Final = Late(r"(?=(?:[A-Za-z-]{0,8}[0-9]){3})[A-Za-z0-9]{1,20}(?:-[A-Za-z0-9]{1,12}){0,4}(?![A-Za-z0-9_@-])")
"""A word of letters and digits that may be the number of a document."""

NEAR: Final = 6  # words between a document's name and its number
_DATE: Final = Late(
    r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}|[0-9]{1,2}-[0-9]{1,2}-[0-9]{4}|(?:19|20)[0-9]{2}-(?:0[1-9]|1[0-2])"
)

# Contains a number: six digits, or a word with four among its letters.
_ROW: Final = Late(r"[0-9](?:-?[0-9]){5}")
_TOKEN: Final = Late(r"(?<![A-Za-z0-9])(?=[A-Za-z]{0,8}(?:[0-9][A-Za-z]{0,8}){4})[A-Za-z0-9]{6}")

# Least and largest count of letters and digits of a number.
_SIZES: Final[Mapping[str, tuple[str, int, int]]] = {
    "passport": ("passport", 6, 10),
    "licence": ("driving_licence", 6, 20),
    "medical": ("medical_record", 6, 16),
    "vin": ("vehicle_id", 17, 17),
    "id": ("id_number", 7, 18),
}


# A code of a person's documents, if it is the whole text: voters' cards, licences, plates, passports.
_CODE: Final = Late(r"(?=[A-Za-z]|[A-Za-z0-9]{7,8}[A-Za-z]{2}\Z)(?=(?:[A-Za-z]{0,6}[0-9]){4})[A-Za-z0-9]{9,10}")


def is_code(word: str) -> bool:
    """Return whether a word of letters and digits may be the number of a person's document without a topic."""
    return _CODE.fullmatch(word) is not None


def document_kind(number: str, near: Mapping[str, int]) -> str | None:
    """Return the kind of a number by the nearest named document, or None if it cannot be such a number."""
    topic = max(_SIZES, key=lambda name: near.get(name, 0))
    place = near.get(topic, 0)
    if not counts(near, topic) or (place < BESIDE and near.get(WORDS, 0) - place > NEAR):
        return None
    kind, least, most = _SIZES[topic]
    fits = least <= len(number.replace("-", "")) <= most and (_ROW.search(number) or _TOKEN.search(number))
    return kind if fits and not _DATE.fullmatch(number) else None
