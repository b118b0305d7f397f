"""Remembered consents, on both databases."""

import pytest

from understudy.storage import consents
from understudy.storage.consents import Consent, allow_tool, disallow_tool
from understudy.storage.errors import NotStored


async def test_a_tool_is_allowed_in_one_thread_of_one_user(store, make) -> None:
    await store.commit(make.opening())
    await store.commit(make.opening("bob", "t2", "r2"))
    with pytest.raises(NotStored):
        await store.commit(allow_tool("ann", "t2", "pay", 1.0))
    await store.commit(allow_tool("ann", "t1", "send_mail", 1.0))
    await store.commit(allow_tool("ann", "t1", "send_mail", 2.0))
    await store.commit(allow_tool("ann", "t1", "pay", 3.0))
    await store.commit(allow_tool("bob", "t2", "pay", 4.0))
    assert await store.read(consents.consents, "ann", "t1") == [Consent("pay", 3.0), Consent("send_mail", 1.0)]
    assert [await store.commit(disallow_tool("ann", "t1", "pay")) for _ in range(2)] == [True, False]
    assert await store.read(consents.consents, "bob", "t2") == [Consent("pay", 4.0)]
    await store.commit(allow_tool("ann", "t1", "mcp_add", 5.0, "one"))
    await store.commit(allow_tool("ann", "t1", "mcp_add", 6.0, "one"))
    assert (await store.read(consents.consents, "ann", "t1"))[0] == Consent("mcp_add", 5.0, "one")
    await store.commit(allow_tool("ann", "t1", "mcp_add", 7.0, "two"))
    assert (await store.read(consents.consents, "ann", "t1"))[0] == Consent("mcp_add", 7.0, "two")
    assert await store.delete_thread("ann", "t1")
    await store.commit(make.opening())
    assert await store.read(consents.consents, "ann", "t1") == []
