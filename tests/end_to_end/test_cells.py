"""Two cells, each a database with a server, behind one nginx as the page on cells has it; and a cell that is split."""

import os
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import frozen

from tests.rigs.chat_client import connected
from tests.rigs.doc_tables import DOCS
from tests.rigs.http import get, multipart, request
from tests.rigs.process import Process, command_of, started
from tests.rigs.server_pair import resume
from tests.rigs.tokens import SECRET, token
from tests.servers.needed import program
from tests.servers.nginx import Nginx
from tests.servers.postgresql import Postgres

MAP, CONFIGURATION = re.findall(r"```nginx[^\n]*\n(.*?)```", (DOCS / "explanation/cells.md").read_text(), re.DOTALL)
(SPLIT,) = re.findall(r"^ *```sh\n(.*?)```", (DOCS / "explanation/cells.md").read_text(), re.DOTALL | re.MULTILINE)
OTHER_SECRET = "the secret of another cell, for tests, is long"
WORD = "quincemarmalade"


@frozen
class TwoCells:
    proxy: Nginx
    folder: Path
    a: Process
    b: Process

    async def ask(self, tenant: str, method: str, path: str, who: str = "", **how: Any) -> tuple[int, Any]:
        """Send a request to the host name of a tenant. Return the status and the body."""
        headers = {"Host": f"{tenant}.chat.example.org"}
        return (await request(self.proxy.address, method, path, token=who or None, headers=headers, **how))[::2]

    async def map(self, text: str) -> None:
        (self.folder / "cells.map").write_text(text)
        await trio.to_thread.run_sync(self.proxy.reload)

    def connected(self, tenant: str, who: str) -> Any:
        return connected(self.proxy.address, who, host=f"{tenant}.chat.example.org")


def environment(database: str, secret: str = SECRET) -> dict[str, str]:
    return {
        "UNDERSTUDY_DATABASE_URL": database,
        "UNDERSTUDY_SECRET": secret,
        "UNDERSTUDY_TENANT_CLAIM": "org",
        "UNDERSTUDY_SHARES_LINKS": "true",
    }


@asynccontextmanager
async def two_cells(folder: Path, postgres: Postgres, template: str, secret: str = SECRET) -> AsyncIterator[TwoCells]:
    """Start a server over each of two databases, and the nginx of the page; `secret` is that of the second."""
    async with AsyncExitStack() as stack:
        cells = [
            await stack.enter_async_context(started(folder / name, **environment(postgres.create(template), key)))
            for name, key in (("a", SECRET), ("b", secret))
        ]
        (folder / "nginx").mkdir()
        (folder / "nginx/cells.map").write_text(MAP)
        http, _, server = CONFIGURATION.partition("server {\n    listen 8080;")
        for name, cell in zip("12", cells, strict=True):
            node = cell.address.removeprefix("http://")
            http = http.replace(f"10.0.{name}.11:8002", node).replace(f"10.0.{name}.12:8002", f"{node} down")
        proxy = await trio.to_thread.run_sync(Nginx, folder / "nginx", server.rstrip().removesuffix("}"), http)
        try:
            yield TwoCells(proxy, folder / "nginx", *cells)
        finally:
            await trio.to_thread.run_sync(proxy.stop)


@pytest.mark.needs("nginx")
async def test_a_user_of_one_cell_gets_nothing_of_the_other(tmp_path: Path, postgres: Postgres, template: str) -> None:
    """The worst case: both cells accept the token, and the user and the thread have the same names in both."""
    ada, operator = token("ada", org="initech"), token("op", "server_operator", "metrics")
    async with two_cells(tmp_path, postgres, template) as cells:
        async with cells.connected("initech", ada) as client:
            await client.ask(WORD, thread_id="t", message_id="m")
            run_id = client.durable()[0]["run_id"]
        body, kind = multipart(f"{WORD}.csv", b"a,b\n1,2\n")
        _, file = await cells.ask("initech", "POST", "/api/files", ada, body=body, content_type=kind)
        _, share = await cells.ask("initech", "POST", "/api/threads/t/shares", ada, body={"days": 1})
        link = share["path"].replace("/share/", "/api/shared/")

        for path in (
            "/api/threads/t", "/api/threads/t/messages", "/api/threads/t/turns", "/api/threads/t/events",
            "/api/threads/t/export", f"/api/runs/{run_id}", f"/api/runs/{run_id}/events", f"/api/files/{file['id']}",
            link,
        ):  # fmt: skip
            assert (await cells.ask("initech", "GET", path, ada))[0] == 200, path
            assert (await cells.ask("acme", "GET", path, ada))[0] == 404, path
        for path in (f"/api/threads?query={WORD}", "/api/threads", "/api/inbox", "/api/me/export?events=true"):
            status, text = await cells.ask("initech", "GET", path, ada)
            assert (status, WORD in str(text)) == (200, True), path
            _, unknown = await cells.ask("acme", "GET", path, ada)
            assert WORD not in str(unknown), path
        assert [await runs_of(cell) for cell in (cells.a, cells.b)] == [0, 1]

        async with cells.connected("acme", ada) as at_a, cells.connected("initech", ada) as at_b:
            await resume(at_a)
            await resume(at_b)
            for name in ("acme", "initech"):
                reached = await cells.ask(name, "POST", "/api/alerts", operator, body={"message": name})
                assert reached == (202, {"connections": 1})
            for client, name in ((at_a, "acme"), (at_b, "initech")):
                while not (alerts := [event["data"]["message"] for event in client.seen if event["type"] == "alert"]):
                    await client.read()
                assert alerts == [name]
            assert (WORD in str(at_a.seen), run_id in str(at_b.seen)) == (False, True)

        async with cells.connected("acme", ada) as early:  # a changed map moves new connections, and no others
            await cells.map(MAP.replace("cell_a", "cell_b"))
            async with cells.connected("acme", ada) as client:
                await client.ask("6 * 7", thread_id="moved")
            assert [await runs_of(cell) for cell in (cells.a, cells.b)] == [0, 2]
            await early.ask("7 * 7", thread_id="t")
            assert [await runs_of(cell) for cell in (cells.a, cells.b)] == [1, 2]


