"""The face of storage, with the writer as an actor of a real system, on the real clock (its work is in threads)."""

import attrs
import pytest
import trio
from sqlalchemy import event
from trio.testing import MockClock

from actors import Actor, ActorSystem, Backoff, ChildSpec
from actors.behaviours import CircuitState
from understudy.extensions.files.storage import add_file, among
from understudy.storage import queries
from understudy.storage import store as store_module
from understudy.storage.errors import AlreadyStored, InvalidCursor, SequenceConflict, StorageUnavailable, Unstorable
from understudy.storage.store import CIRCUIT, JOINED, Store
from understudy.storage.thread_writes import mark_thread, rename_thread, tag_thread
from understudy.storage.writer import StoreWriter


async def test_committed_changes_are_read(store, make) -> None:
    await store.commit(make.opening())
    assert await store.unfinished_runs("ann") == [make.run(message_id="m-t1")]
    await store.commit(make.change(events=make.events(2, 4), steps=[make.step(1)]))
    await store.commit(make.change(events=make.events(5, 5), run_end=make.ending(), messages=[make.message()]))
    assert (await store.thread("ann", "t1")).last_seq == 5
    assert [event.seq for event in await store.events("ann", "t1", 1, 3)] == [2, 3, 4]
    assert await store.events("ann", "t1", 5) == []
    assert len(await store.run_events("ann", "t1", "r1")) == 5
    assert await store.run_events("ann", "t1", "r2") == []
    starts = (("ann", "t1", "r1"), ("bob", "t1", "r1"), ("ann", "t1", "r2"))
    assert [await store.read(queries.run_start, *of) for of in starts] == [1, None, None]
    assert [message.id for message in (await store.messages("ann", "t1")).items] == ["m-t1", "m1"]
    assert (await store.message("ann", "m1")).content == "Hello"
    assert (await store.run("r1")).status == "success"
    assert await store.steps("r1") == [make.step(1)]
    assert await store.unfinished_runs() == []
    assert await store.read(queries.live_threads, "ann") == {"t1": 5}
    began = (await store.run("r1")).started_at
    assert await store.read(queries.begun_since, "ann", began) == {"t1": 0}
    assert await store.read(queries.begun_since, "ann", began + 0.1) == {}
    assert await store.read(queries.begun_since, "bob", began) == {}
    assert await store.commit(rename_thread("ann", "t1", "New")) is True
    assert [thread.title for thread in (await store.threads("ann")).items] == ["New"]
    assert await store.delete_thread("ann", "t1") is True
    assert await store.delete_thread("ann", "t1") is False
    assert await store.thread("ann", "t1") is None
    await store.check()


async def test_a_title_replaces_only_the_expected_one(store, make) -> None:
    await store.commit(make.opening())
    first = (await store.thread("ann", "t1")).title
    assert await store.commit(rename_thread("ann", "t1", "Mine", "Another")) is False
    assert await store.commit(rename_thread("bob", "t1", "Theirs", first)) is False
    assert (await store.thread("ann", "t1")).title == first
    assert await store.commit(rename_thread("ann", "t1", "Mine", first)) is True
    assert await store.commit(rename_thread("ann", "t1", "Late", first)) is False
    assert (await store.thread("ann", "t1")).title == "Mine"


async def test_a_page_is_read_at_one_moment(store, database, make) -> None:
    await store.commit(make.opening())
    await store.commit(make.change(events=make.events(2, 3), messages=[make.message()]))
    begun = []
    event.listen(database.reading, "begin", begun.append)
    page = await store.read(queries.thread_page, "ann", "t1", None, 1)
    assert len(begun) == 1
    assert page.thread == await store.thread("ann", "t1")
    assert page.newest == await store.run("r1") == make.run(message_id="m-t1")
    assert page.messages == await store.messages("ann", "t1", limit=1)
    assert [message.id for message in page.messages.items] == ["m1"]
    assert page.runs == ()
    page = await store.read(queries.thread_page, "ann", "t1", page.messages.next_cursor, 9)
    assert [message.id for message in page.messages.items] == ["m-t1"]
    assert page.runs == (make.run(message_id="m-t1"),)
    begun.clear()
    logged = await store.read(queries.event_page, "ann", "t1", 1, 9)
    assert len(begun) == 1
    assert logged.thread == page.thread
    assert logged.events == make.events(2, 3)
    for owner, thread_id in (("bob", "t1"), ("ann", "t2")):
        assert await store.read(queries.thread_page, owner, thread_id, None, 9) is None
        assert await store.read(queries.event_page, owner, thread_id, 0, 9) is None


