"""A server process that is killed, told to stop, or started wrongly."""

import json
import pty
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from tests.rigs.chat_client import connected
from tests.rigs.process import command_of, refused, started
from tests.rigs.server_pair import eventually
from tests.rigs.telling_agent import TELLER, long_text

COLLECTIONS = """
import atexit, gc, sys
import understudy

agent = understudy.Agent("collector", model="offline")
notes = []

def note(phase, info):
    if phase == "start" and info["generation"] == 2:
        on_loop = sys.modules["trio"].lowlevel.in_trio_run()
        notes.append(f"{int(on_loop)} {len(gc.get_objects())} {gc.get_freeze_count()}")

def write():
    with open(__file__ + ".walked", "w") as walked:
        print(*notes, sep="\\n", file=walked)

gc.callbacks.append(note)
atexit.register(write)
"""
"""An agent's module that notes of each full collection if the loop waited, what it walked, and what was frozen.

It writes that in the end: while a collection waited for a file, another thread's would not be made."""

STATE = """
import json, os, signal, sys
from pathlib import Path
import understudy

agent = understudy.Agent("state", model="offline")
opened = [Path(f"/proc/self/fd/{number}").resolve() for number in os.listdir("/proc/self/fd") if int(number) > 2]
state = {
    "arguments": sys.argv[1:],
    "environment": {name: value for name, value in os.environ.items() if name not in ("LC_CTYPE", "STATE")},
    "folder": os.getcwd(),
    "path": sys.path,
    "signals": [repr(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)],
    "pipes and sockets": sorted(path.name.partition(":")[0] for path in opened if "[" in path.name),
    "threads": len(os.listdir("/proc/self/task")),
}
Path(os.environ["STATE"]).write_text(json.dumps(state))
"""
"""An agent's module that writes what its process has been given."""


@pytest.mark.promise("wire.drain", "wire.close-1001")
async def test_sigterm_tells_clients_first_and_ends_the_server(tmp_path: Path) -> None:
    await ended_after(tmp_path)


@pytest.mark.proof("timing")
async def test_sigterm_ends_the_server_within_five_seconds(tmp_path: Path) -> None:
    assert await ended_after(tmp_path) < 5


async def ended_after(tmp_path: Path) -> float:
    """Stop a server in the middle of an answer. Return the seconds that it took to end."""
    async with started(tmp_path, TELLER, loads=True) as server:
        async with connected(server.address) as client:
            await client.ask(long_text(80), agent_type="teller", context={"pause_s": 1.0}, until="partial_result")
            began = time.monotonic()
            server.process.terminate()
            assert (await client.until("drain"))["data"]["reconnect_after_s"] > 0
            assert await client.until_closed() == 1001
        with trio.fail_after(60):
            code = await server.process.wait()
    assert code == 0
    assert "final_response" not in [event["type"] for event in client.seen]
    return time.monotonic() - began


