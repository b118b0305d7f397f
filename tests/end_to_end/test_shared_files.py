"""Two servers over one PostgreSQL: a file uploaded to one is readable on the other, for users and tools."""

from pathlib import Path
from typing import Any

from tests.end_to_end.chat_client import connected
from tests.end_to_end.http import multipart, request
from tests.end_to_end.server_pair import token_of, two_servers
from tests.servers.postgresql import Postgres
from tests.servers.redis import Redis

TABLE = b"month,sales\n" + b"".join(b"2026-%02d,%d\n" % (month, 100 + month) for month in range(1, 13))


async def test_an_upload_to_one_is_read_on_the_other(
    serve: Any, tmp_path: Path, postgres: Postgres, template: str, redis: Redis
) -> None:
    redis.flush()
    two = await two_servers(serve, tmp_path, postgres.create(template), redis.url)
    body, kind = multipart("sales.csv", TABLE)
    token = token_of()
    status, _, row = await request(two.a.address, "POST", "/api/files", token=token, body=body, content_type=kind)
    assert status == 201
    status, headers, content = await request(two.b.address, "GET", f"/api/files/{row['id']}", token=token)
    assert (status, headers["content-length"]) == (200, str(len(TABLE)))
    assert content in (TABLE, TABLE.decode())
    assert (await request(two.b.address, "GET", f"/api/files/{row['id']}", token=token_of("bob")))[0] == 404
    async with connected(two.b.address, token) as client:
        await client.say("SELECT max(sales) AS best FROM data", references=[row["id"]])
        assert "112" in str(await client.until_end())
    assert [path.name for path in (tmp_path / "b" / "copies").iterdir()] == [row["id"]]
