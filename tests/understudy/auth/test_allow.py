"""Lists of those who may use something."""

import pytest

from transport.auth.identity import Identity
from understudy.auth.allow import groups_of, is_allowed, read_allowed

ADA = Identity("ada", "s")
CLERK = Identity("x", "s", roles=("clerk",))
MEMBER = Identity("x", "s", groups=("support",))
MIXED = Identity("support", "s", roles=("ada",), groups=("clerk",))
"""A user whose names are those of others, of another kind each."""


@pytest.mark.parametrize(
    ("entries", "ada", "role", "group"),
    [
        (None, True, True, True),
        (("user:ada",), True, False, False),
        (("role:clerk", "user:bob"), False, True, False),
        (["group:support:night", "group:support"], False, False, True),
    ],
)
def test_each_entry_names_a_user_a_role_or_a_group(
    entries: list[str] | None, *, ada: bool, role: bool, group: bool
) -> None:
    allow = read_allowed(entries, "it")
    assert (is_allowed(allow, ADA), is_allowed(allow, CLERK), is_allowed(allow, MEMBER)) == (ada, role, group)
    assert is_allowed(allow, MIXED) is (entries is None)


@pytest.mark.parametrize("entries", [[], ["support"], ["team:support"], ["group:"], "group:support", [7]])
def test_a_list_that_allows_nobody_or_in_other_words_is_refused(entries: list[str]) -> None:
    with pytest.raises((ValueError, TypeError), match=r"allow|list of texts"):
        read_allowed(entries, "it")


def test_the_groups_of_a_list_are_named() -> None:
    assert groups_of(("group:a", "role:b", "group:c:d")) == ("a", "c:d")
    assert groups_of(None) == ()
