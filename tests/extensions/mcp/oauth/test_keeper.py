"""Sign-ins that nobody uses are kept alive."""

from pathlib import Path

import trio
from attrs import evolve

from actors import ActorSystem, ChildSpec
from tests.rigs.mcp_signed_in import ready, sign_in
from tests.servers.mcp_oauth import Provider
from understudy.extensions.mcp.oauth import keeper
from understudy.extensions.mcp.oauth import storage as sign_ins
from understudy.extensions.mcp.oauth.accounts import KEEP_S
from understudy.storage.queries import Scope


async def test_what_is_due_is_refreshed_once_by_two_nodes(tmp_path: Path, monkeypatch) -> None:
    provider = Provider(pause_s=0.2)
    monkeypatch.setattr(keeper, "EVERY_S", 0.2)
    async with ready(tmp_path, provider) as (accounts, server):
        for owner in ("ada", "bob"):
            await sign_in(accounts, owner, server)
        await sign_in(accounts, "ada", evolve(server, name="gone"))
        now = accounts.clock()
        accounts.clock = provider.clock = lambda: now + KEEP_S[1] + 1
        both = [ChildSpec(node, lambda: keeper.SignInKeeper(accounts, {"notes": server})) for node in "ab"]
        async with ActorSystem("keepers", both):
            while await accounts.store.read(sign_ins.to_keep, accounts.clock()):  # noqa: ASYNC110 - until it is done
                await trio.sleep(0.05)
        assert provider.refreshed == 2
        assert len(await accounts.store.read(sign_ins.of_all, 9, Scope())) == 3
        assert (await accounts.tokens("bob", server)).access in provider.access
