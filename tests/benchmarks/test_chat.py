"""The benchmark of chatting users, with loads too small for meaningful numbers."""

import json
import subprocess
import sys
import time
from functools import partial
from typing import Any

import pytest
from attrs import define, field

from benchmarks import chat
from benchmarks.chat import servers
from benchmarks.chat.layers import layer_of, layer_of_stack
from benchmarks.chat.search import most
from benchmarks.chat.sizes import QUICK
from benchmarks.chat.socketio import ChainlitSocket, RoomSocket
from benchmarks.wire.server import ServerFailed
from understudy.load.run import LoadFailed
from understudy.load.websocket import SocketEnded

pytestmark = pytest.mark.proof("benchmarks")


def test_messages_cost_time_that_is_told_by_layer() -> None:
    """One server answers both kinds: its processor time is counted, sampled, and its users are searched for."""
    with servers.ours(sampled=True) as ours:
        bench = chat.Bench(QUICK, time.monotonic() + 600, {chat.OURS: ours})
        found = {each.figure: each.ours for each in chat.compared(bench, "burst", bench.burst)}
        assert 0 < found["burst_accepted_s"] <= found["burst_answered_s"]
        ours.layers()
        found = bench.cpu("tool", chat.OURS, ours)
        assert 0 < found["chat_event_us_tool"] / 1e3 < found["chat_cpu_ms_tool"]
        sampled = ours.layers()
        assert sampled["threads"] > 0
        assert sum(sampled.values()) > sampled["threads"], "nothing of the loop was sampled"
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


WORKS = """
import json, threading, time
from pathlib import Path
from benchmarks.chat.layers import Sampler

def work():
    until = time.thread_time() + 0.3
    while time.thread_time() < until:
        pass

sampler = Sampler(Path("unused"))
sampler.start()
sampler.seconds()
thread = threading.Thread(target=work)
thread.start()
thread.join()
print(json.dumps([sampler.samples.total(), sampler.seconds()]))
work()
print(json.dumps([sampler.samples.total(), sampler.seconds()]))
"""


def test_what_a_thread_works_is_not_taken_for_the_loop() -> None:
    done = subprocess.run([sys.executable, "-c", WORKS], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    (of_thread, thread), (of_loop, loop) = map(json.loads, done.stdout.splitlines())
    assert of_thread < 5 < of_loop
    assert thread.pop("threads") >= 0.3
    assert sum(thread.values()) < 0.05
    assert loop.pop("threads") < 0.05
    assert sum(loop.values()) >= 0.3


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
    found = most(fits, first, 60, 1.1)
    assert found <= limit <= max(found * 1.1, found + 1)


@define(eq=False)
class Recorded(ChainlitSocket):
    """A socket that keeps what it would send."""

    sent: list[str] = field(factory=list)

    async def send_text(self, text: str) -> None:
        self.sent.append(text)


async def test_chainlits_events_are_ours_in_the_order_of_its_messages() -> None:
    nothing: Any = None
    socket = Recorded(nothing, nothing)
    assert await socket.take_text("0{}") == []
    assert json.loads(socket.sent[0].removeprefix("40"))["clientType"] == "webapp"
    assert [each.type for each in await socket.take_text("40{}")] == ["welcome"]
    assert await socket.take_text('42["task_end",{}]') == []  # of no message
    for name in ("first", "second"):
        await socket.send("user_message", {"message_id": name, "content": "Hello"})
    await socket.send("typing", {})
    heard = []
    for name in ("task_start", "stream_start", "stream_token", "task_end", "task_start", "new_message", "task_end"):
        heard += [(each.message_id, each.type) for each in await socket.take_text(f'42["{name}",{{}}]')]
    arc = ["message_accepted", "partial_result", "partial_result", "final_response"]
    assert heard == [("first", kind) for kind in arc] + [("second", kind) for kind in (arc[0], *arc[2:])]
    assert await socket.take_text("2") == []
    assert [each[:24] for each in socket.sent[1:]] == [
        '42["connection_successfu', '42["client_message", {"m', '42["client_message", {"m', "3",
    ]  # fmt: skip


async def test_an_envelope_in_a_room_is_an_event_and_the_end_of_the_socket_an_error() -> None:
    nothing: Any = None
    socket = RoomSocket(nothing, nothing)
    (event,) = await socket.take_text('42["event",{"type":"final_response","seq":3,"thread_id":"t","data":{}}]')
    assert (event.type, event.seq) == ("final_response", 3)
    with pytest.raises(SocketEnded):
        await socket.take_text("41")


def test_a_stack_belongs_to_its_innermost_known_layer() -> None:
    """A library without a layer counts for its caller."""
    assert layer_of("/home/x/site-packages/trio/_core/_run.py") == "scheduler"
    assert layer_of("/home/x/understudy/storage/writer.py") == "storage"
    assert layer_of("/usr/lib/python3.11/json/__init__.py") is None
    assert layer_of_stack(sys._getframe()) == "other"
