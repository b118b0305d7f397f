"""Draining: active runs may finish within the grace period; unfinished ones are resumed at the next start."""

import shutil
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.end_to_end.thread_commands import send
from tests.rigs.answer_view import AnswerView
from tests.rigs.chat_client import TERMINAL, check_arc, connected
from tests.rigs.http import request
from tests.rigs.process import started
from tests.rigs.scripted_model import Gate, Say, scripted
from tests.rigs.telling_agent import TELLER, long_text
from understudy.app.server import Running, serve_app
from understudy.app.settings import Settings, with_values
from understudy.storage.sqlite import open_database
from understudy.storage.store import Store
from understudy.wire.vocabulary import from_log


@pytest.mark.promise("wire.arc-stopped")
async def test_a_run_that_outlasts_a_server_that_stops_goes_on_at_the_next_start(tmp_path: Path) -> None:
    async with started(tmp_path, TELLER) as server:
        _, _, session = await request(server.address, "POST", "/api/sessions")
        token, user = session["session_token"], session["user"]
        async with connected(server.address, token) as client:
            long = {"agent_type": "teller", "context": {"pause_s": 0.5}}
            await client.ask(long_text(30), thread_id="t", message_id="m1", until="partial_result", **long)
            await client.say("What is 2 + 2?", thread_id="t", message_id="m2")
            await client.until("message_accepted", message_id="m2")
            with trio.fail_after(60):
                assert await server.terminate() == 0
            await client.until_closed()
            screen = AnswerView().shows(*client.seen)
    assert screen.text
    database = await trio.to_thread.run_sync(open_database, tmp_path)
    store = Store(database, lambda: None)
    logged = [from_log(row.body) for row in await store.events(user, "t", 0)]
    assert [(run.message_id, run.attempts) for run in await store.unfinished_runs()] == [("m1", 0), ("m2", 0)]
    await trio.to_thread.run_sync(database.close)
    assert not {envelope.event.type for envelope in logged} & {*TERMINAL, "agent_completed"}
    async with started(tmp_path, TELLER) as server, connected(server.address, token) as client:
        await send(client, "resume", threads={"t": 0})
        ends = {end["message_id"]: end for end in [await client.until_end() for _ in range(2)]}
        assert {end["type"] for end in ends.values()} == {"final_response"}
        by_seq = {event["seq"]: event for event in client.durable()}  # the next server may go on before the replay
        for message_id in ("m1", "m2"):
            events = [event for _, event in sorted(by_seq.items()) if event["message_id"] == message_id]
            check_arc([event | {"seq": number} for number, event in enumerate(events)])
        first = [event for event in client.seen if event.get("message_id") == "m1"]
        assert screen.shows(*first).text.strip() == ends["m1"]["data"]["message"].strip()


@pytest.mark.promise("wire.drain-finishes")
async def test_a_run_that_ends_within_the_time_of_the_drain_is_not_cut_off(serve: Any) -> None:
    gate = Gate(open_after=1)
    running = await serve(scripted(Say("some words", gate)))
    async with connected(running.address) as client:
        user = client.seen[0]["data"]["user"]
        await client.ask("go", agent_type="script", thread_id="t", until="partial_result")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(running.stop)
            await client.until("drain")
            await client.socket.aclose()
            gate.opened.set()
    kinds = [row.type for row in await running.store.events(user, "t", 0)]
    assert kinds[-2:] == ["agent_completed", "final_response"]


async def test_a_second_sigterm_does_not_cut_the_drain_short(tmp_path: Path) -> None:
    async with started(tmp_path, TELLER) as server, connected(server.address) as client:
        await client.say(long_text(80), thread_id="t", agent_type="teller", context={"pause_s": 1.0})
        await client.until("partial_result")
        server.process.send_signal(signal.SIGTERM)
        await client.until("drain")
        with trio.fail_after(60):
            assert await server.terminate() == 0
        assert await client.until_closed() == 1001


async def test_a_server_that_is_cancelled_waits_for_no_storage(tmp_path: Path, migrated: Path) -> None:
    """The program around it ends it with a run that writes, which the next start resumes."""
    shutil.copytree(migrated, tmp_path / "data")
    gate = Gate(open_after=1)
    settings = with_values(Settings(), port=0, data_dir=tmp_path / "data")
    async with trio.open_nursery() as nursery:
        serving = partial(serve_app, settings, (scripted(Say("some words", gate)),), ())
        running: Running = await nursery.start(serving)
        async with connected(running.address) as client:
            await client.ask("go", agent_type="script", thread_id="t", until="partial_result")
        gate.opened.set()  # so the run is about to record its end
        began = trio.current_time()
        nursery.cancel_scope.cancel()
    assert trio.current_time() - began < 2.0
