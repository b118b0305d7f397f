"""What operators read over all users: open runs with what they spent, and what a name or an id stands for."""

from typing import Any

from understudy.storage import operator_queries
from understudy.storage.archive_queries import Archive
from understudy.storage.records import Change, LoggedEvent
from understudy.storage.spending import Spent

from .test_writer import running


async def test_open_runs_of_all_users_have_their_latest_event_and_what_they_spent(database: Any, make: Any) -> None:
    archive = Archive(database)
    async with running(database) as (store, _):
        for owner, run_id in (("ann", "r1"), ("bob", "r2"), ("cy", "r3")):
            await store.commit(make.opening(owner, "t", run_id))
        spent = (Spent("r1", 1, "ann", None, 7, 100, 0.5), Spent("r1", 2, "ann", None, 7, 20, 0.25))
        await store.commit(Change("ann", "t", events=make.events(2, 3), spent=spent))
        await store.commit(Change("cy", "t", run_end=make.ending("r3")))
        assert await archive.read(operator_queries.open_run_counts) == {"ann": 1, "bob": 1}
        ann, bob = await archive.read(operator_queries.open_runs, 10)
        assert (ann.run_id, ann.owner, ann.agent, ann.tokens, ann.cost) == ("r1", "ann", "guide", 120, 0.75)
        assert ann.last_body == make.events(3, 3)[0].body
        assert (bob.run_id, bob.tokens, bob.cost) == ("r2", 0, 0.0)
        assert len(await archive.read(operator_queries.open_runs, 1)) == 1
        assert await archive.read(operator_queries.spent_on, 7, 5) == [("ann", 120, 0.75)]


async def test_a_text_is_found_as_a_user_a_thread_a_run_and_an_error(database: Any, make: Any) -> None:
    """Signs with a meaning in patterns stand for themselves; nothing else is found with them."""
    archive = Archive(database)
    async with running(database) as (store, _):
        await store.commit(make.opening("ann_b", "t-one", "run-one"))
        await store.commit(make.opening("annxb", "t-two", "run-two"))
        body = b'{"type":"error","data":{"code":"internal","error_id":"e-77"}}'
        failed = LoggedEvent(2, "error", "run-two", body)
        await store.commit(Change("annxb", "t-two", events=(failed,), run_end=make.ending("run-two", "failed")))

        async def find(text: str) -> tuple[list[str], list[str], list[str]]:
            found = await archive.read(operator_queries.find, text)
            return list(found.users), [each[1] for each in found.threads], [each.run_id for each in found.runs]

        assert await find("ann") == (["ann_b", "annxb"], [], [])
        assert await find("nn_b") == (["ann_b"], [], [])
        assert await find("t-o") == ([], ["t-one"], [])
        assert await find("run-t") == ([], [], ["run-two"])
        assert await find("e-77") == ([], [], ["run-two"])
        assert await find("%") == ([], [], [])
        assert [each.run_id for each in await archive.read(operator_queries.runs_of, "annxb", None)] == ["run-two"]
        assert await archive.read(operator_queries.runs_of, "annxb", "t-one") == []
