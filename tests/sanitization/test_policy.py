"""A policy chooses by direction, category and kind, and lists texts that are never finds."""

import pytest
from attrs import evolve
from attrs.exceptions import FrozenInstanceError

from sanitization import (
    OFF,
    PRESETS,
    STANDARD,
    STRICT,
    Action,
    Category,
    Direction,
    Pattern,
    Policy,
    Sanitizer,
    everywhere,
)
from tests.rigs.sanitizer_samples import PASSWORD, SECRETS

TOKEN = SECRETS["secret.npm.token"]
OTHER = SECRETS["secret.github.token"]
TEXT = f"{TOKEN} and {OTHER}"
REMOVE = everywhere({Category.SECRET: Action.REMOVE})


def test_each_direction_has_its_rules() -> None:
    policy = Policy(inbound={Category.SECRET: Action.REMOVE}, tool={Category.SECRET: Action.FLAG})
    texts = {direction: Sanitizer(policy, direction).sanitize(TOKEN) for direction in Direction}
    assert texts[Direction.INBOUND].text == "[redacted]"
    assert texts[Direction.TOOL].text == TOKEN
    assert [direction.action for direction in texts[Direction.TOOL].findings] == [Action.FLAG]
    assert texts[Direction.OUTBOUND].findings == ()


@pytest.mark.parametrize(
    ("kinds", "clean"),
    [
        ({}, "[redacted] and [redacted]"),
        ({"secret.npm": None}, f"{TOKEN} and [redacted]"),
        ({"secret.npm.token": None, "secret": Action.FLAG}, TEXT),
        ({"secret": None, "secret.npm": Action.REMOVE}, f"[redacted] and {OTHER}"),
        ({"secret.n": None, "secret.npm.tok": None, "npm": None}, "[redacted] and [redacted]"),
        ({"secret.github.token": Action.BLOCK}, ""),
    ],
)
def test_kinds_have_exceptions(kinds: dict[str, Action | None], clean: str) -> None:
    """The longest beginning by whole words counts; None lets a kind pass."""
    assert Sanitizer(evolve(REMOVE, kinds=kinds)).sanitize(TEXT).text == clean


def test_a_kind_may_be_scanned_for_though_its_category_is_not_acted_on() -> None:
    """An exception can only widen what the category has a rule for."""
    policy = Policy(outbound={Category.SECRET: Action.FLAG}, kinds={"secret.npm": Action.REMOVE})
    assert Sanitizer(policy).sanitize(TEXT).text == f"[redacted] and {OTHER}"


def test_allowed_texts_are_no_finds() -> None:
    """Allowed texts are compared exactly; longer and other texts are found."""
    policy = evolve(REMOVE, allow=frozenset({TOKEN}))
    assert Sanitizer(policy).sanitize(TEXT).text == f"{TOKEN} and [redacted]"
    assert Sanitizer(evolve(REMOVE, allow=frozenset({TOKEN[:-1], TOKEN.lower()}))).sanitize(TOKEN).text == "[redacted]"


def test_a_find_that_is_let_pass_hides_no_other() -> None:
    """Passwords may pass, tokens of known form may not, even in place of a password."""
    policy = evolve(REMOVE, kinds={"secret.password": None})
    assert Sanitizer(policy).sanitize(f"password = {PASSWORD}").text == f"password = {PASSWORD}"
    assert Sanitizer(policy).sanitize(f"password = {TOKEN}").text == "password = [redacted]"


@pytest.mark.parametrize("score", [0.0, 0.49, 0.5, 1.0])
def test_the_threshold_counts_what_reaches_it(score: float) -> None:
    """A score equal to the threshold counts."""
    guess = Pattern("guess", Category.PII, "pii.guess", "casey", score=score)
    findings = Sanitizer(everywhere({Category.PII: Action.REMOVE}), extra=[guess]).sanitize("casey").findings
    assert bool(findings) == (score >= 0.5)


def test_rules_cannot_be_changed_afterwards() -> None:
    rules = {Category.SECRET: Action.REMOVE}
    policy = everywhere(rules)
    rules.clear()
    assert policy.outbound == {Category.SECRET: Action.REMOVE}
    with pytest.raises(TypeError):
        policy.outbound[Category.PII] = Action.FLAG  # type: ignore[index]
    with pytest.raises(FrozenInstanceError):
        policy.threshold = 0.1  # type: ignore[misc]


def test_presets() -> None:
    """Hidden characters and secrets are removed in every direction of both; `off` looks for nothing."""
    assert PRESETS == {"strict": STRICT, "standard": STANDARD, "off": OFF}
    for policy in (STRICT, STANDARD):
        for direction in Direction:
            rules = policy.rules(direction)
            kept_out = {Category.TERMINAL, Category.INVISIBLE, Category.SECRET}
            assert {part for part in kept_out if rules.get(part) is Action.REMOVE} == kept_out
    assert STRICT.inbound[Category.INJECTION] is Action.BLOCK
    assert [dict(OFF.rules(part)) for part in Direction] == [{}, {}, {}]
