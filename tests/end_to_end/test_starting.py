"""Start-up: the server listens at once, imports lazily, and resumes answers soon after `kill -9`."""

import gc
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.rigs.chat_client import connected
from tests.rigs.process import READY, started
from tests.rigs.server_pair import eventually
from tests.servers.needed import free_port
from understudy.agents.agent import Agent
from understudy.client import ChatExchange, Status, open_client
from understudy.content.warmup import Warmup
from understudy.storage.sqlite import FILE_NAME

AGENT = "tests.rigs.resumable_agent:agent"
BEFORE_LISTENING = {"sqlalchemy", "quart", "flask", "hypercorn", "sanitization", "structlog", "prometheus_client"}
BEFORE_READY = {
    "a2a", "ag_ui", "agents", "alembic", "altair", "anthropic", "anyio", "coredis", "duckdb", "google", "httpx",
    "httpx2", "langchain_core", "langgraph", "mcp", "numpy", "openai", "opentelemetry", "pandas", "presidio_analyzer",
    "psycopg", "pyarrow", "pydantic", "pydantic_ai", "schemathesis", "spacy",
    "cryptography", "jwt", "rich", "linkify_it", "markdown_it", "math_core", "pygments",
}  # fmt: skip
MODULES_BEFORE_READY = {
    "sqlalchemy.dialects.postgresql", "transport.auth.keyring", "understudy.extensions.anthropic.messages",
    "understudy.models.offline.provider", "understudy.models.offline.scan", "understudy.extensions.references.openapi",
}  # fmt: skip
PROGRAM = """
import gc, json, sys
from collections import Counter
found = []
sys.addaudithook(lambda event, _: event == "socket.bind" and not found and found.append(sorted(sys.modules)))
from understudy.cli.main import main
try:
    main()
finally:
    copies = Counter((kind.__module__, kind.__qualname__) for kind in object.__subclasses__())
    unused = sum(count - 1 for (module, _), count in copies.items() if module.startswith(("understudy.", "transport.")))
    print(json.dumps([*found, sorted(sys.modules), unused, gc.get_threshold(), len(gc.callbacks)]))
"""
"""Runs `understudy`. Prints the imported modules at the first bind of a socket and at the end, how many copies of
classes are still in memory, and how the garbage collector is set at the end.
"""


