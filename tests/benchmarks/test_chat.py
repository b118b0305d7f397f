"""The benchmark of chatting users, with loads too small for meaningful numbers."""

import time
from functools import partial
from typing import Any

import pytest

from benchmarks import chat
from benchmarks.chat import servers
from benchmarks.chat.search import most
from benchmarks.chat.sizes import QUICK
from benchmarks.wire.server import ServerFailed
from tests.load.run import LoadFailed

pytestmark = pytest.mark.proof("benchmarks")


def test_messages_cost_time() -> None:
    """One server answers both kinds: its processor time is counted, and its users are searched for."""
    with servers.ours() as ours:
        bench = chat.Bench(QUICK, time.monotonic() + 600, {chat.OURS: ours})
        costs = {figure.figure: figure.ours for figure in chat.compared(bench, "burst", bench.burst)}
        assert 0 < costs["burst_accepted_s"] <= costs["burst_answered_s"]
        costs = bench.cpu("tool", chat.OURS, ours)
        assert 0 < costs["chat_event_us_tool"] / 1e3 < costs["chat_cpu_ms_tool"]
        assert 50 < bench.fast(chat.OURS, ours)["fast_model_percent"] < 100
        assert bench.most_users("tool", chat.OURS, ours)["chat_users_tool"] in (0, QUICK.users)


def test_a_peer_that_fails_is_left_out_and_ours_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    def measure(name: str, _: servers.Chat) -> dict[str, float]:
        if name in broken:
            raise ServerFailed("no answer")
        return {"chat_users_text": 7}

    nobody: Any = None
    bench = chat.Bench(QUICK, time.monotonic() + 600, {chat.OURS: nobody, "peer": nobody, "other": nobody})
    broken = {"peer"}
    (figure,) = chat.compared(bench, "users", measure)
    assert (figure.ours, figure.unit, figure.peers) == (7, "users", {"other": 7})
    assert "peer has no users: no answer" in capsys.readouterr().err
    broken = {chat.OURS}
    with pytest.raises(ServerFailed):
        list(chat.compared(bench, "users", measure))


def test_a_search_that_has_no_result_has_no_figure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not a 0: neither of a peer that was late each time, nor when the time ends before."""
    nobody: Any = None
    bench = chat.Bench(QUICK, time.monotonic() + 600, {chat.OURS: nobody, "peer": nobody})
    bench.cost_s = {(chat.OURS, "text"): 0.01, ("peer", "text"): 0.01}

    def load(*_: Any, **__: Any) -> Any:
        raise LoadFailed("nobody connected")

    monkeypatch.setattr(chat, "load", load)
    (figure,) = chat.compared(bench, "users", partial(bench.most_users, "text"))
    assert (figure.ours, figure.peers) == (0, {})
    assert "peer has no users: every load" in capsys.readouterr().err
    bench.ends_at, bench.users = 0.0, {}
    assert list(chat.compared(bench, "users", partial(bench.most_users, "text"))) == []


@pytest.mark.parametrize("limit", [0, 1, 5, 99, 700, 2_000])
@pytest.mark.parametrize("first", [1, 50, 700, 9_000])
def test_a_search_ends_near_the_limit_after_few_loads(limit: int, first: int) -> None:
    """What it returns fits; with enough loads, what is a tenth more does not."""
    tried: list[int] = []

    def fits(users: int) -> bool:
        tried.append(users)
        return users <= limit

    assert most(fits, first, 4, 1.1) <= limit
    assert len(tried) <= 4
    most_found = most(fits, first, 60, 1.1)
    assert most_found <= limit <= max(most_found * 1.1, most_found + 1)
