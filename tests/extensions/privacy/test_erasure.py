"""What every extension keeps of users, on or off: exported page by page, and erased with its user only."""

import json
from typing import Any, Final

import pytest
from attrs import evolve
from sqlalchemy import JSON, Boolean, Connection, Float, Integer, LargeBinary, Table, insert, select

from understudy.app.settings import Settings
from understudy.content.vault import Vault
from understudy.extension import UserData
from understudy.extensions.privacy import erasure, export, queries
from understudy.extensions.privacy.erasure import Eraser
from understudy.extensions.privacy.export import Exporter, ExportOptions
from understudy.installed import kept_of_users
from understudy.storage.write import write

ROWS: Final = 5
VALUES: Final = ((JSON, []), (Boolean, True), (Float, 4e9), (Integer, 1), (LargeBinary, b"x"))
KEPT: Final = {user.name: user for user in kept_of_users()}


@write
def add_rows(connection: Connection, table: Table, owner: str, count: int) -> bool:
    """Insert rows of made-up values, of an owner and of the thread `t`."""
    for number in range(count):
        texts = {column.name: f"{owner.encode().hex()}{number}".zfill(32) for column in table.columns}
        values = {
            column.name: next((value for kind, value in VALUES if isinstance(column.type, kind)), texts[column.name])
            for column in table.columns
        }
        of_owner = {"owner": owner, "thread_id": "t", "run_id": f"r{number}-{owner}"}
        of_owner = {name: value for name, value in of_owner.items() if name in values}
        connection.execute(insert(table).values(values | of_owner))
    return True


async def left(store: Any, table: Table, owner: str) -> int:
    return len(
        await store.read(lambda connection: connection.execute(select(table).where(table.c.owner == owner)).all())
    )


async def read_all(pieces: Any) -> Any:
    return json.loads(b"".join([piece async for piece in pieces]))


@pytest.mark.parametrize("user_data", KEPT.values(), ids=KEPT)
async def test_what_is_kept_of_users_is_exported_and_erased(
    store: Any,
    make: Any,
    user_data: UserData,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    for module in (erasure, export):
        monkeypatch.setattr(module, "kept_of_users", lambda: [evolve(user, together=2) for user in kept_of_users()])
    count = 1 if user_data.single else ROWS
    for owner in ("ann", "bob"):
        await store.commit(make.opening(owner, "t", f"r-{owner}"))
        if user_data.name == "passkeys":
            await store.commit(add_rows(KEPT["account"].table, owner, 1))
        await store.commit(add_rows(user_data.table, owner, count))
    exporter = Exporter(store.archive, Vault(), lambda: 0.0)
    exported = await read_all(exporter.user(await store.archive.read(queries.user, "ann"), ExportOptions()))
    place = exported["threads"][0] if user_data.of_thread else exported
    assert isinstance(place[user_data.name], dict) if user_data.single else len(place[user_data.name]) == ROWS
    erased = await Eraser(store, Settings(data_dir=tmp_path_factory.mktemp("data")), store.delete_thread).user("ann")
    assert (erased.threads, erased.whole) == (1, True)
    assert [await left(store, user_data.table, owner) for owner in ("ann", "bob")] == [0, count]
