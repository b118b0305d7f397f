"""The main entry: text mode leaves text alone, policies choose, findings are bounded and have no text."""

from collections.abc import Collection, Iterator

import pytest
from attrs import Factory, define, evolve
from hypothesis import example, given

import sanitization
from sanitization import (
    OFF,
    STANDARD,
    Action,
    Category,
    CleanTexts,
    Direction,
    Failing,
    Hit,
    Policy,
    Sanitizer,
    summary,
)
from sanitization.pipeline import Edits
from sanitization.sanitizer import REMEMBERED
from tests.rigs.sanitizer_samples import SECRETS, texts


@pytest.mark.parametrize("text", ["a < b && c > d", "<b>not</b> & 'escaped' \"here\"", "", "x\r\n\ty", "1 <script> 2"])
def test_text_is_never_escaped(text: str) -> None:
    """Text mode gives ordinary text back byte for byte."""
    assert Sanitizer().sanitize(text).text == text


@example("휴대 316053050490")
@given(texts)
def test_findings_account_for_every_change(text: str) -> None:
    """Outside the findings nothing changes, nor in those that are flagged: with the replacements of the others the
    original is the result."""
    sanitized = Sanitizer().sanitize(text)
    expected, place = "", 0
    changes = [finding for finding in sanitized.findings if finding.action is not Action.FLAG]
    for finding in sorted(changes, key=lambda finding: (finding.start, -finding.end)):
        if finding.start >= place:  # or else it lies within another
            expected, place = expected + text[place : finding.start] + finding.replacement, finding.end
    # NEL becomes U+2028 as a control, and then a line end.
    assert sanitized.text == (expected + text[place:]).replace("\u2028", "\n")
    assert list(sanitized.findings) == sorted(sanitized.findings, key=lambda finding: (finding.start, finding.end))


def test_a_policy_chooses_what_is_scanned_for() -> None:
    """With rules for one category only its finds are reported; without rules none."""
    text = f"\x1b[1m\u200b{SECRETS['secret.npm.token']}"
    for category in (Category.TERMINAL, Category.INVISIBLE):
        policy = Policy(outbound={category: Action.REMOVE})
        assert {finding.category for finding in Sanitizer(policy).sanitize(text).findings} == {category}
    assert Sanitizer(OFF).sanitize(text).text == text


def test_the_threshold_keeps_guesses_out() -> None:
    """A find below the threshold is neither replaced nor reported."""
    prose = "my password is hunter2x!"
    assert Sanitizer().sanitize(prose).findings
    assert Sanitizer(evolve(STANDARD, threshold=0.7)).sanitize(prose).text == prose


def test_the_listed_findings_are_bounded_and_the_redaction_is_not() -> None:
    """Beyond the bound replacements are made and counted, not listed."""
    sanitized = Sanitizer(evolve(STANDARD, max_findings=10)).sanitize("a\x00" * 50)
    assert (sanitized.text, len(sanitized.findings), sanitized.omitted) == ("a" * 50, 10, 40)


def test_a_summary_holds_no_secret() -> None:
    """Counts by category, kinds and places; neither it nor the findings print the text."""
    secret = SECRETS["secret.github.token"]
    sanitized = Sanitizer().sanitize(f"\u200bmy {secret}")
    words = summary(sanitized.findings)
    assert words.counts == {"invisible": 1, "secret": 1}
    assert words.findings == (
        {"kind": "invisible.zero_width", "start": 0, "end": 1},
        {"kind": "secret.github.token", "start": 4, "end": 44},
    )
    assert secret not in repr((words, sanitized))


def test_edits_map_back() -> None:
    """Places in a new text lead to where their characters stood in the old one."""
    edits = Edits()  # "ab--cd==ef" -> "abcdXef"
    edits.add(2, 4, 0)
    edits.add(6, 8, 1)
    old, new = "ab--cd==ef", "abcdXef"
    assert [old[edits.old_start(place)] for place, letter in enumerate(new) if letter != "X"] == list("abcdef")
    assert (edits.old_start(4), edits.old_end(5)) == (6, 8)
    assert (edits.old_start(1), edits.old_end(3)) == (1, 5)
    assert len(edits) == 2


