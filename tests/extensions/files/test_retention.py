"""Files that nothing refers to are deleted, by one of several servers."""

import os
from typing import Any, cast

import pytest

from tests.rigs.store import running
from understudy.chat.placement import is_in_charge
from understudy.extensions.files import retention
from understudy.extensions.files.folder import FolderFiles
from understudy.extensions.files.retention import EVERY_S, FIRST_S, FileRetention
from understudy.extensions.files.storage import add_file, among
from understudy.storage import polling

DAY = 24 * 3600.0
NOW = 1000 * DAY


async def test_files_that_nothing_names_go_after_a_day(
    database, make, tmp_path_factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message, a text or the result of a tool may name one; another user's message does not count."""
    monkeypatch.setattr(retention, "TOGETHER", 2)
    monkeypatch.setattr(polling, "RESTS", 0.0)
    folder, gone = tmp_path_factory.mktemp("files"), list[int]()
    async with running(database) as (store, _):
        names = {
            label: f"{number:032x}" for number, label in enumerate(("orphan", "said", "text", "made", "new", "other"))
        }
        for label, name in names.items():
            (folder / name).write_bytes(b"content")
            at = NOW - (0.5 if label == "new" else 2) * DAY
            await store.commit(add_file(make.file("ann", name, created_at=at)))
        await store.commit(make.opening("ann", "t1", "r1"))
        messages = [
            make.message("ann", "t1", "m1", references=(names["said"],)),
            make.message("ann", "t1", "m2", content=f"see {names['text']}.", role="assistant"),
        ]
        steps = [make.step(1, "r1", result={"file_id": names["made"]})]
        await store.commit(make.change("ann", "t1", messages=messages, steps=steps))
        await store.commit(make.opening("bob", "t1", "r2"))
        theirs = [make.message("bob", "t1", "m1", run_id="r2", references=(names["other"],))]
        await store.commit(make.change("bob", "t1", messages=theirs))
        for name, days in (("e" * 32, 2), ("d" * 32, 0.5), ("notes.txt", 2)):  # of these nobody knows
            (folder / name).write_bytes(b"stray")
            os.utime(folder / name, (NOW - days * DAY, NOW - days * DAY))
        os.utime(folder / names["said"], (0, 0))
        files = FolderFiles(folder, store.commit)
        actor = FileRetention(store, files, None, gone.append, clock=lambda: NOW)
        assert [await actor.poll(), gone] == [FIRST_S, []]
        assert [await actor.poll(), sum(gone)] == [EVERY_S, 3]
        assert [(folder / name).exists() for name in ("e" * 32, "d" * 32, "notes.txt")] == [False, True, True]
        left = {label for label, name in names.items() if (folder / name).exists()}
        assert left == {"said", "text", "made", "new"}
        rows = await store.read(among, "ann", list(names.values()))
        assert {file.id for file in rows} == {names[label] for label in left}


async def test_a_single_server_does_it_else_the_oldest_node() -> None:
    class Youngest:
        async def is_oldest(self) -> bool:
            return False

    assert await is_in_charge(None)
    assert not await is_in_charge(cast(Any, Youngest()))
