"""The view of a text reads each character in the same way, whatever stands around it."""

import pytest

from sanitization.normalization import FEW, folded

OTHERS = "\uff29\uff47\uff4e \u00c9\u0130\u0141 \u03a3\u03a3 \u2019\u2014\u00a0 \u0410\u0411 \U0001d408 \ud800"


@pytest.mark.parametrize("padding", ["", "Ab, ", "Ab, " * FEW * len(OTHERS)])
def test_few_foreign_characters_read_as_many(padding: str) -> None:
    """Letters in another form, with accents, of other scripts, signs, half a surrogate pair."""
    assert folded(f"{padding}. {OTHERS}") == f"{padding.lower()}. ign eil σσ '-  аб i \ud800"  # noqa: RUF001
