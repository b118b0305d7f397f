"""What is found plain is found in every carrier, whole and in pieces; what is harmless stays as it is in each."""

import random
import sys
from collections.abc import Iterable
from functools import cache
from urllib.parse import quote, quote_plus

import pytest

from sanitization import STRICT, Sanitizer
from sanitization.detectors.pii.detector import KINDS
from sanitization.detectors.secrets.detector import Secrets
from tests.rigs.sanitizer_samples import body, join
from tests.sanitization.carriers import ENCODED, PRINTED, SPELLED, WRITTEN

SANITIZER = Sanitizer(STRICT)
SECRETS = {kind.name: kind.example for kind in Secrets.kinds}
PERSONAL = {kind.name: kind.example for kind in KINDS}
ALONE = {"pii.de_passport", "pii.in_passport", "pii.uk_passport", "pii.us_passport", "secret.column"}
"""Kinds that are found as the only thing that a text says, so in no carrier; a table is read where its lines begin."""
NOT_WRITTEN = {
    *((kind, "entities") for kind in ("secret.google.chat_webhook", "secret.microsoft.workflow_url")),
    *((kind, "entities") for kind in ("secret.sql", "secret.jwk")),
    *(("pii.co_cedula", each) for each in ("json", "json in json")),
    ("secret.sql", "shell"),
}
"""Values whose own quotes or ampersands, and a label whose accent, are encoded: less than all is found, or nothing."""
NOT_SPELLED = {
    ("pii.crypto_wallet", "full-width digits"), ("pii.crypto_wallet", "Arabic-Indic digits"),
    ("pii.crypto_wallet", "Persian digits"), ("pii.fr_nir", "full-width digits"), ("pii.co_cedula", "decomposed"),
}  # fmt: skip
"""Letters between digits of another width, and a label whose accent decides."""
PLACES = 16
"""Places at which a text is cut for a stream."""
NOT_CODED = ALONE | {"pii.cz_rodne_cislo", "pii.in_aadhaar", "pii.uk_nino"}
"""Numbers that are not found behind the name of a parameter, `q=`, also without codes."""
NOT_LISTED = {("pii.mac_address", "grep -n")}
"""The colons of the carrier look like those of the address."""


@cache
def values(text: str) -> tuple[str, ...]:
    """Return the parts of a text that are removed if it stands alone."""
    return tuple(text[finding.start : finding.end] for finding in SANITIZER.sanitize(text).findings)


def streamed(text: str, cut: int) -> str:
    stream = SANITIZER.stream()
    return stream.feed(text[:cut]) + stream.feed(text[cut:]) + stream.flush()


