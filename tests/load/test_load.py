"""A load on real servers: whole ones, broken ones, and ones that refuse."""

import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.load.__main__ import main
from tests.load.person import Behaviour
from tests.load.run import Load, LoadFailed, run_load
from tests.rigs.process import started
from tests.rigs.server import serve as serve
from transport.client.dial import SocketUrl
from transport.outbox.send_queue import SendQueue
from understudy.app.server import Running
from understudy.cli.server_address import ServerAddress
from understudy.storage.limits import Limits
from understudy.wire.events import Envelope

ROOT = Path(__file__).parents[2]
TEXTS = ("What is 17 * 23? Use your calculator.",)
WAIT_S = 120


async def loaded(running: Running, *behaviours: Behaviour, **options: Any) -> dict[str, Any]:
    """Run a load of five users for three seconds on a server. Return its report."""
    address = ServerAddress.parse(running.address)

    async def sign_in(_number: int) -> str:
        return str((await address.ask("POST", "/api/sessions"))["session_token"])

    mix = dict.fromkeys(behaviours or (Behaviour.TYPIST,), 1)
    fields = {"users": 5, "for_s": 3.0, "every_s": 1.5, "behaviours": mix, "texts": TEXTS} | options
    with trio.fail_after(WAIT_S):
        return await run_load(Load(SocketUrl.parse(address.socket), **fields), sign_in, lambda _line: None)


@pytest.mark.proof("operations")
async def test_every_message_of_typists_is_measured_from_due_to_end(serve: Any) -> None:
    report = await loaded(await serve())
    counts = report["messages"]
    assert counts == {"due": 10, "sent": 10, "accepted": 10, "answered": 10, "refused": 0}
    latency = report["latency_ms"]
    assert [latency[name]["count"] for name in ("sent", "accepted", "first_event", "end")] == [10, 10, 10, 10]
    # acceptance and start are committed together, so that one read brings both
    assert 0 < latency["accepted"]["mean"] <= latency["first_event"]["mean"] < latency["end"]["mean"]
    assert latency["delivery"]["count"] >= 10 * 7  # numbered events of a run with a tool call
    assert (report["errors"], report["violations"], report["kept"]) == ({}, {}, True)


@pytest.mark.proof("operations")
async def test_a_stall_counts_in_every_message_that_was_due_in_it(serve: Any, nursery: trio.Nursery) -> None:
    """Ten users send every second, and nothing moves for 0.8 s: some eight messages are late, not one."""

    async def stall() -> None:
        await trio.sleep(1.5)
        time.sleep(0.8)  # noqa: ASYNC251 - holds the server and the load

    running = await serve()
    nursery.start_soon(stall)
    report = await loaded(running, users=10, every_s=1.0)
    assert report["messages"]["due"] == 30
    for name in ("sent", "accepted", "end"):
        assert sum(count for middle, count in report["latency_ms"][name]["buckets"] if middle > 100) >= 4


async def test_all_messages_are_due_at_once_if_asked(serve: Any) -> None:
    """Each user sends every hour; at times of their own none would in the first second."""
    report = await loaded(await serve(), for_s=1.0, every_s=3600.0, at_once=True)
    assert report["messages"]["answered"] == report["messages"]["due"] == 5


@pytest.mark.proof("operations")
async def test_promises_hold_for_every_behaviour(serve: Any) -> None:
    report = await loaded(await serve(models_words_per_s=20.0), *Behaviour, users=12, every_s=3.0, for_s=6.0)
    assert report["behaviours"] == {behaviour.value: 2 for behaviour in Behaviour}
    assert report["messages"]["answered"] == report["messages"]["due"] == 24
    assert report["reconnects"] >= 4  # of the reloaders alone: one for each message
    assert report["latency_ms"]["reconnect"]["count"] == report["reconnects"]
    assert (report["errors"], report["violations"], report["kept"]) == ({}, {}, True)


