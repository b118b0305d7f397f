import base64
import gc
import hashlib
import hmac
import json
import multiprocessing
import os
import stat
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from tests.rigs.clock import Clock
from transport.auth.identity import Identity
from transport.auth.tokens import (
    LEEWAY_S,
    MAX_TOKEN,
    MIN_SECRET_BYTES,
    Tokens,
    VerifiedTokens,
    load_or_create_secret,
    read_jose_header,
)
from transport.wire.errors import Unauthenticated

SECRET = "a secret of more than thirty-two bytes"
NOW = 1_795_154_400.0
CLAIMS = {"sub": "anna", "sid": "s-1", "exp": NOW + 60}


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
def tokens(clock: Clock) -> Tokens:
    return Tokens(SECRET, clock)


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def signed(claims: object, header: dict | None = None, secret: str = SECRET) -> str:
    """A JWT made by hand, with nothing checked; signed as HS256 whatever its header says."""
    body = f"{part(header or {'alg': 'HS256', 'typ': 'JWT'})}.{part(claims)}"
    mac = hmac.new(secret.encode(), body.encode(), hashlib.sha256).digest()
    return f"{body}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def refused(tokens: Tokens, token: str) -> str:
    with pytest.raises(Unauthenticated) as caught:
        tokens.verify(token)
    return caught.value.code


def test_a_token_says_who_it_is_for(tokens) -> None:
    token = tokens.issue("anna", "s-1", roles=["operator"], tenant="acme", ttl_s=60)
    assert tokens.verify(token) == Identity("anna", "s-1", "acme", ("operator",), NOW + 60)
    assert tokens.verify(tokens.issue("anna", "s-1", ttl_s=60)) == Identity("anna", "s-1", None, (), NOW + 60)


def test_a_token_made_elsewhere_is_as_good(tokens) -> None:
    """Any HS256 token with the right secret and claims is taken; unknown claims, `aud` and `iss` too, are ignored."""
    assert tokens.verify(signed(CLAIMS)).user == "anna"
    assert tokens.verify(signed({**CLAIMS, "aud": "x", "iss": "y", "jti": 5, "iat": NOW + 9})).user == "anna"


def test_a_token_ends_on_time(tokens, clock) -> None:
    """It is good until the very second of `exp`, and refused from then on with a code of its own."""
    token = tokens.issue("anna", "s-1", ttl_s=60)
    clock.now = NOW + 59.9
    assert tokens.verify(token).user == "anna"
    clock.now = NOW + 60
    assert refused(tokens, token) == "token_expired"


def test_a_token_does_not_begin_early(tokens, clock) -> None:
    """But for the clock of whoever signed it, which may be a little ahead."""
    token = signed({**CLAIMS, "nbf": NOW + LEEWAY_S + 10})
    assert refused(tokens, token) == "unauthenticated"
    clock.now = NOW + 10
    assert tokens.verify(token).user == "anna"


def test_an_expired_forgery_is_a_forgery(tokens) -> None:
    """`token_expired` is said only of a token that was good once."""
    assert refused(tokens, signed({**CLAIMS, "exp": NOW - 1}, secret="x" * 40)) == "unauthenticated"
    assert refused(tokens, signed({**CLAIMS, "exp": NOW - 1})) == "token_expired"


BAD_CLAIMS = {
    "no user": {"sid": "s", "exp": NOW + 60},
    "no session": {"sub": "anna", "exp": NOW + 60},
    "no end": {"sub": "anna", "sid": "s"},
    "user not text": {**CLAIMS, "sub": 5},
    "user null": {**CLAIMS, "sub": None},
    "user blank": {**CLAIMS, "sub": " "},
    "user with control characters": {**CLAIMS, "sub": "an\nna"},
    "user endless": {**CLAIMS, "sub": "a" * 256},
    "session a list": {**CLAIMS, "sid": ["s"]},
    "end text": {**CLAIMS, "exp": "2999"},
    "end true": {**CLAIMS, "exp": True},
    "end null": {**CLAIMS, "exp": None},
    "end infinite": {**CLAIMS, "exp": float("inf")},
    "end not a number": {**CLAIMS, "exp": float("nan")},
    "end huge": {**CLAIMS, "exp": 10**400},
    "begin text": {**CLAIMS, "nbf": "0"},
    "tenant a number": {**CLAIMS, "tenant": 5},
    "no claims": {},
    "a list": [1],
    "a number": 5,
}