async def test_refusals_reach_their_caller_at_once(store, make) -> None:
    await store.commit(make.opening())
    with pytest.raises(SequenceConflict, match="the next event of thread 't1' is 2, not 7"):
        await store.commit(make.change(events=make.events(7, 7)))
    await store.commit(add_file(make.file()))
    with pytest.raises(AlreadyStored):
        await store.commit(add_file(make.file(size=9)))
    with pytest.raises(Unstorable):
        await store.commit(rename_thread("ann", "t1", "\ud800"))


@pytest.fixture
async def many(store, make):
    """Seven threads, two of them touched at the same moment."""
    for number, touched in enumerate([10.0, 20.0, 30.0, 30.0, 40.0, 50.0, 60.0]):
        thread = make.thread("ann", f"t{number}", updated_at=touched)
        await store.commit(make.change("ann", thread.id, thread=thread))
    return store


async def test_threads_come_newest_first_in_pages(many) -> None:
    for limit in (1, 2, 3, 7, 50):
        ids, cursor = [], None
        while not ids or cursor is not None:
            page = await many.threads("ann", cursor=cursor, limit=limit)
            ids += [thread.id for thread in page.items]
            assert len(page.items) <= limit
            cursor = page.next_cursor
        assert ids == ["t6", "t5", "t4", "t3", "t2", "t1", "t0"]
    assert list(await many.read(queries.live_threads, "ann", 3)) == ["t6", "t5", "t4"]
    assert [len((await many.threads("ann", limit=limit)).items) for limit in (0, -5)] == [1, 1]


async def test_messages_come_last_page_first_each_in_reading_order(store, make) -> None:
    await store.commit(make.opening())
    for number in range(2, 7):
        await store.commit(make.change(messages=[make.message(message_id=f"m{number}", created_at=200.0 - number)]))
    pages, cursor = [], None
    while not pages or cursor is not None:
        page = await store.messages("ann", "t1", cursor, limit=4)
        pages.append([message.id for message in page.items])
        cursor = page.next_cursor
    assert pages == [["m3", "m4", "m5", "m6"], ["m-t1", "m2"]]
    assert (await store.messages("ann", "t1", limit=6)).next_cursor is None


@pytest.mark.parametrize(
    "cursor", ["", "x", "####", "W10", "WzEsMl0", "bnVsbA", "WyJhIiwxXQ", "\ud800", "é", "WzFlOTk5LCJhIl0"]
)
async def test_a_cursor_that_no_page_gave_out(store, cursor) -> None:
    for question in (store.threads("ann", cursor=cursor), store.messages("ann", "t1", cursor)):
        with pytest.raises(InvalidCursor):
            await question


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("", ["t0", "t1", "t2", "t3", "t4"]), ("   ", ["t0", "t1", "t2", "t3", "t4"]), ("%", ["t0"]), ("_", ["t1"]),
        ("0%", ["t0"]), ("a_b", ["t1"]), ("\\", ["t2"]), ("/", ["t3"]), ("' OR 1=1 --", []), ("100% SURE", ["t0"]),
        ("äRGER", ["t4"]), ("Ärger", ["t4"]), ("hello", ["t0", "t1", "t2", "t3", "t4"]), ("word of t3", ["t3"]),
        ("x" * 100_000, []),
    ],
)  # fmt: skip
async def test_search_takes_every_character_as_itself(store, make, query, ids) -> None:
    for number, title in enumerate(["100% sure", "a_b", "back\\slash", "a/b", "Viel ÄRGER"]):
        await store.commit(make.opening("ann", f"t{number}", f"r{number}", title=title))
        message = make.message("ann", f"t{number}", f"s{number}", content=f"Word of t{number}")
        await store.commit(make.change("ann", f"t{number}", messages=[message]))
    assert sorted(thread.id for thread in (await store.threads("ann", query)).items) == ids


async def test_files_come_in_the_order_asked_for(store, make) -> None:
    for letter in "abc":
        await store.commit(add_file(make.file(file_id=letter * 32)))
    await store.commit(add_file(make.file("bob", "d" * 32)))
    assert [file.id[0] for file in await store.read(among, "ann", [letter * 32 for letter in "cadxca"])] == ["c", "a"]
    assert await store.read(among, "ann", []) == []


