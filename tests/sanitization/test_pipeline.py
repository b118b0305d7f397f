"""Several detectors on one text: overlaps, hold-back, and detectors that fail."""

import asyncio
import random
import signal
from collections.abc import Collection, Iterator
from itertools import pairwise
from typing import Any

import pytest
from attrs import evolve, field, frozen
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sanitization import (
    Action,
    Category,
    Failing,
    Failure,
    Hit,
    Pattern,
    Placeholders,
    Policy,
    Prefilter,
    Sanitizer,
    StreamSanitizer,
    everywhere,
)
from sanitization.pipeline import PATIENT, WORD_MAX, Numbered, PipelineStage, PolicyEngine
from sanitization.prefilter import NamedPrefilter
from tests.rigs.sanitizer_samples import SECRETS

PII = everywhere({Category.PII: Action.REMOVE})
TOKEN = SECRETS["secret.aws.access_key"]


def marks(kind: str, regex: str, **more: Any) -> Pattern:
    """A detector that puts the last word of its kind in brackets."""
    return Pattern(kind, Category.PII, f"pii.{kind}", regex, replacement=f"<{kind}>", reach=16, **more)


FIRST, SECOND = marks("a", "ab+c"), marks("b", "b+cd{0,3}")
NAMED = marks("v", "key=(?P<value>[abcd ]{2,6})")


@pytest.mark.parametrize(
    ("more", "text", "clean"),
    [
        ([FIRST, SECOND], "abbc bcd", "<a> <b>"),
        ([SECOND, FIRST], "abbc bcd", "<a><b> <b>"),
        ([FIRST, SECOND], "abbcdd", "<a><b>"),
        ([FIRST, SECOND], "bcabc", "<b><a>"),
        ([NAMED, FIRST], "key=abc", "key=<v>"),
        ([FIRST, NAMED], "key=abc", "key=<a>"),
        ([marks("k", "key"), NAMED], "key=abc", "<k>=<v>"),
        ([FIRST, marks("l", "c.{0,9}z"), marks("s", "x")], "abc x z", "<a><l>"),
        ([FIRST, marks("s", "x"), marks("l", "c.{0,9}z")], "abc x z", "<a><l><s>"),
        ([FIRST, marks("l", "[bc].{0,9}z"), marks("s", "x")], "abc c x z", "<a><l>"),
        ([marks("x", "d"), marks("l", "q.{0,9}z")], "qdqz", "<l><x>"),
        ([marks("x", "d"), marks("l", "q.{0,9}z")], "qddqdz d", "<l><x><x><x> <x>"),
        ([marks("x", "d"), marks("l", "q.{0,9}z"), marks("w", ".{1,16}")], "qdz--d", "<l><x><w><x>"),
        ([marks("l", "q.{0,9}z"), marks("x", "d")], "qdqz", "<l>"),
    ],
)
def test_where_two_overlap_the_first_detector_has_the_place(more: list[Pattern], text: str, clean: str) -> None:
    """The other one keeps the rest of its span: no character that either found is left."""
    assert Sanitizer(PII, extra=more).sanitize(text).text == clean


@pytest.mark.parametrize(
    ("action", "clean"),
    [
        (Action.REMOVE, "say <l><x>!"),
        (Action.MASK, "say •• ••<x> •••!"),
        (Action.TOKENISE, "say [l-1]<x>[l-2]!"),
        (Action.FLAG, "say ab cd<x> efg!"),
    ],
)
def test_each_part_of_a_find_that_lies_around_another_is_reported(action: Action, clean: str) -> None:
    """Each part has its own place, so that the findings account for every change; flagged finds are not split."""
    more = [marks("x", "1+"), marks("l", "ab.{0,12}g")]
    policy, text = evolve(PII, kinds={"pii.l": action}), "say ab cd11 efg!"
    placeholders = Placeholders()
    sanitized = Sanitizer(policy, extra=more).sanitize(text, placeholders)
    assert sanitized.text == clean
    places = [(find.kind, find.start, find.end) for find in sanitized.findings]
    if action is Action.FLAG:
        assert places == [("pii.l", 4, 15), ("pii.x", 9, 11)]
    else:
        assert places == [("pii.l", 4, 9), ("pii.x", 9, 11), ("pii.l", 11, 15)]
        assert {find.detector for find in sanitized.findings if find.kind == "pii.l"} == {"l"}
    if action is Action.TOKENISE:
        assert placeholders.restore(sanitized.text) == "say ab cd<x> efg!"


