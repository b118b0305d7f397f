"""Keys, tokens and passwords are found exactly; what only looks like one stays."""

import random
import string
import time
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanitization import Category, Scrubber
from sanitization.detectors import Secrets
from sanitization.detectors.secret_rules import TOKENS
from sanitization.detectors.secret_values import bits, is_placeholder
from tests.sanitization.samples import PASSWORD, PRIVATE_KEY, SECRETS, body, join

FRAMES = ["{}", "use {} now", '{{"value": "{}"}}', "({})", "x={}\n", "中文{}中文", "`{}`", "<{}>", "/{}", "?q={}&a=1"]


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("kind", SECRETS)
def test_a_token_is_found_exactly(kind: str, frame: str) -> None:
    """Whatever stands around it, the token and nothing else is replaced."""
    secret = SECRETS[kind]
    text = frame.format(secret)
    scrubbed = Scrubber().scrub(text)
    assert scrubbed.text == frame.format("[redacted]")
    (finding,) = scrubbed.findings
    assert (finding.kind, finding.category) == (kind, Category.SECRET)
    assert text[finding.start : finding.end] == secret


@pytest.mark.parametrize("kind", SECRETS)
def test_a_token_broken_by_invisible_characters_is_found(kind: str) -> None:
    """Hidden characters are taken out first; the finding spans the token as it stood in the original."""
    secret = SECRETS[kind]
    broken = secret[:2] + "\u200b" + secret[2:9] + "\x1b[0m" + secret[9:]
    scrubbed = Scrubber().scrub(f"a {broken} b")
    assert scrubbed.text == "a [redacted] b"
    spans = {(each.category, each.start, each.end) for each in scrubbed.findings}
    assert (Category.SECRET, 2, 2 + len(broken)) in spans
    assert (Category.INVISIBLE, 4, 5) in spans


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("password = {}", "password = [redacted]"),
        ("PASSWORD={}", "PASSWORD=[redacted]"),
        ("DB_PASSWORD: '{}'", "DB_PASSWORD: '[redacted]'"),
        ('{{"password": "{}"}}', '{"password": "[redacted]"}'),
        ("my password is {}", "my password is [redacted]"),
        ("pwd => `{}`", "pwd => `[redacted]`"),
        ('passphrase = "two words {}"', 'passphrase = "[redacted]"'),
        ("postgres://me:{}@db:5432/x", "postgres://me:[redacted]@db:5432/x"),
        ("redis://:{}@cache", "redis://:[redacted]@cache"),
    ],
)
def test_passwords_in_their_places(text: str, kept: str) -> None:
    """The value goes, the name of the field stays."""
    assert Scrubber().scrub(text.format(PASSWORD)).text == kept


@pytest.mark.parametrize(
    "name", ["api_key", "apiKey", "API-KEY", "client_secret", "secret_key", "access_token", "AccountKey", "x-api-key"]
)
@pytest.mark.parametrize("sign", ["=", ": ", " := ", '": "', " = `"])
def test_assigned_keys(name: str, sign: str) -> None:
    """A random value beside a telling name is a secret, whoever issued it."""
    value = body(32)
    found = [text for text in [Scrubber().scrub(f"{name}{sign}{value}")] if text.findings]
    assert [text.text for text in found] == [f"{name}{sign}[redacted]"]


def test_bearer_tokens_in_headers() -> None:
    """`Authorization: Bearer …` loses the token and keeps the scheme."""
    assert Scrubber().scrub(f"Authorization: Bearer {body(40)}").text == "Authorization: Bearer [redacted]"


def test_private_keys_whole_and_cut_off() -> None:
    """A block goes with its frame; of a block without its end, the lines that are there."""
    assert Scrubber().scrub(f"a\n{PRIVATE_KEY}\nb").text == "a\n[redacted]\nb"
    cut = PRIVATE_KEY[: PRIVATE_KEY.index("-----END")]
    assert Scrubber().scrub(f"a {cut}\nThat was all.").text == "a [redacted]\n\nThat was all."
    assert Scrubber().scrub(PRIVATE_KEY.replace("\n", "\\n")).text == "[redacted]"


