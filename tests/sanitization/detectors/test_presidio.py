"""Presidio's recognisers, as the extra `presidio` adds them.

The package and what it needs take 390 MB, so the suite brings stand-ins for the few names the adapter uses, checked by
hand and held to the same tests as the real ones, which join in wherever the extra is installed (`make bench` does).
"""

import importlib.util
import re
import sys
from collections.abc import Sequence
from types import ModuleType

import pytest
from attrs import field, frozen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sanitization import STANDARD, Action, Category, Detector, Prefilter, Sanitizer, StreamSanitizer, everywhere
from sanitization.detectors.presidio import Presidio
from tests.rigs.sanitizer_samples import join

REAL = importlib.util.find_spec("presidio_analyzer") is not None
REMOVE = everywhere({Category.PII: Action.REMOVE})


@frozen
class Pattern:
    """Stands in for `presidio_analyzer.Pattern`."""

    name: str
    regex: str
    score: float


@frozen
class PatternRecognizer:
    """Stands in for `presidio_analyzer.PatternRecognizer`."""

    supported_entity: str = ""
    patterns: Sequence[Pattern] = ()
    supported_language: str = "en"
    global_regex_flags: int = field(default=re.DOTALL | re.MULTILINE | re.IGNORECASE)

    @property
    def supported_entities(self) -> list[str]:
        return [self.supported_entity]

    def validate_result(self, pattern_text: str) -> bool | None:
        return None

    def invalidate_result(self, pattern_text: str) -> bool | None:
        return None


class CardRecognizer(PatternRecognizer):
    """Sixteen digits with the check digit of ISO/IEC 7812."""

    def __init__(self) -> None:
        super().__init__("CREDIT_CARD", [Pattern("card", r"\b(?:[0-9]{4}[- ]?){3}[0-9]{4}\b", 0.3)])

    def validate_result(self, pattern_text: str) -> bool | None:
        numbers = [int(digit) for digit in pattern_text if digit.isdigit()][::-1]
        return (
            sum(number if place % 2 == 0 else sum(divmod(2 * number, 10)) for place, number in enumerate(numbers)) % 10
            == 0
        )


class SsnRecognizer(PatternRecognizer):
    """Three, two and four digits; a group of zeros is none."""

    def __init__(self) -> None:
        super().__init__(
            "US_SSN", [Pattern("plain", r"\b[0-9]{9}\b", 0.05), Pattern("ssn", r"\b[0-9]{3}-[0-9]{2}-[0-9]{4}\b", 0.5)]
        )

    def invalidate_result(self, pattern_text: str) -> bool | None:
        return any(not int(group) for group in pattern_text.split("-"))


class SpanishRecognizer(PatternRecognizer):
    """For another language."""

    def __init__(self) -> None:
        super().__init__("ES_NIF", [Pattern("nif", r"\b[0-9]{8}[A-Z]\b", 0.5)], "es")


def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    package, predefined = ModuleType("presidio_analyzer"), ModuleType("presidio_analyzer.predefined_recognizers")
    for recognizer in (PatternRecognizer, CardRecognizer, SsnRecognizer, SpanishRecognizer):
        setattr(predefined, recognizer.__name__, recognizer)
    vars(package).update(PatternRecognizer=PatternRecognizer, predefined_recognizers=predefined)
    monkeypatch.setitem(sys.modules, "presidio_analyzer", package)
    monkeypatch.setitem(sys.modules, "regex", re)


@pytest.fixture(params=["stand-in", "presidio"] if REAL else ["stand-in"])
def package(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The stand-in, and the real package where it is installed."""
    if request.param == "stand-in":
        stand_in(monkeypatch)
    return str(request.param)


CARD = join("4111 1111", " 1111 1111")
SSN = join("856-45", "-6789")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"card {CARD} please", [("pii.credit_card", CARD, 1.0)]),
        (f"card {CARD[:-1]}2 please", []),
        (f"ssn {SSN}", [("pii.us_ssn", SSN, 0.5)]),
        (f"ssn {SSN[:4]}00{SSN[6:]}", []),
        (f"{SSN} {CARD}\n{SSN}", [("pii.us_ssn", SSN, 0.5), ("pii.credit_card", CARD, 1.0), ("pii.us_ssn", SSN, 0.5)]),
        ("nothing here", []),
    ],
)
@pytest.mark.usefixtures("package")
def test_finds_of_recognisers_are_reported(text: str, found: list[tuple[str, str, float]]) -> None:
    """By pattern, validation and invalidation, with Presidio's score."""
    hits = [(hit.kind, text[hit.start : hit.end], hit.score) for hit in Presidio().find(text)]
    assert hits == found


@pytest.mark.usefixtures("package")
def test_a_language_brings_its_recognisers() -> None:
    """Recognisers of other languages are left out."""
    number = join("12345", "678Z")
    kinds = [{hit.kind for hit in Presidio(languages=[language]).find(number)} for language in ("en", "es")]
    assert "pii.es_nif" not in kinds[0]
    assert "pii.es_nif" in kinds[1]


def test_recognisers_of_your_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """They replace the predefined ones; a prefilter keeps other texts from them."""
    stand_in(monkeypatch)
    badge = PatternRecognizer("BADGE", [Pattern("badge", "emp-[0-9]{6}", 0.9), Pattern("wide", "emp-[0-9]+", 0.6)])
    detector = Presidio([badge], prefilter=Prefilter(literals=("emp-",), ignore_case=True))
    assert [(hit.start, hit.end, hit.score) for hit in detector.find("EMP-004217 emp-12")] == [
        (0, 10, 0.9),
        (11, 17, 0.6),
    ]
    assert Sanitizer(REMOVE, extra=[detector]).sanitize("for EMP-004217").text == "for [redacted]"
    assert list(Presidio([badge], threshold=0.95).find("emp-004217")) == []


@given(
    parts=st.lists(
        st.sampled_from([CARD, CARD[:9], CARD[9:], SSN, SSN[:5], "1", " ", "-", "x", "é", "\n"]), max_size=12
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_cut_gives_the_whole(parts: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream's output is that of the whole text."""
    stand_in(monkeypatch)
    more = [Presidio()]
    whole = Sanitizer(REMOVE, extra=more).sanitize("".join(parts))
    stream = StreamSanitizer(REMOVE, extra=more)
    assert "".join(map(stream.feed, parts)) + stream.flush() == whole.text
    assert stream.findings == whole.findings


def test_without_the_extra_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Building the detector raises the error, not reading a text."""
    monkeypatch.setitem(sys.modules, "regex", None)
    with pytest.raises(ImportError, match="regex"):
        Presidio()


@pytest.mark.usefixtures("package")
def test_it_is_a_detector() -> None:
    """An instance satisfies the `Detector` protocol, statically and at run time."""
    detector: Detector = Presidio()
    assert (detector.name, detector.category, detector.prefilters) == ("presidio", Category.PII, ())
    assert Sanitizer(STANDARD, extra=[detector]).sanitize("plain words").findings == ()
