"""A stream gives what the whole gives, however it was cut, and never holds back for ever."""

import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sanitization import OFF, STANDARD, Scrubber, StreamScrubber
from sanitization.detectors import DETECTORS, Detector
from sanitization.stream import _Stage
from tests.sanitization.samples import FRAGMENTS, PASSWORD, PRIVATE_KEY, SECRETS, cut_texts, texts


def pieces(stream: StreamScrubber, chunks: list[str]) -> str:
    """All that comes out for these chunks."""
    return "".join([*map(stream.feed, chunks), stream.flush()])


@pytest.mark.slow
@given(cut_texts())
@settings(max_examples=400, deadline=None)
@example(["password is", " hunter2!"])
@example(["password = 'a b", " c1d2'", " x"])
@example(["👩", "\u200d", "💻"])
@example(["\x1b]0;a b", "\x07c"])
@example(["by \u2068\u0645\u0631", "\u064a\u0645\u2069 x"])
def test_any_cut_gives_the_text_and_the_findings_of_the_whole(chunks: list[str]) -> None:
    """The concatenation of what comes out is the scrubbed whole, with the same findings at the same places."""
    whole = Scrubber().scrub("".join(chunks))
    stream = StreamScrubber()
    assert pieces(stream, chunks) == whole.text
    assert stream.findings == whole.findings
    assert stream.held == 0


@pytest.mark.slow
@given(texts)
@settings(max_examples=150, deadline=None)
def test_letter_by_letter_gives_the_whole(text: str) -> None:
    """The finest cut is no exception."""
    assert pieces(StreamScrubber(), list(text)) == Scrubber().scrub(text).text


@pytest.mark.slow
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=10).map("".join))
@example("❤\ufe0f\u200d🏴")
@settings(max_examples=150, deadline=None)
@pytest.mark.parametrize("detector", DETECTORS, ids=lambda each: each.name)
def test_detectors_have_no_memory(detector: Detector, text: str) -> None:
    """Beginning anew at any place outside a hit finds the same as having read all before it."""
    hits = list(detector.find(text))
    for place in range(len(text) + 1):
        if not any(hit.anchor < place < hit.end for hit in hits):
            assert list(detector.find(text, place)) == [hit for hit in hits if hit.anchor >= place]


def test_words_come_out_as_they_are_finished() -> None:
    """Prose flows: only the word that is being written is held back."""
    stream = StreamScrubber()
    assert [stream.feed(chunk) for chunk in ("Hel", "lo wo", "rld, how", " are")] == ["", "Hello ", "world, ", "how "]
    assert stream.flush() == "are"


def test_text_without_spaces_flows_too() -> None:
    """Scripts that set no spaces are not held back to the end of the paragraph."""
    stream = StreamScrubber()
    assert stream.feed("你好。世") == "你好。世"


@pytest.mark.parametrize("kind", SECRETS)
def test_no_part_of_a_secret_leaves_the_stream(kind: str) -> None:
    """A secret that arrives letter by letter never shows its first half."""
    secret = SECRETS[kind]
    stream = StreamScrubber()
    out = ""
    for letter in f"use {secret} now":
        out += stream.feed(letter)
        assert secret[:8] not in out
    assert out + stream.flush() == "use [redacted] now"


def test_a_private_key_is_held_until_its_end() -> None:
    """Line by line, a key block gives nothing but its replacement."""
    stream = StreamScrubber()
    out = [stream.feed(line) for line in f"key:\n{PRIVATE_KEY}\ndone\n".splitlines(keepends=True)]
    assert "".join(out) == "key:\n[redacted]\ndone\n"


@pytest.mark.slow
@pytest.mark.parametrize("detector", DETECTORS, ids=lambda each: each.name)
@pytest.mark.parametrize(
    "unit", ["a", "\u200b", "\x00", "-----BEGIN RSA PRIVATE KEY-----", "\x1b]", "password=", "eyJ"]
)
def test_hold_back_is_bounded(detector: Detector, unit: str) -> None:
    """However long something pends, no more than twice the detector's reach is held."""
    stage = _Stage(detector, STANDARD)
    chunk = unit * (100 // len(unit) + 1)
    for _ in range(40_000 // len(chunk)):
        stage.feed(chunk)
        assert stage.held <= 2 * detector.reach


@pytest.mark.parametrize("seed", range(6))
def test_long_pending_text_is_cut_without_a_trace(seed: int) -> None:
    """Where the bound forces text out, the result is still that of the whole: padding does not smuggle a secret."""
    chance = random.Random(seed)
    text = "".join(
        chance.choice(["a" * 5_000, "\u200b" * 5_000, "\x00" * 5_000, "-", *SECRETS.values(), f"pwd={PASSWORD}", "eyJ"])
        for _ in range(12)
    )
    chunks = []
    while text:
        size = chance.randint(1, 3_000)
        chunks.append(text[:size])
        text = text[size:]
    whole = Scrubber().scrub("".join(chunks))
    stream = StreamScrubber()
    assert pieces(stream, chunks) == whole.text
    assert stream.findings == whole.findings


def test_a_secret_hidden_behind_endless_padding_is_found() -> None:
    """The forced cut falls on padding, not on the secret."""
    secret = SECRETS["secret.github.token"]
    for padding in range(16_300, 16_420, 7):
        stream = StreamScrubber()
        out = "".join(map(stream.feed, ["a" * padding, "/", secret[:20], secret[20:], " "])) + stream.flush()
        assert out == "a" * padding + "/[redacted] "


def test_the_off_policy_passes_text_at_once() -> None:
    """No category, no hold-back."""
    stream = StreamScrubber(OFF)
    assert stream.feed("\x1b[31mpass") == "\x1b[31mpass"
    assert stream.findings == ()