def test_a_server_listens_before_it_loads_the_rest_and_loads_and_keeps_nothing_it_does_not_need(tmp_path: Path) -> None:
    """The second start is measured, as the first one in a new folder loads Alembic.

    attrs makes each class with slots twice. Some 600 first copies would stay, as a server freezes what it loaded.
    """
    for _ in range(2):
        command = [sys.executable, "-c", PROGRAM, "serve", "--port", "0", "--data-dir", str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline().startswith(READY)
            process.send_signal(signal.SIGTERM)
            listening, ended, unused, thresholds, callbacks = json.loads(process.communicate(timeout=120)[0])
    assert {name.partition(".")[0] for name in listening} & (BEFORE_LISTENING | BEFORE_READY) == set()
    assert {name.partition(".")[0] for name in ended} & BEFORE_READY == set()
    assert MODULES_BEFORE_READY & set(ended) == set()
    assert unused < 60
    assert (thresholds, callbacks) == (list(gc.get_threshold()), 0)


async def test_a_server_builds_what_few_texts_need_for_the_first_client(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[tuple[str, ...]] = []

    async def scan(_: Warmup, *texts: str) -> None:
        begun.append(texts)

    monkeypatch.setattr(Warmup, "scan", scan)
    running = await serve()
    assert begun == []
    for _ in range(2):
        async with connected(running.address) as client:
            await client.ask("What is 2 + 3?")
    assert len(begun) == 1
    assert "password" in begun[0][0]


async def test_a_client_that_connects_while_the_server_starts_waits_and_is_served(tmp_path: Path) -> None:
    """The port accepts the connection before the ready line, and answers on it afterwards."""
    port = free_port()
    command = [sys.executable, "-m", "understudy", "serve", "--port", str(port), "--data-dir", str(tmp_path)]
    with trio.fail_after(60):
        process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            stream = await _connected_to(port)
            assert not (tmp_path / FILE_NAME).exists(), "it opened the database before it listened"
            async with stream:
                await stream.send_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")
            assert process.stdout is not None
            assert (await process.stdout.receive_some()).startswith(READY.encode())
        finally:
            process.kill()
            await process.wait()


async def _connected_to(port: int) -> trio.SocketStream:
    while True:
        try:
            return await trio.open_tcp_stream("127.0.0.1", port)
        except OSError:
            await trio.sleep(0.005)


async def test_after_kill_9_the_answer_goes_on_where_the_client_is(tmp_path: Path) -> None:
    await resumed_after_kill(tmp_path)


@pytest.mark.proof("timing")
async def test_after_kill_9_the_answer_goes_on_within_three_seconds(tmp_path: Path) -> None:
    """The client adds little to the start. As the start takes processor time, a loaded machine is given three times as
    long, or as many times as programs want a processor.
    """
    since_kill_s, since_ready_s = await resumed_after_kill(tmp_path)
    load = os.getloadavg()[0]
    patience = 1 if load < 1 else max(3, load)
    assert since_kill_s < 3 * patience
    assert since_ready_s < 1 * patience


async def resumed_after_kill(tmp_path: Path) -> tuple[float, float]:
    """Kill a server in mid answer and start it again. Return the seconds since the kill and since it was ready."""
    port = free_port()
    async with (
        started(tmp_path, AGENT, port=port, loads=True) as server,
        open_client(f"ws://127.0.0.1:{port}/ws") as client,
    ):
        message = await client.say("hello", agent_type="resumable", thread_id="t")
        arc = client.exchange(message)
        with trio.fail_after(60):
            while len(client.text(message)) < 100:
                await anext(arc)
        await server.kill()
        killed = time.monotonic()
        async for state in client.states():
            if state.status is not Status.ONLINE:
                break
        await _read_all(arc)  # events sent before the kill
        async with started(tmp_path, AGENT, port=port, loads=True):
            ready = time.monotonic()
            with trio.fail_after(60):
                await anext(arc)
            resumed = time.monotonic()
    return resumed - killed, resumed - ready


async def _read_all(arc: ChatExchange) -> None:
    while True:
        with trio.move_on_after(0.05) as waited:
            await anext(arc)
        if waited.cancelled_caught:
            return


@pytest.mark.blocking("the provider's package builds what it needs at its first request")
async def test_a_server_says_at_its_start_that_its_model_is_away(
    serve: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{free_port()}/v1")
    await serve(Agent("script", model="openai-chat:tiny"))
    await eventually(lambda: "model.not_ready" in [record.getMessage() for record in caplog.records])


INTERRUPTED = """
import os, signal, sys
def interrupt(event, arguments):
    if (event, *arguments)[:2] == ("import", {at!r}) or event == {at!r}:
        os.kill(os.getpid(), signal.SIGINT)
sys.addaudithook(interrupt)
"""


@pytest.mark.parametrize(
    ("how", "command", "at"),
    [
        ("module", "serve", "understudy.agents.agent"), ("script", "doctor", "understudy.agents.agent"),
        ("script", "serve", "click"), ("module", "serve", "understudy.app.server"), ("script", "serve", "fcntl.flock"),
        ("module", "doctor", "understudy.extensions.doctor.checks"), ("script", "doctor", "sqlite3.connect"),
    ],
)  # fmt: skip
def test_ctrl_c_ends_a_command_that_begins_at_once_and_without_a_traceback(
    tmp_path: Path, how: str, command: str, at: str
) -> None:
    """While it imports, and while a thread opens the data folder."""
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTED.format(at=at))
    script = tmp_path / "understudy"
    script.write_text("from understudy.cli.main import main\nmain()\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / FILE_NAME).touch()
    program = ["-m", "understudy"] if how == "module" else [str(script)]
    done = subprocess.run(
        [sys.executable, *program, command, "--port", "0", "--data-dir", str(tmp_path / "data")],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode in (-signal.SIGINT, *([1] if command == "doctor" else [])), done
    assert not [word for word in ("Traceback", "ready on") if word in done.stderr + done.stdout], done
