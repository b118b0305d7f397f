"""A user's own expression is a detector like the others: gated, bounded, the same in a stream."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanitization import (
    STANDARD,
    Action,
    Category,
    Detector,
    Failing,
    Pattern,
    Prefilter,
    Sanitizer,
    StreamSanitizer,
    everywhere,
)
from tests.rigs.sanitizer_samples import SECRETS

BADGE = Pattern(
    "badges", Category.PII, "pii.badge", r"(?<![A-Z0-9-])EMP-[0-9]{6}(?![0-9])", prefilter=Prefilter(literals=("EMP-",))
)
ORDER = Pattern("orders", Category.PII, "pii.order", r"order (?:no\. )?(?P<value>[0-9]{3}(?: [0-9]{3}){0,3})", reach=40)
REMOVE = everywhere(dict.fromkeys(Category, Action.REMOVE))


def even(text: str) -> bool:
    return text[-1] in "02468"


@pytest.mark.parametrize(
    ("pattern", "text", "clean"),
    [
        (BADGE, "Ask EMP-004217, or EMP-1.", "Ask [redacted], or EMP-1."),
        (BADGE, "XEMP-004217 EMP-0042170", "XEMP-004217 EMP-0042170"),
        (BADGE, "EMP-004217EMP-004218", "[redacted]EMP-004218"),
        (ORDER, "order 123 456 and order no. 789", "order [redacted] and order no. [redacted]"),
        (ORDER, "order of 123", "order of 123"),
        (Pattern("n", Category.PII, "pii.n", "n[0-9]{2}", check=even, replacement="#"), "n12 n13 n14", "# n13 #"),
        (Pattern("n", Category.PII, "pii.n", "n[0-9]{2}", check=even), "n125", "[redacted]5"),
        (Pattern("n", Category.PII, "pii.n", "a.*z", reach=8), "a----z a--------z", "[redacted] a--------z"),
        (Pattern("n", Category.PII, "pii.n", "x*"), "axxb", "a[redacted]b"),
        (Pattern("n", Category.PII, "pii.n", "(?P<value>q)|u"), "q-u", "[redacted]-[redacted]"),
        (Pattern("n", Category.PII, "pii.n", re.compile("end$")), "end or end", "end or [redacted]"),
    ],
)  # fmt: skip
def test_matches_within_the_reach_are_found(pattern: Pattern, text: str, clean: str) -> None:
    """The match or its value, where the check lets it, within the reach."""
    assert Sanitizer(REMOVE, extra=[pattern]).sanitize(text).text == clean


@given(
    st.lists(
        st.sampled_from(["EMP-", "004217", "EMP-004217", "order ", "no. ", "123", " ", "\n", "é", "中"]), max_size=12
    )
)
def test_any_cut_gives_the_whole(parts: list[str]) -> None:
    """The stream's output is that of the whole text."""
    whole = Sanitizer(REMOVE, extra=[BADGE, ORDER]).sanitize("".join(parts))
    stream = StreamSanitizer(REMOVE, extra=[BADGE, ORDER])
    assert "".join(map(stream.feed, parts)) + stream.flush() == whole.text
    assert stream.findings == whole.findings


def test_it_stands_beside_the_others() -> None:
    """Its kind has exceptions and a mask like any other; built-in detectors win overlapping spans."""
    secret = SECRETS["secret.npm.token"]
    word = Pattern("words", Category.PII, "pii.word", r"npm_\w+|secret word", score=0.7)
    findings = Sanitizer(REMOVE, extra=[word]).sanitize(f"{secret} secret word").findings
    assert [finding.kind for finding in findings] == ["secret.npm.token", "pii.word"]
    assert (findings[1].detector, findings[1].score) == ("words", 0.7)
    assert Sanitizer(STANDARD, extra=[word]).sanitize("secret word").findings[0].action is Action.FLAG


def test_without_a_prefilter_a_stream_holds_its_reach_back_and_no_more() -> None:
    """Text beyond the expression's reach is returned."""
    stream = StreamSanitizer(everywhere({Category.PII: Action.REMOVE}), extra=[ORDER])
    out = "".join(stream.feed("plain words ") for _ in range(100))
    assert stream.held <= 2 * ORDER.reach
    assert out + stream.flush() == "plain words " * 100


def test_with_a_prefilter_a_stream_flows() -> None:
    """While the prefilter does not match only the last word is held back."""
    stream = StreamSanitizer(everywhere({Category.PII: Action.REMOVE}), extra=[BADGE])
    assert stream.feed("plain words and so") == "plain words and "


@pytest.mark.parametrize(
    "prefilter",
    [
        Prefilter(literals=("emp-",), ignore_case=True),
        Prefilter(pattern="EMP-[0-9]"),
        Prefilter(characters="E"),
        Prefilter(ranges=((69, 69),)),
    ],
)
def test_text_before_the_word_that_matches_the_prefilter_is_returned(prefilter: Prefilter) -> None:
    """From the matching word on, `reach` characters are held back."""
    detector = Pattern("badges", Category.PII, "pii.badge", r"\(?EMP-[0-9]{6}", prefilter=prefilter, reach=30)
    stream = StreamSanitizer(everywhere({Category.PII: Action.REMOVE}), extra=[detector])
    assert stream.feed("ask for (EMP-0") == "ask for "
    assert stream.feed("04217) or ") == ""
    assert stream.feed("others, in the evening ") == "[redacted]) or others, in the evening "


def test_a_check_that_raises_blocks_the_text() -> None:
    """Unread text does not pass."""
    broken = Pattern("broken", Category.PII, "pii.n", "[0-9]+", check=lambda text: text[99] == "1")
    sanitized = Sanitizer(REMOVE, extra=[broken]).sanitize("number 17")
    assert (sanitized.text, sanitized.blocked) == ("", True)
    assert [(failure.detector, failure.error) for failure in sanitized.failures] == [("broken", "IndexError")]
    assert REMOVE.failing is Failing.BLOCK


def test_it_is_a_detector() -> None:
    """An instance satisfies the `Detector` protocol, statically and at run time."""
    detector: Detector = BADGE
    assert [name for name, _ in detector.prefilters] == ["pii.badge"]
    assert ORDER.prefilters == ()
