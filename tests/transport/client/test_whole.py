"""The client and the server, over real sockets that break."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trio
from attrs import evolve

from tests.rigs.cutting_proxy import cutting
from tests.rigs.documented_server import served, socket_url
from tests.rigs.scripted_model import Call, Say, scripted
from transport.wire.errors import CommandRejected
from understudy.app.server import Running, serve_app
from understudy.app.settings import Settings, with_values
from understudy.auth.sessions import open_tokens
from understudy.client import FileOutbox, Reconnect, RunFailed, Status, open_client
from understudy.storage.limits import Limits

QUICK = Reconnect(first_s=0.02, max_s=0.1)


def port_of(running: Running) -> int:
    return int(running.address.rpartition(":")[2])


async def test_questions_are_answered(tmp_path: Path) -> None:
    answers: dict[int, str] = {}
    async with served(tmp_path) as running, open_client(socket_url(running)) as client:

        async def ask(number: int) -> None:
            answers[number] = await client.answer(f"What is {number} * 10?", thread_id=f"t{number}")

        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                for number in range(8):
                    nursery.start_soon(ask, number)
            arc = client.exchange(await client.say("What is 15% of 80?", thread_id="t"))
            kinds = [event.type async for event in arc]
        assert (kinds[0], kinds[-1]) == ("message_accepted", "final_response")
        assert client.text(arc.message_id) == "15% of 80 = 12"
        assert client.token
    assert answers == {number: f"{number} * 10 = {number * 10}" for number in range(8)}


@pytest.mark.parametrize(
    "after", [b"message_accepted", b"agent_thinking", b"tool_executing", b"partial_result", b"final_response"]
)
async def test_a_cut_connection_costs_nothing(tmp_path: Path, after: bytes) -> None:
    """Wherever it breaks: each event once and in order, one message, its whole text."""
    turns = Call([("echo", {"text": "x"})]), Say("one two three four")
    async with (
        served(tmp_path, [scripted(*turns)], models_words_per_s=200.0) as running,
        cutting(port_of(running), after) as port,
    ):
        url = f"ws://127.0.0.1:{port}/ws"
        async with open_client(url, reconnect=QUICK, gzip=False, batch=False) as client:
            with trio.fail_after(60):
                arc = client.exchange(await client.say("go", thread_id="t", agent_type="script"))
                events = [event async for event in arc]
            seqs = [event.seq for event in events if event.seq is not None]
            assert seqs == list(range(1, len(seqs) + 1))
            assert events[-1].type == "final_response"
            assert client.text(arc.message_id).split() == ["one", "two", "three", "four"]
            assert client.last_seq == {"t": seqs[-1]}


async def test_a_server_that_goes_away_and_comes_back(tmp_path: Path) -> None:
    """Messages sent meanwhile are stored in a file, and answered by the next server."""
    store, url = FileOutbox(tmp_path / "outbox.json"), ""
    settings = with_values(
        Settings(), port=0, data_dir=tmp_path / "data", secret="s" * 32, models_words_per_s=10_000.0, grace_s=1.0
    )
    token = open_tokens(settings).issue("ada", "s", ttl_s=600)
    async with trio.open_nursery() as nursery:
        running: Running = await nursery.start(serve_app, settings)
        url = socket_url(running)
        async with open_client(url, token=token, store=store, reconnect=QUICK) as client:
            assert await client.answer("What is 1 + 1?", thread_id="t") == "1 + 1 = 2"
            await running.stop()
            with trio.fail_after(60):
                async for state in client.states():
                    if state.status is Status.OFFLINE:
                        break
                await client.say("What is 20 + 3?", thread_id="t", message_id="later")
        nursery.cancel_scope.cancel()
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_app, evolve(settings, port=urlsplit(url).port))
        async with open_client(url, token=token, store=store, threads={"t": 0}) as client:
            assert client.unaccepted == ["later"]
            with trio.fail_after(60):
                answer = await client.exchange("later").answer()
            assert answer.raw["data"]["message"] == "20 + 3 = 23"
        nursery.cancel_scope.cancel()


async def test_a_refusal_is_an_error_with_its_code(tmp_path: Path) -> None:
    """The server's refusal has its code; an invalid command raises CommandRejected in the client."""
    async with served(tmp_path) as running, open_client(socket_url(running)) as client:
        with trio.fail_after(60), pytest.raises(RunFailed) as failed:
            await client.answer("hi", thread_id="t", agent_type="nobody")
        assert failed.value.code == "unknown_agent_type"
        for content, fields, code in (
            ("  ", {}, "empty_message"),
            ("x" * 10_000, {"agent_type": "liaison"}, "pillar_required"),
            ("hi", {"thread_id": "x" * 1000}, "invalid_command"),
        ):
            with trio.fail_after(60), pytest.raises(CommandRejected) as rejected:
                await client.answer(content, **fields)
            assert rejected.value.code == code
        assert client.unaccepted == []


@pytest.mark.proof("timing")
@pytest.mark.parametrize("same", [True, False])
async def test_tokens_that_last_two_seconds(tmp_path: Path, same: bool) -> None:
    """Renewed in place if they are of one session; else the server refuses the newer one, and the client comes back."""
    settings: Any = {"secret": "s" * 32, "limits": Limits(messages_per_minute=100_000)}
    issuer = open_tokens(with_values(Settings(), port=0, data_dir=tmp_path, **settings))
    tokens: list[str] = []

    def token() -> str:
        tokens.append(issuer.issue("ada", "s" if same else f"s{len(tokens)}", ttl_s=2))
        return tokens[-1]

    async with (
        served(tmp_path, **settings) as running,
        open_client(socket_url(running), token=token, reconnect=QUICK) as client,
    ):
        with trio.fail_after(60):
            while len(tokens) < 3:
                assert await client.answer("What is 2 * 10?", thread_id="t") == "2 * 10 = 20"