@pytest.mark.parametrize("name", ["\ud800", "a\ud800"])
async def test_names_that_cannot_be_stored_cannot_be_asked_for(store, name) -> None:
    for question in (store.thread("ann", name), store.message(name, "m"), store.threads("ann", name)):
        with pytest.raises(Unstorable):
            await question
    with pytest.raises(Unstorable):
        await store.events("ann", "t1", 2**70)


async def test_without_a_writer_reading_goes_on(database, folder, make) -> None:
    store = Store(database, lambda: None, deadline_s=0.05)
    with pytest.raises(StorageUnavailable, match="the writer is not there"):
        await store.commit(make.opening())
    assert await store.thread("ann", "t1") is None
    with pytest.raises(StorageUnavailable):
        await store.check()


async def test_a_dead_writer_is_storage_unavailable(database, make) -> None:
    async with ActorSystem("test") as system:
        writer = await system.spawn(ChildSpec("writer", lambda: StoreWriter(database)))
        await writer.stop()
        store = Store(database, lambda: writer, deadline_s=0.05)
        with pytest.raises(StorageUnavailable, match="ended: shutdown"):
            await store.commit(make.opening())


async def test_a_write_does_not_wait_for_a_writer_that_never_comes_back(database, make) -> None:
    async with ActorSystem("test") as system:
        writer = await system.spawn(ChildSpec("writer", lambda: StoreWriter(database)))
        store = Store(database, lambda: writer, ended=lambda: not writer.alive)
        await store.commit(make.opening())
        await writer.stop()
        began = trio.current_time()
        with pytest.raises(StorageUnavailable, match="at its end"):
            await store.commit(make.change("ann", "t1"))
        assert trio.current_time() - began < 2.0, "it waited for its deadline of 5 s"


async def test_a_writer_that_comes_back_in_time_is_waited_for(database, make) -> None:
    async with ActorSystem("test") as system:
        writers = []
        store = Store(database, lambda: writers[-1] if writers else None)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.commit, make.opening())
            await trio.testing.wait_all_tasks_blocked()
            writers.append(await system.spawn(ChildSpec("writer", lambda: StoreWriter(database))))
        assert await store.thread("ann", "t1") is not None


@pytest.mark.parametrize("permits", [1, 512])
async def test_writes_wait_as_long_as_others_are_committed(
    autojump_clock: MockClock, database, make, monkeypatch: pytest.MonkeyPatch, permits: int
) -> None:
    """Six writes of two seconds, with a deadline of five: they queue for permits, and at the writer."""

    class SlowWriter(Actor):
        async def receive(self, message, context) -> None:
            await trio.sleep(2.0)
            message.reply(1)

    monkeypatch.setattr(store_module, "WAITING", permits)
    async with ActorSystem("test") as system:
        writer = await system.spawn(ChildSpec("writer", SlowWriter))
        store = Store(database, lambda: writer, deadline_s=5.0)
        async with trio.open_nursery() as nursery:
            for number in range(6):
                nursery.start_soon(store.commit, make.opening(thread_id=f"t{number}"))


async def test_questions_of_a_kind_are_answered_as_if_asked_alone(store, database, make) -> None:
    for owner, thread_id in (("ann", "t1"), ("ann", "t2"), ("bob", "t2")):
        await store.commit(make.opening(owner, thread_id, f"r-{owner}-{thread_id}"))
    await store.commit(make.change("ann", "t2", run_end=make.ending("r-ann-t2"), events=make.events(2, 2, "r-ann-t2")))
    names = [("bob", "t2"), ("ann", "t2"), ("bob", "t1"), ("ann", "t1"), ("eve", "t1"), ("ann", "t1")]
    several = [("ann", ("t1", "t2", "t9")), ("bob", ("t1",)), ("eve", ())]
    questions = {
        queries.thread_with_open_runs: [names],
        queries.last_seqs: [[(owner, (thread_id,)) for owner, thread_id in names], several],
    }
    assert JOINED.keys() == questions.keys()
    with database.reading.connect() as connection, connection.begin():
        for query, crowds in questions.items():
            for crowd in crowds:
                assert JOINED[query](connection, crowd) == [query(connection, *arguments) for arguments in crowd]


