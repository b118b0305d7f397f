import pytest

from actors.behaviours.exception_filter import leaf_errors, matches

GROUP = ExceptionGroup("g", [ValueError("a"), ExceptionGroup("h", [KeyError("b"), OSError("c")])])


def test_leaves_are_the_errors_inside_a_group_or_the_error_itself():
    assert [type(leaf) for leaf in leaf_errors(GROUP)] == [ValueError, KeyError, OSError]
    error = ValueError("alone")
    assert list(leaf_errors(error)) == [error]


@pytest.mark.parametrize(
    ("error", "kinds", "but", "concerned"),
    [
        (KeyError("x"), (LookupError,), (), True),
        (KeyError("x"), (LookupError,), (KeyError,), False),
        (KeyError("x"), (OSError,), (), False),
        (GROUP, (OSError,), (), True),
        (GROUP, (OSError, KeyError), (OSError,), True),
        (GROUP, (OSError,), (OSError,), False),
        (KeyError("x"), (), (), False),
    ],
)
def test_a_rule_is_about_kinds_but_for_some_of_them(error, kinds, but, concerned):
    assert matches(error, kinds, but) is concerned