def faulty(monkeypatch: pytest.MonkeyPatch, kind: str, times: int, *, one: bool = False) -> None:
    """Let every connection's queue, or only the first that has one, send events of this type so many times."""
    add = SendQueue.add
    first: list[SendQueue] = []

    def affected(queue: SendQueue, envelope: Envelope) -> bool:
        if envelope.event.type != kind:
            return False
        first.append(queue)
        return first[0] is queue or not one

    def add_wrongly(
        self: SendQueue, frames: Sequence[bytes], envelopes: Sequence[Envelope], *, live: bool = True
    ) -> None:
        pairs = [
            pair for pair in zip(frames, envelopes, strict=True) for _ in range(times if affected(self, pair[1]) else 1)
        ]
        if pairs:
            add(self, [frame for frame, _ in pairs], [envelope for _, envelope in pairs], live=live)

    monkeypatch.setattr(SendQueue, "add", add_wrongly)


@pytest.mark.proof("operations")
@pytest.mark.parametrize(
    ("kind", "times", "broken"),
    [("agent_thinking", 0, "gap"), ("tool_completed", 2, "repeat"), ("final_response", 0, "unanswered")],
)
async def test_a_server_that_drops_or_repeats_an_event_is_found_out(
    serve: Any, monkeypatch: pytest.MonkeyPatch, kind: str, times: int, broken: str
) -> None:
    faulty(monkeypatch, kind, times)
    report = await loaded(await serve(), users=2, every_s=3.0, drain_s=1.0)
    assert report["violations"][broken] >= 2
    assert report["kept"] is False
    assert report["examples"][0].startswith(("gap: ", "repeat: ", "unanswered: "))


async def test_the_end_that_only_one_of_two_tabs_shows_is_missed(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    faulty(monkeypatch, "final_response", 0, one=True)
    report = await loaded(await serve(), Behaviour.TWO_TABS, users=1, for_s=1.0, every_s=1.0, drain_s=1.0)
    assert report["messages"]["answered"] == 1
    assert report["violations"] == {"missed": 1}


async def test_a_user_that_the_server_does_not_let_in_is_a_clear_error(serve: Any) -> None:
    running = await serve(limits=Limits(connections_per_user=1))
    with pytest.raises(LoadFailed, match=r"user 1 of 1 cannot connect: .*connections"):
        await loaded(running, Behaviour.TWO_TABS, users=1)


async def test_more_sockets_than_open_files_are_a_clear_error(serve: Any) -> None:
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with pytest.raises(LoadFailed, match="take fewer --users"):
        await loaded(await serve(), users=hard)


async def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tests.load", *arguments]
    return await trio.to_thread.run_sync(
        lambda: subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=WAIT_S, check=False)
    )


@pytest.mark.proof("operations")
async def test_the_command_shows_a_table_and_prints_a_report(tmp_path: Path) -> None:
    """Also with tokens of the server's own secret."""
    async with started(tmp_path / "data") as server:
        done = await run(server.address, "--users", "3", "--for", "2", "--every", "2")
        assert done.returncode == 0, done.stderr
        assert "messages: 3 due, 3 sent, 3 accepted, 3 answered, 0 refused" in done.stdout
        assert "broken promises: none" in done.stdout
        assert "accepted ms" in done.stderr
        options = ("--users", "2", "--for", "1", "--every", "1", "--data-dir", str(tmp_path / "data"))
        done = await run(server.address, *options)
        assert done.returncode == 0, done.stderr
        assert "2 answered" in done.stdout


@pytest.mark.parametrize(
    ("address", "sentence"), [("http://127.0.0.1:9", "there is no server"), ("ftp://nowhere", "is not an address")]
)
def test_a_wrong_address_is_told_in_a_sentence(address: str, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([address]) == 1
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("behaviours", "sentence"), [("dancer", "'dancer' is none of typist"), ("typist=0", "a weight is 1 or more")]
)
def test_wrong_behaviours_are_told_in_a_sentence(
    behaviours: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["--behave", behaviours])
    assert sentence in capsys.readouterr().err


@pytest.mark.proof("operations")
async def test_sigint_ends_early_with_the_report(tmp_path: Path) -> None:
    async with started(tmp_path / "data") as server:
        command = [sys.executable, "-m", "tests.load", server.address, "--users", "2", "--every", "0.5"]
        with trio.fail_after(WAIT_S):
            load = await trio.lowlevel.open_process(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            assert load.stdout is not None
            assert load.stderr is not None
            shown = b""
            while shown.count(b"\n") < 4:  # the head, and two lines of the table
                shown += await load.stderr.receive_some()
            load.send_signal(signal.SIGINT)
            report = b"".join([piece async for piece in load.stdout])
            assert await load.wait() == 0
        assert b"Interrupted: " in report
