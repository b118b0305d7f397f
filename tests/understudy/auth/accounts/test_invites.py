"""Names of accounts, and invites."""

import pytest

from understudy.auth.accounts.invites import account_name, digest_of, make_invite


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


def test_each_invite_is_another_and_only_its_digest_tells_them_apart() -> None:
    one, other = make_invite(), make_invite()
    assert one != other
    assert digest_of(one) == digest_of(one) != digest_of(other)
    assert one not in digest_of(one)
    assert len(one) >= 32
