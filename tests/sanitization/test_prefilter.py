"""A prefilter matches its texts and no others, and is never narrower than its rules."""

import random
import re
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sanitization import Category, Detector, Pattern, Sanitizer, prefilter
from sanitization.detectors import CONTENT, DISGUISES, Secrets
from sanitization.prefilter import Prefilter, build_prefilter, check_prefilters, utf8_expression
from tests.rigs.cpu import takes_linear_time
from tests.rigs.sanitizer_samples import texts

DETECTORS = (*DISGUISES, *CONTENT)
HEADS = Prefilter(literals=("ghp_", "a.b", "("))
WORDS = Prefilter(literals=("password", "pwd"), ignore_case=True)
FORM = Prefilter(literals=("id",), pattern=r"id[0-9]{2,4}x", ignore_case=True)
SIGNS = Prefilter(characters="]^-\\\x1b\u200b\U000e0041")


@pytest.mark.parametrize(
    ("prefilter", "opening", "shut"),
    [
        (HEADS, ["ghp_", "x ghp_y", "a.b", "f("], ["", "GHP_", "gh p_", "axb"]),
        (
            WORDS,
            ["password", "PassWord", "äPWD", "\u0130 password"],
            ["pass word", "pa\u017f\u017fword", "\uff50\uff57\uff44"],
        ),
        (Prefilter(literals=("key",), ignore_case=True), ["KEY", "monkey"], ["\u212aey", "\u212aEY"]),
        (FORM, ["id12x", "ID1234X", "a id99x"], ["id1x", "id12345x", "\u0131d12x", "i d12x", "id\u0661\u0662x"]),
        (SIGNS, list("]^-\\\x1b\u200b\U000e0041"), ["[", "_", "\u200c", "\U000e0042", "plain"]),
    ],
)
def test_what_matches_a_prefilter(prefilter: Prefilter, opening: list[str], shut: list[str]) -> None:
    """Literals, letters of either case, patterns and characters."""
    active = build_prefilter(((("it", prefilter),),))
    assert [text for text in opening if active(text) != {0: ["it"]}] == []
    assert [text for text in shut if active(text)] == []


def test_each_detector_gets_its_matching_prefilters() -> None:
    """Active detectors by number, with the names of prefilters; a detector without prefilters is always active."""
    active = build_prefilter(((("heads", HEADS), ("words", WORDS)), (), (("signs", SIGNS),)))
    assert active("nothing") == {1: ()}
    assert {number: sorted(names) for number, names in active("my pwd: ghp_").items()} == {0: ["heads", "words"], 1: []}
    assert set(active("pwd^")) == {0, 1, 2}


def test_detectors_that_are_not_used_are_not_listed() -> None:
    """Policies share one search, and each lists its own detectors only, also of those without prefilters."""
    prefilters = ((("heads", HEADS),), (), (("signs", SIGNS),), ())
    assert build_prefilter(prefilters)("ghp_^") == {0: ["heads"], 1: [], 2: ["signs"], 3: []}
    assert build_prefilter(prefilters, frozenset((0, 3)))("ghp_^") == {0: ["heads"], 3: []}
    assert not build_prefilter(prefilters, frozenset((2,)))("ghp_")


def test_a_run_matches_whole_or_at_the_end_of_a_text() -> None:
    """Three in a row, or fewer if the text ends with them and more may follow."""
    active = build_prefilter(((("run", Prefilter(ranges=((0xE0000, 0xE007F),), run=3)),),))
    hidden = "\U000e0041"
    assert [size for size in range(6) if active(f"a{hidden * size}b")] == [3, 4, 5]
    assert [size for size in range(6) if active(f"a{hidden * size}")] == [1, 2, 3, 4, 5]
    assert not active(f"a{hidden}b{hidden}c{hidden}{hidden}d")


def test_a_tail_is_searched_at_the_end_of_a_text_only() -> None:
    """Of a long text the last ten characters; the prefilters for whole texts are searched everywhere."""
    named = (("row", Prefilter(pattern="give +me")), ("row$", Prefilter(pattern="give +(?:me|$)", tail=10)))
    active = build_prefilter((named, (("signs", SIGNS),)))
    assert active("give ") == {0: ["row$"]}
    assert {number: sorted(names) for number, names in active("give me").items()} == {0: ["row", "row$"]}
    assert active("give me the rest^") == {0: ["row"], 1: ["signs"]}
    assert active("give me, and give ") == {0: ["row", "row$"]}
    assert not active("give you the rest")


def test_letters_of_other_languages_activate_no_rule_for_passwords() -> None:
    """Only if the letter of a word for a password has the next one behind it, or ends the text."""
    active = build_prefilter((Secrets.prefilters,))
    assert not active("sch\u00f6n, se\u00f1or, \u0142adny, \u015fehir")
    assert active("l\u00f6sen") == active("contrase\u00f1") == active("ha\u0142") == {0: ["foreign"]}


def test_no_text_is_too_broken() -> None:
    """Halves of surrogate pairs, nulls, the last code point."""
    active = build_prefilter(((("heads", HEADS), ("words", WORDS)),))
    for text in ("\ud800", "\udfff\x00\U0010ffff", "\ud83dPWD\ude00"):
        assert bool(active(text)) == ("PWD" in text)


@pytest.mark.parametrize("pattern", ["(", "a{2000}", "(?=b)"])
def test_a_prefilter_that_cannot_be_read_is_an_error(pattern: str) -> None:
    """RE2's error, though prefilters are built by the first search only."""
    with pytest.raises(Exception, match=re.escape("to Set")):
        check_prefilters((("broken", Prefilter(pattern=pattern)),))