@pytest.mark.parametrize(
    ("roles", "taken"),
    [
        ("operator", 0), (None, 0), ({"operator": True}, 0), ([1, "", " ", "r\n", "r" * 256, "r" * 255, "operator"], 2),
        (["r"] * 101, 100),
    ],
)  # fmt: skip
def test_malformed_roles_grant_nothing_and_lock_no_user_out(tokens, roles, taken) -> None:
    assert len(tokens.verify(signed({**CLAIMS, "roles": roles, "groups": roles})).roles) == taken


@pytest.mark.parametrize("claims", BAD_CLAIMS.values(), ids=BAD_CLAIMS)
def test_claims_are_checked_by_type(tokens, claims) -> None:
    assert refused(tokens, signed(claims)) == "unauthenticated"


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "HS512", "RS256", "ES256", "", None, 5, ["HS256"]])
def test_the_algorithm_is_pinned(tokens, algorithm) -> None:
    assert refused(tokens, signed(CLAIMS, {"alg": algorithm, "typ": "JWT"})) == "unauthenticated"
    assert refused(tokens, f"{part({'alg': algorithm})}.{part(CLAIMS)}.") == "unauthenticated"


def test_other_algorithms_with_their_own_keys_are_refused(tokens) -> None:
    assert refused(tokens, jwt.encode(CLAIMS, "k" * 64, algorithm="HS512")) == "unauthenticated"
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    assert refused(tokens, jwt.encode(CLAIMS, key, algorithm="RS256")) == "unauthenticated"


@pytest.mark.parametrize("header", [{"crit": ["x"], "x": 1}, {"crit": ["b64"], "b64": False}])
def test_critical_headers_are_not_ignored(tokens, header) -> None:
    """RFC 7515 section 4.1.11: a token with `crit` is refused."""
    token = signed(CLAIMS, {"alg": "HS256", **header})
    assert refused(tokens, token) == "unauthenticated"
    with pytest.raises(Unauthenticated):
        read_jose_header(token)


REPEATED = [
    ('{"alg":"HS256"}', '{"sub":"anna","sid":"s","exp":9e9,"sub":"root"}'),
    ('{"alg":"HS256"}', '{"sub":"anna","sid":"s","exp":1,"exp":9e9}'),
    ('{"alg":"HS256","alg":"HS256"}', '{"sub":"anna","sid":"s","exp":9e9}'),
    ('{"alg":"none","alg":"HS256"}', '{"sub":"anna","sid":"s","exp":9e9}'),
    ('{"alg":"HS256"}', '{"sub":"anna","sid":"s","exp":9e9,"roles":[],"roles":["operator"]}'),
    ('{"alg":"HS256"}', '{"sub":"anna","sid":"s","exp":9e9,"x":{"a":1,"a":2}}'),
]


@pytest.mark.parametrize(("header", "claims"), REPEATED)
def test_no_name_stands_twice(tokens, header, claims) -> None:
    """Two readers would take two different values for the true one."""
    coded = [base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode() for text in (header, claims)]
    mac = hmac.new(SECRET.encode(), ".".join(coded).encode(), hashlib.sha256).digest()
    token = ".".join([*coded, base64.urlsafe_b64encode(mac).rstrip(b"=").decode()])
    assert refused(tokens, token) == "unauthenticated"


