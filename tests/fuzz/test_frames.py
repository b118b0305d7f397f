"""The fuzz target itself: it passes on the real protocol and detects broken ones."""

import pytest

from tests.fuzz import frames
from tests.fuzz.oracle import TOO_LARGE, Verdict, judge
from tests.rigs.raw_websocket import CLOSE, CONT, PING, TEXT, frame
from transport.server.websocket import MessageAssembler, ServerSideProtocol

SEEDS = 400


def test_it_runs_clean() -> None:
    """Some hundred conversations; `python -m tests.fuzz.frames` runs more."""
    for seed in range(SEEDS):
        frames.play(seed)


def test_it_finds_a_message_that_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ServerSideProtocol, "recv_frame", _careless)
    with pytest.raises(frames.Wrong):
        test_it_runs_clean()


def _careless(self: ServerSideProtocol, frame_: object) -> None:
    super(ServerSideProtocol, self).recv_frame(frame_)  # type: ignore[arg-type]
    self._message = self._assembler.add(frame_)  # type: ignore[arg-type]


def test_it_finds_text_that_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A protocol that does not check incomplete fragments detects invalid UTF-8 too late, and is reported."""
    monkeypatch.setattr(MessageAssembler, "probe", lambda *_: None)
    with pytest.raises(frames.Wrong):
        test_it_runs_clean()


def test_the_command_says_how_it_went(capsys: pytest.CaptureFixture[str]) -> None:
    assert frames.main(["--seconds", "0", "--seed", "7", "--only"]) == 0
    assert capsys.readouterr().out == "1 conversations, seeds 7 to 7, none went wrong\n"


def test_the_oracle_by_hand() -> None:
    """Some conversations with verdicts written by hand."""
    text, ping = frame(TEXT, b"a"), frame(PING, b"p")
    assert judge(text + ping, 10, 20) == Verdict(["a"], [b"p"])
    assert judge(frame(TEXT, b"x" * 11) + text, 10, 20) == Verdict([TOO_LARGE, "a"])
    assert judge(frame(TEXT, b"x" * 21), 10, 20) == Verdict(code=1009)
    assert judge(frame(TEXT, b"a", fin=False) + text, 10, 20) == Verdict(code=1002)
    assert judge(frame(TEXT, b"\xc3", fin=False) + frame(CONT, b"\xbc"), 10, 20) == Verdict(["ü"])
    assert judge(frame(TEXT, b"\xc3", fin=False) + frame(CONT, b"a", fin=False), 10, 20) == Verdict(code=1007)
    assert judge(frame(CLOSE) + text, 10, 20) == Verdict(code=1005)