def test_a_part_of_a_find_blocks_as_the_whole_does() -> None:
    """An address within an order does not save it from being refused."""
    more = [marks("x", "1+"), marks("l", "ab.{0,12}g")]
    sanitized = Sanitizer(evolve(PII, kinds={"pii.l": Action.BLOCK}), extra=more).sanitize("say 1 ab cd11 efg!")
    assert (sanitized.text, sanitized.blocked) == ("", True)
    assert [(find.kind, find.action) for find in sanitized.findings] == [
        ("pii.x", Action.REMOVE),
        ("pii.l", Action.BLOCK),
    ]


def test_finds_that_overlap_go_out_in_one_piece() -> None:
    """Pieces of any size yield the result of the whole: no overlapping find is cut."""
    more = [marks("d", "d.d"), marks("x", "x"), marks("l", "q.{0,9}z|d")]
    text = "qdxz dad q dqd--z" + " " * 60
    whole = Sanitizer(PII, extra=more).sanitize(text).text
    for size in range(1, 20):
        stream = StreamSanitizer(PII, extra=more)
        pieces = [text[place : place + size] for place in range(0, len(text), size)]
        assert "".join(map(stream.feed, pieces)) + stream.flush() == whole


FAKES = [FIRST, SECOND, NAMED, marks("w", "(?<![a-d])[a-d]+1"), marks("l", "[1x].{0,11}[1x]")]
LETTERS = st.text(st.sampled_from("abcd =x1."), max_size=30)
ACTIONS = st.sampled_from([Action.REMOVE, Action.MASK, Action.FLAG, Action.TOKENISE])


@given(
    text=st.lists(st.one_of(LETTERS, st.sampled_from(["key=", "abc", "bcd"])), max_size=8).map("".join),
    cuts=st.lists(st.integers(0, 60), max_size=8),
    kinds=st.dictionaries(st.sampled_from(["pii.a", "pii.b", "pii.v", "pii.w"]), st.one_of(st.none(), ACTIONS)),
    allow=st.frozensets(st.sampled_from(["abc", "bc", "bcd", "ab"]), max_size=2),
    order=st.permutations(range(5)),
)
@settings(max_examples=600, deadline=None)
@example("key=abcd bcd", [8], {"pii.v": None}, frozenset(), [2, 0, 1, 3, 4])
@example("abcddabcd", [3, 5], {"pii.a": None}, frozenset(), [0, 1, 2, 3, 4])
@example("d1 abc x key=ab1", [5, 9], {}, frozenset(), [0, 4, 2, 3, 1])
def test_any_cut_of_any_overlap_gives_the_whole(
    text: str,
    cuts: list[int],
    kinds: dict[str, Action | None],
    allow: frozenset[str],
    order: list[int],
) -> None:
    """Random overlaps, actions and exceptions, cut at random places."""
    more = [FAKES[place] for place in order]
    policy = evolve(PII, kinds=kinds, allow=allow)
    whole = Sanitizer(policy, extra=more).sanitize(text, Placeholders())
    stream = StreamSanitizer(policy, placeholders=Placeholders(), extra=more)
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    out = "".join(stream.feed(text[a:b]) for a, b in pairwise(places)) + stream.flush()
    assert out == whole.text
    assert stream.findings == whole.findings


@given(
    text=st.lists(st.one_of(LETTERS, st.sampled_from(["key=", "abc", "bcd", "1"])), max_size=8).map("".join),
    order=st.permutations(range(5)),
)
@settings(max_examples=200, deadline=None)
@example("d1 abc x", [0, 4, 2, 3, 1])
def test_all_that_any_detector_covers_is_acted_on(text: str, order: list[int]) -> None:
    """Each detector's finds alone are covered when all run together, each character once."""
    more = [FAKES[place] for place in order]
    alone = [Sanitizer(PII, extra=[find]).sanitize(text).findings for find in more]
    covered = [place for found in alone for find in found for place in range(find.start, find.end)]
    together = [
        place for find in Sanitizer(PII, extra=more).sanitize(text).findings for place in range(find.start, find.end)
    ]
    assert sorted(together) == sorted(set(covered))


