import base64
import hashlib
import hmac
import json

import jwt
import pytest
import trio
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding

from actors import ActorSystem, ChildSpec
from tests.rigs.identity_provider import ec_key, key_set, part, published, rsa_key, signed
from transport.auth.identity import Identity
from transport.auth.keyring import (
    MAX_KEYS,
    MAX_TRIED,
    MAX_WAITERS,
    KeyFetcher,
    Keyring,
    KeySet,
    KeyTimes,
    ProviderTokens,
    read_key_set,
)
from transport.auth.tokens import LEEWAY_S, JoseHeader
from transport.wire.errors import FetchFailed, KeySetInvalid, Unauthenticated, UnknownKey

TIMES = KeyTimes(refresh_s=300.0, retry_s=1.0, max_retry_s=60.0, cool_down_s=10.0, stale_s=3600.0)


class Source:
    """Gives keys of these names, or raises, after `takes_s`; keeps the times of the fetches."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.error: Exception | None = None
        self.takes_s = 0.0
        self.fetched_at_s: list[float] = []

    async def __call__(self) -> KeySet:
        self.fetched_at_s.append(trio.current_time())
        await trio.sleep(self.takes_s)
        if self.error is not None:
            raise self.error
        return read_key_set(key_set(*(published(ec_key(), name) for name in self.names)))


@pytest.fixture
async def kept(autojump_clock):
    """A source, a keyring, and the actor between them, an hour after the beginning of time."""
    source = Source("one")
    async with ActorSystem("test") as system:
        await trio.sleep(3600.0)
        keyring = Keyring(TIMES, trio.current_time)
        ref = await system.spawn(ChildSpec("keys", lambda: KeyFetcher(keyring, source)))
        await trio.testing.wait_all_tasks_blocked()
        yield source, keyring, ref


def head(name: str) -> JoseHeader:
    return JoseHeader("ES256", name)


async def asked_within(source: Source, seconds: float) -> int:
    """Return how often keys are fetched within these seconds from now."""
    fetches = len(source.fetched_at_s)
    await trio.sleep(seconds)
    return len(source.fetched_at_s) - fetches


async def test_keys_are_there_soon_after_the_start(autojump_clock, kept) -> None:
    """The first fetch succeeds; lookups do not wait."""
    source, keyring, _ = kept
    assert keyring.find(head("one"))
    assert len(source.fetched_at_s) == 1
    assert repr(keyring) == "Keyring(keys=1)"


async def test_keys_are_fetched_again_from_time_to_time(autojump_clock, kept) -> None:
    """A key that its provider withdrew counts for one period at most, and a new one is known without being named."""
    source, keyring, _ = kept
    source.names = ("two",)
    await trio.sleep(299)
    assert keyring.find(head("one"))
    await trio.sleep(2)
    assert keyring.find(head("two"))
    assert len(source.fetched_at_s) == 2
    assert not keyring.find(head("one"))


async def test_a_key_that_is_not_known_is_fetched_at_once(autojump_clock, kept) -> None:
    """An unknown key is looked up: a fetch starts, and `wait_fetched` lasts as long as it."""
    source, keyring, _ = kept
    await trio.sleep(11)
    source.names, source.takes_s = ("one", "two"), 0.5
    began = trio.current_time()
    assert not keyring.find(head("two"))
    await keyring.wait_fetched(2.0)
    assert keyring.find(head("two"))
    assert trio.current_time() - began == pytest.approx(0.5)


async def test_a_lookup_waits_no_longer_than_allowed(autojump_clock, kept) -> None:
    """A slow fetch: the wait ends at its limit. No fetch: there is no wait."""
    source, keyring, _ = kept
    await trio.sleep(11)
    began = trio.current_time()
    await keyring.wait_fetched(2.0)
    assert trio.current_time() == began
    source.takes_s = 5.0
    assert not keyring.find(head("two"))
    await keyring.wait_fetched(2.0)
    assert trio.current_time() - began == pytest.approx(2.0)


async def test_a_flood_of_unknown_keys_is_one_fetch(autojump_clock, kept) -> None:
    source, keyring, _ = kept
    await trio.sleep(11)
    fetches = len(source.fetched_at_s)
    for second in range(100):
        for number in range(100):
            assert not keyring.find(head(f"forged-{second}-{number}"))
        await keyring.wait_fetched(2.0)
        await trio.sleep(1)
    assert len(source.fetched_at_s) - fetches == 10


async def test_a_fetch_that_is_under_way_is_waited_for(autojump_clock, kept) -> None:
    source, keyring, ref = kept
    source.takes_s = 1.0
    ref.kill()
    with trio.move_on_after(0.5):
        await ref.wait_stopped()
    fetches = len(source.fetched_at_s)
    assert not keyring.find(head("two"))
    source.names = ("one", "two")
    await keyring.wait_fetched(2.0)
    assert len(source.fetched_at_s) == fetches
    assert keyring.find(head("two"))
    assert not keyring.find(head("three"))
    await keyring.wait_fetched(2.0)
    assert len(source.fetched_at_s) == fetches + 1


async def test_only_so_many_wait_at_a_time(autojump_clock, kept) -> None:
    source, keyring, _ = kept
    await trio.sleep(11)
    source.takes_s, went_on = 1.0, []

    async def wait() -> None:
        keyring.find(head("two"))
        await keyring.wait_fetched(2.0)
        went_on.append(trio.current_time())

    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for _ in range(MAX_WAITERS + 50):
            nursery.start_soon(wait)
    assert sum(at == began for at in went_on) == 50


@pytest.mark.parametrize("error", [FetchFailed("idp", "it answers 503"), KeySetInvalid("no"), OSError("no")])
async def test_former_keys_are_kept_while_there_are_no_newer_ones(autojump_clock, kept, error) -> None:
    """Until they are stale; it is tried again after ever longer times, and all is well after the first success."""
    source, keyring, _ = kept
    source.error = error
    await trio.sleep(301)
    assert keyring.find(head("one"))
    assert await asked_within(source, 58) == 5  # 1, 2, 4, 8, 16, and 32 s after it began
    assert await asked_within(source, 600) in (10, 11)
    assert not keyring.stale
    await trio.sleep(2400)
    assert not keyring.stale
    await trio.sleep(300)
    assert keyring.stale
    assert not keyring.find(head("one"))
    source.error = None
    await trio.sleep(61)
    assert keyring.find(head("one"))
    assert await asked_within(source, 299) <= 1


async def test_waiting_lookups_go_on_when_a_fetch_fails(autojump_clock, kept) -> None:
    source, keyring, _ = kept
    await trio.sleep(11)
    source.error, source.takes_s = FetchFailed("idp", "gone"), 0.3
    began = trio.current_time()
    assert not keyring.find(head("two"))
    await keyring.wait_fetched(2.0)
    assert trio.current_time() - began == pytest.approx(0.3)
    assert keyring.find(head("one"))


async def test_an_actor_that_dies_begins_again_with_the_keys_it_had(autojump_clock, kept) -> None:
    """The keys are not its own, and the next incarnation fetches at once."""
    source, keyring, ref = kept
    fetches = len(source.fetched_at_s)
    ref.kill()
    await trio.sleep(5)
    assert keyring.find(head("one"))
    assert len(source.fetched_at_s) == fetches + 1


async def test_without_an_actor_nothing_is_known_and_nobody_waits(autojump_clock) -> None:
    keyring = Keyring(TIMES, trio.current_time)
    assert keyring.stale
    assert not keyring.find(head("one"))
    with trio.fail_after(0):
        await keyring.wait_fetched(2.0)


NOW = 1_795_154_400.0
CLAIMS = {"sub": "anna", "sid": "s-1", "exp": NOW + 60}
BOTH = key_set(published(rsa_key(), "r"), published(ec_key(), "e"))


def tokens(document: bytes = BOTH, **more) -> ProviderTokens:
    return ProviderTokens(read_key_set(document).find, lambda: NOW, **more)


def refused(tokens: ProviderTokens, token: str) -> str:
    with pytest.raises(Unauthenticated) as caught:
        tokens.verify(token)
    assert caught.value.message in (
        "You are not signed in, or the session has ended.",
        "The session token has run out; renew it.",
    )
    return str(caught.value.code)


ALGORITHMS = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), rsa_key()),
    **{"ES256": ec_key(), "ES384": ec_key(0, ec.SECP384R1), "ES512": ec_key(0, ec.SECP521R1)},
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("named", [True, False])
def test_a_provider_signs_with_any_public_key_algorithm(algorithm, named) -> None:
    """A key that names its algorithm is used for that only; one that does not is used for those of its kind."""
    key = ALGORITHMS[algorithm]
    of_key = tokens(key_set(published(key, "k", **({"alg": algorithm} if named else {}))))
    assert of_key.verify(signed(key, CLAIMS, "k", algorithm)).user == "anna"
    if named and algorithm.startswith(("RS", "PS")):
        with pytest.raises(UnknownKey):
            of_key.verify(signed(key, CLAIMS, "k", "RS512" if algorithm != "RS512" else "RS256"))


@pytest.mark.parametrize(("key", "key_id"), [(rsa_key(), "r"), (ec_key(), "e")], ids=["RS256", "ES256"])
def test_a_token_of_the_provider_says_who_it_is_for(key, key_id) -> None:
    """All claims are read; `jku`, `x5u` and `jwk` in the header are ignored."""
    claims = {**CLAIMS, "tenant": "acme", "roles": ["operator"], "iss": "x", "aud": "y", "email": "a@example.org"}
    elsewhere = {
        "jku": "https://evil.example/keys",
        "x5u": "https://evil.example/cert",
        "jwk": published(rsa_key(1), "r"),
    }
    identity = tokens().verify(signed(key, claims, key_id, **elsewhere))
    assert identity == Identity("anna", "s-1", "acme", ("operator",), NOW + 60 + LEEWAY_S)


@pytest.mark.parametrize(("key", "other", "key_id"), [(rsa_key(), rsa_key(1), "r"), (ec_key(), ec_key(1), "e")])
def test_a_token_of_somebody_else_is_refused(key, other, key_id) -> None:
    """Signed with another key under the right name, also when the token brings that key along."""
    assert refused(tokens(), signed(other, CLAIMS, key_id)) == "unauthenticated"
    assert refused(tokens(), signed(other, CLAIMS, key_id, jwk=published(other, key_id))) == "unauthenticated"
    expired = {**CLAIMS, "exp": NOW - LEEWAY_S - 1}
    assert refused(tokens(), signed(other, expired, key_id)) == "unauthenticated"
    assert refused(tokens(), signed(key, expired, key_id)) == "token_expired"


def test_a_key_is_used_for_its_own_algorithm_only() -> None:
    for key, key_id in ((rsa_key(), "e"), (ec_key(), "r")):
        with pytest.raises(UnknownKey):
            tokens().verify(signed(key, CLAIMS, key_id))


@pytest.mark.parametrize("shape", ["PEM", "DER", "n"])
def test_a_public_key_is_never_a_secret(shape) -> None:
    """A token signed by HS256 with the key that everybody knows is none, whatever bytes of it were used."""
    public = rsa_key().public_key()
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    mac_key = {
        "PEM": public.public_bytes(serialization.Encoding.PEM, info),
        "DER": public.public_bytes(serialization.Encoding.DER, info),
        "n": published(rsa_key())["n"].encode(),
    }[shape]
    for algorithm in ("HS256", "RS256"):
        body = f"{part({'alg': algorithm, 'kid': 'r'})}.{part(CLAIMS)}"
        mac = base64.urlsafe_b64encode(hmac.new(mac_key, body.encode(), hashlib.sha256).digest()).rstrip(b"=").decode()
        assert refused(tokens(), f"{body}.{mac}") == "unauthenticated"


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", None, 5, ["RS256"], "rs256"])
def test_the_algorithm_is_one_of_two(algorithm) -> None:
    """And is written in one way; unsigned tokens are none."""
    good = signed(rsa_key(), CLAIMS, "r").split(".")
    head = part({"alg": algorithm, "kid": "r"})
    assert refused(tokens(), ".".join([head, *good[1:]])) == "unauthenticated"
    assert refused(tokens(), f"{head}.{good[1]}.") == "unauthenticated"


def test_only_a_token_that_could_count_asks_for_keys() -> None:
    """One of another algorithm names no key of the provider."""
    headers = list[JoseHeader]()
    verifier = ProviderTokens(lambda head: headers.append(head), lambda: NOW)
    for algorithm in ("none", "HS256", "HS512", "ES256K", "RSA1_5"):
        token = ".".join([part({"alg": algorithm, "kid": "x"}), part(CLAIMS), "AAAA"])
        with pytest.raises(Unauthenticated) as caught:
            verifier.verify(token)
        assert not isinstance(caught.value, UnknownKey)
    assert headers == []
    with pytest.raises(UnknownKey):
        verifier.verify(signed(rsa_key(), CLAIMS, "x"))
    assert headers == [JoseHeader("RS256", "x")]


@pytest.mark.parametrize("header", [{"crit": ["x"], "x": 1}, {"crit": []}, {"crit": ["b64"], "b64": False}])
def test_critical_headers_are_refused(header) -> None:
    """RFC 7515 section 4.1.11, also with a true signature."""
    head = part({"alg": "RS256", "kid": "r", **header})
    body = f"{head}.{part(CLAIMS)}"

    mac = base64.urlsafe_b64encode(rsa_key().sign(body.encode(), padding.PKCS1v15(), hashes.SHA256()))
    assert refused(tokens(), f"{body}.{mac.rstrip(b'=').decode()}") == "unauthenticated"


@pytest.mark.parametrize("key_id", [["r"], {"r": 1}, 5, "", "r" * 256, "r\0", "../r", "R", "r "])
def test_the_name_of_a_key_is_taken_letter_by_letter(key_id) -> None:
    """A `kid` that differs from the name in any way, or is not a text, is refused."""
    good = signed(rsa_key(), CLAIMS, "r").split(".")
    assert refused(tokens(), ".".join([part({"alg": "RS256", "kid": key_id}), *good[1:]])) == "unauthenticated"


def test_the_name_of_a_key_may_have_any_length() -> None:
    long = "k/é" * 300
    assert tokens(key_set(published(rsa_key(), long))).verify(signed(rsa_key(), CLAIMS, long)).user == "anna"


def test_a_token_without_the_name_of_a_key_may_be_signed_with_any() -> None:
    """With those of its algorithm, as far as so many are tried; or the key that it names has no name in the set."""
    token = signed(rsa_key(), CLAIMS)
    assert tokens().verify(token).user == "anna"
    assert tokens(key_set(published(rsa_key()))).verify(token).user == "anna"
    two = published(rsa_key(1), "a"), published(rsa_key(), "b")
    assert tokens(key_set(*two)).verify(token).user == "anna"
    unnamed = tokens(key_set(published(rsa_key(1)), published(rsa_key())))
    assert unnamed.verify(signed(rsa_key(), CLAIMS, "r")).user == "anna"
    with pytest.raises(UnknownKey):
        tokens(key_set(*two)).verify(signed(rsa_key(), CLAIMS, "c"))
    with pytest.raises(Unauthenticated):
        tokens(key_set(*two)).verify(signed(rsa_key(2), CLAIMS))
    with pytest.raises(Unauthenticated):
        tokens(key_set(*[published(rsa_key(1))] * MAX_TRIED, published(rsa_key()))).verify(token)


@pytest.mark.parametrize("nothing", [None, "", []])
def test_a_member_that_says_nothing_is_as_one_that_is_not_there(nothing: object) -> None:
    entry = published(rsa_key(), "r") | dict.fromkeys(("use", "alg", "key_ops", "x5c", "x5t"), nothing)
    assert tokens(key_set(entry)).verify(signed(rsa_key(), CLAIMS, "r")).user == "anna"
    unnamed = published(rsa_key()) | {"kid": nothing}
    assert tokens(key_set(unnamed)).verify(signed(rsa_key(), CLAIMS)).user == "anna"


@pytest.mark.parametrize(
    ("claim", "good"), [("https://idp", True), ("https://idp/", False), (None, False), (["https://idp"], False)]
)
def test_the_issuer_is_the_one_of_the_settings(claim, good) -> None:
    """Letter by letter, where one is set."""
    claims = CLAIMS if claim is None else {**CLAIMS, "iss": claim}
    token, checked = signed(ec_key(), claims, "e"), tokens(issuer="https://idp")
    assert checked.verify(token).user == "anna" if good else refused(checked, token) == "unauthenticated"


@pytest.mark.parametrize(
    ("claim", "good"),
    [
        ("chat", True), (["mail", "chat"], True), ("chats", False), (["mail"], False), ([], False), (None, False),
        ({"chat": 1}, False),
    ],
)  # fmt: skip
def test_the_audience_names_the_one_of_the_settings(claim, good) -> None:
    """A token that was made for another service does not count here, where an audience is set."""
    claims = CLAIMS if claim is None else {**CLAIMS, "aud": claim}
    token, checked = signed(ec_key(), claims, "e"), tokens(audience="chat")
    assert checked.verify(token).user == "anna" if good else refused(checked, token) == "unauthenticated"


BAD = [
    {"sub": 5}, {"sub": None}, {"sid": None}, {"sid": ["s"]}, {"exp": None}, {"exp": "never"},
    {"exp": NOW - LEEWAY_S - 1}, {"nbf": NOW + LEEWAY_S + 1}, {"nbf": "now"}, {"tenant": 1},
]  # fmt: skip


@pytest.mark.parametrize("claims", BAD, ids=str)
def test_claims_are_checked_as_under_a_secret(claims) -> None:
    """A true signature does not make them true; a claim that is None is left out as well."""
    present = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not None}
    assert refused(tokens(), signed(ec_key(), present, "e")) == (
        "token_expired" if claims == {"exp": NOW - LEEWAY_S - 1} else "unauthenticated"
    )


@pytest.mark.parametrize("claims", [{"nbf": NOW + LEEWAY_S - 1}, {"exp": NOW - LEEWAY_S + 1}])
def test_the_clock_of_the_provider_may_differ_a_little(claims) -> None:
    assert tokens().verify(signed(ec_key(), CLAIMS | claims, "e")).user == "anna"


WHOLE = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(rsa_key()))
USELESS = {
    "a shared secret": {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA", "kid": "x"},
    "a private key": {**WHOLE, "kid": "x"},
    "for encryption": published(rsa_key(), "x", use="enc"),
    "for signing only": published(rsa_key(), "x", key_ops=["sign"]),
    "for anything it names": published(rsa_key(), "x", key_ops="verify"),
    "for another algorithm": published(rsa_key(), "x", alg="RSA-OAEP"),
    "for HS256": published(rsa_key(), "x", alg="HS256"),
    "weak": published(rsa_key(0, 1024), "x"),
    "slow to check": published(rsa_key(0, 1024), "x", n="_" + "A" * 1365 + "E"),
    "on another curve": published(ec_key(0, ec.SECP256K1), "x"),
    "on another curve by its name": published(ec_key(), "x", crv="P-384"),
    "off the curve": published(ec_key(), "x", y=published(ec_key(1))["y"]),
    "without a modulus": {"kty": "RSA", "e": "AQAB", "kid": "x"},
    "with a modulus that is no text": published(rsa_key(), "x", n=5),
    "with a huge exponent": published(rsa_key(), "x", e=published(rsa_key())["n"]),
    "with an even exponent": published(rsa_key(), "x", e="Ag"),
    "of no kind": {"kid": "x"},
    "named by a number": published(rsa_key(), None, kid=5),
    "no object": "x",
    "null": None,
}


@pytest.mark.parametrize("entry", USELESS.values(), ids=USELESS)
def test_keys_of_no_use_are_left_out(entry) -> None:
    loaded = read_key_set(key_set(entry, published(ec_key(), "e")))
    assert list(loaded.keys) == [("ES256", "e")]
    assert loaded.skipped == 1
    with pytest.raises(KeySetInvalid, match="no public key"):
        read_key_set(key_set(entry))


def test_all_keys_of_one_name_are_tried() -> None:
    loaded = read_key_set(key_set(*(published(key, "k") for key in (rsa_key(), rsa_key(1), ec_key()))))
    assert (loaded.number, loaded.skipped) == (3, 0)
    for key in (rsa_key(), rsa_key(1), ec_key()):
        assert ProviderTokens(loaded.find, lambda: NOW).verify(signed(key, CLAIMS, "k")).user == "anna"


@pytest.mark.parametrize(
    "document",
    [
        b"", b"{}", b"[]", b"null", b"<html>", b'{"keys": 5}', b'{"keys": []}', b'{"keys": {}}', b"\xff", b"[" * 10_000,
        json.dumps({"keys": [{}] * (MAX_KEYS + 1)}).encode(),
    ],
)  # fmt: skip
def test_a_malformed_key_set_is_reported(document) -> None:
    with pytest.raises(KeySetInvalid) as caught:
        read_key_set(document)
    assert caught.value.message.startswith("it")
