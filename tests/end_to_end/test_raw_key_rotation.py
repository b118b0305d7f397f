"""The key of raw texts is replaced while servers run: no text is lost, and in the end none needs the old key."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from click.testing import CliRunner, Result

from tests.end_to_end.chat_client import connected
from tests.end_to_end.http import request
from tests.end_to_end.scripted_model import Say, scripted
from tests.end_to_end.server_pair import SECRET, token_of
from tests.end_to_end.test_scrubbing import SECRET as SCRUBBED
from tests.end_to_end.test_user_data import database as database
from tests.servers.postgresql import Postgres
from tests.servers.redis import Redis
from understudy.app.server import Running, serve_app
from understudy.app.settings import Settings
from understudy.cli.main import main

OLD, NEW = "the-old-key-of-more-than-32-bytes!!", "a-new-key-of-more-than-32-bytes!!!!"
ADA, AUDITOR = token_of("ada"), token_of("eve", roles=["auditor"])
HIDDEN = f"my {SCRUBBED}"


@asynccontextmanager
async def serving(folder: Path, **settings: Any) -> AsyncIterator[Running]:
    """Yield a server that keeps raw texts. It is stopped in order at the end of the block."""
    given = Settings(port=0, data_dir=folder, secret=SECRET, store_raw=True, **settings)
    async with trio.open_nursery() as nursery:
        yield await nursery.start(serve_app, given, (scripted(Say("Hm.")),))
        nursery.cancel_scope.cancel()


async def say(running: Running, name: str) -> None:
    """Send a message with something to redact."""
    async with connected(running.address, ADA) as client:
        await client.say(f"{name}: {HIDDEN}", agent_type="script", thread_id="t", message_id=name)
        await client.until_end()


async def raw_of(running: Running) -> list[str | None]:
    """Return the raw texts of the user's messages, None for each that cannot be decrypted."""
    _, _, found = await request(running.address, "GET", "/api/threads/t/export?raw=true", token=ADA)
    return [each["raw"] for each in found["messages"] if each["role"] == "user"]


async def reseal(folder: Path, **settings: Any) -> Result:
    """Run the command to its end, with the variables of these settings."""
    given = {f"UNDERSTUDY_{name}".upper(): str(value) for name, value in settings.items()}
    arguments = ["reseal", "--data-dir", str(folder)]
    return await trio.to_thread.run_sync(partial(CliRunner().invoke, main, arguments, env=given))


async def test_no_raw_text_is_lost_while_its_key_is_replaced(
    tmp_path: Path, database: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each step the user exports all of them, also those that the other key encrypted."""
    monkeypatch.setattr("understudy.cli.database.RESEALED", 1)
    key = tmp_path / "old"
    key.write_text(f"{OLD}\n")
    said = [f"m{number}: {HIDDEN}" for number in range(3)]
    async with serving(tmp_path / "data", raw_key=OLD, **database) as running:
        await say(running, "m0")
    async with serving(tmp_path / "data", raw_key_file=key, accepted_raw_keys=[NEW], **database) as running:
        await say(running, "m1")
        assert await raw_of(running) == said[:2]
    swapped = {"raw_key": NEW, **database}
    async with serving(tmp_path / "data", accepted_raw_keys=[f"file:{key}"], **swapped) as running:
        await say(running, "m2")
        assert await raw_of(running) == said
        done = await reseal(tmp_path / "data", accepted_raw_keys=OLD, **swapped)
        assert (done.exit_code, done.stdout) == (
            0, "raw texts encrypted again with raw_key: 2; that were so before: 1\n",
        ), done.output  # fmt: skip
        assert await raw_of(running) == said
        _, _, entries = await request(running.address, "GET", "/api/audit?action=raw_texts.resealed", token=AUDITOR)
        assert [(each["way"], each["target"]) for each in entries["entries"]] == [("command line", None)]
    async with serving(tmp_path / "data", **swapped) as running:
        assert await raw_of(running) == said
    async with serving(tmp_path / "data", raw_key=OLD, **database) as running:
        assert await raw_of(running) == [None, None, None]


async def test_nodes_read_what_the_other_key_encrypts(
    tmp_path: Path, postgres: Postgres, template: str, redis: Redis
) -> None:
    """One node has the new key already, the other has had it announced; both export the texts of both."""
    redis.flush()
    url = {"database_url": postgres.create(template), "redis_url": redis.url}
    async with (
        serving(tmp_path / "a", raw_key=OLD, accepted_raw_keys=[NEW], **url) as before,
        serving(tmp_path / "b", raw_key=NEW, accepted_raw_keys=[OLD], **url) as after,
    ):
        await say(before, "m0")
        await say(after, "m1")
        for each in (before, after):
            assert await raw_of(each) == [f"m0: {HIDDEN}", f"m1: {HIDDEN}"]


async def test_a_raw_text_that_no_key_decrypts_is_left_and_counted(tmp_path: Path) -> None:
    """The command fails, changes nothing of it, and can be repeated with the right key."""
    async with serving(tmp_path / "data", raw_key=OLD) as running:
        await say(running, "m0")
    left = "none of the keys decrypts, and which are left as they are: 1"
    for accepted in ({}, {"accepted_raw_keys": "another-key-of-more-than-32-bytes!!"}):
        done = await reseal(tmp_path / "data", raw_key=NEW, **accepted)
        assert (done.exit_code, left in done.stdout) == (1, True), done.output
    done = await reseal(tmp_path / "data", raw_key=NEW, accepted_raw_keys=f"another-key-of-more-than-32-bytes!!,{OLD}")
    assert (done.exit_code, "raw_key: 1; that were so before: 0" in done.stdout) == (0, True), done.output
    done = await reseal(tmp_path / "data", raw_key=NEW)
    assert (done.exit_code, "raw_key: 0; that were so before: 1" in done.stdout) == (0, True), done.output


async def test_raw_texts_cannot_be_encrypted_again_without_a_key_or_a_database(tmp_path: Path, migrated: Path) -> None:
    for folder, given, words in (
        (migrated, {}, "set raw_key"),
        (migrated, {"raw_key": NEW, "accepted_raw_keys": f"file:{tmp_path / 'none'}"}, "cannot be read"),
        (tmp_path / "none", {"raw_key": NEW}, "there is no database"),
    ):
        done = await reseal(folder, **given)
        assert (done.exit_code, words in done.stderr) == (1, True), done.output