def test_edits_map_out_of_a_longer_replacement() -> None:
    """Any part of a replacement maps to the whole replaced span."""
    edits = Edits()  # "a=b" -> "aXYZb"
    edits.add(1, 2, 3)
    assert [(edits.old_start(place), edits.old_end(place + 1)) for place in range(5)] == [
        (0, 1),
        *[(1, 2)] * 3,
        (2, 3),
    ]


@define
class Counting:
    """A detector of its own that finds `bad`, fails at `worse`, and counts the texts it reads."""

    name = "counting"
    category = Category.PII
    prefilters = ()
    context = reach = 8
    read: list[str] = Factory(list)

    def find(self, text: str, start: int = 0, _active: Collection[str] = ()) -> Iterator[Hit]:
        self.read.append(text)
        if "worse" in text:
            raise ValueError(text)
        place = text.find("bad", start)
        if place >= 0:
            yield Hit(place, place + 3, "pii.bad", 1.0, "", place)

    def settled(self, text: str, start: int = 0, _active: Collection[str] = ()) -> int:
        return start


def test_a_clean_text_is_not_scanned_again_for_fewer_categories() -> None:
    """A scan for more categories stands for one for fewer, never the other way round."""
    rules = {Category.PII: Action.FLAG, Category.SECRET: Action.REMOVE}
    detector, clean = Counting(), CleanTexts()
    policy = Policy(inbound=rules, outbound={Category.PII: Action.REMOVE}, failing=Failing.MARK)
    wide = Sanitizer(policy, Direction.INBOUND, extra=[detector], clean=clean)
    narrow = Sanitizer(policy, Direction.OUTBOUND, extra=[detector], clean=clean)
    assert [sanitizer.sanitize("one two").text for sanitizer in (wide, narrow, wide)] == ["one two"] * 3
    assert detector.read == ["one two"]
    narrow.sanitize("three")
    wide.sanitize("three")
    narrow.sanitize("three")
    assert detector.read == ["one two", "three", "three"]


@pytest.mark.parametrize("text", ["so bad", "far worse", "long " * 300])
def test_only_short_clean_texts_are_remembered(text: str) -> None:
    """A text with a find, even one that is only flagged, or with a failure, is scanned each time."""
    detector, clean = Counting(), CleanTexts()
    policy = Policy(outbound={Category.PII: Action.FLAG}, failing=Failing.MARK)
    sanitizer = Sanitizer(policy, extra=[detector], clean=clean)
    first = sanitizer.sanitize(text)
    read = len(detector.read)
    assert sanitizer.sanitize(text) == first
    assert len(detector.read) == 2 * read > 0


def test_remembered_texts_are_bounded_and_cannot_be_forged() -> None:
    """The key of a text depends on the object that remembers it, and a full memory starts over."""
    clean = CleanTexts()
    assert clean.digest("a") == clean.digest("a") != CleanTexts().digest("a")
    for number in range(REMEMBERED + 1):
        clean.add(clean.digest(str(number)), frozenset((Category.PII,)))
    assert not clean.covers(clean.digest("0"), frozenset((Category.PII,)))
    assert clean.covers(clean.digest(str(REMEMBERED)), frozenset((Category.PII,)))
    assert not clean.covers(clean.digest(str(REMEMBERED)), frozenset((Category.PII, Category.SECRET)))


def test_public_names() -> None:
    """`sanitization` exports exactly these names."""
    names = {name for name in vars(sanitization) if name[0].isupper() or name == "summary"}
    assert names == {
        "Action", "Category", "CleanTexts", "Detector", "Direction", "Failing", "Failure", "Finding", "Hit", "Kind",
        "Mask", "OFF", "PRESETS", "Pattern", "Placeholders", "Policy", "PolicyError", "Prefilter", "Rules", "STANDARD",
        "STRICT", "Sanitized", "Sanitizer", "StreamSanitizer", "Summary", "summary",
    }  # fmt: skip
