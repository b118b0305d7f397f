"""An operator lists, exports, erases and signs out users from a shell, on either database, with and without a
server."""

import json
from pathlib import Path

import trio
from click.testing import CliRunner

from actors import ActorSystem, ChildSpec
from tests.rigs.chat_client import connected
from tests.rigs.command import refusal, said, understudy
from tests.rigs.process import started
from tests.rigs.stored_threads import address as address
from tests.rigs.stored_threads import fill
from tests.servers.postgresql import Postgres
from understudy.cli.main import main
from understudy.extensions.nodes.storage import join_nodes
from understudy.storage.database import Database
from understudy.storage.postgresql import connect_database
from understudy.storage.store import Store
from understudy.storage.writer import StoreWriter


def test_users_are_listed_exported_and_erased_by_tenant(address: list[str], tmp_path: Path) -> None:
    listed = [line.split("\t") for line in said("users", "list", *address).splitlines()]
    assert sorted(line[:3] for line in listed) == [["ann", "", "1"], ["ann", "acme", "2"], ["ann", "globex", "1"]]
    assert len(said("users", "list", "--tenant", "acme", *address).splitlines()) == 1
    exported = json.loads(said("users", "export", "ann", "--tenant", "acme", *address))
    assert (exported["user"], exported["tenant"], len(exported["threads"])) == ("ann", "acme", 2)
    assert all("of acme" in json.dumps(thread) for thread in exported["threads"])
    output = tmp_path / "acme.json"
    said("users", "export", "--tenant", "acme", "--output", str(output), *address)
    assert [user["user"] for user in json.loads(output.read_text())["users"]] == ["ann"]
    assert output.stat().st_mode & 0o777 == 0o600
    assert "--yes" in refusal("users", "delete", "ann", "--tenant", "acme", *address, code=2)
    result = understudy("users", "delete", "ann", "--tenant", "acme", "--yes", *address)
    assert (result.exit_code, result.stdout) == (0, "erased 1 user with 2 threads and 0 files\n")
    assert "there is no user" in refusal("users", "delete", "ann", "--tenant", "acme", "--yes", *address)
    assert len(said("users", "list", *address).splitlines()) == 2
    assert "of globex" in said("users", "export", "ann", "--tenant", "globex", *address)
    result = understudy("users", "delete", "--tenant", "globex", "--yes", *address)
    assert result.stdout == "erased 1 user with 1 threads and 0 files\n"
    (left,) = said("users", "list", *address).splitlines()
    assert left.split("\t")[:2] == ["ann", ""]


def test_a_thread_is_exported_in_both_forms(address: list[str]) -> None:
    thread = json.loads(said("threads", "export", "--owner", "ann", "--thread", "t1", *address))
    assert (thread["thread"]["id"], len(thread["messages"])) == ("t1", 2)
    assert thread["messages"][1]["runs"] == []
    assert [step["number"] for step in thread["messages"][0]["runs"][0]["steps"]] == [1]
    text = said("threads", "export", "--owner", "ann", "--format", "markdown", *address)
    assert "````text\n# of None\n```\nt1\n````\n" in text
    none = understudy("threads", "export", "--owner", "ann", "--thread", "t9", *address)
    assert (none.exit_code, none.stdout, "there is no thread 't9'" in none.stderr) == (1, "", True)
    assert understudy("users", "export", *address).exit_code == 2


def test_where_there_is_nothing_nothing_is_made(tmp_path: Path) -> None:
    data, output = tmp_path / "data", tmp_path / "out.json"
    for command in (["list"], ["export", "ann", "--output", str(output)], ["delete", "ann", "--yes"]):
        assert "there is no database" in refusal("users", *command, "--data-dir", str(data))
    assert list(tmp_path.iterdir()) == []
    result = understudy("users", "export", "ann", "--data-dir", str(data), "--output", str(tmp_path / "no" / "x"))
    assert result.exit_code == 1
    assert "Traceback" not in result.output


def test_unknown_users_are_reported(address: list[str], tmp_path: Path) -> None:
    output = tmp_path / "out"
    for command in (["delete", "--yes"], ["export", "--output", str(output)]):
        assert "there is no user of the tenant 'amce'" in refusal("users", *command, "--tenant", "amce", *address)
    assert not output.exists()
    assert len(said("users", "list", *address).splitlines()) == 3


def test_an_unreachable_redis_is_noted(postgres: Postgres, template: str, tmp_path: Path) -> None:
    url = postgres.create(template)
    database = connect_database(url)
    trio.run(fill, database)
    database.close()
    options = ["--data-dir", str(tmp_path), "--database-url", url]
    erase = ["users", "delete", "ann", "--yes", *options]
    wrong = "rediss://:hunter2@127.0.0.1:1?ssl_ca_certs=/nowhere"
    result = CliRunner().invoke(main, erase, env={"UNDERSTUDY_NODES_REDIS_URL": wrong})
    assert (result.exit_code, "/nowhere" in result.stderr, "hunter2" in result.output) == (1, True, False)
    result = CliRunner().invoke(main, erase, env={"UNDERSTUDY_NODES_REDIS_URL": "redis://:hunter2@127.0.0.1:1"})
    assert (result.exit_code, "erased 1 user" in result.stdout) == (0, True)
    assert "Redis does not answer" in result.stderr
    assert "hunter2" not in result.output


def test_nothing_is_erased_while_a_server_is_alive(postgres: Postgres, template: str, tmp_path: Path) -> None:

    async def add_live_node(database: Database) -> None:
        await fill(database)
        async with ActorSystem("test") as system:
            writer = await system.spawn(ChildSpec("writer", lambda: StoreWriter(database)))
            assert await Store(database, lambda: writer).commit_urgent(join_nodes("somebody", lease_s=60.0))

    url = postgres.create(template)
    database = connect_database(url)
    trio.run(add_live_node, database)
    database.close()
    options = ["--data-dir", str(tmp_path), "--database-url", url]
    assert "DELETE /api/users" in refusal("users", "delete", "ann", "--yes", *options)
    assert len(said("users", "list", *options).splitlines()) == 3


async def test_beside_a_running_server_it_is_read_and_not_erased(tmp_path: Path) -> None:
    async with started(tmp_path / "data") as server, connected(server.address) as client:
        await client.ask("What is 2 + 2?", thread_id="sums")
        options = ["--data-dir", str(tmp_path / "data")]
        listed = await trio.to_thread.run_sync(understudy, "users", "list", *options)
        (name, *_) = listed.stdout.split("\t")
        exported = await trio.to_thread.run_sync(understudy, "threads", "export", "--owner", name, "--events", *options)
        (thread,) = json.loads(exported.stdout)["threads"]
        assert [message["role"] for message in thread["messages"]] == ["user", "assistant"]
        assert thread["events"][-1]["type"] == "final_response"
        result = await trio.to_thread.run_sync(understudy, "users", "delete", name, "--yes", *options)
        assert (result.exit_code, "another understudy" in result.stderr) == (1, True)
        assert (await client.ask("What is 3 + 3?", thread_id="sums"))["type"] == "final_response"