def test_a_detector_with_such_a_prefilter_is_an_error_at_once() -> None:
    """The sanitizer raises it when it is built, not with its first text."""
    broken = Pattern("broken", Category.PII, "pii.broken", "b", prefilter=Prefilter(pattern="(?=b)"))
    with pytest.raises(Exception, match=re.escape("to Set")):
        Sanitizer(extra=[broken])


def test_either_way_of_re2_matches_what_rules_need(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forced to be slow, the smaller sets match the same prefilters as the one automaton."""
    named = (
        ("heads", HEADS),
        ("words", WORDS),
        ("form", FORM),
        ("signs", SIGNS),
        ("run", Prefilter(pattern="[0-9]{9,12}x")),
    )
    texts = ["", "plain", "my pwd: ghp_ id12x", "123456789x", "\u200b\ud800", "id12", "ID123x 1234567890123x ^"]
    monkeypatch.setattr(prefilter, "SLOW_NS", 10**9)
    quick = build_prefilter((named, (), named[:2]))
    expected = [quick(text) for text in texts]
    build_prefilter.cache_clear()
    monkeypatch.setattr(prefilter, "SLOW_NS", 1e-6)
    slow = build_prefilter((named, (), named[:2]))
    for _ in range(prefilter.SLOW_MAX + 1):
        slow("some pieces are read before it is known to be slow")
    for text, active in zip(texts, expected, strict=True):
        assert {number: sorted(names) for number, names in slow(text).items()} == {
            number: sorted(names) for number, names in active.items()
        }
    build_prefilter.cache_clear()


def test_random_letters_do_not_slow_all_prefilters_down() -> None:
    """Many bounded repeats side by side, each begun at every place."""
    letters = "".join(random.Random(1).choices(string.ascii_letters + string.digits, k=400_000))
    find_active = build_prefilter(tuple(detector.prefilters for detector in DETECTORS))

    def read(text: str) -> None:
        for start in range(0, len(text), 4_096):
            find_active(text[start : start + 4_096])

    assert takes_linear_time(read, letters, 3)


def test_no_detectors_no_prefilters() -> None:
    """Without detectors no text activates any."""
    assert not build_prefilter(())("anything")


@given(texts)
@settings(max_examples=300, deadline=None)
@pytest.mark.parametrize("detector", DETECTORS, ids=lambda each: each.name)
def test_prefilters_are_no_narrower_than_rules(detector: Detector, text: str) -> None:
    """The matching prefilters lead to the same hits as all prefilters."""
    everything = list(detector.find(text, 0, [name for name, _ in detector.prefilters]))
    active = build_prefilter((detector.prefilters,))(text)
    assert list(detector.find(text, 0, active[0]) if active else ()) == everything


@given(texts)
@settings(max_examples=150, deadline=None)
def test_the_part_before_the_first_blank_matches_the_prefilter(text: str) -> None:
    """For finds with blanks; otherwise a stream would pass on their beginning. (Disguises hold back no words.)"""
    for detector in CONTENT:
        active = build_prefilter((detector.prefilters,))
        for hit in detector.find(text, 0, [name for name, _ in detector.prefilters]):
            blank = re.search(r"\s", text[hit.anchor : hit.end])
            assert not blank or active(text[hit.anchor : hit.anchor + blank.start()]), (detector.name, hit)


codes = st.integers(0, 0x10FFFF)
EDGES = [0, 0x7F, 0x80, 0x7FF, 0x800, 0xFFF, 0x1000, 0xD7FF, 0xD800, 0xDFFF, 0xE000, 0xFFFF, 0x10000, 0xFFFFF, 0x10FFFF]


def encoded(code: int) -> bytes:
    return chr(code).encode("utf-8", "surrogatepass")


@given(st.one_of(st.sampled_from(EDGES), codes), st.one_of(st.sampled_from(EDGES), codes), st.lists(codes, max_size=20))
def test_exactly_the_code_points_of_a_range_match(one: int, other: int, some: list[int]) -> None:
    """Inside at both ends, outside next to them, wherever the length of the encoding changes."""
    low, high = sorted((one, other))
    pattern = re.compile(utf8_expression([(low, high)]).encode())
    for code in {low, high, low - 1, high + 1, *EDGES, *some}:
        if 0 <= code <= 0x10FFFF:
            assert bool(pattern.fullmatch(encoded(code))) == (low <= code <= high)


@pytest.mark.parametrize("low", EDGES[:-1])
def test_a_range_may_lie_across_any_edge(low: int) -> None:
    """Two code points, the encodings of which may differ in length."""
    pattern = re.compile(utf8_expression([(low, low + 1)]).encode())
    assert [bool(pattern.fullmatch(encoded(low + step))) for step in range(3)] == [True, True, False]


def test_a_prefilter_of_ranges_matches_its_code_points_alone() -> None:
    """RE2 reads them over bytes."""
    ranges = ((0x85, 0x85), (0x200B, 0x200F), (0xD800, 0xDFFF), (0xE0000, 0xE007F))
    active = build_prefilter(((("some", Prefilter(ranges=ranges)),),))
    for low, high in ranges:
        for code in (low, high):
            assert active(f"a é {chr(code)} 中") == {0: ["some"]}
        for code in (low - 1, high + 1):
            assert not active(f"a é {chr(code)} 中")
