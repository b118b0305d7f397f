"""What the detectors of terminal sequences, hidden characters and look-alikes have in common."""

import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from sanitization import Action, Category, Sanitizer, StreamSanitizer
from sanitization.detectors.terminal import Terminal
from sanitization.detectors.unicode.homoglyphs import Homoglyphs
from sanitization.detectors.unicode.invisible import Invisible
from sanitization.policy import Policy, everywhere
from tests.rigs.cpu import cpu_seconds
from tests.sanitization.detectors import terminal_texts as terminal
from tests.sanitization.detectors.unicode import homoglyph_texts as homoglyphs
from tests.sanitization.detectors.unicode import invisible_texts as invisible


@frozen
class Subject:
    """A detector, the policy that removes what it finds, and texts for it.

    `chunks` draws a text in pieces, `cuts` are pieces that once went wrong, `honest` texts are left alone, and `units`
    are repeated into a hostile text.
    """

    detector: Terminal | Homoglyphs | Invisible
    policy: Policy
    chunks: st.SearchStrategy[list[str]]
    cuts: list[list[str]]
    honest: list[str]
    units: list[str]


SUBJECTS = {
    "terminal": Subject(
        Terminal(),
        everywhere({Category.TERMINAL: Action.REMOVE}),
        terminal.pieces,
        terminal.CUTS,
        terminal.TALK,
        terminal.UNITS,
    ),
    "homoglyphs": Subject(
        Homoglyphs(), homoglyphs.POLICY, homoglyphs.words, homoglyphs.CUTS, homoglyphs.HONEST, homoglyphs.UNITS
    ),
    "invisible": Subject(
        Invisible(), invisible.POLICY, invisible.pieces, invisible.CUTS, invisible.HONEST, invisible.UNITS
    ),
}
NAMES = pytest.mark.parametrize("name", SUBJECTS)


def of_each(field: str) -> pytest.MarkDecorator:
    """Parametrize a test by the name of a subject and each value in this list of it."""
    return pytest.mark.parametrize(
        ("name", "value"),
        [
            pytest.param(name, value, id=f"{name}-{value!a:.40}")
            for name, subject in SUBJECTS.items()
            for value in getattr(subject, field)
        ],
    )


@pytest.mark.parametrize(
    ("name", "kind"),
    [pytest.param(name, kind, id=kind.name) for name, subject in SUBJECTS.items() for kind in subject.detector.kinds],
)
def test_every_kind_is_found_in_its_example(name: str, kind: object) -> None:
    findings = Sanitizer(SUBJECTS[name].policy).sanitize(kind.example).findings  # type: ignore[attr-defined]
    assert [finding.kind for finding in findings] == [kind.name]  # type: ignore[attr-defined]


@of_each("honest")
def test_honest_text_comes_back_unchanged(name: str, value: str) -> None:
    """Under the standard policy and under the one that removes all finds of the category."""
    for sanitizer in (Sanitizer(), Sanitizer(SUBJECTS[name].policy)):
        sanitized = sanitizer.sanitize(value)
        assert (sanitized.text, sanitized.findings) == (value, ())


def check_cut(policy: Policy, chunks: list[str]) -> None:
    """Check that a stream of the chunks, and one of single letters, gives text and findings of the whole."""
    text = "".join(chunks)
    whole = Sanitizer(policy).sanitize(text)
    for pieces in (chunks, text):
        stream = StreamSanitizer(policy)
        assert "".join([*map(stream.feed, pieces), stream.flush()]) == whole.text
        assert stream.findings == whole.findings


@of_each("cuts")
def test_a_cut_that_once_went_wrong_gives_what_the_whole_gives(name: str, value: list[str]) -> None:
    check_cut(SUBJECTS[name].policy, value)


@NAMES
@given(data=st.data())
@settings(max_examples=300)
def test_any_cut_gives_what_the_whole_gives(name: str, data: st.DataObject) -> None:
    """Also letter by letter: a character is held until the text that decides on it has come."""
    check_cut(SUBJECTS[name].policy, data.draw(SUBJECTS[name].chunks))


@NAMES
@given(data=st.data())
@settings(max_examples=200)
def test_the_detector_has_no_memory(name: str, data: st.DataObject) -> None:
    """`find` from any place outside a hit yields the same further hits."""
    check_memory(SUBJECTS[name].detector, "".join(data.draw(SUBJECTS[name].chunks)))


def test_the_detector_of_hidden_characters_has_no_memory_of_many_marks() -> None:
    check_memory(Invisible(), "\u2764\ufe0f" + "\u200f" * 64 + "\u05d0")


def check_memory(detector: Terminal | Homoglyphs | Invisible, text: str) -> None:
    """Check `find` from each place of the text that is in no hit."""
    hits = list(detector.find(text, 0))
    for place in range(len(text) + 1):
        if not any(hit.anchor < place < hit.end for hit in hits):
            assert list(detector.find(text, place)) == [hit for hit in hits if hit.anchor >= place]


@of_each("units")
def test_a_hostile_text_takes_linear_time(name: str, value: str) -> None:
    """250 kB in CPU time; quadratic work would take a minute."""
    text = value * (250_000 // len(value.encode()))
    assert cpu_seconds(lambda: Sanitizer(SUBJECTS[name].policy).sanitize(text), 4) < 4
