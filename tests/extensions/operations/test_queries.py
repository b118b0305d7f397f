"""What operators read over all users: open runs with what they spent, and what a name or an id stands for."""

from typing import Any

from tests.rigs.store import running
from understudy.extensions.mcp.oauth.storage import of_all
from understudy.extensions.operations import queries as operator_queries
from understudy.storage.changes import Change
from understudy.storage.queries import Scope
from understudy.storage.read_pool import Archive
from understudy.storage.records import LoggedEvent, StepRecord
from understudy.storage.spending import Spent

ALL = Scope()


async def test_open_runs_of_all_users_have_their_latest_event_and_what_they_spent(database: Any, make: Any) -> None:
    archive = Archive(database)
    async with running(database) as (store, _):
        for owner, run_id in (("ann", "r1"), ("bob", "r2"), ("cy", "r3")):
            await store.commit(make.opening(owner, "t", run_id))
        spent = (Spent("r1", 1, "ann", None, 7, 100, 0.5), Spent("r1", 2, "ann", None, 7, 20, 0.25))
        await store.commit(Change("ann", "t", events=make.events(2, 3), spent=spent))
        await store.commit(Change("cy", "t", run_end=make.ending("r3")))
        assert await archive.read(operator_queries.open_run_counts, ALL) == {"ann": 1, "bob": 1}
        ann, bob = await archive.read(operator_queries.open_runs, 10, ALL)
        assert (ann.run_id, ann.owner, ann.agent, ann.tokens, ann.cost) == ("r1", "ann", "guide", 120, 0.75)
        assert (ann.last_body, ann.call) == (make.events(3, 3)[0].body, None)
        assert (bob.run_id, bob.tokens, bob.cost) == ("r2", 0, 0.0)
        steer = LoggedEvent(4, "steer_accepted", "r1", b"{}")
        await store.commit(Change("ann", "t", events=(steer,)))
        for aside, work in (((), steer), (("steer_accepted",), make.events(3, 3)[0])):
            ann, _ = await archive.read(operator_queries.open_runs, 10, ALL, aside)
            assert (ann.last_body, ann.work_body) == (steer.body, work.body)
        begun = ((1, "tool", "pay", None), (2, "tool", "look", 2.0), (3, "model", "big", None))
        steps = tuple(StepRecord("r1", n, kind, name, None, None, {}, "", 1.0, end) for n, kind, name, end in begun)
        await store.commit(Change("ann", "t", steps=steps))
        (ann,) = await archive.read(operator_queries.open_runs, 1, ALL)
        assert ann.call == "pay"


async def test_users_and_what_they_spent_today_are_those_of_a_tenant_or_all(database: Any, make: Any) -> None:
    archive, ann = Archive(database), "acme\x1fann"
    async with running(database) as (store, _):
        for owner, run_id in ((ann, "r1"), ("bob", "r2"), ("cy", "r3")):
            await store.commit(make.opening(owner, "t", run_id))
        spent = (Spent("r1", 1, ann, "acme", 8, 10, 0.5), Spent("r1", 2, ann, "acme", 7, 10, 0.5))
        await store.commit(Change(ann, "t", spent=spent))
        await store.commit(Change("bob", "t", spent=(Spent("r2", 1, "bob", None, 8, 50, 0.0),)))
        assert await store.delete_thread("cy", "t")
        acme, nobody = Scope(everywhere=False, tenant="acme"), Scope(everywhere=False)
        assert await archive.read(operator_queries.spent_on, 8, 10, ALL) == [("bob", 50, 0.0), (ann, 10, 0.5)]
        assert await archive.read(operator_queries.spent_on, 8, 10, acme) == [(ann, 10, 0.5)]
        listed = await archive.read(operator_queries.users, "", 10, ALL)
        assert [(user.id, user.threads, user.open_runs) for user in listed] == [
            (ann, 1, 1),
            ("bob", 1, 1),
            ("cy", 0, 0),
        ]
        assert [user.id for user in await archive.read(operator_queries.users, ann, 1, ALL)] == ["bob"]
        assert [user.id for user in await archive.read(operator_queries.users, "", 10, acme)] == [ann]
        assert [run.run_id for run in await archive.read(operator_queries.open_runs, 10, nobody)] == ["r2"]
        assert await archive.read(operator_queries.open_run_counts, acme) == {ann: 1}
        assert await archive.read(of_all, 10, ALL) == []


async def test_a_text_is_found_as_a_user_a_thread_a_run_and_an_error(database: Any, make: Any) -> None:
    archive = Archive(database)
    async with running(database) as (store, _):
        await store.commit(make.opening("ann_b", "t-one", "run-one"))
        await store.commit(make.opening("annxb", "t-two", "run-two"))
        body = b'{"type":"error","data":{"code":"internal","error_id":"e-77"}}'
        failed = LoggedEvent(2, "error", "run-two", body)
        await store.commit(Change("annxb", "t-two", events=(failed,), run_end=make.ending("run-two", "failed")))

        async def find(text: str) -> tuple[list[str], list[str], list[str]]:
            matches = await archive.read(operator_queries.find, text)
            return list(matches.users), [thread[1] for thread in matches.threads], [run.run_id for run in matches.runs]

        assert await find("ann") == (["ann_b", "annxb"], [], [])
        assert await find("nn_b") == (["ann_b"], [], [])
        assert await find("t-o") == ([], ["t-one"], [])
        assert await find("run-t") == ([], [], ["run-two"])
        assert await find("e-77") == ([], [], ["run-two"])
        assert await find("%") == ([], [], [])
        assert [run.run_id for run in await archive.read(operator_queries.runs_of, "annxb", None)] == ["run-two"]
        assert await archive.read(operator_queries.runs_of, "annxb", "t-one") == []
