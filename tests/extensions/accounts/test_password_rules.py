"""Passwords that are taken, and those that are guessed first."""

import pytest

from understudy.extensions.accounts.password_rules import LONGEST, SHORTEST, is_taken, normalized


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery", "tree sky blue lamp", "739206184475", "Zwölf Boxkämpfer",
        "七転び八起き花より団子より", "!§%&/()=?*+~#'",
        "my password is a long sentence", "x" * 6 + "abzuvw", "aq9vu3mtzkwe", "understudy is where I chat",
    ],
)  # fmt: skip
def test_long_passwords_of_any_kind_are_taken(password: str) -> None:
    assert is_taken(password, "ada")


@pytest.mark.parametrize(
    "password",
    [
        "password1234", "Password2024!!", "P@ssw0rd!2024", "123456789012", "987654321098", "abcdefghijkl",
        "qwertyuiop12",
        "aaaaaaaaaaaa", "ababababababab", "letmeinletmein", "Administrator1", "iloveyou1234",
        "correcthorsebatterystaple",
        "zxcvbnm12345", "hello12345678", "admin-admin-admin",
    ],
)  # fmt: skip
def test_passwords_that_are_guessed_first_are_refused(password: str) -> None:
    assert not is_taken(password, "bob")


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("ada", "my name is Ada x"), ("grace.hopper", "the tall hopper jumps"),
        ("grace@example.org", "EXAMPLE for me too"),
        ("grace", "gr4ce and some more"),
    ],
)  # fmt: skip
def test_a_password_has_no_part_of_the_name(name: str, password: str) -> None:
    assert not is_taken(password, name)
    assert is_taken(password, "jo"), "such a short name is part of many words"


def test_the_length_counts_characters_and_is_bounded() -> None:
    long = "tree sky blue lamp " * 20
    assert [is_taken(long[:length], "ada") for length in (SHORTEST - 1, SHORTEST, LONGEST, LONGEST + 1)] == [
        False, True, True, False,
    ]  # fmt: skip


def test_a_password_is_the_same_however_it_is_composed() -> None:
    assert normalized("Zwo\u0308lf Boxka\u0308mpfer") == "Zw\u00f6lf Boxk\u00e4mpfer"
