"""Names of accounts, and invites."""

from contextlib import nullcontext

import pytest

from transport.auth.tokens import Tokens
from understudy.extensions.accounts.invites import account_name, check_rights, digest_of, make_invite


@pytest.mark.parametrize(
    ("typed", "name"),
    [("ada", "ada"), (" Ada ", "ada"), ("Grace.Hopper@Example.org", "grace.hopper@example.org"), ("JÜRGEN", "jürgen")],
)
def test_a_name_is_the_same_in_any_case(typed: str, name: str) -> None:
    assert account_name(typed) == name


@pytest.mark.parametrize(
    "typed", ["", " ", "a b", "-ada", "anon-1", "a" * 65, "a\0b", "a\nb", "a/b", "Anon-1", "a\u200bb"]
)
def test_what_is_no_name_of_an_account(typed: str) -> None:
    assert account_name(typed) is None


@pytest.mark.parametrize(
    ("roles", "groups", "words"),
    [
        (["r" * 256], [], "at most 255 letters"), ([], ["g" * 256], "at most 255 letters"), (["a,b"], [], "commas"),
        ([" "], [], "printable"), ([], ["a\n"], "printable"), (["r"] * 101, [], "100 roles"),
        (['"' * 250] * 6, [], "3000 bytes"), (["r" * 250] * 6, ["本" * 250], "3000 bytes"), (["r" * 255], ["本"], ""),
    ],
)  # fmt: skip
def test_rights_of_an_account_fit_its_tokens(roles: list[str], groups: list[str], words: str) -> None:
    with pytest.raises(ValueError, match=words) if words else nullcontext():
        check_rights(roles, groups)
    if not words:
        tokens = Tokens("x1y2" * 8, lambda: 1.0)
        issued = tokens.issue("本" * 64, "s", roles=roles, groups=groups, ttl_s=60)
        assert tokens.verify(issued).roles == tuple(roles)


def test_each_invite_is_another_and_only_its_digest_tells_them_apart() -> None:
    first, other = make_invite(), make_invite()
    assert first != other
    assert digest_of(first) == digest_of(first) != digest_of(other)
    assert first not in digest_of(first)
    assert len(first) >= 32
