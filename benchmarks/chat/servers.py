"""The servers that are measured, each with the scripted agent, in a process of its own on the first core."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from attrs import frozen

from benchmarks.peers.catalogue import Peer
from benchmarks.peers.home import environment
from benchmarks.start import family, processor_s
from benchmarks.store.servers import SECRET, Node
from benchmarks.wire.server import Server
from tests.servers.postgresql import Postgres
from transport.auth.tokens import Tokens

HERE: Final = Path(__file__).parent / "peers"
AGENTS: Final = "benchmarks.chat.agents:AGENTS"
AGENT: Final = "script"
FASTAPI: Final = Peer("FastAPI by hand", "by_hand.py", "fastapi", ("fastapi==0.165.0", "uvicorn[standard]==0.54.0"))
MEMORY: Final = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Where the data of all servers is: a disk that pauses for a third of a second now and then decides all percentiles."""
TOKEN_S: Final = 24 * 3600.0


@frozen
class Chat:
    """A running server that users write to."""

    server: Server

    @property
    def url(self) -> str:
        """The address of the WebSocket."""
        return f"ws://127.0.0.1:{self.server.port}/ws"

    async def sign_in(self, number: int) -> str:
        """Return the token of a user. Peers ignore it."""
        return Tokens(SECRET, time.time).issue(f"user-{number}", f"session-{number}", ttl_s=TOKEN_S)

    def cpu_s(self) -> float:
        """Return the processor seconds that the server's processes have used."""
        processes = family(self.server.pid)
        return self.server.cpu_s() if len(processes) == 1 else sum(map(processor_s, processes))


@contextmanager
def ours(database: Postgres | None = None) -> Iterator[Chat]:
    """`understudy serve` on SQLite, or on a database of that PostgreSQL."""
    with TemporaryDirectory(prefix="understudy-bench-", dir=MEMORY) as folder:
        given = {} if database is None else {"UNDERSTUDY_DATABASE_URL": database.create()}
        with Node(Path(folder) / "data", 0, agents=AGENTS, **given) as server:
            yield Chat(server)


@contextmanager
def by_hand() -> Iterator[Chat]:
    """FastAPI with a WebSocket by hand. Raises Missing."""
    python = environment(FASTAPI) / "bin" / "python"
    with (
        TemporaryDirectory(prefix="understudy-bench-", dir=MEMORY) as folder,
        Server(FASTAPI.file, [str(python), str(HERE / FASTAPI.file), folder]) as server,
    ):
        yield Chat(server)


PEERS: Final[dict[str, Callable[[], AbstractContextManager[Chat]]]] = {FASTAPI.name: by_hand}
