"""Tokens that were verified before: found again for as long as they count, and in a bounded space."""

from transport.auth.identity import Identity
from transport.auth.token_cache import VerifiedTokens
from transport.auth.tokens import MAX_TOKEN

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
    """What another set of keys proved may be what it was withdrawn for."""
    proven = VerifiedTokens()
    proven.add("a.b.c", KEYS, ADA)
    assert proven.find("a.b.c", NEWER, 0.0) is None
    assert proven.find("a.b.c", KEYS, 0.0) is None


def test_those_longest_not_seen_are_forgotten() -> None:
    """Its space is bounded, and whoever comes back keeps their place."""
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
    """Only their digests are."""
    proven = VerifiedTokens()
    proven.add("a.secret.c", None, ADA)
    assert b"secret" not in b"".join(proven._entries)