async def test_a_pinned_thread_has_a_list_of_its_own_and_an_archived_one_is_not_listed(store, make) -> None:
    for thread in ("t1", "t2", "t3"):
        await store.commit(make.opening(thread_id=thread, run_id=f"r-{thread}"))
    assert await store.commit(mark_thread("ann", "t1", "pinned", 50.0))
    assert await store.commit(mark_thread("ann", "t2", "archived", 2000000000.0))
    assert not await store.commit(mark_thread("bob", "t1", "pinned", 50.0))

    async def listed(which, query=""):
        return sorted(thread.id for thread in (await store.threads("ann", query, which=which)).items)

    assert await listed("active") == ["t1", "t3"]
    assert (await listed("pinned"), await listed("archived")) == (["t1"], ["t2"])
    archived = await store.thread("ann", "t2")
    assert archived.archived
    assert await listed("active", archived.title) == ["t1", "t2", "t3"]
    await store.commit(mark_thread("ann", "t2", "archived", archived.updated_at - 1.0))  # it was used since
    assert (await listed("active"), await listed("archived")) == (["t1", "t2", "t3"], [])
    await store.commit(mark_thread("ann", "t1", "pinned", None))
    assert await listed("pinned") == []


async def test_threads_are_found_by_all_of_their_tags_and_the_tags_are_counted(store, make) -> None:
    for thread in ("t1", "t2", "t3"):
        await store.commit(make.opening(thread_id=thread, run_id=f"r-{thread}"))
    assert await store.commit(tag_thread("ann", "t1", ("work", "übung")))
    assert await store.commit(tag_thread("ann", "t2", ("a_b", "work")))
    assert await store.commit(tag_thread("ann", "t3", ("axb", "workshop")))
    assert not await store.commit(tag_thread("bob", "t1", ("theirs",)))
    tagged_thread = await store.thread("ann", "t1")
    assert tagged_thread.tags == " work übung "

    async def tagged(*tags, **how):
        return sorted(thread.id for thread in (await store.threads("ann", tags=tags, **how)).items)

    assert await tagged("work") == ["t1", "t2"]
    assert await tagged("work", "übung") == ["t1"]
    assert (await tagged("a_b"), await tagged("axb"), await tagged("wor")) == (["t2"], ["t3"], [])
    assert await tagged("work", query=tagged_thread.title) == ["t1", "t2"]
    first = await store.threads("ann", limit=1, tags=("work",))
    second = await store.threads("ann", limit=1, tags=("work",), cursor=first.next_cursor)
    assert sorted(thread.id for page in (first, second) for thread in page.items) == ["t1", "t2"]
    assert await store.read(queries.tags, "ann") == [("work", 2), ("a_b", 1), ("axb", 1), ("workshop", 1), ("übung", 1)]
    assert await store.read(queries.tags, "bob") == []
    await store.commit(mark_thread("ann", "t1", "archived", 2000000000.0))
    assert (await tagged("work"), await tagged("work", which="archived")) == (["t2"], ["t1"])
    await store.commit(tag_thread("ann", "t2", ()))
    assert (await store.thread("ann", "t2")).tags == ""
    await store.delete_thread("ann", "t1")
    assert await store.read(queries.tags, "ann") == [("axb", 1), ("workshop", 1)]


async def test_the_newest_message_with_all_words_is_the_match_of_a_thread(store, make) -> None:
    for thread in ("t1", "t2"):
        opening = make.opening(thread_id=thread, run_id=f"r-{thread}")
        message = attrs.evolve(opening.messages[0], content=f"blue harbour of {thread}")
        await store.commit(attrs.evolve(opening, messages=(message,)))
    matches = await store.search(queries.matches, "ann", "HARB blue", ["t1", "t2", "t3"])
    contents = [matches[thread].content for thread in ("t1", "t2")]
    assert (contents, len(matches)) == (["blue harbour of t1", "blue harbour of t2"], 2)
    assert await store.search(queries.matches, "ann", "harbour t2", ["t1"]) == {}
    assert await store.search(queries.matches, "bob", "harbour", ["t1", "t2"]) == {}
    assert await store.search(queries.matches, "ann", "...", ["t1"]) == {}


async def test_a_commit_that_passes_lets_a_read_try(store, make, monkeypatch) -> None:
    monkeypatch.setattr(store.breaker._circuit, "spec", attrs.evolve(CIRCUIT, reset=Backoff(min_s=60.0, max_s=60.0)))
    await store.commit(make.opening())
    for _ in range(CIRCUIT.trip.limit):
        store.breaker.fail()
    with pytest.raises(StorageUnavailable):
        await store.thread("ann", "t1")
    await store.commit(make.change(events=make.events(2, 2)))
    assert (await store.thread("ann", "t1")).last_seq == 2
    assert store.breaker.state is CircuitState.CLOSED
