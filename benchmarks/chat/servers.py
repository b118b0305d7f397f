"""The servers that are measured, each with the scripted agent, in a process of its own on the first core."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from attrs import frozen

from benchmarks.chat import layers
from benchmarks.chat.socketio import ChainlitSocket, RoomSocket
from benchmarks.peers.catalogue import Peer
from benchmarks.peers.home import environment
from benchmarks.start import family, processor_s
from benchmarks.store.servers import SECRET, Node
from benchmarks.wire.server import Server
from tests.servers.postgresql import Postgres
from transport.auth.tokens import Tokens
from understudy.load.websocket import LoadSocket

HERE: Final = Path(__file__).parent / "peers"
AGENTS: Final = "benchmarks.chat.agents:AGENTS"
AGENT: Final = "script"
OWN: Final = Peer(
    "FastAPI and python-socketio",
    "by_hand.py",
    "socketio",
    ("fastapi==0.165.0", "python-socketio==5.18.1", "uvicorn[standard]==0.54.0"),
)
CHAINLIT: Final = Peer("Chainlit", "chainlit_app.py", "chainlit", ("chainlit==2.12.0",))
MEMORY: Final = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Where the data of all servers is: a disk that pauses for a third of a second now and then decides all percentiles."""
TOKEN_S: Final = 24 * 3600.0
WRITTEN_S: Final = 10.0
"""Longest time for a server to write what was sampled, in seconds."""


@frozen
class Chat:
    """A running server: where its socket is, who speaks to it and how."""

    server: Server
    path: str = "/ws"
    socket: type[LoadSocket] = LoadSocket
    sampled: Path | None = None

    @property
    def url(self) -> str:
        """The address of the WebSocket."""
        return f"ws://127.0.0.1:{self.server.port}{self.path}"

    async def sign_in(self, number: int) -> str:
        """Return the token of a user. Peers ignore it."""
        return Tokens(SECRET, time.time).issue(f"user-{number}", f"session-{number}", ttl_s=TOKEN_S)

    def cpu_s(self) -> float:
        """Return the processor seconds that the server's processes have used."""
        processes = family(self.server.pid)
        return self.server.cpu_s() if len(processes) == 1 else sum(map(processor_s, processes))

    def layers(self) -> dict[str, float]:
        """Return the seconds by layer since the last call. Raises ServerFailed."""
        assert self.sampled is not None
        self.sampled.unlink(missing_ok=True)
        os.kill(self.server.pid, signal.SIGUSR2)
        deadline = time.monotonic() + WRITTEN_S
        while not self.sampled.exists():
            if time.monotonic() > deadline:
                raise self.server.failed("it wrote no samples")
            time.sleep(0.02)
        found: dict[str, float] = json.loads(self.sampled.read_text())
        return found


@contextmanager
def ours(database: Postgres | None = None, *, sampled: bool = False) -> Iterator[Chat]:
    """`understudy serve` on SQLite, or on a database of that PostgreSQL."""
    with TemporaryDirectory(prefix="understudy-bench-", dir=MEMORY) as folder:
        file = Path(folder) / "layers.json"
        given = dict[str, str]()
        if sampled:
            given[layers.FILE] = str(file)
        if database is not None:
            given["UNDERSTUDY_DATABASE_URL"] = database.create()
        with Node(Path(folder) / "data", 0, agents=AGENTS, **given) as server:
            yield Chat(server, sampled=file if sampled else None)


@contextmanager
def by_hand() -> Iterator[Chat]:
    """FastAPI with a WebSocket by hand. Raises Missing."""
    with _peer("by_hand.py") as server:
        yield Chat(server)


@contextmanager
def rooms() -> Iterator[Chat]:
    """python-socketio. Raises Missing."""
    with _peer("rooms.py") as server:
        yield Chat(server, "/socket.io/?EIO=4&transport=websocket", RoomSocket)


@contextmanager
def _peer(file: str) -> Iterator[Server]:
    python = environment(OWN) / "bin" / "python"
    with (
        TemporaryDirectory(prefix="understudy-bench-", dir=MEMORY) as folder,
        Server(file, [str(python), str(HERE / file), folder]) as server,
    ):
        yield server


@contextmanager
def chainlit() -> Iterator[Chat]:
    """Chainlit, without a data layer: it keeps nothing on the disk. Raises Missing."""
    python = environment(CHAINLIT) / "bin" / "python"
    with TemporaryDirectory(prefix="understudy-bench-", dir=MEMORY) as folder:
        own = {"HOME": folder, "CHAINLIT_APP_ROOT": folder}
        with Server("Chainlit", [str(python), str(HERE / "chainlit_app.py")], own) as server:
            yield Chat(server, "/ws/socket.io/?EIO=4&transport=websocket", ChainlitSocket)


PEERS: Final[dict[str, Callable[[], AbstractContextManager[Chat]]]] = {
    "FastAPI by hand": by_hand,
    "python-socketio": rooms,
    "Chainlit": chainlit,
}