@pytest.fixture(autouse=True)
def _cut_everywhere(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.config.getoption("--proof"):
        monkeypatch.setattr(sys.modules[__name__], "PLACES", 400)


def cuts(text: str) -> list[int]:
    places = range(1, len(text))
    return sorted(random.Random(text[:9]).sample(places, min(len(places), PLACES)))


def check(text: str, hidden: tuple[str, ...]) -> None:
    """Check that nothing of what is to be hidden is left, and that streams agree."""
    whole = SANITIZER.sanitize(text).text
    for each in hidden:
        assert each[-12:] not in whole, whole
    for cut in cuts(text):
        assert streamed(text, cut) == whole, cut


def pairs(kinds: dict[str, str], carriers: Iterable[str], without: set[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(kind, each) for kind in kinds if kind not in ALONE for each in carriers if (kind, each) not in without]


@pytest.mark.parametrize(("kind", "carrier"), pairs(SECRETS | PERSONAL, PRINTED, NOT_LISTED))
def test_behind_a_prefix(kind: str, carrier: str) -> None:
    text = (SECRETS | PERSONAL)[kind]
    check(PRINTED[carrier](f"first line\n{text}\nlast line"), values(text))


@pytest.mark.parametrize(("kind", "carrier"), pairs(SECRETS | PERSONAL, WRITTEN, NOT_WRITTEN))
def test_as_a_value(kind: str, carrier: str) -> None:
    text = (SECRETS | PERSONAL)[kind]
    check(WRITTEN[carrier](text), values(text))


@pytest.mark.parametrize(("kind", "carrier"), pairs(PERSONAL, SPELLED, NOT_SPELLED))
def test_in_other_characters(kind: str, carrier: str) -> None:
    """Only what has other characters there; the digits of a secret are those of ASCII."""
    text, spell = PERSONAL[kind], SPELLED[carrier]
    check(spell(text), tuple(spell(each) for each in values(text)))


@pytest.mark.parametrize("kind", [kind for kind in SECRETS | PERSONAL if kind not in NOT_CODED])
def test_in_percent_codes(kind: str) -> None:
    """What has a sign with a code, in the query of an address and, with `+` for blanks, in a form."""
    text = (SECRETS | PERSONAL)[kind]
    for coded in (quote(text, safe=""), quote_plus(text)):
        if "%" in coded:
            hidden = tuple(quote_plus(each) if "+" in coded else quote(each, safe="") for each in values(text))
            check(f"GET /seen?x=1&q={coded}&y=2 HTTP/1.1", hidden)


@pytest.mark.parametrize("carrier", ENCODED)
@pytest.mark.parametrize("address", ["bob.smith@example.com", "jo+news@mail.example.co.uk"])
def test_mail_addresses_in_codes(address: str, carrier: str) -> None:
    check(f"to {ENCODED[carrier](address)} today", ("smith", "news", "example.co"))


def test_a_decomposed_name_is_part_of_its_address() -> None:
    check("to rene\u0301@example.com", ("rene", "\u0301"))


DASHES = "-" * 5
WIDTHS = {"RSA PRIVATE KEY": 64, "OPENSSH PRIVATE KEY": 70, "PRIVATE KEY": 64, "PGP PRIVATE KEY BLOCK": 64}


def key(label: str, lines: int = 9, fields: tuple[str, ...] = (), last: int = 22) -> str:
    inner = [body(WIDTHS[label], seed=number) for number in range(lines)] + [body(last, seed=99) + "=="]
    return "\n".join([f"{DASHES}BEGIN {label}{DASHES}", *fields, *inner, f"{DASHES}END {label}{DASHES}"])


KEYS = {
    "rsa": key("RSA PRIVATE KEY"),
    "encrypted": key("RSA PRIVATE KEY", fields=("Proc-Type: 4,ENCRYPTED", "DEK-Info: AES-128-CBC,0011AABB", "")),
    "openssh": key("OPENSSH PRIVATE KEY", last=4),
    "openpgp": key("PGP PRIVATE KEY BLOCK", fields=("Version: GnuPG v2", "")).replace("==\n", "==\n=aB3x\n"),
    "cut off": key("PRIVATE KEY").rpartition("\n")[0].rpartition("\n")[0],
    "putty": "\n".join(["Private-Lines: 3", *(body(64, seed=number) for number in range(3)), "Private-MAC: 00aabbcc"]),
}


@pytest.mark.parametrize("carrier", PRINTED | WRITTEN)
@pytest.mark.parametrize("name", KEYS)
def test_private_keys(name: str, carrier: str) -> None:
    """No line of one is left, and what stands around it is."""
    text = (PRINTED | WRITTEN)[carrier](f"first words\n{KEYS[name]}\nlast words here")
    check(text, tuple(line for line in KEYS[name].split("\n") if len(line) in (64, 70)))
    whole = SANITIZER.sanitize(text).text
    assert "first words" in whole
    assert "last words here" in whole


def test_what_is_no_key_is_not_taken_for_one() -> None:
    """A head in prose, and numbered lines after it that are no base64."""
    head = f"{DASHES}BEGIN RSA PRIVATE KEY{DASHES}"
    for text in (f"1: {head}\n2: and so on, until the end\n3: of it", f"A file begins with {head}. Nothing follows."):
        assert SANITIZER.sanitize(text).text == text


PASSWORD = join("kR7!", "Wm3xQz9")
DECLARED = r"""
let password: &str = "$";
let password: &'static str = "$";
let mut password = String::from("$");
let password: Option<String> = Some("$".into());
var password string = "$"
password := "$"
const password: string | null = "$";
const password:string="$";
val password: String? = "$"
val password = Some("$")
password: str = "$"
password: str | None = "$"
password: Optional[str] = Field(default="$")
char password[] = "$";
char password[32] = "$";
std::string password{"$"};
std::string password("$");
private final String password = new String("$");
public string Password { get; set; } = "$";
let password: String = "$"
$password = '$';
'password' => env('DB_PASSWORD', '$'),
Config { user: "a", password: Some("$"), port: 1 }
password = Just "$"
password=Optional[$]
password: Optional("$")
"Password":{"String":"$","Valid":true}
password=SecretString("$")
password: |\n  $
password: >-\n  $
PASSWORD=$(cat <<EOF\n$\nEOF\n)
password = QQQ\n$QQQ
password = QQQ$QQQ
name="password"\r\n\r\n$\r\n--x
name="password"\r\nContent-Type: text/plain\r\n\r\n$\r\n--x
<input name="password" value="$">
password = &quot;$&quot;
"""


@pytest.mark.parametrize("carrier", ["plain", *PRINTED])
@pytest.mark.parametrize("form", [line for line in DECLARED.strip().split("\n") if line])
def test_declared_printed_and_sent(form: str, carrier: str) -> None:
    """A value with a type, in the form in which a language prints it, on the next line, or as a part of a form."""
    text = form.replace("QQQ", 3 * '"').replace("\\n", "\n").replace("\\r", "\r").replace("$", "\0")
    text = text.replace("\0", PASSWORD) if form.count("$") == 1 else _last_replaced(text)
    check((PRINTED | {"plain": str})[carrier](f"before\n{text}\nafter"), (PASSWORD,))


def _last_replaced(text: str) -> str:
    """Put the password where the last mark is that stands alone; the others are of the language."""
    place = text.rindex("\0")
    return text[:place].replace("\0", "$") + PASSWORD + text[place + 1 :]


@pytest.mark.parametrize(
    "text",
    [
        r'{"password": "kR7\"Wm3xQz9"}',
        r'{"text": "{\"password\": \"kR7!a\\\"Wm3xQz9\"}"}',
        r'export PASSWORD="kR7\"Wm3xQz9"',
        r"export PASSWORD='kR7'\''Wm3xQz9'",
        "password: 'kR7''Wm3xQz9'",
        "SET PASSWORD = 'kR7''Wm3xQz9'",
    ],
)
def test_escaped_quotes_do_not_end_a_value(text: str) -> None:
    check(f"{text}\nnext", ("kR7", "Wm3xQz9"))
    assert "next" in SANITIZER.sanitize(f"{text}\nnext").text


@pytest.mark.parametrize("password", ["Tr0ub4dor&Wq7z", "Tr0ub4dor<Wq7z", 'Tr0ub4dor"Wq7z', "Tr0ub4dor'Wq7z"])
@pytest.mark.parametrize("form", ["password='$'", '{"password": "$"}', "password: $"])
def test_entities_in_a_value(form: str, password: str) -> None:
    """A page shows a file; a value ends with its own quote, and without one where the sign itself would end it."""
    signs = set("<'\"")
    if set(password) & signs & (signs if form.endswith("$") else set(form)):
        password = "Tr0ub4dor&" + "Wq7z"
    check(WRITTEN["entities"](form.replace("$", password) + "\nand more"), ("Tr0ub", "Wq7z"))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (f"postgres://alice:{join('kR7/', 'Wm3xQz9')}@host/db", "secret.connection_string"),
        (f"mysql://root:{join('a/b/', 'c9Qz')}@10.0.0.1:3306/x", "secret.connection_string"),
        (f"sqlplus scott/{join('kR7', 'Wm3xQz9')}@orcl", "secret.oracle"),
        (f"jdbc:oracle:thin:scott/{join('kR7', 'Wm3xQz9')}@//db.example.org:1521/X", "secret.oracle"),
        (f"ALTER USER scott IDENTIFIED BY {join('kR7', 'Wm3xQz9')};", "secret.sql"),
        (f"create user 'b'@'%' identified with caching_sha2_password by '{PASSWORD}';", "secret.sql"),
        ("S: 334 UGFzc3dvcmQ6\r\nC: " + join("a1I3IVdt", "M3hRejk="), "secret.sasl"),
        ("C: a1 AUTHENTICATE PLAIN\nS: +\nC: " + join("AGJvYgBr", "UjchV20zeFF6OQ=="), "secret.sasl"),
        ("It speaks PLAIN\nAUTH PLAIN " + join("AGJvYgBr", "UjchV20zeFF6OQ=="), "secret.sasl"),
        ('{"kty":"EC","crv":"P-256","d":"' + body(43) + '"}', "secret.jwk"),
        (r'{"jwk": "{\"kty\":\"oct\",\"k\":\"' + body(22) + r'\"}"}', "secret.jwk"),
    ],
)
def test_credentials_without_a_name(text: str, kind: str) -> None:
    assert kind in {finding.kind for finding in SANITIZER.sanitize(text).findings}
    for cut in range(1, len(text)):
        assert streamed(text, cut) == SANITIZER.sanitize(text).text


HARMLESS = (
    "tokenizer: cl100k_base",
    "secretary: Anna4Bee22",
    "The password policy asks for twelve characters.",
    "uses: actions/setup-node20@v4",
    "see https://host.example.org:8080/docs/page2@latest for more",
    "const password: string | null = null;",
    "password: Option<String>,",
    'password = getpass("Your password, please: ")',
    "The accounts were identified by the auditors in 2024.",
    "AUTH PLAIN is switched off.",
    '{"k": "green", "d": "2024-11-25", "p": 3}',
    "commit 3f2a9c1d7e at 10:20:30",
    "password: |",
)


@pytest.mark.parametrize("carrier", ["plain", *PRINTED, *WRITTEN])
@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_harmless_stays(text: str, carrier: str) -> None:
    carried = (PRINTED | WRITTEN | {"plain": str})[carrier](f"{text}\nand more")
    removed = [
        finding for finding in SANITIZER.sanitize(carried).findings if finding.kind.startswith(("secret", "pii"))
    ]
    assert not removed