async def test_a_forked_server_has_what_one_has_that_loads_the_product(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no more descriptors and threads, and the folder and the environment of its start, not of the forker's."""
    (tmp_path / "state.py").write_text(STATE)
    async with started(tmp_path / "data"):
        pass
    monkeypatch.setenv("LATER", "1")
    monkeypatch.chdir(tmp_path)
    states = []
    for loads in (False, True):
        environment = {"PYTHONPATH": str(tmp_path), "STATE": str(tmp_path / f"{loads}")}
        async with started(tmp_path / "data", "state:agent", loads=loads, **environment) as server:
            assert await server.terminate() == 0
        states.append(json.loads((tmp_path / f"{loads}").read_text()))
    assert states[0] == states[1]
    assert states[0]["environment"]["LATER"] == "1"


async def test_collections_on_the_loop_do_not_walk_imported_modules(tmp_path: Path) -> None:
    (tmp_path / "collecting.py").write_text(COLLECTIONS)
    walked = tmp_path / "collecting.py.walked"
    async with started(tmp_path / "data", "collecting:agent", loads=True, PYTHONPATH=str(tmp_path)) as server:
        assert await server.terminate() == 0
    lines = [[int(number) for number in note.split()] for note in walked.read_text().splitlines()]
    on_loop = [(walked, frozen) for in_trio, walked, frozen in lines if in_trio]
    assert on_loop
    # The collection comes at some moment of the start, when half as many objects have been made since as were imported.
    assert all(walked < frozen * 2 / 3 for walked, frozen in on_loop), on_loop


@pytest.mark.parametrize(
    ("options", "environment", "word"),
    [
        (["no_such_module:agent"], {}, "no_such_module"),
        (["--model", "oracle"], {}, "oracle"),
        (["--no-builtin-agents"], {}, "there is no agent"),
        (["--default-agent", "oracle"], {}, "the default agent 'oracle' does not exist"),
        (["--host", "192.0.2.1", "--port", "8002"], {"UNDERSTUDY_SECRET": "s" * 32}, "192.0.2.1, port 8002: Cannot"),
        ([], {"UNDERSTUDY_PORT": "many"}, "port"),
        (["--database-url", "postgresql://me@127.0.0.1:1/chat"], {}, "cannot use the database at 127.0.0.1/chat"),
    ],
)
def test_a_wrong_start_says_what_is_wrong(
    tmp_path: Path, options: list[str], environment: dict[str, str], word: str
) -> None:
    ended = refused("--data-dir", str(tmp_path), *options, **environment)
    assert ended.returncode != 0
    assert word.lower() in ended.stderr.lower()
    assert "Traceback" not in ended.stderr


@pytest.fixture
def hangups() -> Iterator[None]:
    """Servers hear of SIGHUP, also if the tests run under `nohup`, from which they would inherit that they do not."""
    handler = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, handler)


@pytest.mark.usefixtures("hangups")
async def test_a_reload_of_one_process_ends_nothing(tmp_path: Path) -> None:
    """A service manager may send SIGHUP: the connection stays, and the log says what was done."""
    log = tmp_path / "log"
    async with started(tmp_path / "data", log=log, loads=True) as server, connected(server.address) as client:
        server.process.send_signal(signal.SIGHUP)
        await eventually(lambda: "server.reload_ignored" in log.read_text())
        assert (await client.ask("1 + 1", thread_id="t"))["type"] == "final_response"
        assert await server.terminate() == 0


@pytest.mark.usefixtures("hangups")
async def test_a_lost_terminal_stops_the_server_in_order(tmp_path: Path) -> None:
    """It has been started by hand: as SIGTERM does, with its log."""
    log, (leader, follower) = tmp_path / "log", pty.openpty()
    with open(leader, "rb"), open(follower, "rb") as terminal, log.open("wb") as errors:  # noqa: ASYNC230
        command = [*command_of(0), "serve", "--port", "0", "--data-dir", str(tmp_path / "data")]
        process = await trio.lowlevel.open_process(command, stdin=terminal, stdout=errors, stderr=errors)
        await eventually(lambda: "understudy is ready" in log.read_text())
        with trio.fail_after(120):
            process.send_signal(signal.SIGHUP)
            assert await process.wait() == 0
    assert "server.stopping" in log.read_text()


async def test_chat_ends_with_its_output_and_without_a_traceback(tmp_path: Path) -> None:
    """It is closed, closed later or full; the run of the answer is the server's."""
    async with started(tmp_path / "data") as server:
        chat = f"echo 'What is 2 + 2?' | {sys.executable} -m understudy chat --url {server.address}"
        for how, code, words in ((">&-", 0, ""), ("2>&-", 0, ""), ("| true", 0, ""), ("> /dev/full", 1, "No space")):
            done = await trio.run_process(
                ["bash", "-c", f"{chat} {how}"], capture_stdout=True, capture_stderr=True, check=False
            )
            errors = done.stderr.decode()
            assert (done.returncode, words in errors, "Traceback" in errors) == (code, True, False), (how, errors)
