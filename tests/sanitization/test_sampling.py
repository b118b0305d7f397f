"""The sample of cases: deterministic, and of every function."""

from typing import Any, cast

from attrs import frozen

from tests.sanitization.conftest import LEAST, SHARE, sampled


@frozen
class Case:
    """Stands for a collected test."""

    nodeid: str


def cases(name: str, number: int) -> list[Case]:
    return [Case(f"{name}[{index}]") for index in range(number)]


def chosen(seed: str, *functions: list[Case]) -> set[str]:
    items: Any = [case for function in functions for case in function]
    return {cast(Case, item).nodeid for item in sampled(items, seed)}


def test_every_function_keeps_some_cases_and_small_ones_all() -> None:
    kept = chosen("1", [Case("one")], cases("few", LEAST), cases("some", LEAST + 1), cases("many", 80 * SHARE))
    assert "one" in kept
    sizes = {name: len([each for each in kept if each.startswith(name)]) for name in ("few", "some", "many")}
    assert sizes == {"few": LEAST, "some": LEAST, "many": 80}


def test_a_seed_always_chooses_the_same_cases_and_another_seed_others() -> None:
    """The sample of a function does not depend on other collected functions."""
    many = cases("many", 200)
    assert chosen("1", many) == chosen("1", many)
    assert chosen("1", many) <= chosen("1", cases("others", 50), many)
    assert chosen("1", many) != chosen("2", many)