@pytest.mark.parametrize("key_id", [["k"], {"a": 1}, 5, True, ""])
def test_a_key_is_named_by_a_text_or_not_at_all(tokens, key_id) -> None:
    """A `kid` of another type is refused, although HS256 looks up no key."""
    assert refused(tokens, signed(CLAIMS, {"alg": "HS256", "kid": key_id})) == "unauthenticated"


@pytest.mark.parametrize("key_id", ["../../../../dev/null", "'; DROP TABLE keys; --", "https://evil.example/keys", "k"])
def test_the_name_of_a_key_is_nothing_but_a_name(tokens, key_id) -> None:
    """It is no path, no address and no query, and the secret has none."""
    token = signed(CLAIMS, {"alg": "HS256", "kid": key_id})
    assert read_jose_header(token).key_id == key_id
    assert tokens.verify(token).user == "anna"


def test_a_token_has_a_longest_length(tokens) -> None:
    """At 8 KiB it is taken, beyond it is not even read."""
    fits = tokens.issue("anna", "s-1", tenant="t", ttl_s=60)
    for length in range(5600, 6200):
        claims = signed({**CLAIMS, "more": "x" * length})
        if len(claims) <= MAX_TOKEN:
            fits = claims
        else:
            assert refused(tokens, claims) == "unauthenticated"
            break
    assert MAX_TOKEN - 4 < len(fits) <= MAX_TOKEN
    assert tokens.verify(fits).user == "anna"


def test_a_token_is_spelled_in_one_way(tokens) -> None:
    """Padding, blanks and letters that a lenient reader drops make it no token."""
    token = tokens.issue("anna", "s-1", ttl_s=60)
    for changed in (token + "=", token + "\n", " " + token, token + "!", token.replace(".", "..", 1), token + ".x"):
        assert refused(tokens, changed) == "unauthenticated"


