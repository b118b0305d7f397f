"""Personal data in streams, behind prefilters, under attack."""

import random
import re
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sanitization import Action, Category, Sanitizer
from sanitization.detectors.pii.context import WORDS_BY_TOPIC, NamedTopics
from sanitization.detectors.pii.detector import PARTS, Pii
from sanitization.detectors.pii.phones import PHONES
from sanitization.detectors.pii.rules import RULES, NumberRule
from sanitization.findings import Kind
from sanitization.policy import everywhere
from sanitization.prefilter import build_prefilter
from tests.rigs.cpu import cpu_seconds
from tests.sanitization.personal_texts import SAMPLES

SANITIZER = Sanitizer(everywhere({Category.PII: Action.REMOVE}))
TEXTS = [text for _, text, _ in SAMPLES]
PII = Pii()
NAMES = [name for name, _ in PII.prefilters]
WORDS_OF = {topic: words.split()[0] for topic, words in WORDS_BY_TOPIC.items()}


@pytest.mark.parametrize("text", TEXTS)
def test_every_cut_gives_the_whole(text: str) -> None:
    """Each cut in two yields the output and the findings of the whole text."""
    text = f"so: {text} and more"
    whole = SANITIZER.sanitize(text)
    for cut in range(1, len(text)):
        stream = SANITIZER.stream()
        assert stream.feed(text[:cut]) + stream.feed(text[cut:]) + stream.flush() == whole.text, text[:cut]
        assert stream.findings == whole.findings


@pytest.mark.parametrize("text", TEXTS)
def test_letter_by_letter_gives_the_whole(text: str) -> None:
    """Each example, alone as a text and letter by letter, yields the result of the whole."""
    stream = SANITIZER.stream()
    whole = SANITIZER.sanitize(text)
    assert "".join([*map(stream.feed, text), stream.flush()]) == whole.text
    assert stream.findings == whole.findings


@pytest.mark.parametrize("text", TEXTS)
def test_a_find_with_blanks_matches_its_prefilter_by_every_part_of_it(text: str) -> None:
    """From the first blank on, the part of a find read so far matches a prefilter of its part."""
    active = build_prefilter((PII.prefilters,))
    for hit in PII.find(text, 0, NAMES):
        owner = next(part for part in PARTS if part.first(text, hit.anchor, NamedTopics(text)) == hit)
        names = {name for name, _ in owner.prefilters}
        words = text[hit.anchor : hit.end]
        for blank in re.finditer(r"[ \t]", words):
            for end in range(blank.start(), len(words)):
                assert names & set(active(words[:end]).get(0, ())), words[:end]


@pytest.mark.parametrize("text", TEXTS)
def test_the_matching_prefilters_suffice(text: str) -> None:
    """The matching prefilters lead to the same hits as all prefilters."""
    active = build_prefilter((PII.prefilters,))
    for whole in (text, f"so: {text} and more"):
        assert list(PII.find(whole, 0, active(whole).get(0, ()))) == list(PII.find(whole, 0, NAMES))


def made_up(form: str, chance: random.Random) -> str:
    letters = {"d": string.digits, "a": string.ascii_uppercase, "_": " "}
    return "".join(chance.choice(letters.get(char, char)) for char in form)


BEGUN = {
    "ddddddadddddddd": "185052Adddddddd",  # born in Corsica
    "ddddddddddddd": "756dddddddddd",
    "ddddddddddddddddda": "11010519491231dddX",
    "dddddd_dddddddd_ddda": "110105_19491231_dddX",
}
"""How numbers begin that chance hardly comes upon."""


def valid(rule: NumberRule, form: str) -> str:
    chance = random.Random(form)
    for begun in (form, BEGUN.get(form, form)):
        for _ in range(30_000):
            number = made_up(begun, chance)
            if rule.check is None or rule.check("".join(filter(str.isalnum, number))):
                return number
    raise AssertionError(f"no number of {form} holds")


@pytest.mark.parametrize(
    ("rule", "form"),
    [(rule, form) for rule in (*RULES, *PHONES) for form in rule.forms],
    ids=lambda value: str(value)[:60],
)
def test_every_form_is_found(rule: NumberRule, form: str) -> None:
    """Beside its topic, or as the whole text; through its prefilter; and held until it is complete."""
    number = valid(rule, form)
    word = next((WORDS_OF[topic] for topic in sorted(rule.topics)), "")
    text = f"{word} {number} and more" if word else number
    active = build_prefilter((PII.prefilters,))
    start = text.index(number)
    (hit,) = PII.find(text, 0, active(text).get(0, ()))
    assert hit.start <= start
    assert hit.end >= start + len(number)
    assert hit.score >= 0.5
    whole = SANITIZER.sanitize(text)
    stream = SANITIZER.stream()
    assert "".join([*map(stream.feed, text), stream.flush()]) == whole.text
    assert whole.findings


WORDS = "12 123 1234 AB born DOB phone ssn order is my passport number ::"
PIECES = [
    *TEXTS,
    *(text[: len(text) // 2] for text in TEXTS),
    *"+()-./:@\"',_01a \n\u00a0中",
    *WORDS.split(),
    "  ",
]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=6), st.lists(st.integers(0, 200), max_size=6))
def test_any_mixture_cut_anyhow(parts: list[str], cuts: list[int]) -> None:
    """Random rows of pieces, cut at random places, yield the result of the whole."""
    text = "".join(parts)
    whole = SANITIZER.sanitize(text)
    stream, out, last = SANITIZER.stream(), "", 0
    for cut in [*sorted(cut for cut in cuts if cut < len(text)), len(text)]:
        out += stream.feed(text[last:cut])
        last = cut
    assert out + stream.flush() == whole.text
    assert stream.findings == whole.findings


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=4).map("".join))
def test_there_is_no_memory(text: str) -> None:
    """`find` from any place outside a hit yields the same further hits."""
    hits = list(PII.find(text, 0, NAMES))
    for place in range(len(text) + 1):
        if not any(hit.anchor < place < hit.end for hit in hits):
            assert list(PII.find(text, place, NAMES)) == [hit for hit in hits if hit.anchor >= place]


