"""Replacements of finds: masks, and placeholders that can be restored."""

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from sanitization import Action, Category, Mask, Pattern, Placeholders, Policy, Sanitizer, everywhere
from sanitization.masking import COVER, mask_text
from tests.rigs.sanitizer_samples import SECRETS, join

TOKENISE = everywhere(dict.fromkeys(Category, Action.TOKENISE))
NAMES = Pattern("names", Category.PII, "pii.full name", "[A-Z][a-z]+ey")
TOKEN = SECRETS["secret.npm.token"]


@pytest.mark.parametrize(
    ("text", "mask", "covered"),
    [
        ("a.b@c-d.org", Mask.SHAPE, "•.•@•-•.•••"),
        ("+49 (0) 30/12", Mask.SHAPE, "+•• (•) ••/••"),
        (join("hun", "ter2!?$"), Mask.SHAPE, "••••••••••"),
        ("two\nlines\tétude", Mask.SHAPE, "•••\n•••••\t•••••"),
        ("1234 5678 9012", Mask.LAST_FOUR, "•••• •••• 9012"),
        ("1234 5678 90", Mask.LAST_FOUR, "•••• •••• ••"),
        ("abcdefgh12-34!", Mask.LAST_FOUR, "••••••••12-34•"),
        ("", Mask.LAST_FOUR, ""),
    ],
)
def test_a_mask_keeps_the_shape(text: str, mask: Mask, covered: str) -> None:
    """Signs of addresses and numbers stay, those of passwords do not; four stay of at least twelve."""
    assert mask_text(text, mask) == covered


def test_four_characters_stay_of_twelve_and_none_of_fewer() -> None:
    assert mask_text("12345678901", Mask.LAST_FOUR) == COVER * 11
    assert mask_text("123456789012", Mask.LAST_FOUR) == COVER * 8 + "9012"


@given(st.text(max_size=40), st.sampled_from(Mask))
def test_a_mask_is_as_long_as_the_text_and_shows_four_at_most(text: str, mask: Mask) -> None:
    """Random text: the mask has its length, and shows at most four characters."""
    out = mask_text(text, mask)
    assert len(out) == len(text)
    kept = [
        letter
        for letter, old in zip(out, text, strict=True)
        if letter == old and (letter.isalnum() and letter != COVER)
    ]
    assert len(kept) <= (4 if mask is Mask.LAST_FOUR else 0)


def test_the_policy_says_how_a_kind_is_masked() -> None:
    """The entry of the kind, or of what it lies below."""
    policy = evolve(everywhere({Category.SECRET: Action.MASK}), masks={"secret.npm": Mask.LAST_FOUR})
    assert Sanitizer(policy).sanitize(TOKEN).text.endswith(f"{COVER}{TOKEN[-4:]}")
    other = SECRETS["secret.github.token"]
    assert not any(letter.isalnum() for letter in Sanitizer(policy).sanitize(other).text)


def test_the_same_text_has_the_same_placeholder() -> None:
    """In one text, in a stream, in the next message; another text and another kind have others."""
    known, sanitizer = Placeholders(), Sanitizer(TOKENISE, extra=[NAMES])
    other = SECRETS["secret.github.token"]
    first = sanitizer.sanitize(f"{TOKEN} {other} {TOKEN} Casey", known)
    assert first.text == "[token-1] [token-2] [token-1] [full_name-1]"
    assert [finding.replacement for finding in first.findings] == first.text.split()
    stream = sanitizer.stream(known)
    assert "".join(map(stream.feed, f"Casey {TOKEN}")) + stream.flush() == "[full_name-1] [token-1]"
    assert len(known) == 3
    assert known.restore(f"{first.text} [token-9] [email-1]") == f"{TOKEN} {other} {TOKEN} Casey [token-9] [email-1]"


def test_placeholders_are_bounded() -> None:
    """Finds beyond the number or the length are removed; another user's placeholders are not restored."""
    known = Placeholders(limit=1)
    assert (
        Sanitizer(TOKENISE, extra=[NAMES]).sanitize("Casey Audrey Casey", known).text
        == "[full_name-1] [redacted] [full_name-1]"
    )
    assert Placeholders().assign("secret.token", "x" * 2_000) is None
    assert Placeholders().restore("[full_name-1]") == "[full_name-1]"
    assert Sanitizer(TOKENISE).sanitize(TOKEN).text == "[redacted]"


@given(st.text(max_size=20), st.text(min_size=1, max_size=20))
def test_every_kind_has_placeholders_that_lead_back(kind: str, text: str) -> None:
    """Kinds of built-in and custom detectors get placeholders that can be restored."""
    known = Placeholders()
    name = known.assign(f"pii.{kind}", text)
    assert name is not None
    assert known.restore(f"a {name} b") == f"a {text} b"


def test_a_policy_without_masks_covers_all() -> None:
    """The shape is the default."""
    assert Policy().masks == {}
