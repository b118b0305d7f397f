"""The benchmark of the wire, with sizes too small for meaningful numbers, and servers that misbehave."""

import math
import re
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks import wire
from benchmarks.__main__ import put_between
from benchmarks.figure import Figure, table
from benchmarks.peers.home import Missing
from benchmarks.wire import rates, server
from benchmarks.wire.client import Client, Crowd, text_frame
from benchmarks.wire.idle import idle
from benchmarks.wire.product import Product, product
from benchmarks.wire.server import Server, ServerFailed, module
from benchmarks.wire.sizes import QUICK
from benchmarks.wire.storm import Storm, storm
from tests.servers.needed import found

PEERS = (wire.UVICORN, wire.WS)

# A server that accepts every WebSocket, then answers each message with what `ANSWER` says.
BROKEN = """
import asyncio, json, sys
from websockets.asyncio.server import serve

async def answer(connection):
    seq = 0
    async for _ in connection:
        for _ in range(100):
            seq += {step}
            event = dict(type="agent_thinking", seq=seq, thread_id="thread", data=dict(thought="x" * {size}))
            await connection.send(json.dumps(event, separators=(",", ":")))
        {then}

async def main():
    async with serve(answer, "127.0.0.1", 0, compression=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def ours() -> Iterator[Server]:
    """Yield our transport, as set up for measuring speed."""
    with Server("ours", wire.COMMANDS[wire.OURS]()) as running:
        yield running


@pytest.fixture(scope="module")
def known() -> Iterator[Product]:
    """Yield the whole product, with some users that have threads."""
    with product(QUICK.storm, QUICK.events) as running:
        yield running


def broken(*, step: int = 1, size: int = 240, then: str = "pass") -> Server:
    """Return a server that numbers events by `step`, enlarges them by `size` bytes, and ends with the given action."""
    code = BROKEN.format(step=step, size=size, then=then)
    return Server("broken", [sys.executable, "-c", code])


@pytest.mark.proof("benchmarks")
@pytest.mark.parametrize(
    "work",
    [rates.own, lambda: rates.own(batch=True), lambda: rates.room(QUICK.connections)],
    ids=["fanout", "fanout_batch", "broadcast"],
)
def test_events_reach_clients_as_fast_as_they_can(ours: Server, work: Callable[[], rates.Work]) -> None:
    """The rate is plausible for any machine, and the events were checked."""
    assert 1_000 < rates.rate(ours, work, QUICK) < 10_000_000


def test_every_peer_does_the_same_work() -> None:
    """The installed peers send the same events in the same order, and echo."""
    for name in PEERS:
        if name == wire.WS and found("npm") is None:
            continue
        try:
            command = wire.COMMANDS[name]()
        except Missing:
            continue
        with Server(name, command) as peer:
            for work in (rates.own, rates.together, lambda: rates.room(QUICK.connections), rates.echo):
                assert 100 < rates.rate(peer, work, QUICK) < 10_000_000


@pytest.mark.proof("benchmarks")
def test_messages_come_back() -> None:
    with Server("our echo", wire.COMMANDS["our echo"]()) as echoing:
        assert 100 < rates.rate(echoing, rates.echo, QUICK) < 1_000_000


@pytest.mark.proof("benchmarks")
def test_an_idle_connection_to_the_product_has_a_size(known: Product) -> None:
    """Some kilobytes: more than a socket, less than a process."""
    assert 2_000 < idle(known.server, known.path, QUICK.idle, QUICK) < 200_000


@pytest.mark.proof("benchmarks")
def test_clients_that_come_back_at_once_get_what_they_lack(known: Product) -> None:
    """Every user of the product resumes their thread, and no event is lost."""
    back = storm(known, QUICK.storm)
    assert back.lost == 0
    assert back.resumed == QUICK.storm
    assert 0 < back.p99_s < 10


@pytest.mark.proof("benchmarks")
def test_events_that_never_come_are_counted_as_lost(known: Product) -> None:
    """The clients expect a longer thread: the missing events are counted, and the wait ends."""
    longer = Product(known.server, events=QUICK.events + 2)
    assert storm(longer, 2, within_s=1.0) == Storm(math.inf, lost=2 * 2, resumed=0)


@pytest.mark.proof("benchmarks")
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"step": 2}, "missing or out of order"),
        ({"size": 900}, "not about 300"),
        ({"size": 1}, "not about 300"),
        ({"then": "return"}, "closed|nothing came back"),
        ({"then": "sys.exit(3)"}, "closed|lost|nothing came back"),
        ({}, "nothing came back"),
    ],
    ids=["gaps", "large", "small", "closes", "ends", "no mark"],
)
def test_a_server_that_does_not_do_its_work_has_no_number(
    fault: dict[str, object], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the fault. What does not come at all is not waited for as long as for a figure."""
    if "nothing" in said:
        monkeypatch.setattr(rates, "CHECK_S", 1.0)
    with broken(**fault) as wrong, pytest.raises(ServerFailed, match=said):  # type: ignore[arg-type]
        rates.rate(wrong, rates.own, QUICK)


