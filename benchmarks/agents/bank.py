"""A bank in a process of its own, with a ledger in an SQLite file. `python -m benchmarks.agents.bank FILE` serves it.

`POST /pay KEY ORDER` books a payment once for each key; `GET /find KEY` says whether it did. A payment takes up to
8 ms, before and after it is booked, so that the one who pays may die before, between or after.
"""

from __future__ import annotations

import random
import sqlite3
import sys
from pathlib import Path

import trio

LONGEST_S = 0.004


async def pay(address: tuple[str, int], key: str, order: str) -> str:
    """Pay for an order; the same key pays once."""
    return await _ask(address, f"POST /pay {key} {order}")


async def find(address: tuple[str, int], key: str) -> str | None:
    """Return the order that was paid under this key, or None."""
    return await _ask(address, f"GET /find {key}") or None


async def _ask(address: tuple[str, int], line: str) -> str:
    async with await trio.open_tcp_stream(*address) as stream:
        await stream.send_all(f"{line}\n".encode())
        answer = b""
        while part := await stream.receive_some():
            answer += part
    return answer.decode()


async def serve(file: Path) -> None:
    """Serve until cancelled; print the port first."""
    ledger = sqlite3.connect(file, isolation_level=None)
    ledger.execute("PRAGMA journal_mode = WAL")
    ledger.execute("CREATE TABLE IF NOT EXISTS payments (key TEXT PRIMARY KEY, for_order TEXT NOT NULL)")

    async def answer(stream: trio.SocketStream) -> None:
        try:
            words = (await stream.receive_some()).decode().split()
            if words[1] == "/find":
                row = ledger.execute("SELECT for_order FROM payments WHERE key = ?", words[2:3]).fetchone()
                await stream.send_all((row[0] if row else "").encode())
            else:
                await trio.sleep(random.uniform(0, LONGEST_S))
                ledger.execute("INSERT OR IGNORE INTO payments VALUES (?, ?)", words[2:4])
                await trio.sleep(random.uniform(0, LONGEST_S))
                await stream.send_all(words[3].encode())
        except (trio.BrokenResourceError, IndexError):
            pass  # the one who asked has died

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    print(listeners[0].socket.getsockname()[1], flush=True)
    await trio.serve_listeners(answer, listeners)


if __name__ == "__main__":
    trio.run(serve, Path(sys.argv[1]))
