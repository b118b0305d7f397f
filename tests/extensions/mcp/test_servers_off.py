"""MCP servers that are switched off, on both databases."""

import pytest

from understudy.extensions.mcp import servers_off
from understudy.extensions.mcp.servers_off import set_server_on
from understudy.storage.errors import NotStored


async def test_a_server_is_off_in_one_thread_of_one_user(store, make) -> None:
    await store.commit(make.opening())
    await store.commit(make.opening("bob", "t2", "r2"))
    with pytest.raises(NotStored):
        await store.commit(set_server_on("ann", "t2", "time", False))
    for name in ("time", "fetch", "time"):
        await store.commit(set_server_on("ann", "t1", name, False))
    assert await store.read(servers_off.servers_off, "ann", "t1") == ["fetch", "time"]
    assert await store.read(servers_off.servers_off, "bob", "t2") == []
    for _ in range(2):
        await store.commit(set_server_on("ann", "t1", "time", True))
    assert await store.read(servers_off.servers_off, "ann", "t1") == ["fetch"]
    assert await store.delete_thread("ann", "t1")
    await store.commit(make.opening())
    assert await store.read(servers_off.servers_off, "ann", "t1") == []