LOOK_ALIKES = [
    join("sk", "-..."),
    join("sk", "-xxxxxxxxxxxxxxxxxxxxxxxx"),
    join("sk", "-your-key-goes-here-12345"),
    join("AK", "IAIOSFODNN7EXAMPLE"),
    join("gh", "p_", "x" * 36),
    join("gh", "p_", "1234567890" * 4),
    "password = <your password>",
    "password: ${DB_PASSWORD}",
    "password = os.environ['DB_PASSWORD']",
    "password = settings.database.password",
    "password = get_password(user)",
    "password: string",
    "The password is required.",
    "The password is at least 8 characters long.",
    "Forgot your password? Click here.",
    "token: {{ github.token }}",
    "api_key: YOUR_API_KEY_HERE_123456",
    "The secret to bread is time.",
    "secret = None",
    "tokens: 1234, tokens per second: 9876543",
    "postgres://user:password@localhost/db",
    "https://example.org:8080/a@b",
    "skiing-is-fun-and-so-is-hiking-in-the-alps",
    "-----BEGIN CERTIFICATE-----",
    "Put -----BEGIN RSA PRIVATE KEY----- at the top.",
    f"commit {random.Random(1).randbytes(20).hex()}",
    f"request {uuid.UUID(int=random.Random(2).getrandbits(128), version=4)}",
    f"sha256:{random.Random(3).randbytes(32).hex()}",
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
]


@pytest.mark.parametrize("text", LOOK_ALIKES)
def test_look_alikes_are_left_alone(text: str) -> None:
    """Stand-ins, code, digests, ids and prose are not secrets."""
    scrubbed = Scrubber().scrub(text)
    assert (scrubbed.text, scrubbed.findings) == (text, ())


@given(st.text(string.ascii_lowercase + " .,?!", max_size=200))
def test_plain_words_are_never_secrets(text: str) -> None:
    """Small letters and stops can form no secret, whatever words they happen to make."""
    assert not list(Secrets().find(text))


@given(st.sampled_from(sorted(SECRETS)), st.text(max_size=20), st.text(max_size=20))
def test_scrubbing_twice_changes_nothing_more(kind: str, before: str, after: str) -> None:
    """What has been scrubbed is clean."""
    once = Scrubber().scrub(f"{before} {SECRETS[kind]} {after}").text
    assert Scrubber().scrub(once).text == once


def test_rules_are_well_formed() -> None:
    """Kinds are unique and dotted, every rule begins with one of its anchors, and no rule outgrows the reach."""
    assert len({rule.kind for rule in TOKENS}) == len(TOKENS)
    for rule in TOKENS:
        assert all(rule.anchors)
        assert 0 < rule.score <= 1
        longest = [int(number.split(",")[-1] or 10_000) for number in _bounds(rule.pattern.pattern)]
        assert sum(longest) + 40 < Secrets.reach


def _bounds(pattern: str) -> list[str]:
    return [part.split("}")[0] for part in pattern.split("{")[1:]]


def test_entropy_and_placeholders() -> None:
    """The arithmetic under the rules."""
    assert bits("") == 0
    assert bits("abcd") == 2
    assert is_placeholder("xxxxxxxxxxxx")
    assert is_placeholder("aaaabbbbaaaabbbb")
    assert not is_placeholder(body(24))


HOSTILE = ["eyJ", ".eyJ", "-eyJ", "password=", "password is ", "'password':'", "-----BEGIN RSA PRIVATE KEY-----", "://a:",
           "AKIA", "sk-", " ghp_", "a", "pwd`", "token: "]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("unit", HOSTILE)
def test_a_hostile_megabyte_takes_linear_time(unit: str) -> None:
    """Twice the text takes about twice the time: what would be quadratic takes minutes here."""
    text = unit * (1_000_000 // len(unit))
    began = time.process_time()
    Scrubber().scrub(text)
    assert time.process_time() - began < 5
