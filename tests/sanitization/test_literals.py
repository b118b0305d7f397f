"""Literals looked for together are those that one would find one by one."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sanitization.detectors import CONTENT, DISGUISES
from sanitization.literals import ORDINARY, Literals, unusual, words_of
from sanitization.prefilter import Prefilter, build_prefilter
from tests.sanitization.samples import texts

SOME = (
    "a",
    "-",
    "sk-",
    "sk-ant-",
    "pwd",
    "password",
    "was",
    "men",
    "k",
    "kk",
    "wk",
    "née",
    "密码",
    "\r",
    "\x1b[",
    "a-z",
)
EVERY = tuple(
    {each for detector in (*DISGUISES, *CONTENT) for _, prefilter in detector.prefilters for each in prefilter.literals}
)


def _within(literals: tuple[str, ...], text: str) -> set[str]:
    return set(Literals(literals).within(text, unusual(text.encode("utf-8", "surrogatepass")), words_of(text)))


@given(st.lists(st.sampled_from([*SOME, *"askwpdmen-[zé密码\x1b\ud800 "]), max_size=9).map("".join))
@settings(max_examples=400, deadline=None)
def test_what_stands_in_a_text_is_found(text: str) -> None:
    """Also where one begins within another, at the end of the text, and beside what cannot be encoded."""
    assert _within(SOME, text) == {each for each in SOME if each in text}


def test_every_literal_of_the_detectors_is_found_alone() -> None:
    """And none that does not stand there."""
    looked = Literals(EVERY)
    for literal in EVERY:
        found = set(looked.within(literal, unusual(literal.encode()), words_of(literal)))
        assert found == {each for each in EVERY if each in literal}


@given(texts)
@settings(max_examples=100, deadline=None)
def test_every_literal_of_the_detectors_is_found_in_any_text(text: str) -> None:
    """The same in texts of all sorts."""
    assert _within(EVERY, text) == {each for each in EVERY if each in text}


def test_unusual_characters() -> None:
    """All but those of ordinary ASCII text, in order."""
    assert unusual("a\tb\r\n~é\x7f\x1b 密\ud800".encode("utf-8", "surrogatepass")) == "é\x7f\x1b密\ud800"
    assert len(unusual(bytes(range(128)))) == 128 - len(ORDINARY)


def test_which_prefilters_are_about_unusual_characters_alone() -> None:
    """Not one that has an ordinary character in it, not even within a range."""
    assert Prefilter(characters="\x1b\u200b").is_unusual
    assert Prefilter(ranges=((0x80, 0x10FFFF),)).is_unusual
    assert not Prefilter(characters="\x1b~").is_unusual
    assert not Prefilter(ranges=((0x0E, 0x1F), (0x0B, 0x0E))).is_unusual
    assert not Prefilter(literals=("\x1b",)).is_unusual


def test_a_run_at_the_beginning_of_a_pattern_means_the_same_to_the_standard_library() -> None:
    """However often it is repeated."""
    for run in ("{1}", "{3}", "{0,3}", "{1,3}", "{2,}", "{0}"):
        plain = Prefilter(pattern=rf"[a-c]{run}x|[d]{{2}}").plain
        assert plain is not None
        for text in ("x", "ax", "aax", "aaax", "aaaax", "dd", "d"):
            written = re.compile(rf"[a-c]{run}x|[d]{{2}}")
            assert [each.span() for each in plain.finditer(text)] == [each.span() for each in written.finditer(text)]


@pytest.mark.parametrize("pattern", ["pass[A-Z]+É", "[^A-Za-z]ab$", "é(?:A|Bc)", "a[^\x00-/:-@\\[-\x7f]b"])
@given(text=st.text("pasPASzZbBéÉcC1 K\u212a\u017f", max_size=12))
@settings(max_examples=200, deadline=None)
def test_a_pattern_in_lower_case_means_the_same(pattern: str, text: str) -> None:
    """Of ASCII only: other letters have the case they have."""
    prefilter = Prefilter(literals=("a",), pattern=pattern, ignore_case=True)
    plain, folded = prefilter.plain, prefilter.folded
    assert plain is not None
    assert folded is not None
    lowered = text.encode().lower().decode()
    assert bool(plain.search(text)) == bool(folded.search(lowered))


@pytest.mark.parametrize("pattern", ["a(?-i:[^a])", r"a\S", r"[\x41-z]", "[A-Y]", "[B-Z]"])
def test_a_pattern_in_which_case_matters_is_left_as_it_is(pattern: str) -> None:
    """Or which would have to be read to be put in lower case."""
    assert Prefilter(literals=("a",), pattern=pattern, ignore_case=True).folded is None
    assert Prefilter(literals=("a",), pattern="b").folded is None


RUNS = [
    (name, prefilter) for detector in (*DISGUISES, *CONTENT) for name, prefilter in detector.prefilters if prefilter.run
]


def test_some_prefilters_tell_of_runs() -> None:
    """Otherwise the next test would say nothing."""
    assert {name for name, _ in RUNS} >= {"discord.token"}


@pytest.mark.parametrize(("name", "prefilter"), RUNS, ids=[name for name, _ in RUNS])
def test_what_a_pattern_matches_has_the_run_that_its_prefilter_tells_of(name: str, prefilter: Prefilter) -> None:
    """In texts made by the pattern itself; and one without it shuts the prefilter, without RE2."""
    assert prefilter.run is not None
    run = re.compile(f"[{prefilter.run[0]}]{{{prefilter.run[1]}}}")
    plain = build_prefilter(((((name, prefilter),)),), plain=True)
    made = st.from_regex(re.compile(prefilter.expression), fullmatch=True)

    @given(made)
    @settings(max_examples=60, deadline=None)
    def check(text: str) -> None:
        assert run.search(text)
        assert plain(text)

    check()
    assert not plain("no such run here")


def test_the_same_fragment_over_and_over_costs_no_more_than_to_read_it() -> None:
    """Ten times what it takes."""
    looked = Literals(EVERY)
    began = time.thread_time()
    for text in ("sk-" * 100_000, "password" * 40_000, "-" * 300_000, "密" * 100_000):
        for start in range(0, len(text), 4_096):
            piece = text[start : start + 4_096]
            looked.within(piece, unusual(piece.encode()), words_of(piece))
    assert time.thread_time() - began < 3