@pytest.mark.proof("benchmarks")
def test_a_server_that_refuses_the_handshake_has_no_number(ours: Server) -> None:
    """The server's answer is in the error."""
    with Crowd(ours) as crowd, pytest.raises(ServerFailed, match=r"no WebSocket: b'HTTP/1\.1 4"):
        crowd.open(["/events\r\nContent-Length: 1\r\nTransfer-Encoding: chunked"])


def test_a_server_that_ends_at_once_is_an_error_with_its_last_words() -> None:
    """The error has the last line of the server's error output."""
    with pytest.raises(ServerFailed, match=r"it ended \(ValueError: no port today\)"):
        Server("broken", [sys.executable, "-c", "raise ValueError('no port today')"])


@pytest.mark.proof("benchmarks")
def test_our_failure_is_an_error_and_a_peers_is_left_out(
    ours: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A figure needs our number; a missing peer is reported on the error output."""
    with broken(step=2) as wrong:
        works = {wire.OURS: rates.own, wire.WS: rates.own}
        figure = wire._compare("fanout", "events/s", {wire.OURS: ours, wire.WS: wrong}, works, QUICK)
        assert figure.peers == {}
        assert "ws on Node has no fanout" in capsys.readouterr().err
        with pytest.raises(ServerFailed):
            wire._compare("fanout", "events/s", {wire.OURS: wrong, wire.WS: ours}, works, QUICK)


def test_without_node_the_peer_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Missing, match="no node"):
        server.node()


@pytest.mark.parametrize("length", [0, 5, 125, 126, 300, 65_535, 65_536])
@pytest.mark.parametrize("step", [1, 7, 1_000_000])
def test_frames_are_read_however_they_are_cut(length: int, step: int) -> None:
    """Heads of every length, in pieces of every size."""
    if length > 10_000 and step == 1:
        step = 500
    payloads = [b"a" * length, b"b" * length]
    # A server's frames are a client's without the mask.
    data = b"".join(_unmasked(text_frame(payload)) for payload in payloads)
    with socket.socket() as unused:
        client = Client(unused)
        read = [frame for at in range(0, len(data), step) for frame in client.frames(data[at : at + step])]
    assert read == payloads
    assert client.rest == b""


def _unmasked(frame: bytes) -> bytes:
    size = {126: 4, 127: 10}.get(frame[1] & 0x7F, 2)
    return bytes((frame[0], frame[1] & 0x7F)) + frame[2:size] + frame[size + 4 :]


@pytest.mark.parametrize("step", [1, 2, 3, 50, 99, 100, 101, 1_000])
@pytest.mark.parametrize("mark", [b"<end>", rates.ECHO])
def test_marks_are_counted_once_however_they_are_cut(step: int, mark: bytes) -> None:
    """A mark split over two or three reads counts once, also one of a single repeated letter."""
    data = (b"\x81\x64" + mark + b"between") * 9
    ours, theirs = socket.socketpair()
    with ours, theirs:
        counting = rates._Counting(rates.Work("/", b"!", mark, 1))
        client = Client(ours)
        for at in range(0, len(data), step):
            counting.take(client, data[at : at + step])
        assert counting.marks == 9
        assert theirs.recv(100) == b"!" * 9  # and each was answered


def test_a_table_of_figures_stands_between_two_comments(tmp_path: Path) -> None:
    """The text between the comments is replaced and the rest kept; without the comments it is an error and the page is
    unchanged.
    """
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- figures: wire -->\nold\n<!-- end -->\nafter\n")
    figures = [Figure("fanout", "events/s", 481_300.0, {"uvicorn": 160_000.0}), Figure("storm_lost", "events", 0)]
    for _ in range(2):
        put_between(page, "wire", table(figures))
    text = page.read_text()
    assert re.sub(r"\n+", "\n", text).splitlines()[2:-2] == [
        "| figure | understudy | peers, and how many of each understudy is |",
        "| --- | --- | --- |",
        "| `fanout` | 481.3 k events/s | uvicorn 160.0 k (3.01) |",
        "| `storm_lost` | 0 events | none |",
    ]
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    with pytest.raises(ValueError, match="figures: actors"):
        put_between(page, "actors", "")
    assert page.read_text() == text


def module_names() -> list[str]:
    """Return the modules of the Python servers."""
    return [path.stem for path in (Path(server.__file__).parent / "servers").glob("*.py") if path.stem != "__init__"]


def test_every_server_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command without its file would otherwise be found only by a long run."""
    fetched = (wire.WS, wire.UVICORN)
    named = {command()[2].rpartition(".")[2] for name, command in wire.COMMANDS.items() if name not in fetched}
    assert named | {"control", "uvicorn_peer"} == set(module_names())
    assert module("ours")[0] == sys.executable