@pytest.mark.needs("nginx")
async def test_each_cell_has_its_tenants_and_outlives_the_other(
    tmp_path: Path, postgres: Postgres, template: str
) -> None:
    ada, bob = token("ada", org="acme"), token("bob", secret=OTHER_SECRET, org="initech")
    async with two_cells(tmp_path, postgres, template, OTHER_SECRET) as cells:
        assert (await cells.ask("initech", "GET", "/api/threads", ada))[0] == 401
        assert (await cells.ask("acme", "GET", "/api/threads", bob))[0] == 401
        assert (await cells.ask("acme", "GET", "/metrics", ada))[0] == 404
        assert (await cells.ask("nobody", "GET", "/api/threads", ada))[0] == 503

        async with cells.connected("acme", ada) as client:
            assert (await client.ask("6 * 7", thread_id="t"))["type"] == "final_response"
            await cells.b.kill()
            assert (await cells.ask("initech", "GET", "/api/threads", bob))[0] == 502
            assert (await client.ask("7 * 7", thread_id="t"))["type"] == "final_response"
        async with cells.connected("acme", ada) as client:
            assert (await client.ask("8 * 7", thread_id="t"))["type"] == "final_response"


async def runs_of(cell: Process) -> int:
    """Return how many runs a node has ended."""
    text = await get(cell, "/metrics", token("op", "metrics"))
    return sum(int(float(value)) for value in re.findall(r"^understudy_runs_total\{.*\} (\S+)$", text, re.MULTILINE))


async def test_a_cell_is_split_by_the_commands_of_the_page(tmp_path: Path, postgres: Postgres, template: str) -> None:
    """Two tenants with a user and a schedule each: afterwards each cell has its own, and has signed out the other's."""
    operator = token("op", "server_operator")
    users = {tenant: token("ada", org=tenant) for tenant in ("acme", "globex")}
    databases = [postgres.create(template), postgres.create()]
    async with started(tmp_path / "old", **environment(databases[0])) as old:
        for tenant, who in users.items():
            async with connected(old.address, who) as client:
                await client.ask(f"{WORD} of {tenant}", thread_id="t")
            body = {"message": WORD, "cron": "0 8 * * *"}
            assert (await request(old.address, "POST", "/api/schedules", token=who, body=body))[0] == 201
        assert await old.terminate() == 0
    binaries = program("postgresql", "pg_dump").parent
    variables = {"CELL_A": databases[0], "CELL_B": databases[1], "PATH": f"{binaries}:{os.environ['PATH']}"}
    commands = re.sub(r"^ *understudy", " ".join(command_of(0)), SPLIT, flags=re.MULTILINE)
    shell = ["bash", "-euo", "pipefail", "-c", commands]
    done = await trio.run_process(shell, env={**os.environ, **variables}, capture_stdout=True, stderr=subprocess.STDOUT)
    assert done.stdout.decode().count("erased 1 user with 1 threads") == 2, done.stdout
    for database, name in zip(databases, users, strict=True):
        async with started(tmp_path / name, **environment(database)) as cell:
            for path in ("/api/threads", "/api/schedules"):
                assert WORD in str(await get(cell, path, users[name]))
            for tenant in users.keys() - {name}:
                assert (await request(cell.address, "GET", "/api/threads", token=users[tenant]))[0] == 401
            lists = [await get(cell, path, operator) for path in ("/api/admin/users", "/api/admin/schedules")]
            tenants = [[row["tenant"] for row in rows] for table in lists for rows in table.values() if rows]
            assert tenants == [[name]] * 2