@frozen
class Breaks:
    """Finds `x`, and raises an error at a chosen point."""

    at: str
    error: type[BaseException] = RuntimeError
    category: Category = Category.PII
    prefilters: tuple[NamedPrefilter, ...] = (("x", Prefilter(literals=("x", "!"))),)
    context: int = 0
    reach: int = 8
    name: str = "breaks"
    calls: list[str] = field(factory=list)

    def _come(self, place: str, text: str) -> None:
        self.calls.append(place)
        if place == self.at and "!" in text:
            raise self.error(f"cannot read {text}")

    def find(self, text: str, start: int, active: Collection[str]) -> Iterator[Hit]:
        self._come("find", text)
        for place in range(start, len(text)):
            if text[place] == "x":
                yield Hit(place, place + 1, "pii.x", 1.0, "#", place)
                self._come("next", text)

    def settled(self, text: str, start: int, active: Collection[str]) -> int:
        self._come("settled", text)
        return len(text)


@pytest.mark.parametrize("at", ["find", "next", "settled"])
@pytest.mark.parametrize("cut", [1, 3, 100])
def test_a_detector_that_fails_blocks_the_text(at: str, cut: int) -> None:
    """Nothing more is returned, and the failure is reported without the text."""
    text = f"x one two x {TOKEN} ! x three {TOKEN} x"
    policy = everywhere({Category.PII: Action.REMOVE, Category.SECRET: Action.REMOVE})
    stream = StreamSanitizer(policy, extra=[Breaks(at)])
    out = [stream.feed(text[place : place + cut]) for place in range(0, len(text), cut)]
    assert stream.blocked
    assert stream.flush() == ""
    assert stream.feed("more") == ""
    assert stream.pause() == ""
    assert stream.failures == (Failure("breaks", "RuntimeError"),)
    assert "# one two # [redacted] ! ".startswith("".join(out))
    assert stream.result("".join(out)).text == ""
    assert "pii.unread" in {find.kind for find in stream.findings}


@pytest.mark.parametrize("at", ["find", "next", "settled"])
@pytest.mark.parametrize("cut", [1, 3, 100])
def test_a_detector_that_fails_may_only_mark_the_text(at: str, cut: int) -> None:
    """The others go on; a finding marks where reading stopped; the detector is not called again."""
    text = f"x one {TOKEN} ! x three {TOKEN} x"
    policy = evolve(everywhere({Category.PII: Action.REMOVE, Category.SECRET: Action.REMOVE}), failing=Failing.MARK)
    broken = Breaks(at)
    stream = StreamSanitizer(policy, extra=[broken])
    out = "".join(stream.feed(text[place : place + cut]) for place in range(0, len(text), cut)) + stream.flush()
    assert out[1:] == " one [redacted] ! x three [redacted] x"
    assert out[0] in "x#"
    (unread,) = [find for find in stream.findings if find.kind == "pii.unread"]
    assert (unread.action, unread.start, unread.detector) == (Action.FLAG, unread.end, "breaks")
    assert unread.start <= text.index("x three")
    assert stream.failures == (Failure("breaks", "RuntimeError"),)
    count = len(broken.calls)
    stream.feed("x x x ")
    assert len(broken.calls) == count


@pytest.mark.parametrize("error", [SystemExit, GeneratorExit, asyncio.CancelledError])
def test_a_detector_that_would_end_the_program_fails_as_others_do(error: type[BaseException]) -> None:
    stream = StreamSanitizer(everywhere({Category.PII: Action.REMOVE}), extra=[Breaks("find", error)])
    stream.feed("x ! x")
    stream.flush()
    assert (stream.blocked, stream.failures) == (True, (Failure("breaks", error.__name__),))


def test_an_interrupt_passes_where_it_is_a_users() -> None:
    """Where Python's own handler raises it; a server has another one."""
    policy = everywhere({Category.PII: Action.REMOVE})
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            StreamSanitizer(policy, extra=[Breaks("find", KeyboardInterrupt)]).feed("x ! x y")
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        stream = StreamSanitizer(policy, extra=[Breaks("find", KeyboardInterrupt)])
        stream.feed("x ! x y")
        assert stream.failures == (Failure("breaks", "KeyboardInterrupt"),)
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_disguise_that_fails_blocks_too() -> None:
    """Text that an early stage did not read never reaches the next."""
    judge = PolicyEngine(PII, PII.outbound, None)
    stage = PipelineStage([Numbered(0, Breaks("find"))], judge, words=False)
    assert stage.feed("secret !", {0: ["x"]}) == ""
    assert judge.blocked


