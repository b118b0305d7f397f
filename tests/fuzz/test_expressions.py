"""No regular expression of ours takes more than linear time on a text from outside."""

import json
import subprocess
import sys
from typing import Final

import pytest

from sanitization import STANDARD, Direction, Sanitizer
from sanitization.detectors.secrets.values import JUDGED, is_code, is_name, is_password, is_random, is_strong
from tests.fuzz import expressions

BOUNDED: Final = {
    "sanitization/detectors/pii/addresses.py": "of the 80 characters before an address",
    "sanitization/detectors/secrets/credentials.py": "of the last characters before an argument",
    "sanitization/detectors/secrets/forms.py": "every repeat in it is bounded, so it grows until that bound only",
    "sanitization/detectors/injection/rules.py": "of a window of bounded length around what opened a gate",
    "sanitization/detectors/injection/encodings.py": "every repeat in it is bounded, so it grows until that bound only",
    "sanitization/detectors/injection/detector.py": "of what follows a telling word, up to a bound",
    "sanitization/detectors/injection/classifier.py": "of a window of bounded length around a telling word",
    "transport/server/tls.py": "of the certificate that the operator has configured",
    "understudy/app/settings.py": "of the environment and the files that the operator has written",
    "understudy/storage/postgresql.py": "of the address of the database that the operator has configured",
    "understudy/tools/arithmetic.py": "of a text of at most 1,000 characters, which takes 20 ms at worst",
    "understudy/tools/signature.py": "of the documentation of a tool, which is code",
}
"""Files with expressions that grow faster than their text, and why that text is short or trusted."""


@pytest.mark.proof("fuzz")
def test_every_expression_takes_linear_time() -> None:
    """Every compiled expression of a file that is not in `BOUNDED` is tried on texts made for each of its repeats."""
    command = [sys.executable, "-m", expressions.__name__, *BOUNDED]
    rows = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=400).stdout)
    assert rows["expressions"] > 500
    assert 0 < rows["tried"] < rows["expressions"]
    assert rows["slow"] == []


@pytest.mark.proof("fuzz")
def test_an_expression_that_grows_is_seen() -> None:
    code = "from tests.fuzz.expressions import slow, stop_matches;"
    code += r"stop_matches(); tried = (r'(?:a+)+b', r'\s+x', r'(?<!\s)\s++x', r'a{1,9}b', r'\w+');"
    code += "print([bool(slow(each, 0, set())) for each in tried])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60)
    assert ran.stdout == b"[True, True, False, False, False]\n"


@pytest.mark.parametrize("unit", ["A", "a", "Aa", "Aaa", "AA1", "AAAaaa", "a1", "a-", "a.", "_a", "A_", "::a", "$a"])
@pytest.mark.parametrize("end", ["", "!", "_", "1", "\x00"])
def test_a_value_is_judged_in_no_time(unit: str, end: str) -> None:
    """Values on which backtracking once took seconds to years."""
    value = (unit * JUDGED)[: JUDGED - 1] + end
    for judge in (is_name, is_code, is_random, is_strong, lambda value: is_password(value, prose=True)):
        judge(value)
    for words in ("api_key='{}'", "password: {}", "the password is {}", "TOKEN={}", "https://a:{}@b.example"):
        assert Sanitizer(STANDARD, Direction.OUTBOUND).sanitize(words.format(value)).failures == ()