HOSTILE = [
    "1 ", "12 ", "123 ", "1234 ", "1\u00a0", "1-", "1.", "(0) ", "+1 ", "0a", "0x", "A1B2C3D4E5 ", "AB 12 ", "AA12 ",
    "DE89 3704 0044 0532 0130 01 ", "4111 1111 1111 1112 ", "078-05-0000 ", "phone 1234567 ", "call 555-012 ", "a@",
    "a@b.cc ", "@", "a@b.", '"a b" ', "::", "1:2:", "aa:bb:cc:dd:ee:", "1.1.1.", "1.1.1.1 ", "2001:db8::1 ", "0123abc.",
    "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb ", "bc1q", "born ", "born on ", "born      ", "born on 3 ", "swift code ",
    "plate A 1 ", "1 A B C D Street ", "1 1st 2nd ", "1 rue de la ", "Via de la ", "Hauptstraße 1 ", "Aplatz 1, 12345 ",
    "passport A1234567 ", "A1234567 is my ", "A", "Aa", "\ud800", "1\ud800", "é1 ", "中1", "生",
]  # fmt: skip
SECONDS = 4.0  # for 200,000 characters; a tenth of it is usual


@pytest.mark.parametrize("unit", HOSTILE)
def test_hostile_text_takes_no_more_time_than_it_is_long(unit: str) -> None:
    """CPU time is linear for texts full of beginnings of finds."""
    text = unit * (200_000 // len(unit))
    assert cpu_seconds(lambda: SANITIZER.sanitize(text), SECONDS) < SECONDS


@given(st.text())
def test_any_text_passes(text: str) -> None:
    """No detector fails, finds lie in the text, and it is settled up to a place in it."""
    assert SANITIZER.sanitize(text).failures == ()
    for hit in PII.find(text, 0, NAMES):
        assert 0 <= hit.anchor <= hit.start < hit.end <= len(text)
    assert 0 <= PII.settled(text, 0, NAMES) <= len(text)


@pytest.mark.parametrize(
    "text",
    ["912803456 people", "  130 692 544 of them", "A12803456 ", "KA53ME3456. Yes", "A3456781\n", "A12803456.\nYes"],
)
def test_a_number_at_the_start_of_a_text_is_held(text: str) -> None:
    """A number that is the whole text scores higher, which is unknown before its end."""
    whole = SANITIZER.sanitize(text)
    assert bool(whole.findings) == (len(text.split()) == 1)
    for cut in range(1, len(text)):
        stream = SANITIZER.stream()
        assert stream.feed(text[:cut]) + stream.feed(text[cut:]) + stream.flush() == whole.text


def test_chat_flows() -> None:
    """Numbers in a sentence hold it back no longer than until their next neighbour."""
    stream = SANITIZER.stream()
    assert stream.feed("In 2024 we had 35 guests, as ") == "In 2024 we had 35 guests, "
    assert stream.feed("always, and 1,200 plates. I said ") == "as always, and 1,200 plates. I said "


@pytest.mark.parametrize("kind", Pii.kinds, ids=lambda kind: kind.name)
def test_each_kind_is_found_in_its_example(kind: Kind) -> None:
    assert {finding.kind for finding in SANITIZER.sanitize(kind.example).findings} == {kind.name}


def test_all_kinds_are_named() -> None:
    named = {kind.name for kind in Pii.kinds}
    assert {f"pii.{rule.kind}" for rule in (*RULES, *PHONES)} <= named
    assert {f"pii.{kind}" for kind, _, _ in SAMPLES} <= named


@pytest.mark.parametrize(
    "text",
    [
        "since 2024, said he",
        "by 2024-05-12.",
        "on 2024/5/3, at 10:45",
        "version 24.3.123 is out",
        "1.2.3 of 35 people",
        "$12.50 each",
    ],
)
def test_ordinary_numbers_match_no_prefilter(text: str) -> None:
    """Times, prices, versions and dates of ordinary chat match no prefilter."""
    assert not build_prefilter((PII.prefilters,))(f"It was {text} and all that")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("phone 2024-55-12", "phone"),
        ("phone 2024 512 33", "phone"),
        ("phone 24.3.1234", "phone"),
        ("phone 05/13/1990", "phone"),
        ("phone 05/03/1990 1318438", "phone"),
        ("passport 2024-05-12-77", "passport"),
        ("passport 1234-56", "passport"),
        ("passport 2024-05AB", "passport"),
        ("+ 2024 051 2345", "phone"),
        ("the part number of my phone, 1-2345-678", "phone"),
    ],
)
def test_a_number_that_begins_like_a_date_is_found(text: str, kind: str) -> None:
    """A number that begins like a date matches the prefilter and is found as its own kind."""
    whole = f"{text} and more"
    active = build_prefilter((PII.prefilters,))(whole)
    assert [hit.kind for hit in PII.find(whole, 0, active.get(0, ()))] == [f"pii.{kind}"]


@pytest.mark.parametrize("text", ["passport 2024-05", "passport 1999-1-2", "phone 2024-05-12", "0x" + "Zq" * 19])
def test_a_date_is_no_number_of_a_document(text: str) -> None:
    """Dates after a document's name, and words that begin with 0x, yield no hit."""
    assert not list(PII.find(f"{text} and more", 0, NAMES))
