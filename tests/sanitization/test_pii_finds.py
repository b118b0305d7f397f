"""Finds of personal data: each line a text with the find between « and », made up, its check digits computed."""

import pytest

from sanitization import Action, Category, Sanitizer
from sanitization.policy import everywhere
from tests.sanitization.personal_texts import SAMPLES

SANITIZER = Sanitizer(everywhere({Category.PII: Action.REMOVE}))


@pytest.mark.parametrize(("kind", "text", "spans"), SAMPLES, ids=lambda value: str(value)[:40])
def test_personal_data_is_found_with_exact_ends(kind: str, text: str, spans: list[tuple[int, int]]) -> None:
    """The marked span is found with its kind and exact ends, and nothing else."""
    findings = SANITIZER.sanitize(text).findings
    assert [(find.kind, find.start, find.end) for find in findings] == [(f"pii.{kind}", *span) for span in spans]