@pytest.mark.parametrize(
    "token", ["", "x", "..", "a.b.c", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.", "é.é.é", "\ud800", "a" * 9000]
)
def test_garbage_is_refused(tokens, token) -> None:
    assert refused(tokens, token) == "unauthenticated"


@given(st.integers(0, 10_000), st.characters(codec="ascii"))
def test_no_letter_of_a_token_can_be_changed(position, letter) -> None:
    """A token with any one character replaced is refused, unless it still spells the same bytes."""
    tokens = Tokens(SECRET, Clock(NOW))
    token = tokens.issue("anna", "s-1", ttl_s=60)
    index = position % len(token)
    changed = token[:index] + letter + token[index + 1 :]
    if changed == token or index == len(token) - 1:  # the last letter of 32 bytes in base64 has two bits of no meaning
        return
    assert refused(tokens, changed) == "unauthenticated"


def test_a_refusal_does_not_say_why(tokens) -> None:
    sentences = set()
    for token in ("x", signed(CLAIMS, secret="y" * 40), signed({**CLAIMS, "sub": 5})):
        with pytest.raises(Unauthenticated) as caught:
            tokens.verify(token)
        sentences.add(caught.value.message)
        assert caught.value.__cause__ is None
    assert sentences == {"You are not signed in, or the session has ended."}


def test_a_short_secret_is_refused() -> None:
    """RFC 7518 section 3.2; counted in bytes."""
    with pytest.raises(ValueError, match="at least 32 bytes"):
        Tokens("x" * (MIN_SECRET_BYTES - 1), Clock(NOW))
    Tokens("é" * 16, Clock(NOW))


def test_the_secret_never_prints(tokens) -> None:
    assert SECRET not in repr(tokens)


def test_a_secret_is_made_once(tmp_path) -> None:
    """The first call makes the file, for its owner alone; later calls read it. Nothing else is left behind."""
    path = tmp_path / "secret"
    secret = load_or_create_secret(path)
    assert len(secret) >= MIN_SECRET_BYTES
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_or_create_secret(path) == secret
    assert os.listdir(tmp_path) == ["secret"]
    assert load_or_create_secret(tmp_path / "other") != secret
    Tokens(secret, Clock(NOW))


def test_a_secret_others_can_read_is_refused(tmp_path) -> None:
    """It may be known already."""
    path = tmp_path / "secret"
    load_or_create_secret(path)
    path.chmod(0o640)
    with pytest.raises(PermissionError, match="chmod 600"):
        load_or_create_secret(path)


@pytest.mark.parametrize("content", ["", "short", " " * 100])
def test_half_a_secret_is_refused(tmp_path, content) -> None:
    """A damaged file is said, not silently replaced: that would end every session."""
    path = tmp_path / "secret"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(ValueError, match="fewer than 32 bytes"):
        load_or_create_secret(path)
    assert path.read_text() == content


def test_processes_that_start_together_share_the_secret(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        secrets = pool.map(load_or_create_secret, [tmp_path / "secret"] * 9, chunksize=1)
    assert len(set(secrets)) == 1
    assert os.listdir(tmp_path) == ["secret"]


ADA = Identity("ada", "s1", expires_at=100.0)
KEYS, NEWER = object(), object()


def test_a_token_is_found_until_it_runs_out() -> None:
    """At its last moment it has to be verified, which says how it is refused; nothing is kept of it then."""
    proven = VerifiedTokens()
    proven.add("a.b.c", KEYS, ADA)
    assert proven.find("a.b.c", KEYS, 99.9) == ADA
    assert proven.find("a.b.d", KEYS, 99.9) is None
    assert proven.find("a.b.c", KEYS, 100.0) is None
    assert len(proven) == 0


def test_newer_keys_prove_anew() -> None:
    proven = VerifiedTokens()
    proven.add("a.b.c", KEYS, ADA)
    assert proven.find("a.b.c", NEWER, 0.0) is None
    assert proven.find("a.b.c", KEYS, 0.0) is None


def test_those_longest_not_seen_are_forgotten() -> None:
    proven = VerifiedTokens(capacity=3)
    for name in "abc":
        proven.add(name, None, ADA)
    assert proven.find("a", None, 0.0) == ADA
    proven.add("d", None, ADA)
    assert [name for name in "abcd" if proven.find(name, None, 0.0)] == ["a", "c", "d"]


def test_whatever_a_client_calls_a_token_is_no_error() -> None:
    """A letter that cannot be encoded, or a text longer than any token, is just not known."""
    proven = VerifiedTokens()
    assert proven.find("\ud800.b.c", None, 0.0) is None
    assert proven.find("a" * (MAX_TOKEN + 1), None, 0.0) is None


def test_the_tokens_themselves_are_not_kept() -> None:
    """Only their digests are: no text or bytes that can be reached from the object contain the token."""
    proven = VerifiedTokens()
    token = "a.secret.c"
    proven.add(token, None, ADA)
    assert proven.find(token, None, 0.0) == ADA
    reached: dict[int, object] = {}
    waiting: list[object] = [proven]
    while waiting:
        value = waiting.pop()
        if id(value) not in reached and not isinstance(value, type):
            reached[id(value)] = value
            waiting += gc.get_referents(value)
    texts = [text for text in reached.values() if isinstance(text, (bytes, str))]
    assert texts
    assert not [text for text in texts if "secret" in str(text)]


def test_another_secret_is_accepted_and_never_signs(clock) -> None:
    """While a secret is replaced, tokens of the one before, or of the next one, are as good as this one's."""
    old, new = SECRET, "n" * 32
    both = Tokens(new, clock, accepted=[old])
    assert both.verify(Tokens(old, clock).issue("ann", "s1", ttl_s=60)).user == "ann"
    renewed = both.issue("ann", "s1", ttl_s=60)
    assert Tokens(new, clock).verify(renewed).user == "ann"
    assert refused(Tokens(old, clock), renewed) == "unauthenticated"
    assert refused(both, Tokens("x" * 32, clock).issue("ann", "s1", ttl_s=60)) == "unauthenticated"
    with pytest.raises(ValueError, match="32 bytes"):
        Tokens(new, clock, accepted=["short"])