@pytest.mark.parametrize(
    "span",
    [(0, 0, 0), (2, 1, 1), (0, 99, 0), (-1, 2, -1), (3, 4, 5), (1, 2, -4)],
    ids=["empty", "backwards", "beyond", "before", "anchor behind", "anchor before"],
)
def test_a_hit_outside_the_text_is_a_failure(span: tuple[int, int, int]) -> None:
    """A faulty detector neither passes text on nor removes other text."""

    class Wrong(Breaks):
        def find(self, text: str, start: int, active: Collection[str]) -> Iterator[Hit]:
            yield Hit(span[0], span[1], "pii.x", 1.0, "#", span[2])

    sanitized = Sanitizer(PII, extra=[Wrong("")]).sanitize("axb")
    assert (sanitized.text, sanitized.failures) == ("", (Failure("breaks", "ValueError"),))


def test_hits_of_one_detector_that_overlap_are_not_both_replaced() -> None:
    class Wrong(Breaks):
        def find(self, text: str, start: int, active: Collection[str]) -> Iterator[Hit]:
            for place in range(start, 3):
                yield Hit(place, place + 2, "pii.x", 1.0, "#", place)

    assert Sanitizer(PII, extra=[Wrong("")]).sanitize("xabcd").text == "##d"


@pytest.mark.parametrize("settled", [-5, 0, 10_000])
def test_a_settled_place_outside_the_text_harms_nothing(settled: int) -> None:
    class Wrong(Breaks):
        def settled(self, text: str, start: int, active: Collection[str]) -> int:
            return settled

    stream = StreamSanitizer(PII, extra=[Wrong("")])
    assert "".join(map(stream.feed, "x one two x three ")) + stream.flush() == "# one two # three "


def test_blocking_reports_up_to_the_find_that_blocked() -> None:
    """Earlier text has been returned; nothing from the find's anchor on is."""
    text = "bcd then key=ab abc and bcd"
    policy = evolve(PII, kinds={"pii.v": Action.BLOCK})
    whole = Sanitizer(policy, extra=[NAMED, FIRST, SECOND]).sanitize(text)
    assert (whole.text, whole.blocked) == ("", True)
    for cut in range(1, len(text)):
        stream = StreamSanitizer(policy, extra=[NAMED, FIRST, SECOND])
        out = "".join(stream.feed(text[place : place + cut]) for place in range(0, len(text), cut)) + stream.flush()
        assert stream.blocked
        assert "<b> then ".startswith(out)
        assert [find.kind for find in stream.findings] == ["pii.b", "pii.v"]
        assert stream.findings[-1].action is Action.BLOCK


def test_a_find_may_be_reported_as_part_of_more() -> None:
    """The finding covers the whole word though its beginning was returned, and so does its replacement."""

    class Whole(Breaks):
        def find(self, text: str, start: int, active: Collection[str]) -> Iterator[Hit]:
            for hit in super().find(text, start, active):
                yield hit._replace(report_start=text.rfind(" ", 0, hit.start) + 1)

    for size in (1, 2, 3, 99):
        stage = PipelineStage(
            [Numbered(0, evolve(Whole(""), context=9))],
            PolicyEngine(PII, PII.outbound, None),
            words=False,
        )
        text = "an index of boxes"
        out = "".join(stage.feed(text[at : at + size], {0: ["x"]}) for at in range(0, len(text), size))
        assert out + stage.flush({0: ["x"]}) == "an inde# of bo#es"
        assert [(find.start, find.end, find.replacement) for find in stage.findings] == [
            (3, 8, "inde#"),
            (12, 15, "bo#"),
        ]
        assert len(stage.edits) == 2


def test_findings_keep_their_places_through_every_disguise() -> None:
    """Sequences and hidden characters before, within and behind; places are those of the original."""
    chance = random.Random(5)
    noise = ["\x1b[31m", "\u200b", "\x00", "\x1b]0;t\x07", "\U000e0041", "word ", "é", "👩 ", " "]
    for _ in range(50):
        parts, expected, place = [], [], 0
        for _ in range(40):
            if chance.random() < 0.2:
                middle = chance.choice(["\u200b", "\x1b[0m", "\u200b\x00", ""])
                part = f" {TOKEN[:9]}{middle}{TOKEN[9:]} "
                expected.append((place + 1, place + len(part) - 1))
            else:
                part = chance.choice(noise)
            parts.append(part)
            place += len(part)
        policy = everywhere(dict.fromkeys((Category.TERMINAL, Category.INVISIBLE, Category.SECRET), Action.REMOVE))
        stream = StreamSanitizer(policy)
        size = chance.randint(1, 60)
        text = "".join(parts)
        for start in range(0, len(text), size):
            stream.feed(text[start : start + size])
        stream.flush()
        places = [(find.start, find.end) for find in stream.findings if find.category is Category.SECRET]
        assert places == expected


