"""Placeholders are assigned from the first find on, and can be restored."""

from sanitization import Action, Category, Direction, Placeholders, Sanitizer, everywhere
from tests.rigs.sanitizer_samples import SECRETS

TOKENS = Sanitizer(everywhere({Category.SECRET: Action.TOKENISE}), Direction.INBOUND)


def test_the_first_find_has_a_placeholder() -> None:
    """Placeholders that are still empty are used all the same; the same text has the same one."""
    first, second = SECRETS["secret.github.token"], SECRETS["secret.gitlab.token"]
    placeholders = Placeholders()
    text = f"{first} and {second} and {first}"
    sanitized = TOKENS.sanitize(text, placeholders)
    assert sanitized.text == "[token-1] and [token-2] and [token-1]"
    assert placeholders.restore(f"{sanitized.text} [token-3]") == f"{text} [token-3]"
    assert len(placeholders) == 2


def test_without_placeholders_a_find_is_removed() -> None:
    """A find is removed without placeholders, and beyond their limit."""
    text = SECRETS["secret.github.token"]
    assert TOKENS.sanitize(text).text == "[redacted]"
    assert TOKENS.sanitize(text, Placeholders(limit=0)).text == "[redacted]"