def test_the_listed_findings_are_bounded_and_unread_text_is_marked() -> None:
    """At most `max_findings` finds are listed and all are counted, even if a detector fails."""
    policy = evolve(PII, max_findings=3, failing=Failing.MARK)
    stream = StreamSanitizer(policy, extra=[Breaks("settled")])
    out = stream.feed("x " * 10) + stream.feed("! x") + stream.flush()
    assert out == "# " * 10 + "! x"
    assert len(stream.findings) == 3
    assert stream.found == 11
    assert stream.failures


def test_a_long_candidate_is_not_read_again_with_every_piece() -> None:
    """The work grows with the text, not with the number of pieces times what is held."""
    lengths = []

    class Patient(Breaks):
        def settled(self, text: str, start: int, active: Collection[str]) -> int:
            lengths.append(len(text) - start)
            return start

    judge = PolicyEngine(PII, PII.outbound, None)
    stage = PipelineStage([Numbered(0, evolve(Patient(""), reach=4_000))], judge, words=True)
    stage.feed("x", {0: ["x"]})
    for _ in range(4_000):
        if len(stage.held) + 1 < stage.rescan_at:
            stage.held += "y"
        else:
            stage.feed("y", {0: ["x"]})
    assert sum(lengths) < 20 * 4_000
    assert max(b - a for a, b in pairwise(lengths) if b < PATIENT) == 1


def test_the_held_text_is_bounded_by_the_reach() -> None:
    """A detector that never settles anything is forced to release text."""

    class Never(Breaks):
        def settled(self, text: str, start: int, active: Collection[str]) -> int:
            return start

    # Of its own category there is no other detector whose reach would count.
    policy = everywhere({Category.TERMINAL: Action.REMOVE})
    for reach in (8, 600, 3_000):
        stream = StreamSanitizer(policy, extra=[evolve(Never(""), category=Category.TERMINAL, reach=reach)])
        out = ""
        for _ in range(3_000):
            out += stream.feed("x y ")
            assert stream.held <= 3 * reach + WORD_MAX
        assert out + stream.flush() == "# y " * 3_000


def test_a_skipped_stage_remembers_the_context() -> None:
    """A look-behind reaches into text that was passed as context."""
    stage = PipelineStage(
        [Numbered(0, marks("a", "(?<=q)x", context=1))],
        PolicyEngine(PII, PII.outbound, None),
        words=False,
    )
    for text in ("some q", "q" * 400, "more q"):
        stage.passed.add(text)
        assert stage.held == ""
    assert stage.feed("x", {0: ()}) + stage.flush({0: ()}) == "<a>"
    assert stage.findings[0].start == 412


def test_an_empty_policy_needs_no_detectors() -> None:
    """Text passes unchanged, without hold-back or findings."""
    stream = StreamSanitizer(Policy(), extra=[FIRST])
    assert (stream.feed("abc"), stream.pause(), stream.flush(), stream.findings) == ("abc", "", "", ())


@pytest.mark.parametrize("size", [7, 700, 1_500, 5_000])
def test_a_find_far_into_a_stream_has_its_place(size: int) -> None:
    """Context that is cut meanwhile moves no finding, of an early stage nor of the last."""
    text = f"{'some words ' * 300}a\u200bb {TOKEN} " * 3
    stream = StreamSanitizer()
    out = "".join([stream.feed(text[start : start + size]) for start in range(0, len(text), size)])
    assert "AKIA" not in out + stream.flush()
    hidden = [place for place, letter in enumerate(text) if letter == "\u200b"]
    expected = sorted((start, end) for at in hidden for start, end in ((at, at + 1), (at + 3, at + 3 + len(TOKEN))))
    assert [(find.start, find.end) for find in stream.findings] == expected


def test_a_blocked_stage_returns_nothing_more() -> None:
    """Neither the text that it held nor the next piece, though no detector is active in them."""
    engine = PolicyEngine(PII, PII.outbound, None)
    stage = PipelineStage([Numbered(0, FIRST)], engine, words=True)
    assert stage.feed("shown held", {}) == "shown "
    engine.blocked = True
    assert stage.feed(" next one", {}) == stage.flush({}) == ""
